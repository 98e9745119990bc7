"""What a draft hands over is kept as a reader of the file will find it, and nobody outside holds on to it."""

from __future__ import annotations

import enum
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from daemons import strict_json
from daemons.registry import InvalidAgent
from daemons.registry.drafts import Batch, Draft
from daemons.registry.table import Table


class Colour(enum.StrEnum):
    RED = "red"


class Number(int):
    pass


# All that an edit may put into an entry, also what only looks like JSON: tuples, keys that are numbers, enumerations.
words = st.text(max_size=4) | st.sampled_from([Colour.RED, "\x7f", "\u202e", "\ud800"])
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**42), 10**42)
    | st.integers(-5, 5).map(Number)
    | st.floats(allow_nan=True)
    | words
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(words | st.integers(-2, 2) | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(one: object, other: object) -> bool:
    """Alike down to the types: 1, True and 1.0 are three things in a file."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def mutable(value: object) -> list[object]:
    """Every dict and list in *value*."""
    inside = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list | tuple) else []
    found = [inner for each in inside for inner in mutable(each)]
    return [value, *found] if isinstance(value, dict | list) else found


@given(st.dictionaries(words | st.integers(-2, 2), values, max_size=4))
@example({"n": 10**40 - 1})
@example({"n": -(10**39)})
@example({"n": -(10**40)})
@example({1: "a", "1": "b"})
@example({"deep": (1, [2, {"x": (3,)}])})
def test_what_is_kept_is_what_a_reader_gets(given_entry: dict[Any, Any]) -> None:
    batch = Batch(Table())

    def edit(agents: Draft) -> None:
        agents["a"] = given_entry

    try:
        batch.apply(edit)
    except InvalidAgent:
        return
    row = batch.row("a")

    assert row is not None
    assert same(row.entry, strict_json.loads(b"{" + row.line + b"}")["a"])
    assert not {id(each) for each in mutable(row.entry)} & {id(each) for each in mutable(given_entry)}
