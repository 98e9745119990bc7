"""What one stop has found and done so far. The report is made from it, also when the stop is cut short."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from daemons import clock
from daemons.processes import Ended, Table
from daemons.stop.evidence import Member, describe

if TYPE_CHECKING:
    from daemons.stop.report import Window


class Ledger:
    """Members by pid and start, so that a pid given again is another one."""

    def __init__(self) -> None:
        self.began = clock.monotonic()
        self.windows: dict[str, Window] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.doing = "reading what runs"
        self.inside = False
        self._members: dict[tuple[int, int], Member] = {}
        self._ended: dict[tuple[int, int], Ended] = {}

    def met(self, looked: Table, whys: Mapping[int, str], pids: Iterable[int]) -> None:
        """Remember who *pids* are: once they have ended nobody can tell."""
        for member in describe(looked, whys, pids):
            self._members[member.pid, looked[member.pid].started] = member

    def members(self) -> list[Member]:
        """Everybody met so far."""
        return list(self._members.values())

    def member(self, pid: int, looked: Table) -> Member:
        """Who *pid* is, that was met in *looked*."""
        return self._members[pid, looked[pid].started]

    def ended(self, results: Iterable[Ended]) -> None:
        """Remember what became of them; the latest counts."""
        self._ended |= {(ended.pid, ended.identity.started): ended for ended in results}

    def endings(self) -> list[tuple[Member, Ended]]:
        """Everybody that was ended, or tried to, and what became of them."""
        return [(self._members.get(key) or _nobody_met(ended.pid), ended) for key, ended in self._ended.items()]

    def window(self, window: Window, left: str) -> None:
        """Remember that *window* was ended, or why it could not be."""
        self.windows[window.id] = dataclasses.replace(window, left=left)

    def has_met_a_window(self) -> bool:
        """Whether any process of ours was seen running in tmux."""
        return any(member.in_tmux for member in self._members.values())


def _nobody_met(pid: int) -> Member:
    return Member(pid, uid=None, name="?", command_line=b"", why="?", in_tmux=False)
