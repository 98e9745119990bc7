"""The last look, what it proves, and the report of it: no process of ours, every port free, supervisord's socket deaf.

Nothing of it is needed before a stop's first signals, so it is imported while the suite ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from daemons import clock, files, processes, suite, supervisor
from daemons.processes import Ended, Table
from daemons.settings import Settings
from daemons.stop import answering, ports, published
from daemons.stop.bounded import Background
from daemons.stop.evidence import Member
from daemons.stop.ledger import Ledger
from daemons.stop.report import Foreign, Outcome, Port, Report, Stopped, Window
from daemons.suite import Record


class Proof:
    """What the *ledger* of one stop comes to, and what is on the suite's ports and sockets."""

    def __init__(self, conf: Settings, record: Record | None, ledger: Ledger) -> None:
        self._conf = conf
        self._record = record
        self._ledger = ledger
        self._ports = ports.of(conf, record)

    # -- the reports --------------------------------------------------------------------------------------------------

    def would_stop(self, found: Collection[int], windows: Iterable[Window]) -> Report:
        """What a stop would end now: everybody met, who are *found*, and *windows*."""
        return self._report(
            "would stop",
            [_there(member, "") for member in self._ledger.members()],
            windows=windows,
            foreign=self.strangers(found),
            answering=self._answering(found),
        )

    def last_look(self, outcome: Outcome, looked: Table, left: Mapping[int, str], unknown: str) -> Report:
        """*outcome*, if nobody is *left* of *looked*, every port is free, and nothing keeps it from being proven.

        *unknown* is why tmux could not be asked, where windows of ours may be left in it.
        """
        stopped = self._stopped()
        told = {each.pid for each in stopped if not each.gone}
        self._ledger.met(looked, left, left)
        found = (self._ledger.member(pid, looked) for pid in left.keys() - told)
        return self._report(
            outcome,
            [*stopped, *(_there(member, "found by the last look") for member in found)],
            ports=ports.state(self._ports),
            foreign=self.strangers(left),
            unknown=unknown,
            answering=self._answering(left),
        )

    def failed(self) -> Report:
        """The report of a stop that came to no last look; the ledger says why."""
        return self._report("not proven", self._stopped())

    def _stopped(self) -> list[Stopped]:
        return [_stopped(member, ended) for member, ended in self._ledger.endings()]

    def _report(
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
        ledger = self._ledger
        report = Report(
            outcome=outcome,
            at=clock.stamp(clock.now()),
            took_s=round(clock.monotonic() - ledger.began, 4),
            processes=tuple(stopped),
            windows=tuple(ledger.windows.values() if windows is None else windows),
            ports=ports,
            foreign=foreign,
            problems=(
                *ledger.problems,
                *([answering] if answering else ()),
                *([f"{_UNKNOWN}: {unknown}"] if unknown else ()),
            ),
            notes=tuple(ledger.notes),
            unknown=bool(unknown),
            inside=ledger.inside,
        )
        return dataclasses.replace(report, outcome="not proven") if report.proven and report.problem else report

    # -- who else -----------------------------------------------------------------------------------------------------

    def strangers(self, ours: Collection[int]) -> tuple[Foreign, ...]:
        """Who occupies a port of the suite and is none of *ours*."""
        return ports.strangers(self._conf, self._ports, ours)

    def _answering(self, left: Collection[int]) -> str:
        """Who is on supervisord's socket, when none of ours is there to be it; nothing when nobody is."""
        return "" if left else answering.problem(self._conf)

    # -- afterwards ---------------------------------------------------------------------------------------------------

    def clear_away(self) -> None:
        """Remove what only a running suite needs: it is proven gone."""
        if self._record is None:
            return
        supervisor.remove_sockets(self._conf)
        files.discard(self._conf.run_dir / "supervisord.pid")
        if self._record.cgroup:
            processes.remove_cgroup(Path(self._record.cgroup))
        suite.forget(self._conf)

    def publish(self, report: Report, within_s: float) -> Report:
        """Write *report* down for others; what it says then of that."""
        self._ledger.doing = "writing the report down"
        problem = Background(lambda: published.write(self._conf, report)).result(within_s)
        if problem == "":
            return report
        note = f"the report was not written down: {problem or 'the disk does not answer'}"
        return dataclasses.replace(report, notes=(*report.notes, note))


def _stopped(m: Member, ended: Ended) -> Stopped:
    return Stopped(m.pid, m.user, m.command, m.why, ended.signals, ended.after_s, ended.left)


def _there(m: Member, left: str) -> Stopped:
    return Stopped(m.pid, m.user, m.command, m.why, (), None, left)


_UNKNOWN = "tmux could not be asked, so windows of the suite may be left"
