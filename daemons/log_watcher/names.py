"""Which files the settings name now: paths and globs, looked at again and again, because both may come to be later.

A file that is there when its name is looked for the very first time was there before anybody asked us to watch it; one
that turns up afterwards, also while no watcher ran, is new from its first byte. So what was looked for is remembered.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
from pathlib import Path

from daemons import clock, files
from daemons.log_watcher import marker, opening, siblings
from daemons.settings import Settings

LOOKED_FOR = "looked-for.json"
# Expanding a glob may cost a thousandth of the time: a slow one (very many files) is looked at less often. Where events
# tell of new names, looking only finds what they missed.
GLOB_SHARE = 1000.0
GLOB_SHARE_BESIDE_EVENTS = 5000.0
GLOB_EVERY_S = 1.0


class Names:
    """The paths to follow. `find` again after every change of names and once a second."""

    def __init__(self, conf: Settings) -> None:
        self._specs = conf.watched_logs
        self._file = conf.markers_dir / LOOKED_FOR
        self._looked_for = _load(self._file)
        self._records = _Records(conf)
        # Logs that were followed under a glob, also while a rotation has taken the name away for a moment.
        self.followed = {path for path in marker.paths(conf.markers_dir) if self._is_globbed(path)}
        self._globbed: dict[str, list[str]] = {}
        self._expansions: list[list[str]] = []
        self._found: dict[str, bool] = {}
        self._sorted_out: dict[str, tuple[set[str], set[str]]] = {}
        self._glob_again_at: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        self.has_events = False

    def find(self, mono: float, *, at_once: bool = False) -> dict[str, bool]:
        """Path -> whether its name had been looked for before; the very same object while nothing has changed.

        *at_once*: expand the slow globs too.
        """
        expansions = [self._expanded(spec, mono, at_once=at_once) for spec in self._specs]
        if expansions == self._expansions and not at_once:
            return self._found
        if at_once:
            self._records.forget()  # a link may have been switched
        self._expansions, self._found = expansions, self._without_records(expansions)
        return self._found

    def _without_records(self, expansions: list[list[str]]) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for spec, paths in zip(self._specs, expansions, strict=True):
            for path in paths:
                found[path] = found.get(path, False) or spec in self._looked_for
        for path in [path for path in found if self._records.has(path)]:
            found.pop(path)
            self.refused[path] = "the suite writes its own alerts there: they would be told again and again"
        return found

    def remember(self) -> None:
        """The first looks are done and their markers saved: from now on what turns up is new. StorageError: not yet."""
        if not self._looked_for.issuperset(self._specs):
            self._looked_for.update(self._specs)
            files.replace(self._file, json.dumps(sorted(self._looked_for)).encode() + b"\n")

    @property
    def globs(self) -> list[str]:
        return [spec for spec in self._specs if _is_glob(spec)]

    def _expanded(self, spec: str, mono: float, *, at_once: bool) -> list[str]:
        if not _is_glob(spec):
            return [spec]
        if at_once or mono >= self._glob_again_at.get(spec, 0.0):
            started = clock.monotonic()
            names = {path for path in glob.glob(spec, recursive=True) if path in self.followed or os.path.isfile(path)}
            if (names, self.followed) != self._sorted_out.get(spec):
                self._sorted_out[spec] = (names, set(self.followed))
                self._globbed[spec] = _without_rotated(sorted(names), self.followed)
            share = GLOB_SHARE_BESIDE_EVENTS if self.has_events else GLOB_SHARE
            self._glob_again_at[spec] = mono + max(GLOB_EVERY_S, (clock.monotonic() - started) * share)
        return self._globbed[spec]

    def _is_globbed(self, path: str) -> bool:
        return any(fnmatch.fnmatchcase(path, spec) for spec in self.globs)


def _is_glob(spec: str) -> bool:
    return glob.has_magic(spec) and not os.path.lexists(spec)


def _without_rotated(paths: list[str], followed: set[str]) -> list[str]:
    """*paths* without those that a rotation made of another one, and without packed ones: those are read as such."""
    there = {*paths, *followed}
    kept = []
    for path in paths:
        folder, name = os.path.split(path)
        packed = os.path.splitext(name)[1] in opening.PACKED
        if not packed and there.isdisjoint(os.path.join(folder, base) for base in siblings.bases_of(name)):
            kept.append(path)
    return kept


class _Records:
    """The files in which the suite keeps what it told. A log that is among them would be its own echo."""

    def __init__(self, conf: Settings) -> None:
        folders = (conf.journal_dir, conf.alerts_dir, conf.archive_dir, conf.markers_dir, conf.status_dir)
        self._folders = tuple(os.path.realpath(folder) + os.sep for folder in folders)
        self._mailbox = os.path.realpath(conf.mailbox)
        self._known: dict[str, bool] = {}

    def has(self, path: str) -> bool:
        known = self._known.get(path)
        if known is None:
            real = os.path.realpath(path)
            known = self._known[path] = real == self._mailbox or real.startswith(self._folders)
        return known

    def forget(self) -> None:
        self._known.clear()


def _load(path: Path) -> set[str]:
    raw = files.read(path)
    try:
        names = json.loads(raw) if raw else []
    except ValueError:
        return set()
    return {str(name) for name in names} if isinstance(names, list) else set()
