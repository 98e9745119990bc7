"""Looking at who runs, holding on to whoever is ours, and catching one that had always forked on when we came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from daemons import clock, processes
from daemons.processes import Handle, Table
from daemons.stop.evidence import Evidence
from daemons.stop.ledger import Ledger

_CHASE_S, _GLANCE_S = 0.2, 0.01


class Looks:
    """The looks of one stop. *count_more* is called before each: what else is evidence by now."""

    def __init__(self, evidence: Evidence, ledger: Ledger, count_more: Callable[[], None]) -> None:
        self._evidence = evidence
        self._ledger = ledger
        self._count_more = count_more
        self._empty: Table | None = None

    def forget(self) -> None:
        """Something is about to be done: what was seen until now proves nothing."""
        self._empty = None

    def last(self) -> tuple[Table, Mapping[int, str]]:
        """Who runs, and who of them is ours: the last look if that found nobody and nothing was done since, or anew."""
        if self._empty is not None:
            return self._empty, {}
        looked = processes.table()
        return looked, self._evidence(looked)

    def hold_new(self, held: Collection[int]) -> list[Handle]:
        """Look again: handles on whoever is ours and not among *held*."""
        self._count_more()
        before = processes.newest_pid()
        looked = processes.table()
        found = self._evidence(looked)
        if fresh := {pid: why for pid, why in found.items() if pid not in held}:
            return self.hold(looked, fresh) or self._chase(held, _CHASE_S)
        if processes.newest_pid() == before:
            self._empty = None if found else looked
            return []
        # Somebody forked meanwhile: perhaps one of ours, that is never there long enough to be seen.
        return self._chase(held, _GLANCE_S)

    def hold(self, looked: Table, found: Mapping[int, str]) -> list[Handle]:
        """Handles on *found*, as far as they still are what they were in *looked*."""
        self._ledger.met(looked, found, found)
        return processes.hold_all(found, self._evidence)

    def _chase(self, held: Collection[int], within_s: float) -> list[Handle]:
        """Stop one that had always forked on when we came to hold it, and is not among *held*."""
        until = clock.monotonic() + within_s
        while clock.monotonic() < until:
            if caught := processes.freeze_newest(self._evidence, spare=held):
                looked = processes.table([caught.pid])
                self._ledger.met(looked, self._evidence(looked), looked)
                return [caught]
        return []
