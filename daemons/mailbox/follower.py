"""Reading the mailbox on from where one stopped: what stands after a position, and consumers with a name.

A consumer handles a delivery, then commits it: dying in between repeats that one, and loses none.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from daemons import clock, files, lines, log
from daemons.mailbox.message import Message, Unparsable, parse
from daemons.mailbox.trail import Part, Position, Stretch, Trail, head_of, last_of, open_part, position_at

_FILE_NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """One line of the mailbox: a message, or what is wrong with it. *position* is where it starts, *end* where it ends.

    *line_number* counts from 1 in *file*, which is the mailbox or one that it was before.
    """

    message: Message | None
    problem: str | None
    raw: bytes
    file: Path
    line_number: int
    position: Position
    end: Position


def deliveries(trail: Trail, since: Position | None) -> Iterator[Delivery]:
    """All that stands after *since* (None: everything), oldest first. Lines that are no message come as such."""
    for stretch in trail.remaining(since):
        with open_part(stretch.part) as fd:
            if fd is not None:
                for delivery in _in_part(fd, stretch):
                    since = delivery.end
                    yield delivery
                continue
        if not stretch.part.is_archived:  # it was archived since we looked: look again
            yield from deliveries(trail, since)


def _in_part(fd: int, stretch: Stretch) -> Iterator[Delivery]:
    part = stretch.part
    at = position_at(fd, stretch.offset, file=part.number)
    number = lines.count(fd, stretch.offset)
    for line in lines.read(fd, stretch.offset, is_final=part.is_archived):
        number += 1
        end = _after(fd, at, line)
        if line.raw.strip(b"\r\n"):
            yield _delivery(line, part, number, at, end)
        at = end


def _after(fd: int, at: Position, line: lines.Line) -> Position:
    if len(line.raw) < line.end - line.start:  # only the start of it was kept
        return position_at(fd, line.end, file=at.file)
    # From the bytes that were read, not the file's: it may be truncated and written anew while we read.
    return Position(at.inode, line.end, at.head or head_of(line.raw), last_of(line.raw), at.file)


def _delivery(line: lines.Line, part: Part, number: int, start: Position, end: Position) -> Delivery:
    message, problem = None, None
    try:
        message = parse(line.raw)
    except Unparsable as why:
        problem = str(why)
    return Delivery(message, problem, line.raw, part.path, number, start, end)


# -- consumers with a name --------------------------------------------------------------------------------------------


class Follower:
    """A consumer and its cursor, a file of its own. Two processes that follow under one name both get everything."""

    def __init__(self, trail: Trail, cursors: Path, name: str) -> None:
        self.name = name
        self._trail = trail
        self._path = cursor_path(cursors, name)
        self._nothing_new: tuple[Position | None, tuple[int, int, int]] | None = None

    def position(self) -> Position | None:
        """How far it has read; None: it has not begun, or its cursor cannot be read (then all is read again)."""
        return _load(self._path)

    def new(self, *, limit: int = 1000) -> list[Delivery]:
        """What was not committed yet, oldest first, at most *limit* of it. The same again until it is committed."""
        at = self.position()
        seen = (at, self._signature())
        if seen == self._nothing_new:
            return []
        found = list(islice(deliveries(self._trail, at), limit))
        self._nothing_new = None if found else seen
        return found

    def commit(self, delivery: Delivery) -> None:
        """Remember that *delivery*, and all before it, was handled. Durable."""
        self.skip_to(delivery.end)

    def skip_to(self, position: Position) -> None:
        """Read on from *position*. Durable."""
        saved = {"name": self.name, "saved_at": clock.stamp(clock.now()), **position.to_json()}
        files.private_dir(self._path.parent)
        files.replace(self._path, json.dumps(saved).encode() + b"\n")
        files.reached("cursor.saved")

    def _signature(self) -> tuple[int, int, int]:
        try:
            found = os.stat(self._trail.path, follow_symlinks=False)
        except OSError:
            return (0, 0, 0)
        return found.st_ino, found.st_size, found.st_mtime_ns


def cursor_path(cursors: Path, name: str) -> Path:
    """The cursor file of *name*: any text, so a long one is shortened to its hash."""
    quoted = quote(name, safe=":@+ ")
    if len(quoted) > _FILE_NAME_LIMIT or quoted.startswith("."):
        quoted = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return cursors / f"{quoted}.json"


def consumers(cursors: Path) -> frozenset[str]:
    """The names of all who follow the mailbox."""
    found = (_fields(path) for path in cursors.glob("*.json"))
    return frozenset(str(fields["name"]) for fields in found if fields and "name" in fields)


def oldest_needed(cursors: Path) -> float:
    """The number of the oldest file that a consumer still reads; infinite when nobody follows."""
    found = (_load(path) for path in cursors.glob("*.json"))
    return min((position.file for position in found if position), default=math.inf)


def _load(path: Path) -> Position | None:
    fields = _fields(path)
    if fields is None:
        return None
    try:
        return Position.from_json(fields)
    except ValueError as wrong:
        log.warning("mailbox.cursor_unreadable", file=str(path), reason=str(wrong))
        return None


def _fields(path: Path) -> dict[str, object] | None:
    raw = files.read(path)
    if raw is None:
        return None
    try:
        fields = json.loads(raw)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        return fields
    log.warning("mailbox.cursor_unreadable", file=str(path), reason="no JSON object; reading from the start")
    return None
