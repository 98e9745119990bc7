"""Tests of daemons.text."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from daemons import text


@given(st.text(st.characters()))
def test_safe_text_moves_no_cursor_and_hides_nothing(raw):
    shown = text.safe(raw)

    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown if char not in "\t\n")
    shown.encode("utf-8")


@given(st.text())
def test_safe_text_on_one_line_has_no_line_break(raw):
    assert len(text.safe(raw, one_line=True).splitlines()) <= 1


@given(st.binary())
def test_any_bytes_decode_to_text_that_shows_them(raw):
    text.safe(text.decode(raw)).encode("utf-8")


def test_readable_text_stays_as_it_is():
    line = "2026-01-31 ERROR: Größe 5 → 日本 🚀 (\tindented)"

    assert text.safe(line) == line


@given(st.text(st.sampled_from("`a\n "), max_size=40))
def test_no_text_closes_the_fence_around_it(raw):
    block = text.fence(raw).split("\n")
    ticks = block[-1]

    assert set(ticks) == {"`"}
    assert len(ticks) >= 3
    assert not any(line.strip().startswith(ticks) for line in block[1:-1])
