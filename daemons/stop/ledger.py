"""What one stop has found and done so far. The report is made from it, also when the stop is cut short."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from daemons import clock
from daemons.processes import Ended, Table
from daemons.stop.evidence import Member, describe
from daemons.stop.report import Foreign, Outcome, Port, Report, Stopped, Window


class Ledger:
    """Members by pid and start, so that a pid given again is another one."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._members: dict[tuple[int, int], Member] = {}
        self._ended: dict[tuple[int, int], Ended] = {}
        self._windows: dict[str, Window] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.doing = "reading what runs"
        self.inside = False

    def met(self, looked: Table, whys: Mapping[int, str], pids: Iterable[int]) -> None:
        """Remember who *pids* are: once they have ended nobody can tell."""
        for member in describe(looked, whys, pids):
            self._members[member.pid, looked[member.pid].started] = member

    def ended(self, results: Iterable[Ended]) -> None:
        """Remember what became of them; the latest counts."""
        self._ended |= {(ended.pid, ended.identity.started): ended for ended in results}

    def window(self, window: Window, left: str) -> None:
        """Remember that *window* was ended, or why it could not be."""
        self._windows[window.id] = dataclasses.replace(window, left=left)

    def has_met_a_window(self) -> bool:
        """Whether any process of ours was seen running in tmux."""
        return any(member.in_tmux for member in self._members.values())

    def would_end(self) -> list[Stopped]:
        """Everybody met, as not yet ended."""
        return [Stopped(m.pid, m.user, m.command, m.why, (), None, "") for m in self._members.values()]

    def stopped(self) -> list[Stopped]:
        """Everybody that was ended, or tried to."""
        return [self._stopped(key, ended) for key, ended in self._ended.items()]

    def still_there(self, pids: Iterable[int], looked: Table) -> list[Stopped]:
        """Those of *pids*, who were met, that nobody tried to end: a last look found them."""
        found = [self._members[pid, looked[pid].started] for pid in pids]
        return [Stopped(m.pid, m.user, m.command, m.why, (), None, "found by the last look") for m in found]

    def _stopped(self, key: tuple[int, int], ended: Ended) -> Stopped:
        m = self._members.get(key) or Member(ended.pid, "?", "?", "?", in_tmux=False)
        return Stopped(m.pid, m.user, m.command, m.why, ended.signals, ended.after_s, ended.left)

    def overdue(self) -> Report:
        """The report of a stop that hangs."""
        self.problems.append(f"the deadline passed while {self.doing}")
        return self.report("not proven", self.stopped())

    def report(
        self,
        outcome: Outcome,
        stopped: Iterable[Stopped],
        *,
        windows: Iterable[Window] | None = None,
        ports: tuple[Port, ...] = (),
        foreign: tuple[Foreign, ...] = (),
        unknown: str = "",
        answering: str = "",
    ) -> Report:
        """The report. Its outcome is *outcome*, unless something keeps that from being proven.

        *unknown* is why tmux could not be asked, *answering* who is on supervisord's socket and none of ours.
        """
        report = Report(
            outcome=outcome,
            at=clock.stamp(clock.now()),
            took_s=round(clock.monotonic() - self._began, 4),
            processes=tuple(stopped),
            windows=tuple(self._windows.values() if windows is None else windows),
            ports=ports,
            foreign=foreign,
            problems=(
                *self.problems,
                *([answering] if answering else ()),
                *([f"{_UNKNOWN}: {unknown}"] if unknown else ()),
            ),
            notes=tuple(self.notes),
            unknown=bool(unknown),
            inside=self.inside,
        )
        return dataclasses.replace(report, outcome="not proven") if report.proven and report.problem else report


_UNKNOWN = "tmux could not be asked, so windows of the suite may be left"
