"""An event while it is being read: which of the following lines belong to it.

It goes on over its trace, over set-in lines, and, in a log whose records have a recognisable beginning, over lines that
have none. A record of another process may stand in the middle of a trace: it is stepped over for a while, and only what
is unmistakably a piece of the trace is taken after it. (21 real traces: kept whole 21 of 21; by indentation alone 0, by
record starts alone 2, by the usual rules of log shippers 1.)
"""

from __future__ import annotations

from daemons.log_watcher import prefixes, traces
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


class Record:
    """The lines of one event so far. `take` each following line until it is `closed`."""

    def __init__(self, line: bytes, judgement: Judgement, preamble: bytes = b"") -> None:
        above = preamble.splitlines()
        self.preamble_bytes = len(preamble)
        self.closed = False
        self._first = [*above, line]
        self._last: list[bytes] = []
        self._prefix, bare = prefixes.split(line)
        self._left_out = 0
        self._bytes = len(line)
        self._count = 1
        self._blanks = 0
        self._foreign = self._foreign_in_a_row = 0
        # A record that may go on below: not a JSON object, not a line of an access log.
        self._structured = judgement.head.starts_record and judgement.why != "access" and line[:1] != b"{"
        self._in_trace = bool(above)  # frames, or a trace's head, have been seen
        self._python_frames = False  # a Traceback whose last line has not come yet
        self._exception = False  # the line that names the exception has been seen
        self._chained = False  # the line before said that another trace follows
        self._ends_with_exception = False  # the last line taken was that line
        self._plain_allowed = 0  # so many lines without any shape belong here, also after a blank one
        self._plain = 0  # so many of them in a row have been taken
        self._in_message = False  # the last line was part of a message, not of the code's way there
        self._note(bare, traces.shape(bare))

    @property
    def lines(self) -> tuple[bytes, ...]:
        left_out = (b"[... %d lines left out ...]" % self._left_out,) if self._left_out else ()
        return (*self._first, *left_out, *self._last)

    @property
    def bare_lines(self) -> tuple[bytes, ...]:
        """The lines without what a container's runtime or syslog wrote in front of them."""
        return self.lines if self._prefix is None else tuple(prefixes.split(line)[1] for line in self.lines)

    @property
    def lacks_its_end(self) -> bool:
        """Whether more is due: frames without the exception, or a trace of a kind whose last line looks like any."""
        return self._python_frames or self._plain_allowed > 0 or (self._in_trace and not self._exception_ended)

    @property
    def _exception_ended(self) -> bool:
        return self._exception and not self._chained and self._ends_with_exception

    def is_ignored(self, patterns: Patterns) -> bool:
        """Whether the user's ignore patterns find the line that names the exception. Frames don't count."""
        named = [line for line in self.bare_lines if traces.exception_type(line)]
        return self._in_trace and any(patterns.is_ignored(line) for line in named[-1:])

    def take(self, line: bytes, patterns: Patterns) -> bool:
        """Add *line* (True), step over it, or close: then it is not part of this event and may begin another."""
        prefix, bare = (None, line) if self._prefix is None else prefixes.split(line)
        shape = traces.shape(bare)
        if self._bytes > LIMIT_BYTES or self._count >= LIMIT_LINES:
            self.closed = True
        elif prefix != self._prefix or self._is_record_of_its_own(bare, shape):
            self._other(patterns.judge_following(line))
        elif shape == "blank":
            self._blanks += 1
        elif self._belongs(bare, shape, patterns):
            self._keep(line, bare, shape)
            return True
        return False

    def _is_record_of_its_own(self, bare: bytes, shape: Shape) -> bool:
        """Whether a line that has a time in front, as all have, is more than a piece of a trace."""
        if self._prefix is None or not self._prefix.is_timed or shape != "plain":
            return False
        is_expected = self._python_frames or self._plain_allowed or self._in_message or traces.is_piece(bare)
        return not (self._in_trace and is_expected)

    def _belongs(self, line: bytes, shape: Shape, patterns: Patterns) -> bool:
        if shape == "frame" or (shape == "chain" and self._in_trace):
            return True
        if shape == "head" and line[:1] in (b" ", b"|") and not self._foreign:
            return True  # the parts of an exception group
        if shape == "indented" and (not self._foreign or self._python_frames):
            return True
        if self._foreign and self._goes_on_behind_others(line, shape):
            return True
        judgement = patterns.judge_following(line)
        if judgement.head.starts_record or (self._foreign and not self._python_frames):
            self._other(judgement)
            return False
        if self._fits(line, shape, judgement):
            return True
        self.closed = True
        return False

    def _goes_on_behind_others(self, line: bytes, shape: Shape) -> bool:
        """Whether *line*, which follows lines of others, is unmistakably a piece of this trace."""
        if self._chained and shape in ("head", "lead", "exception"):
            return True
        return self._in_trace and not self._exception_ended and traces.is_piece(line)

    def _other(self, judgement: Judgement) -> None:
        """A line of somebody else's: an error of its own ends this event, anything else only after a while."""
        limit = FOREIGN_INSIDE if self._python_frames else FOREIGN_AFTER if self.lacks_its_end else 0
        self._foreign += 1
        self._foreign_in_a_row += 1
        self.closed = bool(judgement.why) or self._foreign_in_a_row > limit

    def _fits(self, line: bytes, shape: Shape, judgement: Judgement) -> bool:
        """Whether an unindented line without a record's beginning goes on with this event."""
        if self._python_frames or self._plain_allowed:
            return True
        if shape in ("head", "lead", "exception"):
            return self._chained or not self._exception
        if shape in ("note", "chain"):
            return self._in_trace or self._structured
        if self._in_trace and traces.is_go_call(line):
            return True
        # A message goes on over lines of any look; after a blank line or a frame, those are somebody else's.
        goes_on = self._in_trace and self._in_message and not self._blanks and self._plain < PLAIN_LINES
        return (self._structured or goes_on) and not judgement.why

    def _keep(self, line: bytes, bare: bytes, shape: Shape) -> None:
        for _ in range(self._blanks):
            self._append(b"")
        self._blanks = self._foreign_in_a_row = 0
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
            shape not in ("frame", "indented", "head") or traces.names_group_member(line)
        )
        self._plain_allowed = max(0, self._plain_allowed - 1)
        self._plain = self._plain + 1 if shape == "plain" else 0
        self._in_message = ended_frames or shape in ("head", "exception") or (shape == "plain" and self._in_message)
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
        if shape == "lead":
            self._plain_allowed = 2
        elif traces.says_more_below(line):
            self._plain_allowed = MESSAGE_LINES
        elif shape == "frame":
            self._plain_allowed = 0
