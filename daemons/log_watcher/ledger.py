"""The ledger: every byte that a log got was examined, is about to be, or stands in a gap with its reason.

    seen = examined + pending + gaps        what is missing or too many is unexplained: a fault of ours, and said

What was seen comes from the sizes of the files, what was examined from the reading: two counts that know nothing of
each other. A gap of 0 bytes means that nobody can know how many there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from daemons.log_watcher.generation import Generation, Known
from daemons.log_watcher.marker import Marker


def pending_bytes(generations: Iterable[Generation]) -> int:
    """What is there and not examined yet, or examined and about to be told."""
    return sum(one.pending_bytes + one.examined_bytes + one.left_out_bytes for one in generations)


def seen_bytes(marker: Marker, generations: Iterable[Generation], missing: Iterable[Known]) -> int:
    """What the log got, by the sizes of all files that it ever was."""
    still_open = sum(one.size_bytes - one.counted_from for one in generations)
    looked_for = sum(known.offset - known.counted_from for known in missing)
    return marker.appended_bytes + still_open + looked_for


def of(marker: Marker, generations: Iterable[Generation], missing: Iterable[Known]) -> dict[str, object]:
    """The ledger of one log, for the status."""
    generations, missing = list(generations), list(missing)
    return _told(
        seen=seen_bytes(marker, generations, missing),
        examined=marker.examined_bytes,
        pending=pending_bytes(generations),
        events=marker.events,
        gaps={reason: (times, size) for reason, (times, size) in marker.gaps.items()},
        looked_for=len(missing),
    )


def total(ledgers: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """The ledgers of several logs as one."""
    sums = dict.fromkeys(("seen", "examined", "pending"), 0)
    events = looked_for = 0
    gaps: dict[str, tuple[int, int]] = {}
    for one in ledgers:
        for name in sums:
            sums[name] += _whole(one[f"{name}_bytes"])
        events += _whole(one["events"])
        looked_for += _whole(one["looked_for"])
        for reason, gap in _mapping(one["gaps"]).items():
            times, size = gaps.get(reason, (0, 0))
            gaps[reason] = times + _whole(_mapping(gap)["times"]), size + _whole(_mapping(gap)["bytes"])
    return _told(**sums, events=events, gaps=gaps, looked_for=looked_for)


def _told(
    *, seen: int, examined: int, pending: int, events: int, gaps: Mapping[str, tuple[int, int]], looked_for: int
) -> dict[str, object]:
    in_gaps = sum(size for _, size in gaps.values())
    return {
        "seen_bytes": seen,
        "examined_bytes": examined,
        "pending_bytes": pending,
        "unexplained_bytes": seen - examined - pending - in_gaps,
        "events": events,
        "gaps": {reason: {"times": times, "bytes": size} for reason, (times, size) in gaps.items()},
        "looked_for": looked_for,
    }


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
