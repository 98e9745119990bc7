"""What stands in a secret's place, and the replacing."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "[masked]"

# Where a secret begins and ends.
Span = tuple[int, int]


def replaced(text: str, spans: Iterable[Span]) -> str:
    """*text* with the mask in place of each of *spans*; of those that overlap the first counts."""
    parts: list[str] = []
    position = 0
    for start, end in sorted(spans):
        if start >= position:
            parts += (text[position:start], MASK)
            position = end
    return "".join(parts) + text[position:] if parts else text
