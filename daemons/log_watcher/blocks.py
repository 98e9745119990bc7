"""Errors that are printed as a block of a known kind, whose end shows: what tells one, which lines are part of it.

    =ERROR REPORT==== 31-Jan-2026::10:00:00 ===        up to a blank line
    ╷ │ Error: Unsupported argument │ … ╵              the lines of a box
    ==17==ERROR: AddressSanitizer: … ABORTING          up to its last line

Other events grow as `record` says. What stands above a block, as its frame, belongs to it too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOOK_BYTES = 200


@dataclass(frozen=True, slots=True)
class Block:
    """A block begins with a line that *head* matches, and goes on over lines that *inside* does, to one like *last*.

    *above* matches the line above its head that is part of it.
    """

    head: re.Pattern[bytes]
    inside: re.Pattern[bytes]
    last: re.Pattern[bytes]
    above: re.Pattern[bytes]


def _block(head: str, inside: str, last: str = r"(?!)", above: str = r"(?!)") -> Block:
    return Block(*(re.compile(pattern.encode()) for pattern in (head, inside, last, above)))


# Not the beginning of a record with a time or a level.
_NO_RECORD = r"(?!\[?\d{4}[-/.]\d\d|\d\d:\d\d|\[?(?:INFO|DEBUG|WARN|ERROR|TRACE|CRITICAL|FATAL)|\w{3} [ \d]\d \d\d:|\{)"
_BLOCKS = (
    _block(r"=(?:ERROR|CRASH|SUPERVISOR) REPORT==== ", r"(?!\d{4}-\d\d-\d\d[ T])[^=]"),
    _block(r"\*\*\* FATAL CONFIG FILE ERROR", r"\S", r"(?!Reading |>>> )"),
    _block(r"\s*│ Error: ", r"\s*[│╵]", r"\s*╵", r"\s*╷$"),
    _block(r"\s*╭(?:─)+ ?Traceback \(most recent call last\)", r"\s*[│╰]|\s*[\w.]+: |\s*\w+$", r"\s*\w[\w.]*(?:: |$)"),
    _block(
        r"==\d+==\s?ERROR: \w+Sanitizer|==\d+==ERROR: ",
        _NO_RECORD + r"|\s*$|SUMMARY: ",
        r"==\d+==ABORTING",
        r"={20,}$",
    ),
    _block(r"WARNING: DATA RACE", _NO_RECORD + r"|$", r"={18}$", r"={18}$"),
    _block(r"==\d+== (?:Invalid |Use of uninit|Conditional jump|Mismatched|Process terminating)", r"==\d+== +\S"),
    _block(r"# A fatal error has been detected by", r"#", r"(?!)", r"#$"),
    _block(r"APPLICATION FAILED TO START", _NO_RECORD + r"|\s*$", r"(?!)", r"\*{20,}$"),
    _block(
        r"FAILURE: Build failed with an exception|FAILURE: Build completed with \d+ failures", r"\*|>|\s|Execution |$"
    ),
)
LEADS = (
    "REPORT==== ", "AddressSanitizer: |(?:Leak|Thread|Memory)Sanitizer: ", "DATA RACE",
    r"==\d+== (?:Inv|Use|Cond|Mis|Proc)",
    "FAILED TO START",
)  # fmt: skip


_RULE = re.compile(rb"[=-]{18,}$")
_HEADS = re.compile(b"|".join(b"(?:%s)" % block.head.pattern for block in _BLOCKS))
_ABOVE = re.compile(b"|".join(b"(?:%s)" % block.above.pattern for block in _BLOCKS))


def is_heading(line: bytes) -> bool:
    """Whether *line* begins a block: an error by its shape."""
    return _HEADS.match(line, 0, LOOK_BYTES) is not None


def is_announced(line: bytes) -> bool:
    """Whether *line* begins the block for whose sake Spring wrote the record above it."""
    return line.startswith(b"APPLICATION FAILED")


def heading(line: bytes) -> Block | None:
    """The block that *line* begins."""
    if not is_heading(line):
        return None
    return next(block for block in _BLOCKS if block.head.match(line, 0, LOOK_BYTES))


def is_rule(line: bytes) -> bool:
    """Whether *line* is a ruler, which stands above or below something and says nothing."""
    return _RULE.match(line, 0, LOOK_BYTES) is not None


def may_be_frame(line: bytes) -> bool:
    """Whether *line* is what stands above some block."""
    return _ABOVE.match(line, 0, LOOK_BYTES) is not None


def is_frame(above: bytes, line: bytes) -> bool:
    """Whether *above*, the line over *line*, is part of the block that *line* begins."""
    block = heading(line) if may_be_frame(above) else None
    return block is not None and block.above.match(above, 0, LOOK_BYTES) is not None
