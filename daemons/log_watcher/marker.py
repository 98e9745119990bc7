"""Markers: how far each log has been examined, one file a log in `.cmux/.log_markers/`.

A marker is keyed by the whole path, so two logs of one name never share one. It is replaced whole, and moves only
after what it covers has been told: a watcher that dies in between reads some bytes again and tells nothing twice,
because what it tells carries the generation and the position.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from daemons import files, log
from daemons.log_watcher.generation import Known

VERSION = 1
# So many generations that were read to their end are remembered, so that none is taken for a new one.
REMEMBERED = 64


@dataclass(slots=True)
class Marker:
    """What is remembered of one log.

    *open*: generations that may still get lines, the oldest first; the last is what the path named. *finished*: read
    to their end. *mtime_ns*: when the log was last written to, by its file system's clock: files beside it that are
    older and unknown were there before we were. *appended_bytes*: the sizes of the finished ones. *gaps*: reason ->
    [times, bytes] that could not be examined; 0 bytes where nobody can know how many.
    """

    path: str
    open: list[Known] = field(default_factory=list)
    finished: list[Known] = field(default_factory=list)
    mtime_ns: int = 0
    appended_bytes: int = 0
    examined_bytes: int = 0
    events: int = 0
    gaps: dict[str, list[int]] = field(default_factory=dict)

    def add_gap(self, reason: str, size_bytes: int) -> None:
        times, total = self.gaps.get(reason, [0, 0])
        self.gaps[reason] = [times + 1, total + size_bytes]

    def finish(self, known: Known, *, size_bytes: int = 0) -> None:
        """*known* will not be read again; *size_bytes* of it were there for us to read."""
        self.appended_bytes += size_bytes
        self.finished = [*self.finished, known][-REMEMBERED:]


def place(folder: Path, path: str) -> Path:
    """The marker's file: readable by its name, unique by the hash of the whole path."""
    raw = os.fsencode(path)
    shown = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(path))[:60].lstrip(".")
    return folder / f"{shown}-{hashlib.blake2b(raw, digest_size=8).hexdigest()}.json"


def paths(folder: Path) -> set[str]:
    """The logs that have a marker. A marker that can't be read is passed over here."""
    found = set()
    for file in folder.glob("*-*.json"):
        with suppress(OSError, ValueError, TypeError, KeyError):
            found.add(str(json.loads(files.read(file) or b"{}")["path"]))
    return found


def load(folder: Path, path: str) -> Marker | None:
    """The marker of *path*; None when there is none. One that can't be read is as none, and logged.

    StorageError when the disk says no: then nothing is known, which is not the same as nothing being there.
    """
    raw = files.read(place(folder, path))
    if raw is None:
        return None
    try:
        fields = json.loads(raw)
        for key in ("open", "finished"):
            fields[key] = [Known(**known) for known in fields[key]]
        fields.pop("version")
        return _with_size(Marker(**fields), is_known="appended_bytes" in fields)
    except (ValueError, TypeError, KeyError, AttributeError) as wrong:
        log.warning("marker.unreadable", path=path, reason=str(wrong), done="the log's newest part is read again")
        return None


def _with_size(marker: Marker, *, is_known: bool) -> Marker:
    """A marker of an earlier version says nothing of sizes: what it counted is taken to have been all."""
    if not is_known:
        still_open = sum(known.offset for known in marker.open)
        in_gaps = sum(size for _, size in marker.gaps.values())
        marker.appended_bytes = marker.examined_bytes + in_gaps - still_open
    return marker


def save(folder: Path, marker: Marker, *, durable: bool) -> None:
    """Replace the marker. StorageError leaves the one before."""
    content = {"version": VERSION, **asdict(marker)}
    files.replace(place(folder, marker.path), json.dumps(content).encode() + b"\n", durable=durable)
