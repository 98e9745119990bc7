"""Heartbeats over HTTP: in memory, and every few seconds in a side file. A beat is no change of the registry.

Those by the touch of a file are taken in beside them, and stay in their files.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

from daemons import clock, files, log, strict_json
from daemons.agents import Touch
from daemons.files import StorageError
from daemons.registry import spelled
from daemons.strict_json import BadJson

Beat = Mapping[str, str]

KEPT_EVERY_S = 5.0


class Beats:
    """When each agent was heard of last, and what it said. Safe to use from all threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._beats = _read(path)
        self._kept = 0
        self._next_keep = clock.monotonic() + KEPT_EVERY_S
        self.version = 1

    def beat(self, agent_id: str, said: Mapping[str, str], now: datetime) -> Beat:
        with self._lock:
            beat = self._beats[agent_id] = _beat(self._beats.get(agent_id), clock.stamp(now), said)
            self.version += 1
        return beat

    def take_in(self, touches: Mapping[str, Touch], registered: Collection[str]) -> None:
        """Heartbeats by file: each of a *registered* agent counts when it is newer than what is known of it."""
        with self._lock:
            for agent_id, touch in ((spelled(name, registered), touch) for name, touch in touches.items()):
                if agent_id not in registered:
                    continue
                at = clock.stamp(touch.at)
                known = self._beats.get(agent_id)
                if known is None or known["at"] < at:
                    said = {"state": touch.state, "progress": touch.progress}
                    self._beats[agent_id] = _beat(known, at, {name: word for name, word in said.items() if word})
                    self.version += 1

    def get(self, agent_id: str) -> Beat | None:
        return self._beats.get(agent_id)

    def all(self) -> Mapping[str, Beat]:
        with self._lock:
            return dict(self._beats)

    def keep(self, registered: Collection[str], *, now_or_never: bool = False) -> None:
        """Write the side file when it is time, without those who are not *registered* any more. Failing is logged."""
        if self.version == self._kept or (clock.monotonic() < self._next_keep and not now_or_never):
            return
        with self._lock:
            self._beats = {agent_id: beat for agent_id, beat in self._beats.items() if agent_id in registered}
            version, raw = self.version, strict_json.dumps(self._beats)
        try:
            files.replace(self._path, raw + b"\n", durable=False)
            self._kept = version
        except StorageError as full:
            log.warning("heartbeats.not_kept", reason=str(full))
        self._next_keep = clock.monotonic() + KEPT_EVERY_S


def _beat(before: Beat | None, at: str, said: Mapping[str, str]) -> Beat:
    """Liveness and progress are two: who beats on with the same progress has not got on since that was said first."""
    known = before or {}
    progress = said.get("progress", known.get("progress"))
    if progress is None:
        return {"at": at, **said}
    since = known.get("progress_at", at) if progress == known.get("progress") else at
    return {"at": at, **said, "progress": progress, "progress_at": since}


def _read(path: Path) -> dict[str, Beat]:
    try:
        found = strict_json.loads(files.read(path) or b"{}")
    except (BadJson, StorageError):
        return {}  # a side file: the next beats say it again
    beats = found.items() if isinstance(found, dict) else ()
    return {agent_id: beat for agent_id, beat in beats if isinstance(beat, dict) and isinstance(beat.get("at"), str)}
