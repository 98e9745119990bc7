"""What a line says of itself: its level, whether it is an access record, whether it begins a record.

A line is read from its left: times, brackets, names and separators are stepped over until a level stands there or the
message begins. So a level counts where the writer put it, and not where a message quotes the word:

    2026-01-31 10:00:00,123 - app.db - ERROR - INFO: said the server      ERROR
    INFO:     10.0.0.1:5000 - "GET /search?q=ERROR HTTP/1.1" 200 OK       INFO, an access record with status 200
    {"time":"…","severity":"error","message":"…"}                         ERROR
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

_WORDS = {
    DEBUG: "trace finest finer fine verbose debug debg dbg trc vrb",
    INFO: "info inf information informational notice config log success hint statement detail",
    WARNING: "warn warning wrn",
    ERROR: "error err critical crit crt fatal ftl severe alert emerg emergency panic fail failure",
}
# Words that are also ordinary: bare, they are a level only in capitals with a colon (PostgreSQL's `LOG:`).
_ORDINARY = {"fine", "config", "log", "success", "hint", "statement", "detail", "fail", "failure", "panic", "alert"}
LEVELS = {word.encode(): level for level, words in _WORDS.items() for word in words.split()}
_ALL_WORDS = "|".join(sorted((word.decode() for word in LEVELS), key=len, reverse=True))

# Only so much of a line is looked at for its level: a header is short, and no line may cost more than this.
HEADER_BYTES = 400


@dataclass(frozen=True, slots=True)
class Head:
    """What the beginning of a line told. *status* is the HTTP status when it is an access record.

    *message* is what follows times, brackets and separators: the start of it, without terminal colours.
    """

    level: int | None = None
    starts_record: bool = False
    status: int | None = None
    message: bytes = b""


ANSI = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]")

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = rb"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?(?:\ ?(?:Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b))?"
_DATE = (
    rb"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d\d[-/.]\d\d[-/.]\d{2,4}|" + _MONTH + rb"\ +\d{1,2}(?:,?\ \d{4})?"
    rb"|\d{1,2}[-/\ ]" + _MONTH + rb"[-/\ ]\d{4})"
)
_TIME = rb"(?:" + _DAY + rb",?\ )?" + _DATE + rb"(?:[T\ ,:_-]{1,2}" + _CLOCK + rb")?(?:\ \d{4}\b)?"

# What most records begin with. Nothing that begins so is a piece of a trace, and `read` says of all that it starts a
# record; a test holds it to that.
SURELY_STARTS = re.compile(
    rb"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|(?:INFO|DEBUG|WARN|WARNING|ERROR|CRITICAL):[ \t]|\{\""
    rb"|(?:\d{1,3}\.){3}\d{1,3} |" + _MONTH + rb"\ +\d{1,2}\ \d\d:\d\d:\d\d\ "
)

# One step over the header. The order counts: a time would also be a name.
_STEP = re.compile(
    rb"\s*(?:"
    rb"(?P<time>" + _TIME + rb"|" + _CLOCK + rb"|\d{10}(?:\.\d+|\d{3}|\d{6}|\d{9})?)(?=[\s\]|,:-]|$)[:,]?"
    rb"|(?P<bracket>[\[(<][^\])>\n]{0,120}[\])>]):?"
    rb"|(?P<level>(?i:" + _ALL_WORDS.encode() + rb"))(?:\[\w+\]|\(\d+\))?(?P<colon>:?)(?=[\s:|\])/,;]|-\s|$)"
    rb"|(?P<separator>[-|:*#>]+)(?=\s|$)"
    rb"|(?P<number>\#?\d[\d.,]*(?:\#\d+)?:?)(?=\s)"
    rb"|(?P<name>[A-Za-z_][\w.$/@:+-]*(?:\[[\w./-]*\])?(?:\([^)\s]*\))?:?)(?=\s)"
    rb")"
)
# `[ERROR]`, `[core:error]`, `[2026-01-31 10:00:00,123: ERROR/Worker-1]`, `[2026-01-31T10:00:00Z ERROR app]`
_IN_BRACKET = re.compile(
    rb"[\[(<]\s*(?:(?:" + _TIME + rb"|" + _CLOCK + rb")[\s,:|]*)?(?:[\w.-]*:)?"
    rb"(?P<word>(?i:" + _ALL_WORDS.encode() + rb"))(?:[/\s:].*)?\s*[\])>]$"
)
_LETTER = re.compile(rb"[\[<](?P<letter>[DIWECF])(?:\s+\d.*)?[\]>]$")
_GLOG = re.compile(rb"(?P<letter>[DIWEF])(?:\d{4} \d\d:\d\d:\d\d|, \[\d{4}-)")
_HAS_TIME = re.compile(rb"\d{1,2}:\d\d:\d\d|\d{4}-\d\d-\d\d")
_PRIORITY = re.compile(rb"<(?P<priority>\d{1,3})>")
_ADDRESS = re.compile(rb"(?:\d{1,3}\.){3}\d{1,3}\b|[0-9a-fA-F]*:[0-9a-fA-F:]+ - ")
_LETTERS = {b"D": DEBUG, b"I": INFO, b"W": WARNING, b"E": ERROR, b"C": ERROR, b"F": ERROR}

_LOGFMT = re.compile(
    rb"(?:^|[\s|])(?:level|lvl|severity|loglevel|log_level)=\"?(?P<word>(?i:" + _ALL_WORDS.encode() + rb"))\b"
)
_VERBS = rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE|PROPFIND)"
_ACCESS = re.compile(
    rb"\"(?:" + _VERBS + rb"|WebSocket) [^\"\n]{0,8000}\" (?P<quoted>\d{3})\b"
    rb"|^(?:\S{1,80} ){0,3}" + _VERBS + rb" /\S{0,2000} (?P<bare>\d{3})(?= in | - |\s+[\d.]+ ?m?s\b)"
    rb"|\| (?P<gin>\d{3}) \|.{0,200}\| +" + _VERBS + rb" "
    rb"|\bCompleted (?P<rails>\d{3}) [A-Z][A-Za-z ]{1,40} in \d"
    rb"|\d+/-?\d+/-?\d+/-?\d+/\+?\d+ (?P<haproxy>\d{3}) \+?\d+ "
)


def surely_starts_record(line: bytes) -> bool:
    """Whether it begins as most records do: a cheap look at the usual case. False: `read` it."""
    return SURELY_STARTS.match(line) is not None


def read(line: bytes) -> Head:
    """What *line* (without its newline) says of itself. Costs the same for a long line as for a short one."""
    start = line[:HEADER_BYTES]
    if b"\x1b" in start:
        line = ANSI.sub(b"", line[: HEADER_BYTES * 4])
        start = line[:HEADER_BYTES]
    head, message = _header(start)
    rest = line[message:]
    if head.level is None and rest[:1] == b"{":
        return _from_json(rest, head)
    status = _status(line)
    level = head.level if head.level is not None else _from_logfmt(line)
    starts = head.starts_record or status is not None or level is not None
    return Head(level, starts, status, rest[:HEADER_BYTES])


def _header(start: bytes) -> tuple[Head, int]:
    """The level and whether a record starts, by stepping over the header; and where the message begins."""
    letter = _GLOG.match(start)
    if letter:
        return Head(_LETTERS[letter["letter"]], starts_record=True), letter.end()
    position, level, timed = 0, None, False
    priority = _PRIORITY.match(start)
    if priority:
        severity = int(priority["priority"]) & 7
        position, timed = priority.end(), True
        level = ERROR if severity <= 3 else WARNING if severity == 4 else INFO if severity <= 6 else DEBUG
    walk = _Walk(start, position, timed)
    found = walk.level()
    if level is None or found is not None:
        level = found
    starts = walk.timed or level is not None or bool(_ADDRESS.match(start))
    return Head(level, starts), walk.message


class _Walk:
    """Steps over a header until a level stands there or the message begins."""

    def __init__(self, start: bytes, position: int, timed: bool) -> None:
        self.start = start
        self.position = self.message = position
        self.timed = timed
        self._begun = timed
        self._names = 0

    def level(self) -> int | None:
        if self.start[self.position : self.position + 1] in (b" ", b"\t"):
            return None  # an indented line belongs to what stands above it
        for _ in range(14):
            step = _STEP.match(self.start, self.position)
            if step is None:
                return None
            kind = step.lastgroup
            level = None
            if kind in ("colon", "level"):
                level = self._bare(step)
                kind = "name"
            elif kind == "bracket":
                level = self._bracketed(step["bracket"])
            if level is not None:
                self.message = step.end()
                return level
            if not self._may_step_over(kind, step):
                return None
            self.position = step.end()
            if kind != "name":
                self.message = len(self.start) - len(self.start[self.position :].lstrip())
        return None

    def _bare(self, step: re.Match[bytes]) -> int | None:
        """A bare word is a level in capitals, with a colon at the very start, or right after a time or separator."""
        word = step["level"]
        at_start = step.start("level") == 0
        if at_start and word == b"Error":
            return None  # `Error: text` is how Node prints an exception; `traces` knows it
        if word.lower().decode() in _ORDINARY and not (step["colon"] and (word.isupper() or word == b"fail")):
            return None
        if word.isupper() or step["colon"] or (self._begun and not self._names and not at_start):
            return LEVELS[word.lower()]
        return None

    def _bracketed(self, bracket: bytes) -> int | None:
        self.timed = self.timed or bool(_HAS_TIME.search(bracket))
        word = _IN_BRACKET.match(bracket)
        if word:
            return LEVELS[word["word"].lower()]
        letter = _LETTER.match(bracket)
        return _LETTERS[letter["letter"]] if letter else None

    def _may_step_over(self, kind: str | None, step: re.Match[bytes]) -> bool:
        if kind == "name":
            self._names += 1
            after = self.start[step.end() : step.end() + 20].lstrip()
            return (self._begun or after[:2] in (b"| ", b"- ")) and self._names <= 2
        if kind == "time":
            self.timed = True
        if kind != "number" or self.timed:
            self._begun = True
        self._names = 0
        return True


def _status(line: bytes) -> int | None:
    access = _ACCESS.search(line[: HEADER_BYTES * 24])
    return int(access[access.lastgroup]) if access and access.lastgroup else None


def _from_logfmt(line: bytes) -> int | None:
    found = _LOGFMT.search(line[: HEADER_BYTES * 4])
    return LEVELS[found["word"].lower()] if found else None


# -- JSON lines -------------------------------------------------------------------------------------------------------

_LEVEL_KEYS = (
    "level", "severity", "levelname", "lvl", "log.level", "loglevel", "log_level", "logLevel", "@l", "severity_text",
    "Level", "LEVEL", "Severity",
)  # fmt: skip
_STATUS_KEYS = ("status", "status_code", "statusCode", "DownstreamStatus", "response_code", "http.response.status_code")
_REQUEST_KEYS = {
    "method", "path", "url", "uri", "request", "req", "RequestMethod", "request_uri", "http.request.method",
}  # fmt: skip
_JSON_LEVEL = re.compile(rb"\"(?:level|severity|levelname|lvl|log\.level)\"\s*:\s*\"?(?P<word>[A-Za-z]+|\d+)")
_IS_NUMBER = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)
MESSAGE_KEYS = ("message", "msg", "event", "short_message", "@m", "@mt", "text")
# A line above this is judged by a look at its keys instead of being parsed whole.
JSON_BYTES = 256 << 10


def parsed(line: bytes) -> dict[str, object] | None:
    """The JSON object that *line* is, or None: too large, not JSON, nested without end, not an object."""
    if len(line) > JSON_BYTES or line[:1] != b"{":
        return None
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _from_json(line: bytes, head: Head) -> Head:
    fields = parsed(line)
    if fields is None:
        found = _JSON_LEVEL.search(line[: HEADER_BYTES * 24])
        level = _level_value("level", found["word"].decode()) if found else None
        return Head(level, head.starts_record or line[:2] == b'{"')
    return Head(_level_field(fields), True, _status_field(fields))


def _level_field(fields: dict[str, object]) -> int | None:
    for key in _LEVEL_KEYS:
        if key in fields:
            return _level_value(key, fields[key])
    nested = fields.get("log")
    if isinstance(nested, dict) and "level" in nested:
        return _level_value("level", nested["level"])
    if "t" in fields and fields.get("s") in ("E", "F", "W", "I", "D1", "D2"):
        return _LETTERS[str(fields["s"])[:1].encode()]  # MongoDB
    return None


def _level_value(key: str, value: object) -> int | None:
    text = str(value).strip()
    if _IS_NUMBER.fullmatch(text):
        return _level_number(int(text)) if key.lower().endswith(("level", "severity")) else None
    return LEVELS.get(text.lower().encode("utf-8", "replace"))


def _level_number(number: int) -> int:
    if number <= 7:  # syslog's severities, as in GELF
        return ERROR if number <= 3 else WARNING if number == 4 else INFO if number <= 6 else DEBUG
    # pino and bunyan: 30 info, 40 warn, 50 error, 60 fatal.
    return ERROR if number >= 50 else WARNING if number >= 40 else INFO if number >= 30 else DEBUG


def _status_field(fields: dict[str, object]) -> int | None:
    if not _REQUEST_KEYS.intersection(fields):
        return None
    answer = fields.get("res") or fields.get("response")
    places = [fields, answer] if isinstance(answer, dict) else [fields]
    for place in places:
        for key in _STATUS_KEYS:
            text = str(place.get(key, ""))
            if len(text) == 3 and text.isascii() and text.isdigit():
                return int(text)
    return None
