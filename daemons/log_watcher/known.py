"""Events that look like one that was looked at already, but for their numbers: known by their shape, at a glance.

A storm is made of those. What an error's line is, and which errors are the same error, hardly ever depends on its
digits; so what the slow way found out about an event is remembered under its shape, which is the event with every
digit as 0. Where digits do count (a status, a syslog priority, a number as a level), nothing is remembered; whether
they do is tried with other digits before. Numbers of any length, and uuids, count as one behind the place that told
the error.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from daemons.log_watcher import levels, traces
from daemons.log_watcher.words import ERROR

# Longer ones are not remembered: header, message and quoted words are cut at lengths above this.
LINE_BYTES = 240
MEMBERS = 4096
DIGITS = bytes(0x30 if 0x30 <= code <= 0x39 else code for code in range(256))

_OTHER_DIGITS = [bytes.maketrans(b"0123456789", digit * 10) for digit in (b"0", b"1", b"5", b"9")]
_VARIES = re.compile(rb"[0a-f]{8}-(?:[0a-f]{4}-){3}[0a-f]{12}|00+")
_LINE_NUMBER = re.compile(rb", line \d+")
_SHAPES_INSIDE = ("frame", "indented", "head")

# What tells the name of an event, and whether it is one, the slow way: for one line, None when it is none.
Judge = Callable[[bytes], str | None]


class Known:
    """Names of events by their shape."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}  # by the line with its digits as 0: what costs least to ask

    def name(self, line: bytes, told_at: int) -> str | None:
        """The name of the event that is *line* alone; None: not known. *told_at* is the place in it that told it."""
        shape = line.translate(DIGITS)
        name = self.names.get(shape)
        if name is None:
            name = self.names.get(_short(shape, told_at))
            if name is not None:
                self._keep(shape, name)
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

    def trace_name(self, region: bytes) -> str | None:
        """The name of the event whose lines are *region*; None: not known."""
        return self.names.get(_trace_shape(region))

    def learn_trace(self, region: bytes, name: str) -> None:
        """Remember the *name* of a Python trace under its record: calls by name, without their line numbers."""
        first, *inside, last = region.split(b"\n")
        is_plain = first[:1] not in (b"<", b"{") and b"\r" not in region and traces.shape(last) == "exception"
        if is_plain and all(traces.shape(line) in _SHAPES_INSIDE for line in inside):
            self._keep(_trace_shape(region), name)

    def _keep(self, shape: bytes, name: str) -> None:
        if len(self.names) >= MEMBERS:
            self.names.clear()
        self.names[shape] = name


def _short(shape: bytes, told_at: int) -> bytes:
    """*shape* with numbers of any length, and uuids, as one digit behind *told_at*."""
    return shape[: told_at + 1] + b"\0" + _VARIES.sub(b"0", shape[told_at + 1 :])


def _trace_shape(region: bytes) -> bytes:
    first, inside = region.split(b"\n", 1)
    calls, last = inside.rsplit(b"\n", 1) if b"\n" in inside else (b"", inside)
    kind, _, said = last.partition(b": ")
    return b"\n".join((first.translate(DIGITS), _LINE_NUMBER.sub(b"", calls), kind, said.translate(DIGITS)))
