"""Text by strangers, made safe to show: control characters, Markdown fences; secrets are the part of `masking`.

Log lines, agents' names and messages end in terminals, in Markdown and in front of AI supervisors. Whatever comes
from outside passes through here before it is written anywhere a reader will see it.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from daemons import later

if TYPE_CHECKING:
    from daemons.masking import MASK, has_cue, mask
else:  # 15 ms with the first mask, most of it for patterns: not before a stop's first signal
    __getattr__ = later.names(__name__, {"daemons.masking": ("MASK", "has_cue", "mask")})

__all__ = ["MASK", "decode", "fence", "has_cue", "mask", "safe"]

# C0 (but not tab and newline), DEL and C1; bidirectional and zero-width characters; line and paragraph separators;
# lone surrogates, which cannot be encoded.
_UNSAFE = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_BREAKS = re.compile(r"[\t\n]")
_BACKTICKS = re.compile(r"`+")


def safe(text: str, *, one_line: bool = False) -> str:
    """*text* with everything that could move a cursor, hide or reorder text shown as an escape.

    Tabs and newlines stay unless *one_line*. A carriage return before a newline is dropped, others are shown.
    """
    shown = _unsafe().sub(_escape, text.replace("\r\n", "\n"))
    return _BREAKS.sub(_escape, shown) if one_line else shown


def decode(raw: bytes) -> str:
    """Bytes of a stranger as text: UTF-8, what is none of it shown as `\\xNN`. Never fails, loses nothing."""
    return raw.decode("utf-8", "backslashreplace")


def fence(text: str, language: str = "text") -> str:
    """*text* as a fenced Markdown block that nothing inside can close."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


@functools.cache
def _unsafe() -> re.Pattern[str]:
    return re.compile(_UNSAFE)  # takes a millisecond, so not before it is needed


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code in (0x09, 0x0A, 0x0D):
        return {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}[code]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"
