"""Which occurrences were counted already, by source and position, in bounded memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from operator import lt

from daemons.alerts.model import mapping, whole

POSITIONS_KEPT = 256
SOURCES_KEPT = 1024


class Seen:
    """Remembers, of each source, the highest positions one by one, and that all below the lowest of them were seen.

    Positions may therefore come in any order within the last 256 of a source. The sources used last are remembered.
    """

    def __init__(self) -> None:
        # floor, then the positions above it in order; the source used last comes last
        self._sources: dict[str, list[int]] = {}

    def add(self, source: str, position: int) -> bool:
        """Remember *position* of *source*. False when it was there already."""
        known = self._sources.pop(source, [-1])
        self._sources[source] = known
        if position <= known[0] or _holds(known, position):
            return False
        insort(known, position, lo=1)
        if len(known) > POSITIONS_KEPT + 1:
            del known[0]  # the lowest one becomes the floor
        if len(self._sources) > SOURCES_KEPT:
            del self._sources[next(iter(self._sources))]
        return True

    def add_all(self, source: str, positions: Sequence[int]) -> bool:
        """Remember *positions*, as `add` would one by one. False, and nothing is done: not all are behind the last one.

        A log's errors come in order, thousands at once in a storm.
        """
        known = self._sources.get(source, [-1])
        if not positions or positions[0] <= known[-1] or not all(map(lt, positions, positions[1:])):
            return False
        self._sources.pop(source, None)
        self._sources[source] = [*known, *positions][-POSITIONS_KEPT - 1 :]
        if len(self._sources) > SOURCES_KEPT:
            del self._sources[next(iter(self._sources))]
        return True

    def to_json(self) -> dict[str, list[int]]:
        return self._sources

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Seen:
        seen = cls()
        for source, positions in fields.items():
            if not isinstance(positions, list) or not positions:
                raise TypeError(f"{positions!r} is no list of positions")
            seen._sources[source] = [whole(position) for position in positions]
        return seen


def _holds(ordered: list[int], position: int) -> bool:
    at = bisect_left(ordered, position, lo=1)
    return at < len(ordered) and ordered[at] == position


def read_seen(value: object) -> Seen:
    return Seen.from_json(mapping(value))
