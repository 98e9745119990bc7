from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons import strict_json
from daemons.strict_json import BadJson

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_what_is_written_reads_back_the_same(value: object) -> None:
    try:
        raw = strict_json.dumps(value)
    except BadJson:
        return  # half a surrogate pair, or too deep

    assert strict_json.loads(raw) == value
    assert json.loads(raw) == value
    assert b"\n" not in raw


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_bad_json(raw: bytes) -> None:
    with suppress(BadJson):
        strict_json.dumps(strict_json.loads(raw))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "Infinity is not a number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' stands there twice"),
        (b"[" * 17 + b"]" * 17, "deeper than 16"),
        (b"[" * 100_000, "deeper than 16"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "deeper than 16"),
        (b"9" * 5_000, "5000 digits"),
        (rb'"\ud800"', "surrogate"),
        (rb'{"\udfff": 1}', "surrogate"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"{} {}", "not JSON"),
        (b"{}\0", "not JSON"),
    ],
)
def test_what_readers_disagree_on_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(BadJson, match=reason):
        strict_json.loads(raw)


def test_sixteen_levels_are_fine() -> None:
    assert strict_json.loads(b"[" * 16 + b"]" * 16)


def test_a_byte_order_mark_is_overlooked() -> None:
    assert strict_json.loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert strict_json.loads(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"


def test_of_two_equal_keys_the_last_can_be_kept_and_the_key_is_told() -> None:
    assert strict_json.loads_keeping_last(b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}') == (
        {"a": 3, "b": {"c": 2}},
        ("c", "a"),
    )


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "\ud800", {1, 2}, b"bytes", {"a": object()}, [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],
)
def test_what_no_file_can_hold_is_not_written(value: object) -> None:
    with pytest.raises(BadJson):
        strict_json.dumps(value)


def test_what_steers_a_terminal_or_reorders_text_is_written_as_an_escape() -> None:
    raw = strict_json.dumps({"note": "\x1b[2J\x9b2J \u202etxt\u2028 größer 漢字"})

    assert raw == '{"note": "\\u001b[2J\\u009b2J \\u202etxt\\u2028 größer 漢字"}'.encode()


def test_what_contains_itself_cannot_be_written() -> None:
    ring: list[object] = []
    ring.append(ring)

    with pytest.raises(BadJson):
        strict_json.dumps({"a": ring})
