"""Lines into events: an error's line and all that belongs to it, found in a window of a log.

`scan` is a function of the window alone. A window begins where the one before was consumed up to, so a watcher that was
killed reads the same bytes again and finds the same events at the same places:

    ...quiet... | ERROR ... | Traceback | File ... | ValueError | ...quiet... | ERROR ... | half a li
    consumed up to here as long as the last event may still grow ------------'

A line that may be an error is found by scanning the block; only around such places lines are looked at one by one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from daemons.log_watcher import blocks, fingerprint, levels, prefixes, traces, words
from daemons.log_watcher.known import Known
from daemons.log_watcher.patterns import Judgement, Patterns, Why
from daemons.log_watcher.record import FOREIGN_BEFORE, Record

KEPT_LINE_BYTES = 4096
PREAMBLE_LINES = 8

Waiting = Literal["", "event", "trace"]

KNOWN_TRACE_BYTES = 4096
_ANNOUNCES = re.compile(rb"\b(?i:exception|traceback|failed|aborted|crashed)\b")
_TRACEBACK = b"Traceback (most recent call last):"
_STARTS_RECORD = levels.SURELY_STARTS.match
_NEXT_RECORD = re.compile(rb"\n(?=" + levels.SURELY_STARTS.pattern + rb")").search


class Event(NamedTuple):
    """One error. *position* is where its telling line starts, in bytes from the start of the log file."""

    position: int
    why: Why
    lines: tuple[bytes, ...]
    fingerprint: str

    @property
    def text(self) -> bytes:
        """The lines as they stood, each cut at 4 KiB, and that said."""
        whole = b"\n".join(self.lines)
        return whole if len(whole) <= KEPT_LINE_BYTES else b"\n".join(map(_cut, self.lines))


# From its fields in order, without a call of its own for each: there may be millions.
_AS_EVENT: Callable[[tuple[object, ...]], Event] = partial(tuple.__new__, Event)


def _cut(line: bytes) -> bytes:
    if len(line) <= KEPT_LINE_BYTES:
        return line
    return line[:KEPT_LINE_BYTES] + b" [... cut here: the line has %d bytes ...]" % len(line)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a window held. The next window has to begin *consumed* bytes further on.

    *waiting* says why that is not behind the window's last newline: an event that may go on, or a trace that must.
    """

    events: tuple[Event, ...]
    consumed: int
    waiting: Waiting


def scan(window: bytes, patterns: Patterns, *, offset: int = 0, settled: bool = True) -> Scan:
    """Find the events in *window*, which starts at a line's start, *offset* bytes into the file.

    Bytes after the last newline are left unconsumed. With *settled* no more is expected soon, so an event at the end
    is complete; without, it is left for the next window.
    """
    end = window.rfind(b"\n") + 1
    lines = _Candidates(window, end, patterns)
    events: list[Event] = []
    position = floor = at = 0
    for unknown in lines.unknown:
        if unknown < at:
            continue  # part of an event already
        if at < unknown:
            events += lines.known_events(at, unknown, offset)
            floor = position = lines.ends[unknown - 1] + 1
        start, place = lines.starts[unknown], lines.places[unknown]
        known = _known_event(window, patterns.known, lines, unknown, end) if patterns.known else None
        if known is not None:
            text, why, name = known
            events.append(Event(offset + start, why, tuple(text.split(b"\n")), name))
            floor = position = start + len(text) + 1
            at = lines.first_from(position, unknown)
            continue
        found = _line_at(window, patterns, start, place)
        position = found.following
        if found.judgement.why:
            above = _preamble(window, found, floor=floor)
            record = Record(found.line, found.judgement, patterns, above, may_announce=unknown in lines.may_announce)
            start = found.start - record.preamble_bytes
            floor, position = _grow(record, window, patterns, found.following, end)
            if position >= end and not settled and not record.closed:
                return Scan(tuple(events), start, "trace" if record.lacks_its_end else "event")
            if not record.is_ignored(patterns):
                event = _event(record, found, offset)
                events.append(event)
                if patterns.known and floor == position < end and not record.may_repeat:
                    _learn(patterns, event, found, window[start : position - 1], place - start)
        at = lines.first_from(position, unknown)
    if at < len(lines.starts):
        events += lines.known_events(at, len(lines.starts), offset)
        floor = lines.ends[-1] + 1
    consumed = end if settled else _held_preamble(window, floor, end)
    return Scan(tuple(events), consumed, "event" if consumed < end else "")


class _Candidates:
    """The lines of a window that may be errors, all looked at together: most are a storm's usual lines.

    A line whose name is known, and behind which a record surely starts, is an event as it stands. Of all others the
    numbers are in `unknown`.
    """

    def __init__(self, window: bytes, end: int, patterns: Patterns) -> None:
        places = patterns.places(window)
        if places and places[-1] >= end:
            places = places[: bisect_left(places, end)]
        find, rfind = window.find, window.rfind
        ends = [find(b"\n", place) for place in places]
        if len(set(ends)) < len(ends):  # only the first place of a line counts
            firsts = dict(zip(reversed(ends), reversed(places), strict=True))
            ends, places = list(reversed(firsts)), list(reversed(firsts.values()))
        self.ends, self.places = ends, places
        self.starts = [rfind(b"\n", 0, place) + 1 for place in places]
        self.unknown: Sequence[int] = range(len(ends))
        self.lines = [window[start:newline] for start, newline in zip(self.starts, ends, strict=True)]
        self.may_announce = self._above_traces(window, end)
        known = patterns.known
        if known is None or not ends:
            return
        begins, surely, begun = window.startswith, _STARTS_RECORD, known.begun
        are_alone = [begins(begun, newline + 1) or surely(window, newline + 1) for newline in ends]
        if ends[-1] + 1 >= end:
            are_alone[-1] = None  # what comes next is not there yet
        for number in self.may_announce:
            are_alone[number] = None
        known.note_beginning(window, ends[-1] + 1)
        self.are_alone = are_alone
        self._names, self._whys = known.names_of(self.lines, self.places, self.starts, are_alone)
        self.unknown = [number for number, name in enumerate(self._names) if name is None]

    def _above_traces(self, window: bytes, end: int) -> set[int]:
        """The numbers of lines below which, behind one to three ordinary ones, a trace begins or may still come."""
        starts, ends = self.starts, self.ends
        above: set[int] = set()
        # A line with a traceback may be an error, so it is one of these: the window is not searched once more.
        for number in [number for number, line in enumerate(self.lines) if _TRACEBACK in line]:
            behind = ends[number - 1] + 1
            if number > 0 and behind < starts[number] and _has_few_lines(window, behind, starts[number]):
                above.add(number - 1)
        if ends and _has_few_lines(window, ends[-1] + 1, end):
            above.add(len(ends) - 1)
        return above

    def known_events(self, first: int, behind: int, offset: int) -> Iterator[Event]:
        """The events that the lines from *first* to before *behind* are, a line each."""
        positions = [offset + start for start in self.starts[first:behind]]
        part = slice(first, behind)
        return map(
            _AS_EVENT,
            zip(positions, self._whys[part], zip(self.lines[part], strict=True), self._names[part], strict=True),
        )

    def first_from(self, position: int, before: int) -> int:
        """The number of the first line that starts at *position* or later, all up to *before* being earlier."""
        number = before + 1
        while number < len(self.starts) and self.starts[number] < position:
            number += 1
        return number


def _has_few_lines(window: bytes, position: int, end: int) -> bool:
    """Whether no more lines stand from *position* to *end* than may stand between a record and its trace."""
    for _ in range(FOREIGN_BEFORE):
        if position >= end:
            return True
        position = window.index(b"\n", position, end) + 1
    return position >= end


def _known_event(
    window: bytes, known: Known, lines: _Candidates, number: int, end: int
) -> tuple[bytes, Why, str] | None:
    """Text, reason and name of the event whose first line has this *number*, if all that counts is known of its like.

    A line that surely starts a record stands behind it: that ends every event that was learnt.
    """
    if lines.are_alone[number] or number in lines.may_announce:
        return None
    start, place, newline = lines.starts[number], lines.places[number], lines.ends[number]
    behind = _NEXT_RECORD(window, newline, min(end, newline + KNOWN_TRACE_BYTES))
    if behind is None:
        return None
    text = window[start : behind.start()]
    name = known.trace_name(text, place - start)
    return (text, "level", name) if name else None


def _learn(patterns: Patterns, event: Event, found: _Found, text: bytes, told_at: int) -> None:
    """Remember *event*, whose lines are all of *text*; the next line has ended it."""
    known, status = patterns.known, found.judgement.head.status
    if known is None or text != b"\n".join(event.lines) or event.why not in ("level", "access"):
        return  # lines of others stand inside, or some were left out
    if len(event.lines) > 1:
        if event.why == "level":
            known.learn_trace(text, told_at, event.fingerprint)
        return

    def judge(line: bytes) -> str | None:
        judgement = patterns.judge(line)
        status = judgement.head.status if judgement.why == "access" else None
        return fingerprint.of(line, (line,), status) if judgement.why == event.why else None

    if event.why == "access" and status is not None:
        known.learn_access(text, status, event.fingerprint, judge)
    elif event.why == "level":
        known.learn(text, told_at, event.fingerprint, judge)


def _event(record: Record, found: _Found, offset: int) -> Event:
    judgement = found.judgement
    status = judgement.head.status if judgement.why == "access" else None
    name = fingerprint.of(found.line, record.bare_lines, status)
    return Event(offset + found.start, judgement.why, record.lines, name)


@dataclass(frozen=True, slots=True)
class _Found:
    """A line that may be an error: where it starts, where the next one does."""

    start: int
    line: bytes
    following: int
    judgement: Judgement


def _line_at(window: bytes, patterns: Patterns, start: int, place: int) -> _Found:
    """The line from *start* on, around *place*: it may be an error or none."""
    newline = window.index(b"\n", place)
    line = window[start:newline].removesuffix(b"\r")
    return _Found(start, line, newline + 1, patterns.judge(line))


def _grow(record: Record, window: bytes, patterns: Patterns, position: int, end: int) -> tuple[int, int]:
    """Give *record* the lines after its first. Where its last line ends, and where the line that closed it starts."""
    taken = position
    for start, line, following in _lines(window, position, end):
        if record.take(line, patterns):
            taken = following
        if record.closed:
            return taken, taken if record.is_alone else max(start, taken)
    return taken, end


def _lines(window: bytes, position: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """(start, line without its ending, start of the next) for every line from *position* up to *end*."""
    while position < end:
        newline = window.index(b"\n", position, end)
        yield position, window[position:newline].removesuffix(b"\r"), newline + 1
        position = newline + 1


# -- what stands above a trace's telling line: Node's `/srv/app.js:10`, Python's `  File "x.py", line 1` ---------------


def _preamble(window: bytes, found: _Found, *, floor: int) -> bytes:
    """The bytes of the lines above *found* that belong to its trace, if any."""
    head, (prefix, line) = found.judgement.head, prefixes.split(found.line)
    if found.judgement.why == "level" and head.is_timed and prefix is None:
        return b""  # what a logger writes at once, with its time in front
    start = _line_above(window, floor, found.start)
    whose, above = prefixes.split(window[start : found.start].rstrip(b"\r\n"))
    if whose == prefix and (blocks.is_frame(above, line) or traces.is_above(above, line)):
        return window[start : found.start]
    is_one = whose == prefix or prefixes.late(above, found.line) is not None
    if is_one and found.judgement.why == "trace" and traces.is_below_record(line):
        higher = _line_above(window, floor, start)
        is_two = traces.is_above(prefixes.split(window[higher:start].rstrip(b"\r\n"))[1], above)
        if _warns(above, is_sure=is_two or traces.opens_python_frames(line)):
            return window[higher if is_two else start : found.start]
    if head.starts_record and head.is_timed and prefix is None:
        return b""
    start = _preamble_start(window, floor, found.start)
    return window[start : found.start]


def _held_preamble(window: bytes, floor: int, end: int) -> int:
    """Where the window's last lines look like what stands above a trace; *end* when they don't."""
    start = _line_above(window, floor, end)
    above = prefixes.split(window[start:end].rstrip(b"\r\n"))[1]
    if _warns(above):
        higher = _line_above(window, floor, start)
        return higher if traces.may_be_above(prefixes.split(window[higher:start].rstrip(b"\r\n"))[1]) else start
    return start if blocks.may_be_frame(above) or traces.may_be_above(above) else _preamble_start(window, floor, end)


def _warns(line: bytes, *, is_sure: bool = True) -> bool:
    """Whether *line* is a record that announces a trace below it: with the level WARNING, or by its words.

    Unless it *is_sure* that what follows is a trace, the record must have a time.
    """
    if b"W" not in line[:80].upper() and not _ANNOUNCES.search(line):
        return False
    head = levels.read(line)
    if head.level is None or not (is_sure or head.is_timed):
        return False
    return head.level == words.WARNING or (head.level < words.WARNING and bool(_ANNOUNCES.search(line)))


def _line_above(window: bytes, floor: int, position: int) -> int:
    """Where the line starts that ends at *position*; *floor* when that is further down."""
    return max(window.rfind(b"\n", floor, max(position - 1, floor)) + 1, floor)


def _preamble_start(window: bytes, floor: int, end: int) -> int:
    start = end
    for _ in range(PREAMBLE_LINES):
        if start <= floor:
            break
        start = max(window.rfind(b"\n", floor, start - 1) + 1, floor)
        line = window[start : window.index(b"\n", start)].removesuffix(b"\r")
        if traces.is_preamble(prefixes.split(line)[1]):
            return start
    return end
