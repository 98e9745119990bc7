"""What is so, since when, and whether it may be believed: X of the last Y looks must agree before anybody acts.

One lost packet is no outage, and one lucky answer no recovery.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from daemons import clock

NEEDED = 3
LOOKS = 4

Kind = Literal["healthy", "degraded", "foreign", "frozen", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look found, and what it saw: one line for a person."""

    kind: Kind
    evidence: str


NOT_LOOKED = Verdict("unknown", "not looked yet")


class Track:
    """The looks at one thing. `verdict` is the last one, `believed` what enough of them agree on."""

    def __init__(self, *, needed: int = NEEDED, looks: int = LOOKS) -> None:
        self._needed = needed
        self.verdict = NOT_LOOKED
        self.believed = NOT_LOOKED
        self.since: datetime | None = None
        self._looks: deque[Kind] = deque(maxlen=looks)

    def see(self, verdict: Verdict, now: datetime) -> None:
        """Take in one look."""
        if self.since is None or verdict.kind != self.verdict.kind:
            self.since = now
        self.verdict = verdict
        self._looks.append(verdict.kind)
        if self._looks.count(verdict.kind) >= self._needed:
            self.believed = verdict

    def start_anew(self) -> None:
        """Forget the looks: something was done about it, and what was seen before says nothing about after."""
        self._looks.clear()
        self.believed = NOT_LOOKED

    @property
    def is_steady(self) -> bool:
        """Whether the last look says what is believed."""
        return self.verdict.kind == self.believed.kind

    def detail(self) -> dict[str, object]:
        """For the status file."""
        return {
            "status": self.verdict.kind,
            "evidence": self.verdict.evidence,
            "since": clock.stamp(self.since) if self.since else None,
            "believed": self.believed.kind,
        }
