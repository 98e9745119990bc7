"""Patterns that are compiled when they are first looked for.

All of them together cost 40 ms, which every command and daemon would pay when it starts; most texts have no cue for
most of them. After its first use one costs what any compiled pattern does.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Lazy:
    def __init__(self, source: str, flags: int) -> None:
        self._source, self._flags = source, flags

    def __getattr__(self, name: str) -> Any:
        # Only until the attribute is there: from then on Python finds it without asking us.
        made = re.compile(self._source, self._flags)
        for each in ("pattern", "match", "fullmatch", "search", "finditer", "sub"):
            setattr(self, each, getattr(made, each))
        return getattr(made, name)


def lazy(source: str, flags: int = 0) -> re.Pattern[str]:
    """Like re.compile, later."""
    return cast("re.Pattern[str]", _Lazy(source, flags))
