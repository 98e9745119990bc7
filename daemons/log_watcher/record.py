"""An event while it is being read: which of the following lines belong to it.

It goes on over its trace, over set-in lines, and, in a log whose records have a recognisable beginning, over lines that
have none. A record of another process may stand in the middle of a trace: it is stepped over for a while, and only what
is unmistakably a piece of the trace is taken after it. (21 real traces: kept whole 21 of 21; by indentation alone 0, by
record starts alone 2, by the usual rules of log shippers 1.)
"""

from __future__ import annotations

import re

from daemons.log_watcher import blocks, levels, prefixes, traces
from daemons.log_watcher.patterns import Judgement, Patterns
from daemons.log_watcher.traces import Shape

# Bounds of one event. Lines above the kept ones are counted, and the event says how many it leaves out.
KEPT_FIRST_LINES = 300
KEPT_LAST_LINES = 100
LIMIT_LINES = 5000
LIMIT_BYTES = 512 << 10
# So many lines of others may stand inside a trace that lacks its end, and inside one that may have ended.
FOREIGN_INSIDE = 50
FOREIGN_AFTER = 5
# A message may have so many lines that look like nothing in particular, and so many after a line that announces them.
PLAIN_LINES = 30
MESSAGE_LINES = 12
# So many lines of others may stand between a record and the trace that it announces.
FOREIGN_BEFORE = 3

# PostgreSQL tells of an error in several records.
_POSTGRES = re.compile(rb"[\s\]:@](?:ERROR|FATAL|PANIC):  ")
_POSTGRES_MORE = re.compile(rb"[\s\]:@](?:DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION):  ")

# Of OpenStack, Android and RabbitMQ each line of an error has the whole header.
_REPEATED = re.compile(
    rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ (?:ERROR|CRITICAL|TRACE) [\w.]+ "
    rb"|\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} +\d+ +\d+ [EF] [^:]{1,60}: "
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d \[error\] <[\d.]+> ?"
)
_ZAP = re.compile(rb"\t(?:ERROR|FATAL|D?PANIC|error|fatal|d?panic)\t")
# ESLint's next finding.
_LINT = re.compile(rb"\s+\d+:\d+ +(?:error|warning)\s")
# What compilers quote of the source below an error: TypeScript's `12   f("x");`.
_QUOTED_SOURCE = re.compile(rb"\d+ {1,8}\S")


class Record:
    """The lines of one event so far. `take` each following line until it is `closed`."""

    def __init__(
        self, line: bytes, judgement: Judgement, patterns: Patterns, preamble: bytes, *, may_announce: bool
    ) -> None:
        """*may_announce*: a trace that this record announces may stand behind lines of others."""
        self._prefix, bare = prefixes.split(line)
        above = _of_one(preamble.splitlines(), self._prefix, patterns) if preamble else []
        self.preamble_bytes = len(preamble)
        self.closed = False
        self._first = [*above, line]
        self._last: list[bytes] = []
        self._block = blocks.heading(bare)
        self._left_out = 0
        self._bytes = len(line)
        self._count = 1
        self._blanks: list[bytes] = []  # the lines without text since the last one that was taken
        self._foreign = self._foreign_in_a_row = 0
        head = judgement.head
        # A record that may go on below: not a JSON object, not a line of an access log.
        self._structured = head.starts_record and judgement.why != "access" and bare[:1] != b"{"
        # Where records begin with a time, lines of any look go on with the one above them.
        self._takes_any = self._structured and (head.is_timed or bool(above))
        # A trace may follow behind lines of others.
        self._announces = may_announce and self._structured and judgement.why == "level"
        self._is_zap = b"\t" in bare and _ZAP.search(bare) is not None
        header = _REPEATED.match(bare)
        self._header = header[0] if header else b""
        self._is_compilers = b"error TS" in line
        self._statement = b":  " in line and _POSTGRES.search(line) is not None
        self._may_be_late = self._prefix is None and prefixes.may_have_one(line)
        # Frames, or a trace's head, have been seen.
        self._in_trace = any(traces.is_preamble(prefixes.split(one)[1]) for one in above)
        self._python_frames = False  # a Traceback whose last line has not come yet
        self._exception = False  # the line that names the exception has been seen
        self._chained = False  # the line before said that another trace follows
        self._ends_with_exception = False  # the last line taken was that line
        self._awaits_frames = False  # the last line taken was Java's exception, below a record
        self._plain_allowed = 0  # so many lines without any shape belong here, also after a blank one
        self._led = False  # those follow a lead, without a blank line between them
        self._plain = 0  # so many of them in a row have been taken
        self._was_set_in = False  # a line that is set in has been taken, which is no frame
        self._in_message = False  # the last line was part of a message, not of the code's way there
        shape = traces.shape(bare)
        self._note(bare, "lead" if traces.announces(bare) else shape)
        self._awaits_frames = self._prefix is not None and shape == "exception"

    @property
    def lines(self) -> tuple[bytes, ...]:
        left_out = (b"[... %d lines left out ...]" % self._left_out,) if self._left_out else ()
        return (*self._first, *left_out, *self._last)

    @property
    def bare_lines(self) -> tuple[bytes, ...]:
        """The lines without what a container's runtime or syslog wrote in front of them."""
        return self.lines if self._prefix is None else tuple(prefixes.split(line)[1] for line in self.lines)

    @property
    def may_repeat(self) -> bool:
        """Whether it is of a kind that repeats its header, with the time to the millisecond, on each of its lines."""
        return bool(self._header)

    @property
    def is_alone(self) -> bool:
        """Whether it is the one line that it began with."""
        return self._count == 1

    @property
    def lacks_its_end(self) -> bool:
        """Whether more is due: frames without the exception, or a trace of a kind whose last line looks like any."""
        if self._python_frames or self._plain_allowed or self._awaits_frames:
            return True
        return self._in_trace and not self._exception_ended

    @property
    def _exception_ended(self) -> bool:
        return self._exception and not self._chained and self._ends_with_exception

    def is_ignored(self, patterns: Patterns) -> bool:
        """Whether the user's ignore patterns find the line that names the exception. Frames don't count."""
        named = [line for line in self.bare_lines if traces.exception_type(line)]
        return self._in_trace and any(patterns.is_ignored(line) for line in named[-1:])

    def take(self, line: bytes, patterns: Patterns) -> bool:
        """Add *line* (True), step over it, or close: then it is not part of this event and may begin another."""
        if self._may_be_late and self._count == 1:
            self._prefix = prefixes.late(self._first[-1], line)
        prefix, bare = (None, line) if self._prefix is None else prefixes.split_as(line, self._prefix)
        if self._count == 1 and prefix is None and self._prefix == prefixes.STAMP and traces.is_below_head(line):
            self._prefix = None  # only the first line has a time in front
        if self._block is not None:
            return self._take_in_block(line, bare, self._block)
        shape = traces.shape(bare)
        if self._bytes > LIMIT_BYTES or self._count >= LIMIT_LINES:
            self.closed = True
        elif prefix != self._prefix or self._is_record_of_its_own(bare, shape):
            self._other(patterns.judge_following(line))
        elif shape == "blank":
            self._blanks.append(b"" if self._prefix is None else line)
            if self._led and self._count > 1:
                self._plain_allowed = 0
        elif self._belongs(bare, shape, patterns):
            self._keep(line, bare, shape)
            return True
        return False

    def _take_in_block(self, line: bytes, bare: bytes, block: blocks.Block) -> bool:
        is_inside = self._bytes <= LIMIT_BYTES and block.inside.match(bare) is not None
        self.closed = not is_inside or block.last.match(bare) is not None
        if is_inside:
            self._append(line)
        return is_inside

    def _is_record_of_its_own(self, bare: bytes, shape: Shape) -> bool:
        """Whether a line that has a time in front, as all have, is more than a piece of a trace."""
        if self._prefix is None or not self._prefix.is_timed or shape != "plain":
            return False
        is_expected = self._python_frames or self._plain_allowed or self._in_message or traces.is_piece(bare)
        if self._is_zap and (traces.is_piece(bare) or traces.is_go_name(bare)):
            return False
        return not (self._in_trace and is_expected)

    def _belongs(self, line: bytes, shape: Shape, patterns: Patterns) -> bool:
        if self._belongs_by_shape(line, shape):
            return True
        if shape == "indented" and (not self._foreign or self._python_frames):
            return not self._is_set_in_by_chance(line, patterns)
        if self._takes_any and self._count <= 3 and blocks.is_announced(line):
            self._block = blocks.heading(line)
            return True
        judgement = patterns.judge_following(line)
        goes_on = self._python_frames or (self._plain_allowed and shape == "plain")
        if judgement.head.starts_record or (self._foreign and not goes_on):
            self._other(judgement)
            return False
        if self._fits(line, shape, judgement):
            return True
        self.closed = True
        return False

    def _belongs_by_shape(self, line: bytes, shape: Shape) -> bool:
        """Whether *line* is unmistakably a piece of this event, whatever it may say of itself."""
        if shape == "frame" and (not self._foreign or self._in_trace or self._exception):
            return True
        if shape == "chain" and (self._in_trace or self._exception):
            return True
        if not self._foreign:
            return self._goes_on(line, shape)
        if self._announces and self._count == 1 and traces.opens_python_frames(line):
            return True
        return self._goes_on_behind_others(line, shape)

    def _goes_on(self, line: bytes, shape: Shape) -> bool:
        """Whether *line*, with no line of others above it, is the part of an exception group, or more of the same."""
        if shape == "head" and line[:1] in (b" ", b"|"):
            return True
        if self._statement and _POSTGRES_MORE.search(line):
            return True
        if self.may_repeat and line.startswith(self._header):
            return True
        return self._is_compilers and _QUOTED_SOURCE.match(line) is not None

    def _is_set_in_by_chance(self, line: bytes, patterns: Patterns) -> bool:
        """Whether a line that is set in is a record all the same: some write all theirs so. Closes if it is."""
        is_next = line[:1] == b" " != line[1:2] and not (self._chained or traces.is_piece(line) or traces.is_tail(line))
        is_next = is_next and (self._in_trace or bool(patterns.judge(line).why))
        self.closed = is_next or levels.is_record_set_in(line) or _LINT.match(line) is not None
        return self.closed

    def _goes_on_behind_others(self, line: bytes, shape: Shape) -> bool:
        """Whether *line*, which follows lines of others, is unmistakably a piece of this trace."""
        if self._chained and shape in ("head", "lead", "exception"):
            return True
        return self._in_trace and not self._exception_ended and traces.is_piece(line)

    def _other(self, judgement: Judgement) -> None:
        """A line of somebody else's: an error of its own ends this event, anything else only after a while."""
        limit = FOREIGN_INSIDE if self._python_frames else FOREIGN_AFTER if self.lacks_its_end else 0
        if self._announces and self._count == 1 and judgement.is_ordinary:
            limit = FOREIGN_BEFORE
        self._foreign += 1
        self._foreign_in_a_row += 1
        self.closed = bool(judgement.why) or self._foreign_in_a_row > limit

    def _fits(self, line: bytes, shape: Shape, judgement: Judgement) -> bool:
        """Whether an unindented line without a record's beginning goes on with this event."""
        if self._python_frames or self._plain_allowed:
            return True
        if shape in ("head", "lead", "exception"):
            return self._chained or (not self._exception and self._leads_to(line))
        if shape in ("note", "chain"):
            return self._in_trace or self._structured or self._exception or traces.is_tail(line)
        if blocks.is_rule(line) and not self._in_trace:
            return self._structured and self._count == 1 and line[:1] == b"-"
        if self._in_trace and traces.is_go_call(line):
            return True
        # A message goes on over lines of any look; after a blank line or a frame, those are somebody else's.
        goes_on = self._in_trace and self._in_message and not self._blanks and self._plain < PLAIN_LINES
        return ((self._takes_any and not self._was_set_in) or goes_on) and not judgement.why

    def _leads_to(self, line: bytes) -> bool:
        """Whether an exception below this record is the one that it is about."""
        if self._takes_any or line[:4] == b"** (" or traces.opens_python_frames(line) or traces.is_java(line):
            return True
        said = line.partition(b": ")[2]
        return self._structured and bool(said) and said in self._first[-1]

    def _keep(self, line: bytes, bare: bytes, shape: Shape) -> None:
        for blank in self._blanks:
            self._append(blank)
        self._blanks, self._foreign_in_a_row = [], 0
        self._append(line)
        self._note(bare, shape)

    def _append(self, line: bytes) -> None:
        self._count += 1
        self._bytes += len(line) + 1
        if len(self._first) < KEPT_FIRST_LINES:
            self._first.append(line)
            return
        self._last.append(line)
        if len(self._last) > KEPT_LAST_LINES:
            self._last.pop(0)
            self._left_out += 1

    def _note(self, line: bytes, shape: Shape) -> None:
        """Remember what *line* means for the lines after it."""
        ended_frames = self._python_frames and (
            shape not in ("frame", "indented", "head") or traces.names_group_member(line) or traces.ends_ruby(line)
        )
        self._was_set_in = (
            self._was_set_in
            or (shape == "frame" and not self._python_frames)
            or (shape == "indented" and not self._in_trace and not traces.is_piece(line))
        )
        self._plain_allowed = max(0, self._plain_allowed - 1)
        self._plain = self._plain + 1 if shape == "plain" else 0
        self._in_message = ended_frames or shape in ("head", "exception") or (shape == "plain" and self._in_message)
        self._awaits_frames = shape == "exception" and self._structured and traces.is_java(line)
        self._ends_with_exception = ended_frames or shape == "exception"
        self._chained = shape in ("chain", "lead")
        if shape in ("head", "frame", "lead") or traces.is_npm(line):
            self._in_trace = True
        if traces.opens_python_frames(line):
            self._in_trace = self._python_frames = True
            self._exception = False
        elif ended_frames:
            self._python_frames = False
            self._exception = True
        elif shape == "exception" or traces.names_its_exception(line):
            self._exception = True
        self._led = shape == "lead" or (self._led and shape == "plain")
        if shape == "lead":
            self._plain_allowed = traces.lines_announced(line)
        elif traces.says_more_below(line):
            self._plain_allowed = MESSAGE_LINES
        elif shape == "frame":
            self._plain_allowed = 0


def _of_one(lines: list[bytes], prefix: prefixes.Prefix | None, patterns: Patterns) -> list[bytes]:
    """Of the *lines* above a trace's telling line, those that no other process wrote between them."""
    first, *others = lines
    if prefix is not None:
        return [first, *(line for line in others if prefixes.split(line)[0] == prefix)]
    if traces.is_above(first, others[0] if others else b""):
        return lines
    return [first, *(line for line in others if not patterns.judge_following(line).head.starts_record)]
