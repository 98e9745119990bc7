"""Conditions that someone must know of, told once: what is so now, against what was told before.

What was told is read from the alerts on disk, not remembered: a daemon that is killed and restarted tells nothing twice
and clears what ended while it was dead. A condition that can't be judged (`unsure`) is neither raised nor cleared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from daemons import text
from daemons.alerts import Alerts, Occurrence
from daemons.health_checker.notes import ACTOR
from daemons.settings import Settings


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong. *about* names the thing (`api`, `frontend`, `disk`), *kind* what is wrong with it.

    *headline* is one line for the mailbox, in our own words; *evidence* may be long and hold a stranger's text.
    """

    about: str
    kind: str
    headline: str
    evidence: str

    @property
    def key(self) -> str:
        return f"health:{self.about}:{self.kind}"


class Alarms:
    """The open alerts of the health checker."""

    def __init__(self, conf: Settings) -> None:
        self._alerts = Alerts(conf, ACTOR)

    @property
    def waiting(self) -> str | None:
        """Why messages about alerts wait, None when none does."""
        return self._alerts.stuck

    def report(self, conditions: Iterable[Condition], now: datetime, *, unsure: Collection[str] = ()) -> None:
        """Raise what is new, clear what is over, leave alone what is known, and what is *unsure* (by `about`)."""
        so = {condition.key: condition for condition in conditions}
        told = {alert.key for alert in self._alerts.open()}
        for key in so.keys() - told:
            self._raise(so[key], now)
        still = {condition.about: condition for condition in so.values()}
        for key in sorted(told - so.keys()):
            about = key.split(":")[1]
            if about not in unsure:
                self._clear(key, still.get(about), now)
        self._alerts.tick(now)

    def _clear(self, key: str, instead: Condition | None, now: datetime) -> None:
        reason = f"something else is wrong with it now ({instead.kind})" if instead else "it is in order again"
        self._alerts.clear([key], now, reason=reason)

    def _raise(self, condition: Condition, now: datetime) -> None:
        occurrence = Occurrence(
            key=condition.key, kind=condition.kind, subject=condition.about, evidence=condition.evidence
        )
        headline = text.safe(f"[HEALTH ALERT] {condition.headline}", one_line=True)
        self._alerts.raise_([occurrence], now, headline=headline)
