"""What the registry leaves beside its file: the last seconds' changes.

`.registry-recent.jsonl` answers what the file itself cannot. Was it published by somebody who held the lock, or put
there by an editor? Which values did the changes of the last seconds replace (an editor's file that shows one of those
is a stale copy)? And what did the last change add to the last good copy, which is the file from before it? One line a
publication; it is a help, so it is never synced and may be lost.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from daemons import clock, files, log, strict_json
from daemons.files import StorageError
from daemons.registry.table import Changes, Entry, Row

WINDOW_S = 5.0
"""How long a change is defended against stale copies. Bounded: nothing tells a stale copy from a deliberate removal."""

_TRIM_BYTES = 1 * files.MIB
_LIMIT_BYTES = 16 * files.MIB


class Content(NamedTuple):
    """Which content a file has, as far as its metadata tell; a rename changes none of them."""

    inode: int
    size: int
    mtime_ns: int


class Identity(NamedTuple):
    """One state of a file: any write, rename or link changes it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def content(self) -> Content:
        return Content(self.inode, self.size, self.mtime_ns)


def identity_of(found: os.stat_result) -> Identity:
    return Identity(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


# -- the last seconds -------------------------------------------------------------------------------------------------


class Publication(NamedTuple):
    """One publication by a holder of the lock, or an editor's file that one accepted.

    *published* is what the file became. The last good copy, if its content is *copy*, with *rows* on top says the
    same. *was* names what the rows replaced.
    """

    at: float
    published: Content
    copy: Content | None
    was: Mapping[str, str]
    rows: Mapping[str, Entry | None]

    @property
    def is_recent(self) -> bool:
        # A stamp from the future is one of an earlier boot.
        return 0.0 <= clock.monotonic() - self.at <= WINDOW_S


class Intention(NamedTuple):
    """What a holder of the lock was about to publish; *becomes* names what its rows would say, by agent."""

    content: Content
    becomes: Mapping[str, str]


class Recent:
    """The publications of the last seconds. Every call under the registry's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._trim_at = 0.0
        self._kept: _Kept | None = None

    def intend(self, content: Content, rows: Changes) -> None:
        """Note that *content*, in which *rows* are new, is about to be published. A failure is logged, no more."""
        becomes = {agent_id: fingerprint(row) for agent_id, row in rows.items()}
        try:
            self._append(b"\n" + strict_json.dumps({"intends": content, "becomes": becomes}) + b"\n")
        except OSError as cause:
            log.warning("registry.change_not_noted", reason=str(StorageError("append to", self._path, cause)))
        files.reached("registry.intended")

    def record(
        self, published: Content, copy: Content | None, rows: Changes, replaced: Mapping[str, Row | None]
    ) -> None:
        """Note that *published* stands now, made of *copy* and *rows*, which took the place of *replaced*.

        A failure is logged, no more.
        """
        head = {
            "at": clock.monotonic(),
            "published": published,
            "copy": copy,
            "was": {agent_id: fingerprint(row) for agent_id, row in replaced.items()},
            "gone": [agent_id for agent_id, row in rows.items() if row is None],
        }
        present = b", ".join([row.line.lstrip() for row in rows.values() if row])
        try:
            # The newline comes first too: what a killed writer left unfinished ends there, and is skipped.
            size = self._append(b"\n" + strict_json.dumps(head)[:-1] + b', "rows": {' + present + b"}}\n")
            if size > _TRIM_BYTES and clock.monotonic() >= self._trim_at:
                self._trim()
        except OSError as cause:
            log.warning("registry.change_not_noted", reason=str(StorageError("append to", self._path, cause)))

    def _append(self, line: bytes) -> int:
        """Append *line*; how long the file is then."""
        kept = self._kept or _Kept(self._path)
        found = os.fstat(kept.fd)
        if found.st_nlink == 0:  # somebody removed it
            kept = _Kept(self._path)
            found = os.fstat(kept.fd)
        self._kept = kept
        files.write_all(kept.fd, line)
        return found.st_size + len(line)

    def _trim(self) -> None:
        """Keep the last seconds. In place: other processes keep the file open too."""
        since = clock.monotonic() - WINDOW_S
        lines = _piece(self._path, size=_LIMIT_BYTES).split(b"\n")
        recent = b"\n".join(line for line in lines if _at(line) >= since)
        if self._kept:
            os.ftruncate(self._kept.fd, 0)
            files.write_all(self._kept.fd, recent + b"\n")
        self._trim_at = clock.monotonic() + 1.0

    def last(self) -> Publication | None:
        """What was published last, or None when that is not known."""
        return next((line for line in self._newest_first() if isinstance(line, Publication)), None)

    def intended(self) -> Intention | None:
        """What a writer was about to publish when it was killed, or None when the last one noted that it did."""
        newest = next(self._newest_first(), None)
        return newest if isinstance(newest, Intention) else None

    def _newest_first(self) -> Iterator[Publication | Intention]:
        """Publications and intentions. A line that a killed writer left unfinished is passed over."""
        found = False
        for size in (16_384, _LIMIT_BYTES):
            for raw in reversed(_piece(self._path, size=size).split(b"\n")):
                line = _line(raw)
                if line is not None:
                    found = True
                    yield line
            if found:
                return

    def published(self) -> set[Content]:
        """What was published, as far back as the notes go: the spare of a killed writer is one of these."""
        lines = map(_parsed, _piece(self._path, size=_LIMIT_BYTES).split(b"\n"))
        return {line.published for line in lines if line}

    def replaced(self) -> dict[str, set[str]]:
        """By agent, the fingerprints of what the changes of the last seconds replaced."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for line in _piece(self._path, size=_LIMIT_BYTES).split(b"\n"):
            publication = _parsed(line)
            if publication and publication.is_recent:
                for agent_id, was in publication.was.items():
                    found[agent_id].add(was)
        return dict(found)


class _Kept:
    """The file, open for appending for as long as this object lives: opening it costs as much as the write."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self.fd)


def fingerprint(row: Row | None) -> str:
    """A short name of what the registry says of an agent; `-` for nothing."""
    return hashlib.blake2b(row.line, digest_size=8).hexdigest() if row else "-"


def _at(raw: bytes) -> float:
    """When a line was written; long ago when it is none. A hundred times as fast as reading all of it."""
    try:
        return float(raw[len(b'{"at": ') : raw.index(b",")])
    except ValueError:
        return -WINDOW_S


def _line(raw: bytes) -> Publication | Intention | None:
    return _intention(raw) if raw.startswith(b'{"intends"') else _parsed(raw)


def _intention(raw: bytes) -> Intention | None:
    try:
        line = json.loads(raw)
        return Intention(Content(*line["intends"]), dict(line["becomes"]))
    except (LookupError, TypeError, ValueError):
        return None


def _parsed(raw: bytes) -> Publication | None:
    try:
        line = json.loads(raw)  # our own, and one level deeper than the registry may be
        return Publication(
            at=float(line["at"]),
            published=Content(*line["published"]),
            copy=Content(*line["copy"]) if line["copy"] else None,
            was=dict(line["was"]),
            rows=dict.fromkeys(line["gone"]) | dict(line["rows"]),
        )
    except (LookupError, TypeError, ValueError, RecursionError):
        return None


def _piece(path: Path, *, size: int) -> bytes:
    """The last *size* bytes of a file; none when it is not there or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.pread(fd, size, max(0, os.fstat(fd).st_size - size))
        finally:
            os.close(fd)
    except OSError:
        return b""
