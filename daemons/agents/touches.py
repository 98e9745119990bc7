"""Heartbeats as the touch of a file, for hooks that may not wait for a server: `.cmux/heartbeats/<id>`.

The file's time is the heartbeat, its first word what the agent does, its second how far it is. The id is
percent-encoded in the name, so no id is ever a path. Any program of the user may write there; `scripts/cmux-hook` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from daemons import text
from daemons.registry import InvalidAgent, check_id
from daemons.settings import Settings

_READ_BYTES = 192


@dataclass(frozen=True, slots=True)
class Touch:
    """When an agent was heard of last by its file, and in a word each what it does and how far it is."""

    at: datetime
    state: str
    progress: str = ""


class Touches:
    """The folder's files, each read again only when it was touched again."""

    def __init__(self, conf: Settings) -> None:
        self._folder = touches_dir(conf)
        self._seen: dict[str, tuple[int, tuple[str, Touch] | None]] = {}

    def read(self) -> Mapping[str, Touch]:
        """By agent id. Files that are no heartbeat (odd names, folders, links) are passed over; no folder: nobody."""
        seen: dict[str, tuple[int, tuple[str, Touch] | None]] = {}
        try:
            with os.scandir(self._folder) as found:
                for entry in found:
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        seen[entry.name] = self._one(entry)
        except OSError:
            return {}
        self._seen = seen
        return dict(touch for _, touch in seen.values() if touch)

    def _one(self, entry: os.DirEntry[str]) -> tuple[int, tuple[str, Touch] | None]:
        changed_ns = entry.stat(follow_symlinks=False).st_mtime_ns
        before = self._seen.get(entry.name)
        if before and before[0] == changed_ns:
            return before
        try:
            agent_id = check_id(unquote(entry.name))
        except InvalidAgent:
            return changed_ns, None
        at = datetime.fromtimestamp(changed_ns / 1e9, UTC)
        return changed_ns, (agent_id, Touch(at, *_words(Path(entry.path))))


def touches_dir(conf: Settings) -> Path:
    """Where agents touch their files."""
    return conf.state / "heartbeats"


def _words(path: Path) -> tuple[str, str]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return "", ""
    try:
        words = text.decode(os.read(fd, _READ_BYTES)).split()
    except OSError:
        return "", ""
    finally:
        os.close(fd)
    state, progress = (*words, "", "")[:2]
    return text.safe(state, one_line=True), text.safe(progress, one_line=True)
