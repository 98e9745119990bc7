"""Ending whole trees: a window's, a build's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from daemons.processes import proc
from daemons.processes.ending import Ended, end
from daemons.processes.handles import Handle, hold_all
from daemons.processes.identity import Identity
from daemons.processes.proc import Table


def end_tree(
    roots: Iterable[int | Identity],
    *,
    grace_s: float,
    deadline_s: float,
    also: Callable[[Table], Collection[int]] = lambda _: (),
) -> tuple[Ended, ...]:
    """End *roots* with all their descendants, what is left in sessions that a root leads, and what *also* names.

    For an agent's window or a build. This process and all above it, and tmux servers, are never among them.
    """
    held = [handle for root in roots if (handle := Handle.open(root))]
    evidence = _TreeEvidence(held, also)
    found = evidence(proc.table())
    rest = hold_all(found - {handle.pid for handle in held}, evidence)
    ours = [handle for handle in held if handle.pid in found]

    def again(known: Collection[int]) -> list[Handle]:
        return hold_all(evidence(proc.table()) - set(known), evidence)

    try:
        return end([*ours, *rest], grace_s=grace_s, deadline_s=deadline_s, again=again)
    finally:
        for handle in held:
            handle.close()


class _TreeEvidence:
    """Whom a look counts: descendants of all that was counted before, and the sessions that the roots lead."""

    def __init__(self, roots: Iterable[Handle], also: Callable[[Table], Collection[int]]) -> None:
        self._counted = {handle.pid: handle.process.started for handle in roots}
        self._sessions = {pid: started for pid, started in self._counted.items() if _leads_session(pid)}
        self._also = also

    def __call__(self, looked: Table) -> set[int]:
        roots = {pid for pid, started in self._counted.items() if pid in looked and looked[pid].started == started}
        roots |= {process.pid for process in looked.values() if self._in_session(process.sid, looked)}
        found = proc.tree(roots | set(self._also(looked)), looked) - proc.own_line(looked)
        found = {pid for pid in found if not looked[pid].ended}
        self._counted |= {pid: looked[pid].started for pid in found}
        return found

    def _in_session(self, sid: int, looked: Table) -> bool:
        # The number stays taken while anyone is in the session; a leader of another start leads another session.
        if sid not in self._sessions:
            return False
        leader = looked.get(sid)
        return leader is None or leader.started == self._sessions[sid]


def _leads_session(pid: int) -> bool:
    process = proc.read(pid)
    return process is not None and process.sid == pid
