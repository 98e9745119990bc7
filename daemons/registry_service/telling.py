"""Telling, once: what should be known now against what was told and not yet taken back.

    should be open ── minus ── is open  ->  raise: alike ones in one line
    is open ── minus ── should be open  ->  clear: a line a reason

What was told is what the alerts on disk say, so a service that was killed between two steps repeats nothing and forgets
nothing. About whom nothing can be known now, nothing is raised and nothing cleared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from daemons.alerts import Alerts, Occurrence


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that someone should know of, as long as it is so.

    *headline* is for when it is told alone; *evidence* is only asked for when it is told.
    """

    key: str
    kind: str
    subject: str
    headline: str | None
    evidence: Callable[[], str]


@dataclass(slots=True)
class Wanted:
    """What should be open now. *held*: keys about which nothing is known. *over*: why those that are not are over."""

    conditions: list[Condition] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    over: dict[str, str] = field(default_factory=dict)


def reconcile(alerts: Alerts, wanted: Wanted, told: Collection[str], now: datetime) -> None:
    """Raise what should be open and isn't, clear what is and shouldn't. *told*: the keys of the open alerts."""
    by_kind: dict[str, list[Condition]] = defaultdict(list)
    for condition in wanted.conditions:
        if condition.key not in told:
            by_kind[condition.kind].append(condition)
    for alike in by_kind.values():
        _raise(alerts, alike, now)
    should = {condition.key for condition in wanted.conditions} | wanted.held
    by_reason: dict[str, list[str]] = defaultdict(list)
    for key in sorted(set(told) - should):
        by_reason[wanted.over.get(key, "it is not so any more")].append(key)
    for reason, keys in by_reason.items():
        alerts.clear(keys, now, reason=reason)


def _raise(alerts: Alerts, alike: Sequence[Condition], now: datetime) -> None:
    occurrences = [Occurrence(each.key, each.kind, each.subject, each.evidence()) for each in alike]
    alerts.raise_(occurrences, now, headline=alike[0].headline if len(alike) == 1 else None)
