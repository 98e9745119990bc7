"""Stepping over the header of a record, from its left, until a level stands there or the message begins.

    2026-01-31 10:00:00,123 | shop.cart | ERROR | lost it
    time                    ^ name      ^ level           separators between them

The steps are tried in an order; a name is one only where a level, or the end of the header, may follow it.
"""

from __future__ import annotations

import re

from daemons.log_watcher import words
from daemons.log_watcher.words import DEBUG, ERROR, INFO, LEVELS, WARNING

ALL = words.ALL.encode()
MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = (
    rb"(?:\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?(?:\ ?(?:[AP]M\b|Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b))?"
    rb"|\d{1,2}:\d\d\ ?[AP]M\b)"
)
_DATE = (
    rb"(?:\d{4}[-/.]\d\d[-/.]\d\d|\d\d-\d\d(?=\ \d\d:)|\d{6}(?=\ \d{6}\ \d)|\d\d[-/.]\d\d[-/.]\d{2,4}|"
    + MONTH
    + rb"\ +\d{1,2}(?:,?\ \d{4})?"
    rb"|\d{1,2}[-/\ ]" + MONTH + rb"(?:[-/\ ]\d{4}|(?=\ \d\d:)))"
)
_TIME = rb"(?:" + _DAY + rb",?\ )?" + _DATE + rb"(?:[T\ ,:_-]{1,2}" + _CLOCK + rb")?(?:\ \d{4}\b)?"

# One step over the header. The order counts: a time would also be a name.
_STEP = re.compile(
    rb"\s*(?:"
    rb"(?P<time>" + _TIME + rb"|" + _CLOCK + rb"|\d{10}(?:\.\d+|\d{3}|\d{6}|\d{9})?)(?=[\s\]|,:;-]|$)[:,;]?"
    rb"|(?P<bracket>[\[(<][^\])>\n]{0,120}[\])>]|\{[\w.:/-]{1,80}\}):?"
    rb"|(?P<level>(?i:" + ALL + rb"))(?:\[[\w|:.-]+\]|\(\d+\))?(?P<colon>:?)(?=[\s:|\])/,;]|-\s|$)"
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
    rb"(?P<word>(?i:" + ALL + rb"))(?:[/\s:].*)?\s*[\])>]$"
)
_LETTER = re.compile(rb"[\[<](?P<letter>[DIWECF])(?:\s+\d.*)?[\]>]$")
HAS_TIME = re.compile(rb"\d{1,2}:\d\d:\d\d|\d{4}-\d\d-\d\d|\[ *\d+\.\d{3,6}\]")
_XORG = {b"(EE)": ERROR, b"(WW)": WARNING, b"(II)": INFO}
_KERNEL_TIME = re.compile(rb"\[ *\d+\.\d{6}\]")
LETTERS = {b"V": DEBUG, b"D": DEBUG, b"I": INFO, b"W": WARNING, b"E": ERROR, b"C": ERROR, b"F": ERROR}

# `ERROR: 0`, `error: none`: a count or a field, not a level.
_NAMES_ERROR = re.compile(rb"(?:Error|Exception):?$")
_IS_NONE = re.compile(rb"\s*(?:0|none|null|nil|false|no|undefined)(?:[,;]|\.?\s*$)", re.IGNORECASE)
# A name in front of a level, at the beginning of a line: `shop.db: ERROR: …`, `app.py:17 ERROR …`, `nginx: [emerg] …`
_LEVEL_BEHIND = re.compile(
    rb"(?P<name>[A-Za-z_][\w-]*[.:\d][\w.:-]*|[A-Za-z_]\w*:) \[?(?P<word>(?i:" + ALL + rb"))(?P<mark>:|\])?(?=\s)"
)


class Walk:
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
            if self.timed and not self.said and kind in ("name", "bracket") and not HAS_TIME.search(step[0]):
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
                return LETTERS[step["klog"]]
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
        return LETTERS[step["letter"]] if self.timed and stands_alone else None

    def _bracketed(self, bracket: bytes) -> int | None:
        self.timed = self.timed or bool(HAS_TIME.search(bracket))
        self._is_kernel = self._is_kernel or _KERNEL_TIME.match(bracket) is not None
        if self.timed and bracket in _XORG:
            return _XORG[bracket]
        word = _IN_BRACKET.match(bracket)
        if word:
            return LEVELS[word["word"].lower()]
        letter = _LETTER.match(bracket)
        return LETTERS[letter["letter"]] if letter else None

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
