"""Texts in which nothing is to be masked and nothing to be escaped, known by their shape, at a glance.

A storm's errors differ in their numbers only, and masking one takes 20 µs, most of it to find that there is nothing to
mask. Whether a word is a secret depends on how many digits it has, and where, but not on which: so what was left as it
was is remembered with every digit as 0, and others of that shape are left as they are. Where the very digits do count,
nothing is remembered: in words that mix them with letters (`sha256=`, `AKIA2…`), behind signs that begin an escape, in
`1//0…`. A uuid counts as one sign where nothing stands before it that a secret is looked for behind.
"""

from __future__ import annotations

import re

from daemons import text as texts

# Both together bound the memory, to 3 MB.
MEMBERS = 4096
OTHERS = 1024
LIMIT = 600

_DIGITS = bytes(0x30 if 0x30 <= code <= 0x39 else code for code in range(256))
# Bounded so that it is a run of its own, which begins like no token, and no part of a name.
_UUID = re.compile(
    rb"(?<![\w.~/:+-])[0a-f]{8}-(?:[0a-f]{4}-){3}[0a-f]{12}(?=[:,;)\]}\"'](?![\w.~/:+=-])| (?![A-Za-z])|\n|$)"
)
_MAY_BE_UUID = re.compile(rb"-(?:[0a-f]{4}-){3}").search
# Of a frame of a trace, which stands between signs that end every word.
_LINE_NUMBER = re.compile(rb", line 0{1,6}, in (?=[A-Za-z_<])")
_IN_PLACE = b"\xff"  # stands in no text of ASCII
_DIGITS_COUNT = re.compile(rb"[A-Za-z_]0|0[A-Za-z_]|[A-Za-z_][._-]000(?!0)|[$%&\\]|//|expected |code to ")


class PlainTexts:
    """The shapes of the texts that were left as they were."""

    def __init__(self) -> None:
        self._shapes: set[bytes] = set()
        self._others: set[bytes] = set()  # of which nothing can be remembered: finding that out takes long, too

    def has(self, text: str) -> bool:
        """Whether *text* is known to stay as it is, masked and made safe."""
        if not text.isascii():
            return False
        shape = text.encode().translate(_DIGITS)
        # Most are known as they are; what else may count as one is only looked for in others.
        return shape in self._shapes or _shape_of(shape) in self._shapes

    def learn(self, text: str) -> None:
        """*text* stayed as it is: remember that of all texts of its shape, unless their digits might count."""
        if len(text) > LIMIT or not text.isascii():
            return
        shape = _shape(text)
        if shape in self._others:
            return
        do_digits_count = _DIGITS_COUNT.search(shape) or (_IN_PLACE in shape and _is_behind_cue(text, shape))
        kept, limit = (self._others, OTHERS) if do_digits_count else (self._shapes, MEMBERS)
        if len(kept) >= limit:
            kept.clear()
        kept.add(shape)


def _is_behind_cue(text: str, shape: bytes) -> bool:
    """Whether a secret is looked for behind something that stands before the last uuid of *text*."""
    behind = len(shape) - shape.rfind(_IN_PLACE) - 1
    return texts.has_cue(text[: len(text) - behind])


def _shape(text: str) -> bytes:
    return _shape_of(text.encode().translate(_DIGITS))


def _shape_of(shape: bytes) -> bytes:
    if _MAY_BE_UUID(shape):
        shape = _UUID.sub(_IN_PLACE, shape)
    return _LINE_NUMBER.sub(b", line 0, in ", shape) if b"\n" in shape else shape
