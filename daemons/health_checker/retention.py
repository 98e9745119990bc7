"""What is kept for later does not grow for ever: the oldest days of the journal and the oldest of the quarantine go.

Days are counted, not compared with the clock: one that jumps to 2038 makes a day too many, and removes none. What
somebody may still want stays, whatever the limit: today, the two newest days, and each day in which an open alert has a
body or from which a message still waits to be sent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from daemons import alerts, clock, files, log
from daemons.journal import Day, Journal
from daemons.settings import Settings

LOOK_EVERY_S = 3600.0
# A start has better things to do.
FIRST_LOOK_AFTER_S = 60.0
NEWEST_DAYS = 2

QUARANTINE_BYTES = 256 << 20
QUARANTINE_ENTRIES = 500
# Whatever their size: what is wrong now is looked at by somebody now.
NEWEST_IN_QUARANTINE = 20


class Retention:
    """Looks once an hour, and removes what is over the limits."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._journal = Journal(conf, "system:health-checker")
        self._due_mono = clock.monotonic() + FIRST_LOOK_AFTER_S

    def look(self, now: datetime) -> None:
        """StorageError or LockBusy: what could not be removed is tried again in an hour."""
        if clock.monotonic() < self._due_mono:
            return
        self._due_mono = clock.monotonic() + LOOK_EVERY_S
        self.keep_to_limits(now)

    def keep_to_limits(self, now: datetime) -> None:
        """Remove what is over the limits now."""
        conf = self._conf
        empty_out(conf.quarantine_dir)
        try:
            needed = alerts.needed_days(conf)
        except ValueError as wrong:
            log.warning("journal.not_shortened", reason=f"what the open alerts need is not known: {wrong}")
            return
        needed.add(now.astimezone(UTC).strftime("%Y-%m-%d"))
        for day, reason in surplus(self._journal.days(), needed, days_kept=conf.journal_days, size=conf.journal_bytes):
            self._journal.remove(day, reason)


def surplus(days: Sequence[Day], needed: Collection[str], *, days_kept: int, size: int) -> Iterator[tuple[Day, str]]:
    """Which of *days*, oldest first, are to go, and why."""
    left, left_bytes = len(days), sum(day.size for day in days)
    for day in days[:-NEWEST_DAYS]:
        if left <= days_kept and left_bytes <= size:
            return
        if day.name in needed:
            continue
        yield day, f"more than {days_kept} days" if left > days_kept else f"more than {size} bytes"
        left, left_bytes = left - 1, left_bytes - day.size


def empty_out(quarantine: Path) -> None:
    """Remove the oldest entries of *quarantine* while it holds too many, or too much."""
    entries = sorted(_entries(quarantine))
    left_bytes = sum(size for _, _, size in entries)
    for at, (_, path, size) in enumerate(entries[:-NEWEST_IN_QUARANTINE]):
        if len(entries) - at <= QUARANTINE_ENTRIES and left_bytes <= QUARANTINE_BYTES:
            return
        _remove(path)
        left_bytes -= size
        log.info("quarantine.entry_removed", file=str(path), bytes=size)


def _entries(folder: Path) -> Iterator[tuple[int, Path, int]]:
    """When each came here (a link and a rename set that time), which it is, and how large."""
    try:
        found = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in found:
        status = entry.stat(follow_symlinks=False)
        size = status.st_size if not entry.is_dir(follow_symlinks=False) else _size_of(Path(entry.path))
        yield status.st_ctime_ns, Path(entry.path), size


def _size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        files.discard(path)
