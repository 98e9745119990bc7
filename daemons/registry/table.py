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

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daemons import strict_json
from daemons.registry.ids import InvalidAgent, kind_of, shown
from daemons.strict_json import BadJson

Entry = dict[str, Any]

ENTRY_LIMIT_BYTES = 64 * 1024


class NoRegistry(ValueError):
    """Bytes that are no registry: not JSON, not an object, or an entry that is no object. Says which, and where."""


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
        raise InvalidAgent(f"the entry of {shown(agent_id)} cannot be kept: {wrong}") from None
    if len(line) > ENTRY_LIMIT_BYTES:
        raise InvalidAgent(f"the entry of {shown(agent_id)} has {len(line)} bytes; at most {ENTRY_LIMIT_BYTES}")
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
        raise NoRegistry(f"not an object with an agent a key, but {kind_of(found)}")
    entries: dict[str, Entry] = {}
    lines: dict[str, bytes] = {}
    for agent_id, entry in found.items():
        if not isinstance(entry, dict):
            raise NoRegistry(f"the entry of {shown(agent_id)} is no object, but {kind_of(entry)}")
        entries[agent_id], lines[agent_id] = row(agent_id, entry)
    return Read(Table(entries, lines), twice)


def row(agent_id: str, entry: Entry) -> Row:
    """The row of an entry as a file holds it, whatever its size. NoRegistry when it cannot be written back."""
    try:
        return Row(entry, _line(agent_id, entry))
    except BadJson as wrong:
        raise NoRegistry(f"the entry of {shown(agent_id)}: {wrong}") from None


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
