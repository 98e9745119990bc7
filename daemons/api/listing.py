"""The list of agents as bytes that are ready to be sent: made once a change, whatever the number of readers.

registry file ──┐
status file of the registry service ──┼─ stat: nothing new? the same bytes
heartbeats ─────┘                     └─ else: the lines of the agents that differ, joined
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from daemons import agents, clock, loop, strict_json
from daemons.api.beats import Beat, Beats
from daemons.registry import Entry, Registry, spelled
from daemons.settings import Settings

T = TypeVar("T")

_BEATS_SHOWN_EVERY_S = 1.0
_UNOBSERVED: Mapping[str, Any] = {"state": "unknown", "evidence": "the registry service has not looked yet"}


@dataclass(frozen=True, slots=True)
class Listing:
    """All agents, rendered. *index* differs from an earlier one when agents or their states do, not for a heartbeat."""

    body: bytes
    etag: str
    index: int
    ids: frozenset[str]
    lines: Mapping[str, bytes]


class Cached(Generic[T]):
    """What *read* gives, read again only when the file *path* is another one than before."""

    def __init__(self, path: Path, read: Callable[[], T]) -> None:
        self._path = path
        self._read = read
        self._seen: object = self
        self._value: T | None = None

    def get(self) -> T:
        seen = self._look()
        if seen != self._seen:
            value = self._read()
            if value != self._value:  # the same object as long as it says the same: others compare by `is`
                self._value = value
            self._seen = seen
        return self._value  # type: ignore[return-value]  # read at least once

    def known(self) -> T | None:
        """What was read when the file is still that one; else None."""
        return self._value if self._look() == self._seen else None

    def _look(self) -> object:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Agents:
    """Every agent's entry, with what was last observed of it and when it was heard of. Nothing here asks tmux."""

    def __init__(self, conf: Settings, registry: Registry, beats: Beats) -> None:
        self._registry = registry
        self._beats = beats
        self._observed = Cached(loop.status_path(conf, "registry_service"), lambda: agents.last_observed(conf))
        self._lock = threading.Lock()
        self._made_from: tuple[object, ...] = ()
        self._parts: dict[str, tuple[Entry, Mapping[str, Any], Beat | None, bytes]] = {}
        self._listing = Listing(b"", "", 0, frozenset(), {})
        self._states: Mapping[str, object] = {}
        self._snapshot_index = 0
        self._beats_shown = 0
        self._show_beats_at = 0.0

    def listing(self) -> Listing:
        """The list now. Two stats when nothing changed. StorageError or LockBusy when the registry cannot be read."""
        snapshot = self._registry.snapshot()
        observed = self._observed.get()
        self._note_beats()
        made_from = (snapshot, observed, self._beats_shown)
        if all(map(_is, made_from, self._made_from)) and self._made_from:
            return self._listing
        with self._lock:
            if not (all(map(_is, made_from, self._made_from)) and self._made_from):
                self._make(snapshot.agents, snapshot.index, observed)
                self._made_from = made_from
            return self._listing

    def ready(self) -> Listing | None:
        """The list if nothing changed since it was made, else None. Two stats, no waiting."""
        made_from = (self._registry.known(), self._observed.known(), self._beats_shown)
        listing = self._listing
        is_current = self._made_from and all(map(_is, made_from, self._made_from)) and not self._has_beats_to_show()
        return listing if is_current else None

    def one(self, agent_id: str) -> tuple[bytes, str] | None:
        """One agent, rendered, and its ETag; None when there is no such."""
        lines = self.listing().lines
        line = lines.get(spelled(agent_id, lines))
        return None if line is None else (line, _etag(line))

    def parts(self) -> Mapping[str, tuple[Entry, Mapping[str, Any], Beat | None, bytes]]:
        """By agent: its entry, what was observed of it, its last heartbeat, and all of that rendered."""
        self.listing()
        return self._parts

    def _note_beats(self) -> None:
        if self._has_beats_to_show():
            self._beats_shown = self._beats.version
            self._show_beats_at = clock.monotonic() + _BEATS_SHOWN_EVERY_S

    def _has_beats_to_show(self) -> bool:
        # A thousand agents beat all the time: their beats reach the list once a second.
        return self._beats.version != self._beats_shown and clock.monotonic() >= self._show_beats_at

    def _make(self, entries: Mapping[str, Entry], index: int, observed: Mapping[str, Mapping[str, Any]]) -> None:
        beats = self._beats.all()
        parts = {}
        for agent_id, entry in entries.items():
            seen, beat = observed.get(agent_id, _UNOBSERVED), beats.get(agent_id)
            part = self._parts.get(agent_id)
            if part is None or part[0] is not entry or part[1] != seen or part[2] is not beat:
                part = (entry, seen, beat, _rendered(agent_id, entry, seen, beat))
            parts[agent_id] = part
        self._parts = parts
        lines = {agent_id: part[3] for agent_id, part in parts.items()}
        number = self._index(index, {agent_id: observed.get(agent_id, {}).get("state") for agent_id in entries})
        body = b'{"index": %d, "agents": [\n' % number + b",\n".join(lines.values()) + b"\n]}\n"
        self._listing = Listing(body, _etag(body), number, frozenset(lines), lines)

    def _index(self, snapshot_index: int, states: Mapping[str, object]) -> int:
        before = self._listing.index
        if before and snapshot_index == self._snapshot_index and states == self._states:
            return before
        self._snapshot_index, self._states = snapshot_index, states
        return max(before + 1, snapshot_index)


def _rendered(agent_id: str, entry: Entry, seen: Mapping[str, Any], beat: Beat | None) -> bytes:
    heard = {"heartbeat": beat} if beat else {}
    return strict_json.dumps({"agent_id": agent_id, **entry, "observed": seen, **heard})


def _etag(body: bytes) -> str:
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _is(one: object, other: object) -> bool:
    return one is other or (isinstance(one, int) and one == other)
