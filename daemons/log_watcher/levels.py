"""What a line says of itself: its level, whether it is an access record, whether it begins a record.

A line is read from its left: times, brackets, names and separators are stepped over until a level stands there or the
message begins. So a level counts where the writer put it, and not where a message quotes the word:

    2026-01-31 10:00:00,123 - app.db - ERROR - INFO: said the server      ERROR
    INFO:     10.0.0.1:5000 - "GET /search?q=ERROR HTTP/1.1" 200 OK       INFO, an access record with status 200
    {"time":"…","severity":"error","message":"…"}                         ERROR
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from daemons.log_watcher import access, structured, words
from daemons.log_watcher.header import ALL, HAS_TIME, LETTERS, MONTH, Walk
from daemons.log_watcher.words import ERROR, INFO, LEVELS, WARNING

# Only so much of a line is looked at for its level: a header is short, and no line may cost more than this.
HEADER_BYTES = 400


@dataclass(frozen=True, slots=True)
class Head:
    """What the beginning of a line told. *status* is the HTTP status when it is an access record.

    *message* is what follows times, brackets and separators: the start of it, without terminal colours; *said* is what
    follows the time, when names or brackets that may be part of the message were stepped over after it. *inside* is the
    line that a JSON object or a container's runtime carries, when that has to tell whether it is an error.
    """

    level: int | None = None
    starts_record: bool = False
    status: int | None = None
    message: bytes = b""
    said: bytes = b""
    inside: bytes | None = None
    is_timed: bool = False


ANSI = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]")

# What most records begin with. Nothing that begins so is a piece of a trace, and `read` says of all that it starts a
# record; a test holds it to that.
SURELY_STARTS = re.compile(
    rb"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|(?:INFO|DEBUG|WARN|WARNING|ERROR|CRITICAL):[ \t]|\{\""
    rb"|(?:\d{1,3}\.){3}\d{1,3} |" + MONTH + rb"\ +\d{1,2}\ \d\d:\d\d:\d\d\ "
)

_GLOG = re.compile(
    rb"(?P<letter>[VDIWECF])(?:/[\w.$-]{1,80} *\( *\d+\): | \[\d\d/|\d{4}(?:\d\d|\d{4})? \d\d:\d\d:\d\d|, \[\d{4}-"
    rb"| (?=\d{4}-\d\d-\d\d[ T]\d| ?\(\d+\) ))"
)
_PRIORITY = re.compile(rb"<(?P<priority>\d{1,3})>")
_ADDRESS = re.compile(rb"(?:\d{1,3}\.){3}\d{1,3}\b|[0-9a-fA-F]*:[0-9a-fA-F:]+ - ")
# PostgreSQL, whatever its line prefix: `UTC:10.0.0.1(5000):shop@orders:[17]:FATAL:  …`
_POSTGRES = re.compile(
    rb"[\s\]:@](?P<word>ERROR|FATAL|PANIC|LOG|WARNING|NOTICE|INFO|STATEMENT|DETAIL|HINT|DEBUG\d?):  \S"
    rb"|,(?P<column>ERROR|FATAL|PANIC|LOG|WARNING|NOTICE|INFO|DEBUG\d?),[0-9A-Z]{5},"
)
# A JSON object behind syslog's header.
_JSON_BEHIND = re.compile(rb"[^{\"]{1,200}?: (?=\{\")")
# A level that stands apart in a header of another form: `11:40:17 - <Error> - …`, `[Server thread/ERROR]: `.
_APART = re.compile(
    rb"(?:\[(?:[\w .-]{1,40}[/:|])?|(?:^|[\s\]])<|\]\[)\s?(?P<word>(?i:"
    + ALL
    + rb"))\s*[\]>]|^[A-Za-z]\w{2,30}:(?P<named>(?i:"
    + ALL
    + rb"))\s"
)
APART_BYTES = 120
# What a container's runtime writes in front of the line: `2026-01-31T10:00:00.123456789Z stderr F `
# What stands in front of such a level: brackets, a time and at most a few names, not a sentence.
_IN_BRACKETS = re.compile(rb"[\[(<{][^\])>}]*[\])>}]?")
_WORD_IN_FRONT = re.compile(rb"(?:^|\s)[A-Za-z_][\w.:/@-]*(?=\s|$)")
_SET_IN = re.compile(rb"\s{1,4}(?:\x1b\[[\d;]*m)*\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
# What Python, Node and pip warn of; what a function's runtime says of its runs.
_WARNING = re.compile(
    rb"(?!.{0,60}UnhandledPromise)(?:\S{1,200}:\d+: |\(node:\d+\) (?:\[\w+\] )?)?(?:\w+\.)*[A-Z]\w*Warning: "
)
# Windows' events as a table, and those of Kubernetes.
_EVENTS = re.compile(
    rb"(?P<of_windows>Error|Critical|Warning|Information|Verbose),(?=\d)"
    rb"|(?:\d+[smhd]){1,2}(?: \(x\d+ over \S+\))?\s+(?P<of_kubernetes>Normal|Warning)\s"
)
_LAMBDA = re.compile(rb"(?:START|END|REPORT|INIT_START) (?:RequestId: |Runtime)")
_RUNTIME = re.compile(rb"\d{4}-\d\d-\d\dT\S{8,30} std(?:out|err) [FP] ")


def is_record_set_in(line: bytes) -> bool:
    """Whether *line*, which is set in, begins with date and time all the same."""
    return _SET_IN.match(line) is not None


def surely_starts_record(line: bytes) -> bool:
    """Whether it begins as most records do: a cheap look at the usual case. False: `read` it."""
    return SURELY_STARTS.match(line) is not None


def read(line: bytes) -> Head:
    """What *line* (without its newline) says of itself. Costs the same for a long line as for a short one."""
    start = line[:HEADER_BYTES]
    if b"\x1b" in start:
        line = ANSI.sub(b"", line[: HEADER_BYTES * 4])
        start = line[:HEADER_BYTES]
    runtime = _RUNTIME.match(start)
    if runtime:
        return _inside(line[runtime.end() :])
    head, message, said = _header(start)
    behind = _JSON_BEHIND.match(line) if head.level is None and head.starts_record else None
    rest = line[behind.end() if behind else message :]
    fields = structured.read_json(rest) if head.level is None and rest[:1] == b"{" else None
    if fields is not None:
        if fields.line:
            return _inside(fields.line)
        is_told = fields.level is not None or fields.status is not None or fields.line is None
        return Head(fields.level, True, fields.status, inside=None if is_told else b"", is_timed=True)
    is_asked = _ADDRESS.match(start) is not None
    if head.level is not None and head.level >= ERROR and not is_asked:
        return Head(head.level, True, None, rest[:HEADER_BYTES], is_timed=head.is_timed)
    status = access.status(line)
    level = head.level if head.level is not None else access.logfmt_level(line)
    if status is not None and is_asked:
        level = None  # the record of a request has no level: what looks like one is a user's name
    starts = head.starts_record or status is not None or level is not None
    return Head(level, starts, status, rest[:HEADER_BYTES], start[said:] if said else b"", is_timed=head.is_timed)


def _inside(line: bytes) -> Head:
    """What *line* says of itself, which stands inside another line."""
    inner = read(line[: HEADER_BYTES * 24])
    inside = line[: HEADER_BYTES * 24] if inner.inside is None else inner.inside
    return Head(inner.level, True, inner.status, inner.message, inner.said, inside, is_timed=True)


def _header(start: bytes) -> tuple[Head, int, int]:
    """The level and whether a record starts, by stepping over the header; where the message begins, or perhaps does."""
    letter = _GLOG.match(start)
    if letter:
        return Head(LETTERS[letter["letter"]], starts_record=True, is_timed=True), letter.end(), 0
    priority = _PRIORITY.match(start)
    if priority:
        return _behind_priority(start, priority)
    special = _special(start) if not start[:4].isdigit() else None
    if special is not None:
        return special
    walk = Walk(start, 0, timed=False)
    level = walk.level()
    if level is None and walk.timed:
        postgres = _POSTGRES.search(start, 0, 300)
        level = LEVELS[postgres[postgres.lastgroup or ""].rstrip(b"12345").lower()] if postgres else None
    if level is None:
        level = _apart(start, walk.timed)
    starts = walk.timed or level is not None or bool(_ADDRESS.match(start))
    is_timed = walk.timed or HAS_TIME.search(start, 0, 64) is not None
    return Head(level, starts, is_timed=is_timed), walk.message, walk.said if level is None else 0


def _special(start: bytes) -> tuple[Head, int, int] | None:
    """Like `_header`, for the lines whose header has a form of its own."""
    warning = _WARNING.match(start) if b"Warning: " in start else None
    if warning:
        return Head(WARNING, starts_record=True), warning.end(), 0
    event = _EVENTS.match(start)
    if event:
        return Head(LEVELS.get((event["of_windows"] or event["of_kubernetes"]).lower(), INFO), True), event.end(), 0
    if _LAMBDA.match(start):
        return Head(INFO, starts_record=True), 0, 0
    return None


def _apart(start: bytes, is_timed: bool) -> int | None:
    """The level that stands in brackets of its own near the beginning, if it is a plain one."""
    if start[:1] in (b" ", b"\t", b"{", b"#"):
        return None
    found = _APART.search(start, 0, APART_BYTES)
    if found and len(_WORD_IN_FRONT.findall(_IN_BRACKETS.sub(b" ", start[: found.start()]))) > (2 if is_timed else 1):
        return None
    if (
        found
        and not is_timed
        and found["word"]
        and found["word"].islower()
        and _WORD_IN_FRONT.search(start[: found.start()])
    ):
        return None
    word = (found["word"] or found["named"]).lower() if found else b""
    return LEVELS[word] if word and word.decode() not in words.ORDINARY else None


def _behind_priority(start: bytes, priority: re.Match[bytes]) -> tuple[Head, int, int]:
    """Syslog's number says what it is, unless it is none and the message says plainly that it is an error."""
    level = words.level_of_severity(int(priority["priority"]) & 7)
    walk = Walk(start, priority.end(), timed=True)
    found = walk.level()
    if level < ERROR and found is not None and (walk.is_plain or found < ERROR):
        level = found
    return Head(level, starts_record=True, is_timed=True), walk.message, walk.said
