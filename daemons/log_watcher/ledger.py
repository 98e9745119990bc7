"""The ledger: every byte that a log got was examined, is about to be, or stands in a gap with its reason.

    seen = examined + pending + gaps        what is missing or too many is unexplained: a fault of ours, and said

What was seen comes from the sizes of the files, what was examined from the reading: two counts that know nothing of
each other. A gap of 0 bytes means that nobody can know how many there were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemons.log_watcher.generation import Generation, Known
from daemons.log_watcher.marker import Marker


@dataclass(slots=True)
class Ledger:
    """Of one log, or of several."""

    seen: int = 0
    examined: int = 0
    pending: int = 0
    events: int = 0
    looked_for: int = 0
    gaps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, marker: Marker, generations: Iterable[Generation], missing: Iterable[Known]) -> None:
        """The log that has this marker, is read in *generations*, and looks for the *missing* ones."""
        self.seen += marker.appended_bytes
        self.examined += marker.examined_bytes
        self.events += marker.events
        for one in generations:
            self.seen += one.size_bytes - one.counted_from
            # What is examined and not told yet counts with what waits.
            self.pending += one.pending_bytes + one.examined_bytes + one.left_out_bytes
        for known in missing:
            self.seen += known.offset - known.counted_from
            self.looked_for += 1
        for reason, (times, size) in marker.gaps.items():
            self._add_gap(reason, times, size)

    def _add_gap(self, reason: str, times: int, size: int) -> None:
        before = self.gaps.get(reason, (0, 0))
        self.gaps[reason] = before[0] + times, before[1] + size

    def __iadd__(self, other: Ledger) -> Ledger:
        self.seen += other.seen
        self.examined += other.examined
        self.pending += other.pending
        self.events += other.events
        self.looked_for += other.looked_for
        for reason, (times, size) in other.gaps.items():
            self._add_gap(reason, times, size)
        return self

    @property
    def unexplained(self) -> int:
        return self.seen - self.examined - self.pending - sum(size for _, size in self.gaps.values())

    @property
    def is_plain(self) -> bool:
        """Whether all was examined, and there is nothing to tell."""
        return not (self.gaps or self.pending or self.looked_for or self.unexplained)

    def to_json(self) -> dict[str, object]:
        """For the status."""
        return {
            "seen_bytes": self.seen,
            "examined_bytes": self.examined,
            "pending_bytes": self.pending,
            "unexplained_bytes": self.unexplained,
            "events": self.events,
            "gaps": {reason: {"times": times, "bytes": size} for reason, (times, size) in self.gaps.items()},
            "looked_for": self.looked_for,
        }


def total(ledgers: Iterable[Ledger]) -> Ledger:
    """The ledgers of several logs as one."""
    whole = Ledger()
    for one in ledgers:
        whole += one
    return whole
