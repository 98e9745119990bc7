"""A table being changed: several edits on top of each other, each whole or not at all.

What an edit touches is copied for it, and what it leaves is what a reader of the file would get.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

from daemons import strict_json
from daemons.registry.ids import InvalidAgent, check_id, kind_of, shown
from daemons.registry.table import Entry, Row, Table, render
from daemons.strict_json import BadJson

T = TypeVar("T")


class Batch:
    """Edits on top of a table, one after the other; each counts whole or not at all."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.changes: dict[str, Row | None] = {}

    def apply(self, edit: Callable[[Draft], T]) -> T:
        """What *edit* returns, its changes kept; what it raises, its changes forgotten."""
        draft = Draft(self)
        value = edit(draft)
        self.changes.update(draft.rows())
        return value

    def row(self, agent_id: str) -> Row | None:
        return self.changes[agent_id] if agent_id in self.changes else self.table.row(agent_id)

    def ids(self) -> Iterator[str]:
        for agent_id in self.table.entries:
            if self.changes.get(agent_id, True) is not None:
                yield agent_id
        for agent_id, row in self.changes.items():
            if row is not None and agent_id not in self.table.entries:
                yield agent_id


class Draft(MutableMapping[str, Entry]):
    """The agents as one edit sees and changes them: like a dict of dicts, but what is looked at is a copy.

    Only what was asked for is copied, and only what differs afterwards is written.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._touched: dict[str, Entry | None] = {}

    def __getitem__(self, agent_id: str) -> Entry:
        if agent_id not in self._touched:
            row = self._batch.row(agent_id)
            if row is None:
                raise KeyError(agent_id)
            self._touched[agent_id] = _copy(row.entry)
        entry = self._touched[agent_id]
        if entry is None:
            raise KeyError(agent_id)
        return entry

    def __setitem__(self, agent_id: str, entry: Entry) -> None:
        if self._batch.row(agent_id) is None:
            check_id(agent_id)
        if not isinstance(entry, dict):
            raise InvalidAgent(f"the entry of {shown(agent_id)} must be an object, not {kind_of(entry)}")
        self._touched[agent_id] = entry

    def __delitem__(self, agent_id: str) -> None:
        if agent_id not in self:
            raise KeyError(agent_id)
        self._touched[agent_id] = None

    def discard(self, agent_id: str) -> bool:
        """Remove an agent; False when there was none."""
        there = agent_id in self
        if there:
            self._touched[agent_id] = None
        return there

    def put_back(self, agent_id: str, entry: Entry) -> None:
        """Add what was in a registry before, whatever its id looks like."""
        self._touched[agent_id] = entry

    def __contains__(self, agent_id: object) -> bool:
        if agent_id in self._touched:
            return self._touched[agent_id] is not None
        return isinstance(agent_id, str) and self._batch.row(agent_id) is not None

    def __iter__(self) -> Iterator[str]:
        before = list(self._batch.ids())
        yield from (agent_id for agent_id in before if self._touched.get(agent_id, True) is not None)
        known = set(before)
        yield from [
            agent_id for agent_id, entry in self._touched.items() if entry is not None and agent_id not in known
        ]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def rows(self) -> dict[str, Row | None]:
        """What differs from before. InvalidAgent when an entry cannot be kept."""
        rows: dict[str, Row | None] = {}
        for agent_id, entry in self._touched.items():
            before = self._batch.row(agent_id)
            after = None if entry is None else render(agent_id, entry)
            if after is None or before is None:
                if after is not before:
                    rows[agent_id] = after and _own(after)
            elif after.line != before.line:
                rows[agent_id] = _own(after)
        return rows


def _own(row: Row) -> Row:
    """A row whose entry nobody outside holds, and which is exactly what a reader of the line gets."""
    if _is_as_read(row.entry):
        return Row(_copy(row.entry), row.line)
    try:
        return Row(strict_json.loads(b"{" + row.line + b"}").popitem()[1], row.line)
    except BadJson as wrong:  # {1: …, "1": …} is two keys here and one there
        raise InvalidAgent(f"the entry cannot be kept: {wrong}") from None


_PLAIN = frozenset({str, bool, float, type(None)})
_STRINGS = frozenset({str})
_NESTING = frozenset({dict, list})


def _is_as_read(value: Any) -> bool:
    """Whether *value*, which can be written, is what its reader gets: no tuples, no keys but strings, no huge numbers.

    False sends it through the reader itself: this saves a third of what a change costs, and decides nothing.
    """
    kind = type(value)
    if kind is dict:
        if not _STRINGS.issuperset(map(type, value)):
            return False
        for inner in value.values():  # `all` takes three times as long
            its = type(inner)
            if its in _PLAIN or (its is int and -_HUGE < inner < _HUGE):
                continue
            if not _is_as_read(inner):
                return False
        return True
    if kind is list:
        return all(map(_is_as_read, value))
    if kind is int:
        return bool(-_HUGE < value < _HUGE)
    return kind in _PLAIN


_HUGE = 10 ** (strict_json.INTEGER_DIGITS_LIMIT - 1)


def _copy(entry: Entry) -> Entry:
    if _NESTING.isdisjoint(map(type, entry.values())):
        return entry.copy()
    return {name: _copied(value) if isinstance(value, (dict, list)) else value for name, value in entry.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return _copy(value)
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
