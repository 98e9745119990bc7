"""Regular expressions in linear time: the engine for the users' patterns and for scanning blocks.

Python's `re` backtracks: 44 s on `(a+)+$` against 28 characters. google-re2 never does (0.03 ms), and scans a block
at 650 MB/s where `re` reaches 140. It has no look-around and no back-references: a pattern that needs them is refused
with one line at the start, instead of being run on an engine that one log line can stop.

Where there is no google-re2, Python's `re` takes its place, slower and with the same answers: for our own patterns,
and for those of the users that no line can make slow (without `*`, `+` and wide `{}`). Others are refused, with a line.

Patterns and lines are bytes. A pattern is UTF-8, so what it spells literally is found in UTF-8 logs; in other logs its
ASCII part is. `\\b`, `\\w`, `\\d` are ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

try:
    import re2
except ImportError:  # a platform without a wheel
    re2 = None

MAX_MEMORY_BYTES = 16 << 20
_PIECE = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|\{\d+(?:,\d*)?\}|.", re.DOTALL)
_LINE_END = r"(?:\r?$)"
_IN_BLOCK = {"$": _LINE_END, r"\z": _LINE_END, r"\Z": _LINE_END, r"\A": "^"}
_NARROW = re.compile(r"\{\d(?:,\d)?\}")


class Match(Protocol):
    def start(self) -> int: ...

    def end(self) -> int: ...


class Pattern(Protocol):
    def search(self, text: bytes, pos: int = 0, endpos: int = ...) -> Match | None: ...


class NotLinear(ValueError):
    """A pattern that cannot run in linear time. The text says which and why."""


def compile_one(pattern: str) -> Pattern:
    """*pattern* for lines without their newline. NotLinear when RE2 refuses it."""
    if re2 is None:
        _refuse_repeats(pattern)
    return _compile(_translated(pattern), pattern)


def compile_any(patterns: Iterable[str]) -> Pattern:
    """One pattern that is found wherever one of *patterns* is, in a block of many lines.

    No match holds a newline; `^` and `$` are the ends of lines, whose ending may be `\\r\\n`.
    """
    union = "|".join(f"(?:{for_block(pattern)})" for pattern in patterns)
    return _compile(f"(?m:{union})", "all patterns together")


def for_block(pattern: str) -> str:
    """*pattern*, written for one line, as it has to be for a block: its ends are those of lines."""
    return "".join(_IN_BLOCK.get(piece, piece) for piece in _PIECE.findall(pattern))


def _translated(pattern: str) -> str:
    return pattern.replace(r"\Z", r"\z")


def _compile(pattern: str, told_as: str) -> Pattern:
    if re2 is None:
        return _compile_plainly(pattern, told_as)
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MAX_MEMORY_BYTES
    try:
        compiled: Pattern = re2.compile(pattern.encode("utf-8", "surrogateescape"), options)
    except re2.error as wrong:
        reason = wrong.args[0] if wrong.args else "refused"
        raise _not_linear(told_as, _shown(reason)) from None
    return compiled


def _shown(reason: object) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _not_linear(pattern: str, reason: str) -> NotLinear:
    return NotLinear(
        f"the pattern '{pattern}' cannot run in linear time ({reason}); write it without look-around, "
        "back-references and repeats above 1000"
    )


# -- without google-re2 -----------------------------------------------------------------------------------------------


def _compile_plainly(pattern: str, told_as: str) -> Pattern:
    # `re` knows the very end by another name, and wants flags with their group.
    pattern = pattern.replace(r"\z", r"\Z").replace("(?:(?i)", "(?i:")
    try:
        return re.compile(pattern.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError) as wrong:
        raise _not_linear(told_as, str(wrong)) from None


def _refuse_repeats(pattern: str) -> None:
    for piece in _PIECE.findall(pattern):
        if piece in ("*", "+") or (piece[0] == "{" and len(piece) > 1 and not _NARROW.fullmatch(piece)):
            raise _not_linear(pattern, f"{piece} needs the package google-re2, which is not installed here")
