"""What stands in a secret's place, and the replacing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MASK = "[masked]"

# Where a secret begins and ends.
Span = tuple[int, int]


_HERE = threading.local()


@contextmanager
def taken() -> Iterator[set[str]]:
    """What is replaced inside, by this thread."""
    values: set[str] = set()
    _HERE.values = values
    try:
        yield values
    finally:
        _HERE.values = None


def replaced(text: str, spans: Iterable[Span]) -> str:
    """*text* with the mask in place of each of *spans*; of those that overlap the first counts."""
    parts: list[str] = []
    position = 0
    for start, end in sorted(spans):
        if start >= position:
            parts += (text[position:start], MASK)
            values = getattr(_HERE, "values", None)
            if values is not None:
                values.add(text[start:end])
            position = end
    return "".join(parts) + text[position:] if parts else text
