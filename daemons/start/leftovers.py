"""What an earlier suite of this home left running when its supervisord was killed, and ending it.

The programs end with supervisord by themselves; a service's workers, or a program that had no time to ask for that, may
not. Agents in tmux windows are no leftovers: they carry the marker too, and they outlive a supervisord on purpose.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from daemons import clock, processes, suite
from daemons.processes import Ended, Handle, Table
from daemons.settings import Settings


@dataclass(frozen=True, slots=True)
class Leftover:
    """One of them: *who*, as `pid 12 (root) node server.js`, is what it was while it lived."""

    who: str
    ended: Ended


def end_leftovers(conf: Settings) -> tuple[Leftover, ...]:
    """End them by identity: SIGTERM, the grace of the settings, SIGKILL, within the stop's deadline.

    Call it under the stop lock and only when no suite runs.
    """
    known = suite.known_id(conf) or _lost_id(conf)
    if known is None:
        return ()
    record = suite.read(conf)
    cgroup = Path(record.cgroup) if record and record.cgroup else None
    names: dict[int, str] = {}

    def evidence(looked: Table) -> set[int]:
        return _left_behind(known, cgroup, looked)

    def look(held: Collection[int]) -> list[Handle]:
        fresh = evidence(processes.table()) - set(held)
        names.update({pid: processes.describe(pid) for pid in fresh})
        return processes.hold_all(fresh, evidence)

    deadline_s = clock.monotonic() + conf.stop_timeout_s
    ended = processes.end(look(()), grace_s=conf.stop_grace_s, deadline_s=deadline_s, again=look)
    return tuple(Leftover(names[each.pid], each) for each in ended)


def _lost_id(conf: Settings) -> str | None:
    """The id of a suite whose home lost it and its record while it ran: written anew, its agents go on carrying it."""
    if known := suite.carried_id(conf, processes.table()):
        suite.restore_id(known, conf)
    return known


def _left_behind(suite_id: str, cgroup: Path | None, looked: Table) -> set[int]:
    roots = processes.marked(suite_id, looked) | (processes.cgroup_pids(cgroup) if cgroup else set())
    found = processes.tree(roots, looked) - processes.own_line(looked)
    return {pid for pid in found if not looked[pid].ended and not _is_of_a_window(pid, looked)}


def _is_of_a_window(pid: int, looked: Table) -> bool:
    """Whether it runs, or was started, in a tmux window: the launcher takes TMUX_PANE from all that it starts."""
    above = [pid, *processes.ancestors(pid, looked)]
    return any(processes.is_tmux_server(looked[at]) for at in above if at in looked) or (
        processes.environment_value(looked[pid], "TMUX_PANE") is not None
    )
