"""A secret that was found stands elsewhere in the same text, too, where nothing says that it is one.

A trace of a shell shows a value where it is set and where it is used, a form has it twice, an error quotes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from daemons.masking.marks import MASK
from daemons.masking.values import is_opaque, is_told

_SHORTEST, _LONGEST = 6, 400
_MOST = 32


def without_repeats(text: str, values: Iterable[str]) -> str:
    """*text* with the mask in place of each of *values* that no word is."""
    own = [value.strip() for value in values]
    again = sorted((value for value in own if value in text and _is_its_own(value)), key=len, reverse=True)
    for value in again[:_MOST]:
        text = re.sub(rf"(?<![\w-]){re.escape(value)}(?![\w-])", MASK, text)
    return text


def _is_its_own(value: str) -> bool:
    """Whether *value* stands for nothing else by chance: of letters and digits, or of six digits at least."""
    if not _SHORTEST <= len(value) <= _LONGEST or any(map(str.isspace, value)):
        return False
    return is_opaque(value) or is_told(value) or (value.isdigit() and len(value) >= _SHORTEST)
