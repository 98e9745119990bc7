"""Wakes the daemon the moment a file of `dist` changes. A hint, not the truth: every look goes to the disk itself.

A build writes hundreds of files; each would be a cycle. So wake-ups are at least 0.2 s apart, and the last change is
always followed by one. Above the machine's watch limit nothing is watched, and the poll alone finds what happens.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from daemons import clock, log
from daemons.clock import Wake

APART_S = 0.2

# Filtered in the kernel: opening and reading files, as serving them does, wakes nobody.
_CHANGES: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileDeletedEvent, FileModifiedEvent, FileMovedEvent, FileAttribEvent,
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent,
]  # fmt: skip


class Watch:
    """Watches *dist*, and the folder it lies in for its coming and going."""

    def __init__(self, dist: Path, wake: Wake) -> None:
        self._folders = {dist.parent: False, dist: True}
        self._nudge = _Nudge(wake)
        self._observer = Observer()
        self._observer.start()
        self._watched: dict[Path, tuple[tuple[int, int], ObservedWatch]] = {}
        self._told = False

    def follow(self) -> None:
        """Watch what is there now: a dist that was replaced is another folder, whatever its name."""
        for folder, recursive in self._folders.items():
            there = _identity(folder)
            watched = self._watched.get(folder)
            if watched and watched[0] == there:
                continue
            if watched:
                self._observer.unschedule(self._watched.pop(folder)[1])
            if there:
                self._schedule(folder, there, recursive)

    @property
    def quiet_s(self) -> float:
        """Seconds since the last change that was heard of."""
        return self._nudge.quiet_s

    def close(self) -> None:
        self._nudge.close()
        self._observer.stop()
        self._observer.join(timeout=1.0)

    def _schedule(self, folder: Path, there: tuple[int, int], recursive: bool) -> None:
        try:
            watch = self._observer.schedule(self._nudge, str(folder), recursive=recursive, event_filter=_CHANGES)
        except OSError as cause:
            if not self._told:
                log.warning("dist.not_watched", folder=str(folder), reason=str(cause), instead="a look an interval")
            self._told = True
            return
        self._watched[folder] = (there, watch)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Nudge(FileSystemEventHandler):
    """Turns any number of events into wake-ups that are APART_S apart, one of them after the last event."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._gate = threading.Lock()
        self._last_event_mono = self._last_wake_mono = float("-inf")
        self._pending: threading.Timer | None = None

    @property
    def quiet_s(self) -> float:
        return clock.monotonic() - self._last_event_mono

    def on_any_event(self, _event: FileSystemEvent) -> None:
        with self._gate:
            now_mono = self._last_event_mono = clock.monotonic()
            if self._pending:
                return
            wait_s = self._last_wake_mono + APART_S - now_mono
            if wait_s <= 0:
                self._last_wake_mono = now_mono
                self._wake.set("dist changed")
            else:
                self._pending = threading.Timer(wait_s, self._fire)
                self._pending.daemon = True
                self._pending.start()

    def _fire(self) -> None:
        with self._gate:
            self._pending = None
            self._last_wake_mono = clock.monotonic()
        self._wake.set("dist changed")

    def close(self) -> None:
        with self._gate:
            if self._pending:
                self._pending.cancel()
