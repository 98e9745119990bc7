"""One content that a log had, from its first byte to its last: what is known of it, and reading on.

A log's path names one file after the other, and one file holds one content after the other (copytruncate). Each of
those is a generation. It is recognised by content, because inodes are given again (200 of 200 on ext4) and device
numbers change over a remount:

    head: its first 512 bytes            before: the 256 bytes in front of the place that was read up to
    [#####################.......................................########|-- next read starts here
                                                             checked by every read

Every read starts with the bytes in front of the place: if they are others than last time, the file was truncated,
overwritten or replaced, and what is in it now is another generation.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Literal

from daemons.log_watcher import events
from daemons.log_watcher.events import Event
from daemons.log_watcher.opening import Source
from daemons.log_watcher.patterns import Patterns

BLOCK_BYTES = 512 << 10
LINE_BYTES = 1 << 20
HEAD_BYTES = 512
BEFORE_BYTES = 256

# How long it must be quiet before an event at the end counts as complete. Writers flush a record in one go; a trace
# that is printed line by line may pause, and a line without its newline may belong to a program that died.
SETTLED_S = {"": 0.0, "event": 0.01, "trace": 0.25}
ENDED_S = 1.0
UNFINISHED_ERROR_S = 5.0


class Replaced(Exception):
    """The file no longer holds what was read from it: its content is another generation."""


@dataclass(frozen=True, slots=True)
class Known:
    """A generation as a marker remembers it: enough to find it again by content, and where to go on.

    *inside_line*: the offset lies inside a line whose beginning was told already, or was left out.
    """

    id: str
    offset: int
    head: str
    head_bytes: int
    before: str
    before_bytes: int
    inside_line: bool
    inode: int
    name: str
    counted_from: int = 0  # the bytes before that are counted as seen elsewhere: it was read to its end before

    def is_in(self, source: Source) -> bool:
        """Whether *source* holds this generation at least up to the offset."""
        if digest(source.read(0, self.head_bytes)) != self.head:
            return False
        return digest(source.read(self.offset - self.before_bytes, self.before_bytes)) == self.before

    def is_beginning_of(self, source: Source) -> bool:
        """Whether *source* holds this generation, be it cut before the offset (a copy made before the last lines)."""
        if not self.head_bytes or digest(source.read(0, self.head_bytes)) != self.head:
            return False
        return source.state()[0] < self.offset or source.packed or self.is_in(source)

    @property
    def is_telling(self) -> bool:
        """Whether the content alone identifies it. A few bytes may be written again, word for word."""
        return self.head_bytes == HEAD_BYTES


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def new_id() -> str:
    """A name for a generation that nothing else has, on this machine or another."""
    return secrets.token_hex(8)


class Generation:
    """A generation that is being read. `offset` is how far it has been examined, in bytes from its first one."""

    def __init__(self, source: Source, known: Known | None = None, *, start: int = 0) -> None:
        """Go on where *known* stopped, or begin at *start* (inside a line, unless 0)."""
        self.source = source
        self.id = known.id if known else new_id()
        self.offset = known.offset if known else start
        self.inside_line = known.inside_line if known else start > 0
        self.counted_from = known.counted_from if known else 0
        self.head = source.read(0, min(HEAD_BYTES, self.offset))
        before_bytes = min(self.offset, BEFORE_BYTES)
        self.before = source.read(self.offset - before_bytes, before_bytes)
        self.held = b""
        self.waiting: Literal["", "event", "trace"] = ""
        self.grown_at = 0.0
        self._examined_at = 0.0
        self.ended = False  # nobody writes to it any more: what is held is all that comes
        self.read_state: tuple[int, int] | None = None  # size and time of change when there was no more to read
        self.size_seen = 0
        self.examined_bytes = 0
        self.left_out_bytes = 0
        self.told = self.known()

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def read_to(self) -> int:
        return self.offset + len(self.held)

    @property
    def pending_bytes(self) -> int:
        """What was there at the last look and is not examined yet. Of a packed file, only what was unpacked."""
        unread = 0 if self.source.packed else max(0, self.size_seen - self.read_to)
        return len(self.held) + unread

    @property
    def size_bytes(self) -> int:
        """How many bytes it has, as far as was seen. Of a packed file, only what was unpacked counts."""
        return self.read_to if self.source.packed else max(self.read_to, self.size_seen)

    def fill(self, mono: float) -> int:
        """Read one block on; how many bytes came. Replaced when the file holds something else now."""
        overlap = self.overlap()
        place = self.read_to
        if self.source.packed:
            block = self.source.read(place, BLOCK_BYTES)
        else:
            block = self.source.read(place - len(overlap), len(overlap) + BLOCK_BYTES)
            if block[: len(overlap)] != overlap:
                raise Replaced
            block = block[len(overlap) :]
        if block:
            self._take(block, place, mono)
        return len(block)

    def _take(self, block: bytes, place: int, mono: float) -> None:
        if place == len(self.head) < HEAD_BYTES:
            self.head += block[: HEAD_BYTES - place]
        self.held += block
        self.grown_at = mono
        self.ended = False

    def overlap(self) -> bytes:
        """The bytes in front of the place where the next read starts: each read checks that they still stand there."""
        return (self.before + self.held[-BEFORE_BYTES:])[-BEFORE_BYTES:]

    def goes_on_in(self, source: Source) -> bool:
        """Whether *source* holds all that was read of this generation, so that it can be read on in there."""
        overlap = self.overlap()
        if not overlap or source.read(0, len(self.head)) != self.head:
            return False
        return source.read(self.read_to - len(overlap), len(overlap)) == overlap

    def leave(self, source: Source) -> Source:
        """Read on in *source*; the file that was read until now, which holds another generation."""
        left, self.source = self.source, source
        self.read_state = None
        return left

    # -- examining ----------------------------------------------------------------------------------------------------

    def examine(self, patterns: Patterns, mono: float) -> list[Event]:
        """Find the events in what was read, and move on behind them. What may still grow stays."""
        found: list[Event] = []
        self._examined_at = mono
        while True:
            self._skip()
            size = len(self.held)
            found += self._examine_long_line(patterns) if self._is_long_line() else self._examine_lines(patterns, mono)
            if len(self.held) == size or not self._is_long_line():
                return found

    def _examine_lines(self, patterns: Patterns, mono: float) -> list[Event]:
        quiet_s = mono - self.grown_at
        settled = self.ended or quiet_s >= SETTLED_S[self.waiting or "event"]
        unfinished = self.held[self.held.rfind(b"\n") + 1 :]
        whole = self.held + b"\n" if self.ended and unfinished else self.held
        scan = events.scan(whole, patterns, offset=self.offset, settled=settled)
        self.waiting = scan.waiting
        if scan.consumed > len(self.held):
            self.inside_line = True  # should a late writer go on with that line, the rest is no line of its own
        self._advance(min(scan.consumed, len(self.held)))
        found = list(scan.events)
        if not self.ended and self.held and self.held == unfinished and quiet_s >= UNFINISHED_ERROR_S:
            found += self._examine_unfinished(patterns)
        return found

    def _examine_unfinished(self, patterns: Patterns) -> list[Event]:
        """An error without its newline that nobody goes on with: the last words of a program that died."""
        scan = events.scan(self.held + b"\n", patterns, offset=self.offset)
        if scan.events:
            self._advance(len(self.held))
            self.inside_line = True
        return list(scan.events)

    def _is_long_line(self) -> bool:
        return len(self.held) >= LINE_BYTES and self.held.find(b"\n", 0, LINE_BYTES) < 0

    def _examine_long_line(self, patterns: Patterns) -> list[Event]:
        scan = events.scan(self.held[:LINE_BYTES] + b"\n", patterns, offset=self.offset)
        self._advance(LINE_BYTES)
        self.inside_line = True
        return list(scan.events)

    def _skip(self) -> None:
        """Step over the rest of a line that was cut, and over the zeros that a truncated file begins with.

        A writer without O_APPEND goes on at its old offset after copytruncate; the file system fills up with zeros.
        """
        if self.inside_line:
            newline = self.held.find(b"\n")
            rest = newline + 1 if newline >= 0 else len(self.held)
            self._leave_out(rest)
            self.inside_line = newline < 0 and not self.ended
        zeros = len(self.held) - len(self.held.lstrip(b"\0"))
        if zeros:
            self._advance(zeros)

    def _leave_out(self, length: int) -> None:
        self.left_out_bytes += length
        self.examined_bytes -= length
        self._advance(length)

    def _advance(self, length: int) -> None:
        if length:
            self.before = (self.before + self.held[max(0, length - BEFORE_BYTES) : length])[-BEFORE_BYTES:]
            self.held = self.held[length:]
            self.offset += length
            self.examined_bytes += length

    def due_at(self) -> float | None:
        """When, on the monotonic clock, it is worth examining again though nothing came; None: no need."""
        if not self.held or self.ended:
            return None
        due = self.grown_at + (SETTLED_S[self.waiting] if self.waiting else UNFINISHED_ERROR_S)
        return due if due > self._examined_at else None

    # -- remembering --------------------------------------------------------------------------------------------------

    def known(self) -> Known:
        """How far it has been examined, as a marker remembers it."""
        return Known(
            id=self.id,
            offset=self.offset,
            head=digest(self.head),
            head_bytes=len(self.head),
            before=digest(self.before),
            before_bytes=len(self.before),
            inside_line=self.inside_line,
            inode=self.source.inode,
            name=self.source.name,
            counted_from=self.counted_from,
        )

    def commit(self) -> None:
        """All events up to the offset are told: from now on a marker may say so."""
        if self.told.offset != self.offset or self.told.inside_line != self.inside_line:
            self.told = self.known()

    def remembered(self) -> Known:
        """What a marker may say now: examined as far as was told, and recognised by all that was read since."""
        return replace(self.told, head=digest(self.head), head_bytes=len(self.head))
