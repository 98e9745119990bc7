"""Events that look like one that was looked at already, but for their numbers: known by their shape, at a glance.

A storm is made of those. What an error's line is, and which errors are the same error, hardly ever depends on its
digits; so what the slow way found out about an event is remembered under its shape, which is the event with every
digit as 0. Where digits do count (a status, a syslog priority, a number as a level), nothing is remembered; whether
they do is tried with other digits before. Numbers of any length, and uuids, count as one behind the place that told
the error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from daemons.log_watcher import levels, traces
from daemons.log_watcher.words import ERROR

# Longer ones are not remembered: header, message and quoted words are cut at lengths above this.
LINE_BYTES = 240
MEMBERS = 8192
UUID_BYTES = 32
DIGITS = bytes(0x30 if 0x30 <= code <= 0x39 else code for code in range(256))

_OTHER_DIGITS = [bytes.maketrans(b"0123456789", digit * 10) for digit in (b"0", b"1", b"5", b"9")]
_UUID = re.compile(rb"[0a-f]{8}-(?:[0a-f]{4}-){3}[0a-f]{12}")
_DIGITS = re.compile(rb"00+")
_LINE_NUMBER = re.compile(rb", line \d+")
_REQUEST = re.compile(
    rb"\"(?P<method>GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (?P<path>/[^\s?\"]*)[^\"\n]{0,2000}\" "
    rb"(?P<status>5\d\d)(?=\s|$)"
)
_PART_WITH_DIGIT = re.compile(rb"[^/]*\d[^/]*")
_NUMBER_ALONE = re.compile(rb"\s\d{3}\s")
_MAY_BE_OWN = re.compile(rb"system:log-watcher|log-alert-|LOG ALERT|\"daemon\"")
_SHAPES_INSIDE = ("frame", "indented", "head")

_HEX = bytes(0x30 if chr(code) in "0123456789abcdef" else code for code in range(256))
_BEGINNINGS = (b'{"', b"INFO: ", b"DEBUG: ", b"WARNING: ", b"ERROR: ")
DATE = re.compile(rb"\d{4}-\d\d-\d\d ")

# Why a line is an error, as far as it is remembered here.
What = Literal["level", "access"]


class _WithUuid(NamedTuple):
    """A line's shape, in front of its uuid and behind it, and its name."""

    front: bytes
    behind: bytes
    name: str

    def is_in(self, shape: bytes) -> bool:
        return shape.startswith(self.front) and shape.endswith(self.behind)


class _Request(NamedTuple):
    """Where the status of a request stands in its record, and the names by it."""

    at: int
    by_status: dict[bytes, str]

    def name_of(self, line: bytes) -> str | None:
        return self.by_status.get(line[self.at : self.at + 3])


# What tells the name of an event, and whether it is one, the slow way: for one line, None when it is none.
Judge = Callable[[bytes], str | None]


class Known:
    """Names of events by their shape."""

    def __init__(self, ignored: Sequence[str] = ()) -> None:
        """*ignored*: texts that make the record of a request be none."""
        self._ignored = [text.encode() for text in ignored]
        self._heads: set[bytes] = set()  # what stands in front of a request, with its digits as 0
        self.names: dict[bytes, str] = {}
        # Of lines: the name by the line with its digits as 0, which costs least to ask.
        self._shapes: dict[bytes, str] = {}
        # The same with the letters of hexadecimal numbers as 0, too, where a uuid stands in the line.
        self._with_uuid: dict[bytes, _WithUuid] = {}
        # Of records of requests: where the status stands, and the names by it.
        self._requests: dict[bytes, _Request] = {}
        self._strange: set[bytes] = set()  # shapes of which no more is known than that
        self._asked: dict[bytes, dict[bytes, str]] = {}
        self.begun: tuple[bytes, ...] = _BEGINNINGS

    def names_of(
        self, lines: Sequence[bytes], places: Sequence[int], starts: Sequence[int], are_alone: Sequence[object]
    ) -> tuple[list[str | None], list[What]]:
        """Of each of *lines*, which start at *starts* and hold *places*, the name and the reason; None: not known.

        Only those count that *are_alone*.
        """
        shapes = [line.translate(DIGITS) for line in lines]
        names = list(map(self._shapes.get, shapes))
        whys: list[What] = ["level"] * len(names)
        strange = self._strange
        for number, (name, is_alone) in enumerate(zip(names, are_alone, strict=True)):
            if not is_alone:
                names[number] = None
            elif name is None and (shape := shapes[number]) not in strange:
                line = lines[number]
                if (like := self._with_uuid.get(line.translate(_HEX))) is not None and like.is_in(shape):
                    names[number] = like.name
                elif (request := self._requests.get(shape)) is not None:
                    names[number], whys[number] = request.name_of(line), "access"
                else:
                    names[number], whys[number] = self._name(line, shape, places[number] - starts[number])
        return names, whys

    def _name(self, line: bytes, shape: bytes, told_at: int) -> tuple[str | None, What]:
        """What costs more to find out, and is remembered."""
        if (name := self._name_of_line(line, shape, told_at)) is not None:
            return name, "level"
        if (name := self._name_of_request(line, shape)) is not None:
            return name, "access"
        if len(self._strange) >= MEMBERS:
            self._strange.clear()
        self._strange.add(shape)
        return None, "level"

    def note_beginning(self, window: bytes, at: int) -> None:
        """Remember with which date the record begins that starts at *at*: the next ones begin with it, too."""
        date = window[at : at + 11]
        if date not in self.begun and DATE.fullmatch(date):
            self.begun = (date, *self.begun[: len(_BEGINNINGS)])

    def _name_of_line(self, line: bytes, shape: bytes, told_at: int) -> str | None:
        short = _short(shape, told_at)
        name = self.names.get(short) or self.names.get(shape)
        if name is not None and len(shape) - len(short) < UUID_BYTES:
            _room(self._shapes)[shape] = name
        elif name is not None:
            uuid = _UUID.search(shape, told_at)
            if uuid is not None:
                like = _WithUuid(shape[: uuid.start()], shape[uuid.end() :], name)
                _room(self._with_uuid)[line.translate(_HEX)] = like
        return name

    def learn(self, line: bytes, told_at: int, name: str, judge: Judge) -> None:
        """Remember that the event that is *line* alone has this *name*, unless its digits might count."""
        if len(line) > LINE_BYTES or line[:1] == b"<" or line[-1:] == b"\r" or b"log-alert-" in line:
            return
        if any(judge(line.translate(other)) != name for other in _OTHER_DIGITS):
            return
        shape = line.translate(DIGITS)
        is_told_in_front = (levels.read(line[: told_at + 1]).level or 0) >= ERROR or line[:1] == b"{"
        self._keep(_short(shape, told_at) if is_told_in_front else shape, name)

    def _name_of_request(self, line: bytes, shape: bytes) -> str | None:
        """The name of the event that is *line*, the record of a request with this status; None: not known."""
        request = _REQUEST.search(line) if b"HTTP/" in line else None
        if request is None or request.start() > LINE_BYTES or _MAY_BE_OWN.search(line):
            return None
        if line[: request.start()].translate(DIGITS) not in self._heads or any(word in line for word in self._ignored):
            return None
        asked = _asked(request)
        name = self.names.get(b"\0".join((b"access", request["status"], asked)))
        if name is not None:
            by_status = self._asked.setdefault(asked, {})
            by_status[request["status"]] = name
            _room(self._requests)[shape] = _Request(request.start("status"), by_status)
        return name

    def learn_access(self, line: bytes, status: int, name: str, judge: Judge) -> None:
        """Remember that requests like that of *line* have this *name*, and what stands in front of them."""
        request = _REQUEST.search(line)
        if request is None or int(request["status"]) != status or _MAY_BE_OWN.search(line):
            return
        head, rest = line[: request.start()], line[request.start() :]
        if len(head) > LINE_BYTES or head[:1] == b"<" or b"\x1b" in head or _NUMBER_ALONE.search(head):
            return
        if any(judge(head.translate(other) + rest) != name for other in _OTHER_DIGITS):
            return
        if len(self._heads) >= MEMBERS:
            self._heads.clear()
        self._heads.add(head.translate(DIGITS))
        self._keep(b"\0".join((b"access", request["status"], _asked(request))), name)

    def trace_name(self, region: bytes, told_at: int) -> str | None:
        """The name of the event whose lines are *region*; None: not known."""
        return self.names.get(_trace_shape(region, told_at))

    def learn_trace(self, region: bytes, told_at: int, name: str) -> None:
        """Remember the *name* of a Python trace under its record: calls by name, without their line numbers."""
        first, *inside, last = region.split(b"\n")
        is_plain = first[:1] not in (b"<", b"{") and b"\r" not in region and traces.shape(last) == "exception"
        is_told = (levels.read(first[: told_at + 1]).level or 0) >= ERROR and not _MAY_BE_OWN.search(first)
        if is_plain and is_told and all(traces.shape(line) in _SHAPES_INSIDE for line in inside):
            self._keep(_trace_shape(region, told_at), name)

    def _keep(self, shape: bytes, name: str) -> None:
        if len(self.names) >= MEMBERS:
            self.names.clear()
        self.names[shape] = name
        self._strange.clear()


def _short(shape: bytes, told_at: int) -> bytes:
    """*shape* with numbers of any length, and uuids, as one digit behind *told_at*."""
    said = shape[told_at + 1 :]
    if said.count(b"-") >= 4:
        said = _UUID.sub(b"0", said)
    return shape[: told_at + 1] + b"\0" + _DIGITS.sub(b"0", said)


def _asked(request: re.Match[bytes]) -> bytes:
    """What a request's name depends on: status, method, path without its parts that have digits."""
    path = request["path"]
    if not path.isalpha():
        path = _PART_WITH_DIGIT.sub(b"*", path)
    return request["method"] + b"\0" + path


def _trace_shape(region: bytes, told_at: int) -> bytes:
    """What a trace's name, and its end, depend on: the calls and the exception; a message may announce more lines."""
    first, inside = region.split(b"\n", 1)
    calls, last = inside.rsplit(b"\n", 1) if b"\n" in inside else (b"", inside)
    kind, _, said = last.partition(b": ")
    return b"\n".join((_short(first.translate(DIGITS), told_at), _LINE_NUMBER.sub(b"", calls), kind, said[-1:]))


T = TypeVar("T")


def _room(kept: dict[bytes, T]) -> dict[bytes, T]:
    """*kept*, with room for one more."""
    if len(kept) >= MEMBERS:
        kept.clear()
    return kept
