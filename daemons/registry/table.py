"""The text of the registry: one JSON object, one agent a line, so that `grep`, `diff` and `jq` all like it.

    {
      "tests": {"registered_at": "…", "type": "worker", "created_by": "system"},
      "cmux-2:docs": {"registered_at": "…", "type": "worker", "created_by": "system"}
    }

A Table keeps every entry's line beside the entry. A change renders the lines that it touched and joins; a file that
another writer changed is read by its lines, and only the unknown ones are parsed. At 10,000 agents that is 2 ms where
reading and writing everything takes 150.

Nothing here opens a file: that is the registry's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from daemons import strict_json
from daemons.strict_json import BadJson

Entry = dict[str, Any]
T = TypeVar("T")

ID_LIMIT = 128
ENTRY_LIMIT_BYTES = 64 * 1024

_ALSO_IN_IDS = frozenset("._:/@+-")
ID_RULE = (
    f"1 to {ID_LIMIT} letters and digits of any script and . _ : / @ + -, "
    "beginning with a letter or digit, without two dots in a row"
)


class InvalidAgent(ValueError):
    """An id or an entry that the registry does not take. The text says what is allowed."""


class NoRegistry(ValueError):
    """Bytes that are no registry: not JSON, not an object, or an entry that is no object. Says which, and where."""


_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")  # nearly all of them, and 20 times as fast


def check_id(value: object) -> str:
    """*value* as an agent's id; InvalidAgent, saying what is allowed, when it is none."""
    if not isinstance(value, str):
        raise InvalidAgent(f"an agent's id is a string of {ID_RULE}; this is {_kind(value)}")
    if value.startswith("register/"):
        raise InvalidAgent(f"{_shown(value)} is no agent's id: /api/agents/register/… is a call; allowed: {ID_RULE}")
    if _PLAIN_ID.fullmatch(value) and ".." not in value:
        return value
    if not (0 < len(value) <= ID_LIMIT) or ".." in value or not all(map(_may_stand_in_id, value)):
        raise InvalidAgent(f"{_shown(value)} is no agent's id; allowed: {ID_RULE}")
    if not _is_letter_or_digit(value[0]):
        raise InvalidAgent(f"{_shown(value)} is no agent's id; allowed: {ID_RULE}")
    return value


def spelled(agent_id: str, registered: Container[str]) -> str:
    """*agent_id* as it is registered, or is to be: spellings that look the same are one id, in NFC.

    An entry that was registered in another spelling before keeps it, and answers to both.
    """
    if agent_id.isascii() or agent_id in registered:
        return agent_id
    composed, decomposed = (unicodedata.normalize(form, agent_id) for form in ("NFC", "NFD"))
    return decomposed if decomposed in registered and composed not in registered else composed


def _may_stand_in_id(char: str) -> bool:
    # Marks (M…) are parts of letters in most scripts of India and South-East Asia.
    return char in _ALSO_IN_IDS or _is_letter_or_digit(char) or unicodedata.category(char)[0] == "M"


def _is_letter_or_digit(char: str) -> bool:
    return (char.isascii() and char.isalnum()) or unicodedata.category(char) in _LETTERS_AND_DIGITS


_LETTERS_AND_DIGITS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"})


def _kind(value: object) -> str:
    names = {bool: "true or false", type(None): "null", list: "a list", dict: "an object", int: "a number"}
    return names.get(type(value), "a number")


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 40 else value[:40] + "…")


# -- the table --------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One agent: what is known of it, and the line that says so (without the comma that may follow)."""

    entry: Entry
    line: bytes


Changes = Mapping[str, Row | None]
"""What becomes of some agents: their new row, or None for removed."""


@dataclass(frozen=True, slots=True)
class Table:
    """All agents, in the file's order. Nobody changes one: `with_changes` gives the next."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    lines: Mapping[str, bytes] = field(default_factory=dict)

    def body(self) -> bytes:
        """The whole file."""
        if not self.lines:
            return b"{}\n"
        lines = list(self.lines.values())
        lines[0] = b"{\n" + lines[0]
        lines[-1] += b"\n}\n"
        return b",\n".join(lines)  # the only copy of all of it: there may be megabytes

    def row(self, agent_id: str) -> Row | None:
        entry = self.entries.get(agent_id)
        return None if entry is None else Row(entry, self.lines[agent_id])

    def with_changes(self, changes: Changes) -> Table:
        entries, lines = dict(self.entries), dict(self.lines)
        for agent_id, row in changes.items():
            if row is None:
                entries.pop(agent_id, None)
                lines.pop(agent_id, None)
            else:
                entries[agent_id], lines[agent_id] = row
        return Table(entries, lines)

    def differing(self, other: Table) -> dict[str, Row | None]:
        """The rows of this table that say something else in *other*; None for an agent that is only there."""
        agents = [*self.lines, *(agent_id for agent_id in other.lines if agent_id not in self.lines)]
        return {
            agent_id: self.row(agent_id) for agent_id in agents if self.lines.get(agent_id) != other.lines.get(agent_id)
        }


def render(agent_id: str, entry: Entry) -> Row:
    """The row of an entry, as everybody will read it. InvalidAgent when it holds what JSON can't, or too much."""
    try:
        line = _line(agent_id, entry)
    except BadJson as wrong:
        raise InvalidAgent(f"the entry of {_shown(agent_id)} cannot be kept: {wrong}") from None
    if len(line) > ENTRY_LIMIT_BYTES:
        raise InvalidAgent(f"the entry of {_shown(agent_id)} has {len(line)} bytes; at most {ENTRY_LIMIT_BYTES}")
    return Row(entry, line)


def _line(agent_id: str, entry: Entry) -> bytes:
    # Written with the object around it, so that the depth counts as the file's reader will count it.
    return b"  " + strict_json.dumps({agent_id: entry})[1:-1]


# -- reading ----------------------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """What a file holds. *twice*: keys that stood there twice; the last one counts, the first is not in *table*."""

    table: Table
    twice: tuple[str, ...] = ()


def parse(raw: bytes, known: Table) -> Read:
    """The agents in *raw*. Lines that *known* holds are not parsed again. NoRegistry when it is none."""
    by_lines = _parse_lines(raw, known)
    return Read(by_lines) if by_lines is not None else _parse_whole(raw)


def _parse_lines(raw: bytes, known: Table) -> Table | None:
    """Our own notation, line by line; None when it is written otherwise, or an id stands there twice."""
    if not (raw.startswith(b"{\n") and raw.endswith(b"\n}\n")):
        return None
    ids = dict(zip(known.lines.values(), known.lines, strict=True))
    entries: dict[str, Entry] = {}
    lines: dict[str, bytes] = {}
    pieces = raw[2:-3].split(b",\n")
    for piece in pieces:
        agent_id = ids.get(piece)
        if agent_id is not None:
            entries[agent_id] = known.entries[agent_id]
            lines[agent_id] = piece
            continue
        member = _parse_member(piece)
        if member is None:
            return None
        agent_id, (entries[agent_id], lines[agent_id]) = member
    return Table(entries, lines) if len(lines) == len(pieces) else None


def _parse_member(piece: bytes) -> tuple[str, Row] | None:
    try:
        member = strict_json.loads(b"{" + piece + b"}")
    except BadJson:
        return None
    if len(member) != 1:
        return None
    [(agent_id, entry)] = member.items()
    return (agent_id, row(agent_id, entry)) if isinstance(entry, dict) else None


def _parse_whole(raw: bytes) -> Read:
    try:
        found, twice = strict_json.loads_keeping_last(raw)
    except BadJson as wrong:
        raise NoRegistry("the file is empty" if not raw.strip() else str(wrong)) from None
    if not isinstance(found, dict):
        raise NoRegistry(f"not an object with an agent a key, but {_kind(found)}")
    entries: dict[str, Entry] = {}
    lines: dict[str, bytes] = {}
    for agent_id, entry in found.items():
        if not isinstance(entry, dict):
            raise NoRegistry(f"the entry of {_shown(agent_id)} is no object, but {_kind(entry)}")
        entries[agent_id], lines[agent_id] = row(agent_id, entry)
    return Read(Table(entries, lines), twice)


def row(agent_id: str, entry: Entry) -> Row:
    """The row of an entry as a file holds it, whatever its size. NoRegistry when it cannot be written back."""
    try:
        return Row(entry, _line(agent_id, entry))
    except BadJson as wrong:
        raise NoRegistry(f"the entry of {_shown(agent_id)}: {wrong}") from None


# -- changing ---------------------------------------------------------------------------------------------------------


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
            raise InvalidAgent(f"the entry of {_shown(agent_id)} must be an object, not {_kind(entry)}")
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


# -- merging ----------------------------------------------------------------------------------------------------------


def rebase(changes: Changes, base: Table, theirs: Table) -> Changes:
    """Our *changes* to *base*, made anew on top of *theirs*, which somebody derived from *base* meanwhile.

    An agent that they left alone gets our row. One that both changed gets their fields and ours; where both set the
    same field, ours counts, because ours is about to be acknowledged.
    """
    return {agent_id: _rebased(agent_id, row, base, theirs) for agent_id, row in changes.items()}


def _rebased(agent_id: str, ours: Row | None, base: Table, theirs: Table) -> Row | None:
    before, now = base.row(agent_id), theirs.row(agent_id)
    if ours is None or now is None or now.line == (before and before.line):
        return ours
    old = before.entry if before else {}
    changed = {name: value for name, value in ours.entry.items() if name not in old or not _alike(old[name], value)}
    removed = old.keys() - ours.entry.keys()
    merged = {name: value for name, value in now.entry.items() if name not in removed} | changed
    return row(agent_id, merged)


def _alike(a: object, b: object) -> bool:
    return strict_json.dumps(a) == strict_json.dumps(b)  # 1 == True in Python, not in the file
