"""What whole process trees use, many of them from one pass over /proc: one read a process, whatever their number.

A process that left its tree (a daemon whose parent ended) still counts where its environment names its agent, as it
does when that agent is ended. Who was asked for that once is not asked again: an environment is what it was at exec.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from daemons.processes.proc import MARKER, TICKS_PER_S, UNTOUCHABLE, all_pids, contents

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SERVER = b"tmux: server"
_AGENT = b"CMUX_AGENT_ID"
_KTHREADD = 2


@dataclass(frozen=True, slots=True)
class TreeUse:
    """What a tree uses. *cpu_s* holds that of ended children too; *rss_bytes* counts shared pages once a process;
    *age_s* is that of its root."""

    pids: tuple[int, ...]
    cpu_s: float
    rss_bytes: int
    age_s: float


class _Row(NamedTuple):
    ppid: int
    started: int
    ticks: int
    pages: int
    is_wall: bool


class Meter:
    """Measures the trees of the agents of one suite."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], str] = {}

    def measure(self, roots: Mapping[str, int], suite_id: str | None) -> dict[str, TreeUse]:
        """By agent, what the tree below its root uses. Those whose root is gone are left out."""
        rows = {pid: row for pid in all_pids() if (row := _row(pid))}
        children: dict[int, list[int]] = defaultdict(list)
        for pid, row in rows.items():
            children[row.ppid].append(pid)
        trees = {agent: _below((root,), rows, children) for agent, root in roots.items() if root in rows}
        for agent, strays in self._strays(trees, rows, suite_id).items():
            trees[agent] |= _below(strays, rows, children)
        return {agent: _use(roots[agent], pids, rows) for agent, pids in trees.items()}

    def _strays(
        self, trees: Mapping[str, set[int]], rows: Mapping[int, _Row], suite_id: str | None
    ) -> Mapping[str, list[int]]:
        """Who is in no tree, and was started as one of these agents."""
        within = set().union(*trees.values())
        outside = [(pid, row) for pid, row in rows.items() if pid not in within and row.ppid != _KTHREADD]
        known = self._owners
        self._owners = {
            life: known[life] if life in known else _owner(life[0], suite_id)
            for life in ((pid, row.started) for pid, row in outside)
        }
        found: dict[str, list[int]] = defaultdict(list)
        for (pid, _), owner in self._owners.items():
            if owner in trees:
                found[owner].append(pid)
        return found


def _owner(pid: int, suite_id: str | None) -> str:
    """The agent of this suite that *pid* was started as; empty for none."""
    words = contents(f"/proc/{pid}/environ").split(b"\0")
    marks = dict(word.partition(b"=")[::2] for word in words if word.startswith(b"CMUX_"))
    is_ours = suite_id is not None and marks.get(MARKER.encode()) == suite_id.encode()
    return marks.get(_AGENT, b"").decode(errors="replace") if is_ours else ""


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of *pids* with shared pages shared out. Slow: the kernel walks all of it."""
    lines = (line for pid in pids for line in contents(f"/proc/{pid}/smaps_rollup").splitlines())
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(b"Pss:"))


def _row(pid: int) -> _Row | None:
    raw = contents(f"/proc/{pid}/stat", 2048)
    closed = raw.rfind(b")")
    if closed < 0:
        return None
    fields = raw[closed + 2 :].split(None, 23)
    # Its own time, and that of children it has waited for: what ended is not forgotten.
    ticks = sum(map(int, fields[11:15]))
    is_wall = raw[raw.find(b"(") + 1 : closed] == _SERVER
    return _Row(int(fields[1]), int(fields[19]), ticks, int(fields[21]), is_wall)


def _below(roots: Collection[int], rows: Mapping[int, _Row], children: Mapping[int, list[int]]) -> set[int]:
    found: set[int] = set()
    todo = [*roots]
    while todo:
        pid = todo.pop()
        if pid not in found and pid not in UNTOUCHABLE and not rows[pid].is_wall:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def _use(root: int, pids: Collection[int], rows: Mapping[int, _Row]) -> TreeUse:
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - rows[root].started / TICKS_PER_S
    ticks = sum(rows[pid].ticks for pid in pids)
    pages = sum(rows[pid].pages for pid in pids)
    return TreeUse(tuple(sorted(pids)), ticks / TICKS_PER_S, pages * _PAGE_BYTES, age_s)
