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
from daemons.log_watcher.words import DEBUG, ERROR, INFO, LEVELS, WARNING

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


_ALL = words.ALL.encode()
ANSI = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]")

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = (
    rb"(?:\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?(?:\ ?(?:[AP]M\b|Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b))?"
    rb"|\d{1,2}:\d\d\ ?[AP]M\b)"
)
_DATE = (
    rb"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d\d-\d\d(?=\ \d\d:)|\d{6}(?=\ \d{6}\ \d)|\d\d[-/.]\d\d[-/.]\d{2,4}|"
    + _MONTH
    + rb"\ +\d{1,2}(?:,?\ \d{4})?"
    rb"|\d{1,2}[-/\ ]" + _MONTH + rb"(?:[-/\ ]\d{4}|(?=\ \d\d:)))"
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
    rb"(?P<time>" + _TIME + rb"|" + _CLOCK + rb"|\d{10}(?:\.\d+|\d{3}|\d{6}|\d{9})?)(?=[\s\]|,:;-]|$)[:,;]?"
    rb"|(?P<bracket>[\[(<][^\])>\n]{0,120}[\])>]|\{[\w.:/-]{1,80}\}):?"
    rb"|(?P<level>(?i:" + _ALL + rb"))(?:\[[\w|:.-]+\]|\(\d+\))?(?P<colon>:?)(?=[\s:|\])/,;]|-\s|$)"
    rb"|npm\ (?P<of_npm>warn|WARN|notice|info|http|verb|sill)(?=\s)|(?P<of_apt>[WN]):(?=\ )"
    rb"|(?P<channel>[a-z][\w-]*\.)(?P<of_channel>[A-Z]{4,9})(?=: )"
    rb"|(?P<letter>[VDIWECF])(?=!?\ [A-Za-z\[/]|\ \|\ )"
    rb"|(?P<klog>[DIWECF])(?=\d{4}(?:\d{4})?\ \d\d:\d\d:\d\d)"
    rb"|[\w./-]{1,80}\[(?P<of_name>[A-Z]{4,8})\](?=:\ )"
    rb"|(?P<separator>\|+|[-|:*#>]+(?=\s|$))"
    rb"|(?P<pair>(?!level|lvl|severity|log)[a-z_]{1,30}=[^\s\"]{1,80})(?=\s)"
    rb"|(?P<number>0x[0-9a-f]+|\#?\d[\d.,]*(?:\#\d+)?:?|[0-9a-f]{8}-[0-9a-f-]{27})(?=[\s|])"
    rb"|(?P<name>[A-Za-z_][\w.$/@:+-]*(?:\[[\w./-]*\])?(?:\([^)\s]*\))?:?)(?=[\s|])"
    rb")"
)
# `[ERROR]`, `[core:error]`, `[2026-01-31 10:00:00,123: ERROR/Worker-1]`, `[2026-01-31T10:00:00Z ERROR app]`
_IN_BRACKET = re.compile(
    rb"[\[(<]\s*(?:(?:"
    + _TIME
    + rb"|"
    + _CLOCK
    + rb")[\s,:|]*)?(?:\d+:(?:\d+:)?\d{4}/\d{6}(?:\.\d+)?:|[\w.-]*[:#]|[\w .#-]{1,40}[/|])?"
    rb"(?P<word>(?i:" + _ALL + rb"))(?:[/\s:].*)?\s*[\])>]$"
)
_LETTER = re.compile(rb"[\[<](?P<letter>[DIWECF])(?:\s+\d.*)?[\]>]$")
_GLOG = re.compile(
    rb"(?P<letter>[VDIWECF])(?:/[\w.$-]{1,80} *\( *\d+\): | \[\d\d/|\d{4}(?:\d\d|\d{4})? \d\d:\d\d:\d\d|, \[\d{4}-"
    rb"| (?=\d{4}-\d\d-\d\d[ T]\d| ?\(\d+\) ))"
)
_HAS_TIME = re.compile(rb"\d{1,2}:\d\d:\d\d|\d{4}-\d\d-\d\d|\[ *\d+\.\d{3,6}\]")
_XORG = {b"(EE)": ERROR, b"(WW)": WARNING, b"(II)": INFO}
_KERNEL_TIME = re.compile(rb"\[ *\d+\.\d{6}\]")
_PRIORITY = re.compile(rb"<(?P<priority>\d{1,3})>")
_ADDRESS = re.compile(rb"(?:\d{1,3}\.){3}\d{1,3}\b|[0-9a-fA-F]*:[0-9a-fA-F:]+ - ")
_LETTERS = {b"V": DEBUG, b"D": DEBUG, b"I": INFO, b"W": WARNING, b"E": ERROR, b"C": ERROR, b"F": ERROR}

# `ERROR: 0`, `error: none`: a count or a field, not a level.
_NAMES_ERROR = re.compile(rb"(?:Error|Exception):?$")
_IS_NONE = re.compile(rb"\s*(?:0|none|null|nil|false|no|undefined)(?:[,;]|\.?\s*$)", re.IGNORECASE)
# A name in front of a level, at the beginning of a line: `shop.db: ERROR: …`, `app.py:17 ERROR …`, `nginx: [emerg] …`
_LEVEL_BEHIND = re.compile(
    rb"(?P<name>[A-Za-z_][\w-]*[.:\d][\w.:-]*|[A-Za-z_]\w*:) \[?(?P<word>(?i:" + _ALL + rb"))(?P<mark>:|\])?(?=\s)"
)
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
    + _ALL
    + rb"))\s*[\]>]|^[A-Za-z]\w{2,30}:(?P<named>(?i:"
    + _ALL
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
        return Head(_LETTERS[letter["letter"]], starts_record=True, is_timed=True), letter.end(), 0
    priority = _PRIORITY.match(start)
    if priority:
        return _behind_priority(start, priority)
    special = _special(start) if not start[:4].isdigit() else None
    if special is not None:
        return special
    walk = _Walk(start, 0, timed=False)
    level = walk.level()
    if level is None and walk.timed:
        postgres = _POSTGRES.search(start, 0, 300)
        level = LEVELS[postgres[postgres.lastgroup or ""].rstrip(b"12345").lower()] if postgres else None
    if level is None:
        level = _apart(start, walk.timed)
    starts = walk.timed or level is not None or bool(_ADDRESS.match(start))
    is_timed = walk.timed or _HAS_TIME.search(start, 0, 64) is not None
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
    walk = _Walk(start, priority.end(), timed=True)
    found = walk.level()
    if level < ERROR and found is not None and (walk.is_plain or found < ERROR):
        level = found
    return Head(level, starts_record=True, is_timed=True), walk.message, walk.said


class _Walk:
    """Steps over a header until a level stands there or the message begins."""

    def __init__(self, start: bytes, position: int, timed: bool) -> None:
        self.start = start
        self.position = self.message = position
        self.timed = timed
        self.is_plain = False  # the level that was found has a colon or brackets
        self._is_kernel = False
        self.said = 0  # where the first name or bracket behind a time stands
        self._begun = timed
        self._names = 0

    def level(self) -> int | None:
        if self.start[self.position : self.position + 1] in (b" ", b"\t") or self.start[:2] == b"# ":
            return None  # an indented line belongs to what stands above it; a test's remark has no level
        if not self._begun:
            self._step_over_name()
        for _ in range(14):
            step = _STEP.match(self.start, self.position)
            if step is None:
                return None
            kind = "name" if step.lastgroup in ("colon", "level") else step.lastgroup
            level = self._level_of(step)
            if level is not None and self._is_kernel:
                return None  # `INFO: task … blocked`, `BUG: …`: the kernel has no levels in its lines
            if level is not None:
                self.message = step.end()
                self.is_plain = kind in ("bracket", "of_channel") or self.start[step.end() - 1 : step.end()] == b":"
                return level
            if not self._may_step_over(kind, step):
                return None
            if self.timed and not self.said and kind in ("name", "bracket") and not _HAS_TIME.search(step[0]):
                self.said = len(self.start) - len(self.start[self.position :].lstrip())
            self.position = step.end()
            if kind != "name":
                self.message = len(self.start) - len(self.start[self.position :].lstrip())
        return None

    def _level_of(self, step: re.Match[bytes]) -> int | None:
        match step.lastgroup:
            case "colon" | "level":
                return self._bare(step)
            case "bracket":
                return self._bracketed(step["bracket"])
            case "of_channel" | "of_name":
                return LEVELS.get(step[step.lastgroup].lower())
            case "letter":
                return self._lettered(step)
            case "of_npm" | "of_apt":
                return None if step.start(step.lastgroup) > 4 else WARNING if step[step.lastgroup] in b"WARN" else INFO
            case "klog":
                return _LETTERS[step["klog"]]
        return None

    def _step_over_name(self) -> None:
        """A name at the very beginning is one if a level follows that looks like one."""
        found = _LEVEL_BEHIND.match(self.start)
        if found is None or found["name"].partition(b":")[0].lower() in LEVELS or _NAMES_ERROR.search(found["name"]):
            return
        is_program = found["mark"] == b":" and found["name"].endswith(b":") and found["name"].islower()
        is_plain = found["mark"] is not None and (found["word"].isupper() or found["mark"] == b"]" or is_program)
        if is_plain or (found["word"].isupper() and len(found["name"]) > 2):
            self.position = self.message = found.end("name")
            self._begun = True

    def _bare(self, step: re.Match[bytes]) -> int | None:
        """A bare word is a level in capitals, with a colon at the very start, or right after a time or separator."""
        word = step["level"]
        at_start = step.start("level") == 0
        if at_start and word == b"Error":
            return None  # `Error: text` is how Node prints an exception; `traces` knows it
        if not self.timed and (_IS_NONE.match(self.start, step.end()) or self.start[:1] == b"0"):
            return None
        if word.lower().decode() in words.ORDINARY and not self._must_be_level(step):
            return None
        if word.isupper() or step["colon"] or (self.timed and not self._names and not at_start):
            return LEVELS[word.lower()]
        return None

    def _must_be_level(self, step: re.Match[bytes]) -> bool:
        """Whether an ordinary word stands where only a level would: `LOG:`, `fail:`, or in a column of its own."""
        word, before = step["level"], self.start[: step.start("level")]
        if step["colon"]:
            return word.isupper() or word == b"fail"
        return (self.timed and word.isupper() and not self._names) or before[-1:] == b"\t"

    def _lettered(self, step: re.Match[bytes]) -> int | None:
        """`01-31 10:00:00.123  1234  5678 E ActivityManager: …`: a letter between times, numbers and a name."""
        before = self.start[: step.start("letter")]
        stands_alone = before[-1:] == b" " and (before[-2:-1].isdigit() or before[-2:-1] == b"Z")
        return _LETTERS[step["letter"]] if self.timed and stands_alone else None

    def _bracketed(self, bracket: bytes) -> int | None:
        self.timed = self.timed or bool(_HAS_TIME.search(bracket))
        self._is_kernel = self._is_kernel or _KERNEL_TIME.match(bracket) is not None
        if self.timed and bracket in _XORG:
            return _XORG[bracket]
        word = _IN_BRACKET.match(bracket)
        if word:
            return LEVELS[word["word"].lower()]
        letter = _LETTER.match(bracket)
        return _LETTERS[letter["letter"]] if letter else None

    def _may_step_over(self, kind: str | None, step: re.Match[bytes]) -> bool:
        if kind in ("name", "of_channel", "of_name"):
            self._names += 1
            after = self.start[step.end() : step.end() + 20].lstrip()
            return (self._begun or after[:2] in (b"| ", b"- ")) and self._names <= 2
        if kind == "time":
            self.timed = True
        if kind == "letter":
            return False
        if kind != "number" or self.timed:
            self._begun = True
        if kind != "pair":
            self._names = 0
        return True
