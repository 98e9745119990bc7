"""Who is ours, and why: proven, never guessed.

    the record's supervisord -> all below it, adopted orphans too (it is a subreaper)
    the marker in the environment, the cgroup, supervisord's session -> all below those
    panes of the windows that we opened, or that registered -> all below them, and what is left in their sessions

Each finds what others miss: the marker what left its tree, the tree what overwrote its environment, the cgroup what did
both. Walls: a tmux server (its user's windows hang below it), another home's suite, and who is told to be spared.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import files, processes
from daemons.processes import Handle, Process, Table
from daemons.suite import Record

if TYPE_CHECKING:
    from daemons.tmux import Pane


@dataclass(frozen=True)
class Member:
    """A process of ours, as it was when it was found: afterwards nobody can tell any more.

    What is shown of it is made later, because masking secrets and naming users takes longer than the whole look.
    """

    pid: int
    uid: int | None
    name: str
    command_line: bytes
    why: str
    in_tmux: bool

    @functools.cached_property
    def user(self) -> str:
        return processes.user_name(self.uid)

    @functools.cached_property
    def command(self) -> str:
        """Safe to show, secrets masked."""
        return processes.shown_command(self.command_line, self.name)


class Evidence:
    """Says of a look at the processes who is ours in it. Holds on to the roots, so that no pid of theirs is reused."""

    def __init__(self, suite_id: str | None, record: Record | None) -> None:
        self._suite_id = suite_id
        self._record = record
        self._cgroup = Path(record.cgroup) if record and record.cgroup else None
        self._supervisord = Handle.open(record.supervisord) if record else None
        self._panes: dict[int, _PaneRoot] = {}
        self._forced: dict[int, tuple[Handle, str]] = {}
        self._other_suites: dict[tuple[int, int], bool] = {}
        self._later: frozenset[int] = frozenset()

    @property
    def supervisord_pid(self) -> int:
        """0 when the recorded one is gone."""
        return self._supervisord.pid if self._supervisord else 0

    def supervisord_lives(self) -> bool:
        return self._supervisord is not None and not self._supervisord.ended()

    # -- more evidence

    def add_panes(self, panes: Iterable[tuple[Pane, str]]) -> None:
        """Count these panes' processes, for the reason that stands beside each. A pane whose command ended has none."""
        for pane, why in panes:
            server = int(pane.server.partition("@")[0])
            if pane.pid in self._panes or pane.dead:
                continue
            if held := Handle.open(pane.pid, lambda process, above=server: process.ppid == above):  # type: ignore[misc]
                self._panes[pane.pid] = _PaneRoot(held, why)

    def add_forced(self, pid: int, why: str) -> None:
        """Count this process though nothing proves it ours: its user asked for that."""
        if pid not in self._forced and (held := Handle.open(pid)):
            self._forced[pid] = (held, why)

    def keep_for_later(self, roots: Iterable[int]) -> None:
        """Leave these and all below them out until the next call, which may name none."""
        self._later = frozenset(roots)

    def close(self) -> None:
        for held in (self._supervisord, *self._held_roots()):
            if held:
                held.close()

    def _held_roots(self) -> Iterator[Handle]:
        yield from (root.handle for root in self._panes.values())
        yield from (held for held, _ in self._forced.values())

    # -- who is ours

    def __call__(self, looked: Table) -> dict[int, str]:
        """The living processes of ours in *looked*, each with the first proof found.

        Without this one, should it be one of them, and without those that are kept for later.
        """
        return self.without_spared(self.all_of_us(looked), looked)

    def without_spared(self, found: Mapping[int, str], looked: Table) -> dict[int, str]:
        """Of *found*, what calling it names: without this process, and without those that are kept for later."""
        spared = processes.tree(self._later, looked) | {os.getpid()}
        return {pid: why for pid, why in found.items() if pid not in spared}

    def all_of_us(self, looked: Table) -> dict[int, str]:
        """Like calling it, with all that is left out there."""
        known, hints = self._proven_by_themselves(), self._proven_by_what_they_carry(looked)
        found = processes.tree([*known, *hints], looked, wall=self._is_wall)
        return {
            pid: known.get(pid) or self._below(looked[pid], found) or hints[pid]
            for pid in sorted(found)
            if not looked[pid].ended
        }

    def _proven_by_themselves(self) -> dict[int, str]:
        roots = {pid: root.why for pid, root in self._panes.items() if not root.handle.ended()}
        roots |= {pid: why for pid, (held, why) in self._forced.items() if not held.ended()}
        if self.supervisord_lives():
            roots[self.supervisord_pid] = "supervisord of this suite"
        return roots

    def _proven_by_what_they_carry(self, looked: Table) -> dict[int, str]:
        found = {process.pid: why for process in looked.values() if (why := self._session(process))}
        found |= dict.fromkeys(self._in_cgroup(looked), "in the suite's control group")
        if self._suite_id:
            found |= dict.fromkeys(processes.marked(self._suite_id, looked, spare=()), "carries the suite's marker")
        return found

    def _below(self, process: Process, found: Collection[int]) -> str:
        """Whose child makes it ours, or nothing: its parent is none of us."""
        if process.ppid == self.supervisord_pid and self.supervisord_lives():
            name = processes.environment_value(process, "SUPERVISOR_PROCESS_NAME")
            if name and process.pgid == process.pid:
                return f"program {name}"
            return "adopted by supervisord when its parent had ended"
        return f"below pid {process.ppid}" if process.ppid in found else ""

    def _in_cgroup(self, looked: Table) -> set[int]:
        if self._cgroup is None:
            return set()
        inside = {pid for pid in processes.cgroup_pids(self._cgroup) if pid in looked}
        return {pid for pid in inside if not _is_under_tmux(pid, looked)}

    def _session(self, process: Process) -> str:
        """Why the session that *process* is in makes it ours, or nothing. Its number is taken while it has members."""
        root, record = self._panes.get(process.sid), self._record
        if root and root.leads_session and _led_by(process.sid, no_later_than=root.handle.process.started):
            return f"left in the session of {root.why}"
        if record is None or process.sid != record.sid or record.supervisord.boot != processes.boot_id():
            return ""
        began = record.supervisord.started
        # The launcher's first child leads it, and leaves at once.
        is_ours = process.started >= began and _led_by(process.sid, no_later_than=began)
        return "in supervisord's session" if is_ours else ""

    def _is_wall(self, process: Process) -> bool:
        return processes.is_tmux_server(process) or self._is_of_another_suite(process)

    def _is_of_another_suite(self, process: Process) -> bool:
        """Whether it carries the marker of another home's suite, and that home knows it: then it answers to that."""
        key = process.pid, process.started
        if key not in self._other_suites:
            carried = processes.marker(process)
            home = processes.environment_value(process, "CMUX_HOME") if carried else None
            self._other_suites[key] = bool(home) and carried != self._suite_id and _id_of(Path(home or "")) == carried
        return self._other_suites[key]


@dataclass(frozen=True, slots=True)
class _PaneRoot:
    handle: Handle
    why: str

    @property
    def leads_session(self) -> bool:
        return self.handle.process.sid == self.handle.pid


def _led_by(sid: int, *, no_later_than: int) -> bool:
    """Whether the session is still the one of that time: a process of its number that is younger leads another one."""
    leader = processes.read(sid)
    return leader is None or leader.started <= no_later_than


def _is_under_tmux(pid: int, looked: Table) -> bool:
    above = (pid, *processes.ancestors(pid, looked))
    return any(processes.is_tmux_server(looked[at]) for at in above)


def _id_of(home: Path) -> str | None:
    try:
        words = (files.read(home / ".cmux" / "suite_id", limit_bytes=8192) or b"").split()
    except files.StorageError:
        return None
    return os.fsdecode(words[0]) if words else None


def describe(looked: Table, whys: Mapping[int, str], pids: Iterable[int]) -> Iterator[Member]:
    """What is known of *pids* now."""
    for pid in pids:
        if pid in looked and pid in whys:
            process, line = looked[pid], processes.command_line(pid)
            yield Member(pid, process.uid, process.name, line, whys[pid], in_tmux=_is_under_tmux(pid, looked))
