"""Being woken when a log changes. A hint and no more: whoever waits polls as well. The door to watchdog's events.

What was measured of the kernel's and watchdog's ways: events lost on overflow (17,460 of 22,540); no event for a link
whose target is elsewhere; a folder removed and made again is never heard of again, though the observer says it lives;
a missing folder raises; above the limit of watches nothing happens and nothing is said. So watches are put on folders
(also on those of links' targets), are checked again and again, and every refusal only leaves it to the poll.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from watchdog.events import (
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from daemons import log
from daemons.clock import Wake

_EVENTS: list[type[FileSystemEvent]] = [FileModifiedEvent, FileCreatedEvent, FileDeletedEvent, FileMovedEvent]
# Each watched folder costs a thread; above so many the poll alone looks after the rest.
FOLDERS = 64
# Stands for a file that is not followed yet.
NEW_NAME = ""
END_WITHIN_S = 1.0

# What watchdog says of a folder that is gone is dealt with here, and would be no JSON line.
logging.getLogger("watchdog").addHandler(logging.NullHandler())
logging.getLogger("watchdog").propagate = False


@dataclass(frozen=True, slots=True)
class _Watched:
    """A watch on a folder, and which folder it was: another one of the same name needs another watch."""

    watch: ObservedWatch
    inode: int
    device: int


class Wakeup:
    """Wakes *wake* when one of the followed paths changes, or a file turns up that a glob would name."""

    def __init__(self, wake: Wake) -> None:
        self._handler = _Handler(wake)
        self._observer: BaseObserver | None = None
        self._watched: dict[str, _Watched] = {}
        self._paths: dict[str, str] = {}
        self._wanted: set[str] = set()
        self.problem: str | None = None

    def follow(self, paths: Mapping[str, str], globs: Sequence[str]) -> None:
        """Watch the folders of *paths* (each with what it leads to) and of *globs*. `check` afterwards."""
        if paths != self._paths or self._handler.globs != globs:
            self._paths = dict(paths)
            self._handler.followed = {real: path for path, real in paths.items()} | {path: path for path in paths}
            self._handler.globs = list(globs)
            self._wanted = {os.path.dirname(path) for path in [*self._handler.followed, *globs]}

    def check(self) -> None:
        """See whether all folders are still watched, and watch those that came to be. Once a second."""
        wanted = self._wanted
        for folder in list(self._watched):
            if folder not in wanted or not self._lives(folder):
                self._drop(folder)
        for folder in sorted(wanted - self._watched.keys())[: FOLDERS - len(self._watched)]:
            self._add(folder)

    def changed(self) -> set[str]:
        """The followed paths that something happened to since the last call. NEW_NAME: a glob may name a new one."""
        return self._handler.take()

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=END_WITHIN_S)

    def _lives(self, folder: str) -> bool:
        """Whether the watch still hears of *folder*: it is the same folder, and watchdog's thread for it runs."""
        watched = self._watched[folder]
        emitters = self._observer.emitters if self._observer else set()
        if not any(emitter.watch == watched.watch and emitter.is_alive() for emitter in emitters):
            return False
        try:
            found = os.stat(folder)
        except OSError:
            return False
        return (found.st_ino, found.st_dev) == (watched.inode, watched.device)

    def _drop(self, folder: str) -> None:
        watched = self._watched.pop(folder)
        if self._observer is not None:
            with suppress(KeyError, OSError):
                self._observer.unschedule(watched.watch)

    def _add(self, folder: str) -> None:
        """Watch *folder*. One that isn't there yet is tried again; a refusal is said once, and the poll goes on."""
        if not os.path.isdir(folder):
            return
        try:
            # The link itself may be switched, the folder behind it is what must be watched.
            real = os.path.realpath(folder)
            found = os.stat(real)
            watch = self._running().schedule(self._handler.under(folder, real), real, event_filter=_EVENTS)
        except OSError as refused:
            self._say(f"{folder}: {refused.strerror or refused}")
            return
        self._watched[folder] = _Watched(watch, found.st_ino, found.st_dev)

    def _running(self) -> BaseObserver:
        if self._observer is None:
            self._observer = Observer()
            self._observer.start()
        return self._observer

    def _say(self, problem: str) -> None:
        if self.problem is None:
            log.warning("watch.refused", reason=problem, done="logs are looked at once a second instead")
        self.problem = problem


class _Handler(FileSystemEventHandler):
    """Notes which followed path an event is about. Runs in watchdog's thread."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self.followed: dict[str, str] = {}
        self.globs: list[str] = []
        self._changed: set[str] = set()
        self._gate = threading.Lock()

    def take(self) -> set[str]:
        with self._gate:
            taken, self._changed = self._changed, set()
        return taken

    def under(self, folder: str, real: str) -> _Handler:
        """A handler for the watch on *real* that knows its files by the folder's own name."""
        return self if folder == real else _Renamed(self, folder, real)

    def on_any_event(self, event: FileSystemEvent) -> None:
        for raw in (event.src_path, event.dest_path):
            if raw:
                self.note(os.fsdecode(raw))

    def note(self, path: str) -> None:
        name = self.followed.get(path)
        if name is None and not any(fnmatch.fnmatchcase(path, pattern) for pattern in self.globs):
            return
        # One wake-up for all that happens until it is taken: a busy log would pile up thousands.
        with self._gate:
            first = not self._changed
            self._changed.add(name or NEW_NAME)
        if first:
            self._wake.set("log")


class _Renamed(_Handler):
    """Passes events on under the name of the folder that is followed, where that is a link."""

    def __init__(self, handler: _Handler, folder: str, real: str) -> None:
        self._handler = handler
        self._folder = folder
        self._real = real

    def note(self, path: str) -> None:
        self._handler.note(path)
        self._handler.note(self._folder + path.removeprefix(self._real))
