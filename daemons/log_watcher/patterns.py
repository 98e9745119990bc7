"""Which line is an error: by what it says of itself, by its shape, and by the settings' patterns.

1. A trace's head is an error, whatever stood above it.
2. An access record is one when its status is 5xx.
3. A level decides: ERROR and above is one, INFO and below is none, whatever words the message quotes. WARNING is none
   either, unless a pattern that the user wrote finds it: the words that everybody has by default don't.
4. A line that says nothing of itself is one when an error pattern finds it and doesn't count zero of it ("0 FAILED").

Ignore patterns that come with the suite silence what rules 2 and 4 find, never a level or a trace: "healthcheck" in an
ERROR line is still an error. Those that a user wrote silence every line that they find. A pattern that is only the
name of a level (`INFO:`) means the lines of that level, which rule 3 has dealt with already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from daemons.log_watcher import blocks, engine, failures, gate, levels, prefixes, traces, words
from daemons.log_watcher.known import Known
from daemons.log_watcher.levels import Head
from daemons.log_watcher.scanner import Scanner
from daemons.settings import ERROR_PATTERNS, IGNORE_PATTERNS, Settings, SettingsError

# In the folder of what runs: the block scan's patterns, compiled.
COMPILED = "log-patterns.compiled"

Why = Literal["", "trace", "access", "level", "pattern"]

_LEVEL_NAME = re.compile(r"[\^\[(]?(?:\\b)?\\?\[?(?:INFO|DEBUG|TRACE|NOTICE|WARN|WARNING)\\?\]?:?(?:\\b)?[)\]$]?")
_ZERO_OF = re.compile(rb"\b(?i:0|no|zero|without)[ \t]+$")
# Part of a path or a name: `https://docs.example/ERROR/handling`, `/bin/check-ERROR-pages`, `unit ERROR-7`.
_IN_PATH = re.compile(rb"[^\s\"'(=]*/[^\s\"']*$")
_NAME_GOES_ON = re.compile(rb"-\w")
_IS_ZERO = re.compile(rb"[\"']?\s{0,3}[=:]\s{0,3}0\b(?![.,]\d)")
# Lines that tell of our own alerts, in the mailbox or in the log of whoever reads it: reporting them would never end.
_OWN = re.compile(rb"system:log-watcher ->|/attachments/log-alert-\d{6}|\"daemon\": ?\"log_watcher\"")
# How a level must stand in a line that is set in: behind a time, in brackets, before a colon or in a column.
_SAYS_LEVEL = re.compile(rb"[\[<\d]|[A-Za-z]{3,8}(?: {2,}|: *\D|\s?[|\[\]])")
_SUBJECT = b"[LOG ALERT] "


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one line is: an error and why (`why` is empty for none), and what it says of itself.

    *is_ordinary*: it holds nothing that the block scan would stop at.
    """

    why: Why
    head: Head
    is_ordinary: bool = False


_QUIET_RECORD = Judgement("", Head(starts_record=True), is_ordinary=True)


class Patterns:
    """The settings' patterns, compiled. SettingsError for one that can't run in linear time."""

    def __init__(self, conf: Settings) -> None:
        own_errors = [pattern for pattern in conf.error_patterns if pattern not in ERROR_PATTERNS]
        ignores = [pattern for pattern in conf.ignore_patterns if not _LEVEL_NAME.fullmatch(pattern)]
        own_ignores = [pattern for pattern in ignores if pattern not in IGNORE_PATTERNS]
        self._errors = _compiled("CMUX_ERROR_PATTERNS", list(conf.error_patterns))
        self._own_errors = _compiled("CMUX_ERROR_PATTERNS", own_errors)
        self._ignores = _compiled("CMUX_IGNORE_PATTERNS", ignores)
        self._own_ignores = _compiled("CMUX_IGNORE_PATTERNS", own_ignores)
        may_be_errors = [*gate.GATE, *(pattern for pattern in conf.error_patterns if not gate.adds_nothing(pattern))]
        self._scanner = Scanner(may_be_errors, kept=conf.run_dir / COMPILED)
        # What a user's pattern ignores, it finds by the digits too.
        self.known = Known(IGNORE_PATTERNS) if self._own_ignores is None else None

    def places(self, block: bytes) -> list[int]:
        """Ascending places in *block*: every line that is an error by itself holds one, and few others do."""
        return self._scanner.places(block)

    def judge(self, line: bytes) -> Judgement:
        """Whether *line* (without its newline) is an error by itself."""
        head = levels.read(line)
        return Judgement(self._why(line, head), head)

    def judge_following(self, line: bytes) -> Judgement:
        """Like `judge`, cheaper for the line that usually ends an event: a quiet record that begins with a date."""
        if self._scanner.places(line + b"\n"):
            return self.judge(line)
        return (
            _QUIET_RECORD if levels.surely_starts_record(line) else Judgement("", levels.read(line), is_ordinary=True)
        )

    def is_ignored(self, line: bytes) -> bool:
        """Whether an ignore pattern that the user wrote finds *line*."""
        return self._own_ignores is not None and self._own_ignores.search(line) is not None

    def _why(self, line: bytes, head: Head) -> Why:
        if _OWN.search(line):
            return ""
        if head.level is not None and head.level >= words.ERROR:
            return "" if self.is_ignored(line) else "level"
        if _SUBJECT in line:
            return ""
        if head.status is not None:
            return "access" if head.status >= 500 and not self._ignored(line) else ""
        if head.level is not None:
            return self._despite_level(line, head.level)
        plain = levels.ANSI.sub(b"", line) if b"\x1b" in line else line
        if head.inside is not None:
            return self._inside(plain, head)
        bare = prefixes.split(plain)[1]
        said = (head.message, head.said) if head.starts_record else ()
        if _heads_trace(bare) or any(map(traces.is_head, said)):
            return "" if self.is_ignored(line) else "trace"
        if bare[:4].isspace():
            return self._indented(plain, bare)
        if failures.is_success(bare):
            return ""
        told = self._tells_failure(plain, head.message, head.said)
        return "pattern" if told or self._found(plain, self._errors) else ""

    def _indented(self, line: bytes, bare: bytes) -> Why:
        """Whether a line that is set in, so a part of what stands above it, is an error all the same."""
        stripped = bare.lstrip()
        level = levels.read(stripped).level
        told = level >= words.ERROR if level is not None and _SAYS_LEVEL.match(stripped) else failures.is_result(bare)
        return "pattern" if (told and not self._ignored(line)) or self._found(line, self._own_errors) else ""

    def _inside(self, line: bytes, head: Head) -> Why:
        """Whether a line is an error by what stands inside it, or by what a user's pattern finds in all of it."""
        inside = head.inside or b""
        if traces.is_head(inside) or traces.is_head(head.message):
            return "" if self.is_ignored(line) else "trace"
        told = self._tells_failure(inside, head.message) or self._found(inside, self._errors)
        return "pattern" if told or self._found(line, self._own_errors) else ""

    def _tells_failure(self, line: bytes, *parts: bytes) -> bool:
        return failures.is_failure(line, *parts) and not self._ignored(line)

    def _despite_level(self, line: bytes, level: int) -> Why:
        if level == words.WARNING and blocks.is_heading(prefixes.split(line)[1]):
            return "" if self.is_ignored(line) else "trace"
        own = level == words.WARNING and self._own_errors is not None and self._own_errors.search(line)
        return "pattern" if own and not self._ignored(line) else ""

    def _found(self, line: bytes, errors: engine.Pattern | None) -> bool:
        """Whether one of *errors* finds something that is said: not counted as none, nor part of a path."""
        if errors is None or failures.is_success(line):
            return False
        position = 0
        while (found := errors.search(line, position)) is not None:
            before = line[max(0, found.start() - 200) : found.start()]
            counts_zero = _ZERO_OF.search(before[-12:]) or _IS_ZERO.match(line, found.end())
            if not counts_zero and not _is_in_name(before, line[found.end() : found.end() + 2]):
                return not self._ignored(line)
            position = max(found.end(), position + 1)
        return False

    def _ignored(self, line: bytes) -> bool:
        return self._ignores is not None and self._ignores.search(line) is not None


def _heads_trace(line: bytes) -> bool:
    return traces.is_head(line) or blocks.is_heading(line)


def _is_in_name(before: bytes, behind: bytes) -> bool:
    """Whether a word between *before* and *behind* is part of a path, an address or a longer name."""
    return behind[:1] != b":" and (_IN_PATH.search(before) is not None or _NAME_GOES_ON.match(behind) is not None)


def _compiled(setting: str, patterns: list[str]) -> engine.Pattern | None:
    for pattern in patterns:
        try:
            engine.compile_one(pattern)
        except engine.NotLinear as wrong:
            raise SettingsError(f"{setting}: {wrong}") from None
    return engine.compile_any(patterns) if patterns else None
