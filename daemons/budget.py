"""How often something may be tried: growing pauses after failures, so many tries an hour, remembered on disk.

A try is written down before it is made. A daemon that dies of what it tries finds the try there when it comes back, so
even a crash loop cannot rebuild or restart without end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from daemons import clock, files, log

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """The pause after the first failure, doubled after each further one up to the longest; tries an hour at most."""

    first_pause_s: float
    longest_pause_s: float
    most_an_hour: int


@dataclass(frozen=True, slots=True)
class Tries:
    """What was tried under one name: when (the last hour's), and how often in a row it failed."""

    at: tuple[datetime, ...] = ()
    failures: int = 0


class Budget:
    """The tries of all that heals, in the file *path*. One process writes it."""

    def __init__(self, path: Path, policy: Policy) -> None:
        self._path = path
        self._policy = policy
        self._tries = _load(path)

    @property
    def policy(self) -> Policy:
        return self._policy

    def failures(self, name: str) -> int:
        """How often in a row *name* failed."""
        return self._of(name).failures

    def next_at(self, name: str, now: datetime) -> datetime:
        """When *name* may be tried next; not after *now* when it may be now."""
        tries = self._of(name)
        # A clock that was set back must not turn a pause into years: a try cannot lie in the future.
        at = [min(moment, now) for moment in tries.at]
        if not at:
            return now
        allowed = at[-1] + timedelta(seconds=self._pause_s(tries.failures))
        if len(at) >= self._policy.most_an_hour:
            allowed = max(allowed, at[-self._policy.most_an_hour] + HOUR)
        return allowed

    def may(self, name: str, now: datetime) -> bool:
        return self.next_at(name, now) <= now

    def spend(self, name: str, now: datetime) -> None:
        """Write down a try of *name*, as one that failed until `succeeded` says otherwise. Call it before trying."""
        tries = self._of(name)
        recent = tuple(moment for moment in tries.at if now - moment < HOUR)
        self._keep(name, Tries((*recent, now), tries.failures + 1))

    def succeeded(self, name: str) -> None:
        """The last try worked. It still counts for the hour: healing over and over is a failure too."""
        self._keep(name, Tries(self._of(name).at, 0))

    def failed(self, name: str, now: datetime) -> None:
        """The last try has failed *now*: what took long is not followed by the next one at once."""
        tries = self._of(name)
        self._keep(name, Tries((*tries.at[:-1], now), tries.failures))

    def give_back(self, name: str) -> None:
        """The last try was none: it was called off, or had nothing to do."""
        tries = self._of(name)
        self._keep(name, Tries(tries.at[:-1], max(0, tries.failures - 1)))

    def ease(self, name: str) -> None:
        """Something changed that gives the next try a better chance: back to the first pause."""
        tries = self._of(name)
        self._keep(name, Tries(tries.at, min(tries.failures, 1)))

    def _pause_s(self, failures: int) -> float:
        if failures == 0:
            return 0.0
        return float(min(self._policy.first_pause_s * 2 ** min(failures - 1, 30), self._policy.longest_pause_s))

    def _of(self, name: str) -> Tries:
        return self._tries.get(name, Tries())

    def _keep(self, name: str, tries: Tries) -> None:
        if tries == self._tries.get(name, Tries()):
            return
        self._tries[name] = tries
        body = {name: {"at": [clock.stamp(moment) for moment in t.at], "failures": t.failures}
                for name, t in self._tries.items()}  # fmt: skip
        files.replace(self._path, json.dumps(body, indent=1).encode() + b"\n")


def _load(path: Path) -> dict[str, Tries]:
    try:
        raw = files.read(path)
        return {name: _parse(tries) for name, tries in json.loads(raw).items()} if raw else {}
    except (ValueError, TypeError, KeyError, AttributeError) as odd:
        log.warning("budget.unreadable", path=str(path), reason=str(odd), kept="an empty one")
        return {}


def _parse(tries: dict[str, object]) -> Tries:
    at, failures = tries["at"], tries["failures"]
    if not isinstance(at, list) or not isinstance(failures, int):
        raise TypeError("a list of times and a number of failures are expected")
    return Tries(tuple(clock.parse_stamp(str(moment)) for moment in at), failures)
