"""One stop, from the first look to the proof."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from daemons import clock, files, processes, settings, suite, supervisor
from daemons.files import LockBusy, StorageError
from daemons.processes import Handle, Table
from daemons.settings import Settings
from daemons.stop import caller, intent, windows
from daemons.stop.bounded import Background
from daemons.stop.evidence import Evidence
from daemons.stop.ledger import Ledger
from daemons.stop.looking import Looks
from daemons.stop.windows import Ours, Windows
from daemons.suite import Record

if TYPE_CHECKING:
    from daemons.stop.proof import Proof
    from daemons.stop.report import Outcome, Report

T = TypeVar("T")
Farewell = Callable[["Report"], None]

# How long the first look waits for tmux, which answers in 10 ms or hangs; what comes later still counts.
_TMUX_FIRST_S = 0.3
_DRY_RUN_TMUX_S = 3.5
_KEPT_S, _KEPT_PART = 1.0, 0.15
# What the caller runs under is asked last, when everything else has gone.
_LAST_GRACE_S = 1.0
_ROUNDS = 3
_WAITED_S = 0.05


class Run:
    """Finds what is ours, ends it, proves it. Made for one stop."""

    def __init__(self, conf: Settings, *, force: bool, deadline: float, farewell: Farewell) -> None:
        self._conf = conf
        self._force = force
        self._deadline = deadline
        # Of the whole time, what is kept for windows, proof and report.
        self._kept_s = min(_KEPT_S, _KEPT_PART * (deadline - clock.monotonic()))
        self._farewell = farewell
        self._ledger = Ledger()
        self._suite_id: str | None = None
        self._record: Record | None = None
        self._agents: Mapping[str, Mapping[str, Any]] = {}
        self._windows: Windows | None = None
        self._evidence, self._looks = self._by(Evidence(None, None))
        self._under: int | None = None  # the topmost process of ours that we run under ourselves
        self._getting_ready: Background[None] | None = None

    # -- the two ways -------------------------------------------------------------------------------------------------

    def look(self) -> Report:
        """What a stop would end now. Changes nothing, takes no lock."""
        looked = self._first_look(_DRY_RUN_TMUX_S)
        found = self._evidence(looked)
        self._ledger.met(looked, found, found)
        self._evidence.close()
        return self._proof().would_stop(found, [ours.window for ours in self._ours()])

    def stop(self, margin_s: float) -> Report:
        """Stop, within the deadline and *margin_s*, whatever hangs."""
        may_run_inside = self._conf.suite_id is not None or "TMUX" in settings.child_environment()
        with caller.deaf(leave_group=may_run_inside):
            work = Background(self._under_lock)
            return work.result(self._left_s() + margin_s) or self._overdue(margin_s)

    def _under_lock(self) -> Report:
        if not self._conf.run_dir.is_dir():
            return self._stop(asked_at=None)  # nothing was ever started here: no folder to keep a lock in
        self._ledger.doing = "waiting for another stop or start"
        asked_at, began = clock.stamp(clock.now()), clock.monotonic()
        try:
            with files.lock(suite.stop_lock(self._conf), timeout_s=max(0.0, self._left_s() - self._kept_s)):
                waited = clock.monotonic() - began > _WAITED_S
                return self._stop(asked_at=asked_at if waited else None)
        except LockBusy as busy:
            self._ledger.problems.append(f"another stop or a start is under way: {busy.holder} holds {busy.path}")
            return self._proof().failed()
        except StorageError as broken:
            self._ledger.notes.append(f"{broken}; stopped without that lock")
            return self._stop(asked_at=None)

    def _overdue(self, margin_s: float) -> Report:
        hung = f"the deadline passed while {self._ledger.doing}"
        self._ledger.problems.append(hung)
        report = Background(lambda: self._proof().failed()).result(margin_s)
        if report is None:  # not even what makes a report could be imported
            raise TimeoutError(f"not stopped, or not proven: {hung}, and the disk with the program does not answer")
        return report

    # -- the story ----------------------------------------------------------------------------------------------------

    def _stop(self, *, asked_at: str | None) -> Report:
        looked = self._first_look(_TMUX_FIRST_S)
        all_of_us = self._evidence.all_of_us(looked)
        if not self._evidence.without_spared(all_of_us, looked) and not self._ours():
            return self._by_another(asked_at) or self._cleared(self._last_look("already stopped"))
        self._remember_intent()  # also of the agent that asks for this stop
        self._notice_caller(looked, all_of_us)
        self._restore_id()
        held = self._looks.hold(looked, self._evidence.without_spared(all_of_us, looked))
        for _ in range(_ROUNDS):
            self._end_processes(held, self._conf.stop_grace_s, self._deadline - self._reserve_s())
            if self._end_windows() or self._left_s() < self._reserve_s():
                break
            held = self._looks.hold_new(())
        if self._under is not None:
            self._end_what_the_caller_runs_under()
        return self._publish(self._cleared(self._last_look("stopped")))

    def _by_another(self, asked_at: str | None) -> Report | None:
        """The report of the stop that we waited for, since *asked_at*."""
        from daemons.stop import published

        return published.since(self._conf, asked_at) if asked_at else None

    def _first_look(self, tmux_within_s: float) -> Table:
        self._ledger.doing = "reading what runs"
        self._suite_id = suite_id = self._readable(lambda: suite.known_id(self._conf)) or self._carried_id()
        self._record = self._readable(lambda: suite.read(self._conf))
        self._evidence, self._looks = self._by(Evidence(suite_id, self._record))
        if suite_id:
            self._agents = intent.registered(self._conf)
            self._windows = Windows(self._as_started(), suite_id, self._agents)
        looked = processes.table()  # while tmux answers; who came meanwhile is found by the next look
        self._count_panes(tmux_within_s)
        if self._force:
            self._count_strangers(looked)
        return looked

    def _by(self, evidence: Evidence) -> tuple[Evidence, Looks]:
        return evidence, Looks(evidence, self._ledger, lambda: self._count_panes(0.0))

    def _carried_id(self) -> str | None:
        if known := suite.carried_id(self._conf, processes.table()):
            self._ledger.notes.append(
                "the suite's id was lost; the supervisord that runs here for this home carries it"
            )
        return known

    def _readable(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except StorageError as broken:
            self._ledger.problems.append(f"it is not known what was started here: {broken}")
            return None

    def _restore_id(self) -> None:
        """While supervisord still vouches for it: a stop that leaves something must not hide it from the next one."""
        if (known := self._suite_id) is None:
            return
        try:
            if not suite.has_id(self._conf):
                Background(lambda: suite.restore_id(known, self._conf)).result(_LAST_GRACE_S)
        except (StorageError, LockBusy) as reason:
            self._ledger.notes.append(f"the suite's id was not written anew: {reason}")

    def _as_started(self) -> Settings:
        """The settings with the tmux server that the suite was started with: today's may name another one."""
        return replace(self._conf, tmux_socket=self._record.tmux_socket) if self._record else self._conf

    def _reserve_s(self) -> float:
        return self._kept_s + (2 * _LAST_GRACE_S if self._under is not None else 0.0)

    def _left_s(self) -> float:
        return max(0.0, self._deadline - clock.monotonic())

    # -- processes ----------------------------------------------------------------------------------------------------

    def _end_processes(self, held: Iterable[Handle], grace_s: float, deadline: float) -> None:
        self._ledger.doing = "ending processes"
        self._looks.forget()
        first = self._evidence.supervisord_pid
        ended = processes.end(
            # supervisord first: told to end, it starts no program again that ends beside it.
            sorted(held, key=lambda handle: handle.pid != first),
            grace_s=grace_s,
            deadline_s=deadline,
            again=self._looks.hold_new,
            wardens=[first],
            nudge=self._use_the_time,
        )
        self._ledger.ended(ended)

    def _use_the_time(self) -> bool:
        """All have been asked to end. Whether supervisord still has to be woken."""
        lives = self._wake_supervisord()
        if self._getting_ready is None:
            self._getting_ready = Background(self._make_ready)
        return lives

    def _wake_supervisord(self) -> bool:
        """supervisord sleeps up to a second before it hears a signal; a connection wakes it. False once it is gone."""
        if not self._evidence.supervisord_lives():
            return False
        supervisor.poke(supervisor.socket_path(self._conf))
        return True

    # -- windows ------------------------------------------------------------------------------------------------------

    def _ours(self, within_s: float = 0.0) -> list[Ours]:
        """What is ours in tmux, as far as it has answered; not what the caller runs in."""
        found = self._windows.ours(within_s) if self._windows else []
        return [ours for ours in found if all(pane.pid != self._under for pane in ours.panes)]

    def _count_panes(self, within_s: float) -> None:
        for ours in self._windows.ours(within_s) if self._windows else []:
            self._evidence.add_panes((pane, windows.why(ours, pane)) for pane in ours.panes)

    def _end_windows(self) -> bool:
        """End what is ours in tmux. True when a new look then finds nothing more of it."""
        self._ledger.doing = "ending tmux windows"
        ending = self._ours()
        for ours in ending:
            self._ledger.window(ours.window, self._end_window(ours))
        if self._windows is None or not (ending or self._unknown()):
            return True
        self._looks.forget()
        self._windows.release()
        self._windows = self._windows.again()
        self._count_panes(min(windows.LOOK_TIMEOUT_S, self._left_s() - self._kept_s / 2))
        return not self._ours()

    def _end_window(self, ours: Ours) -> str:
        ending = Background(lambda: windows.end(self._as_started(), ours))
        left = ending.result(self._left_s() - self._kept_s / 2)
        return "tmux does not answer" if left is None else left

    def _remember_intent(self) -> None:
        """Agents that end now are meant to: nobody is to be alarmed about them at the next start."""
        if ending := intent.ending(self._agents, [pane for ours in self._ours() for pane in ours.panes]):
            marked = Background(lambda: intent.mark(self._conf, ending)).result(_LAST_GRACE_S)
            if marked != "":
                self._ledger.notes.append(f"agents were not marked as stopped: {marked or 'the disk does not answer'}")

    # -- the caller ---------------------------------------------------------------------------------------------------

    def _notice_caller(self, looked: Table, all_of_us: Collection[int]) -> None:
        self._under = caller.runs_under(looked, all_of_us, self._evidence.supervisord_pid)
        self._ledger.inside = self._under is not None
        if self._under is not None:
            self._evidence.keep_for_later([self._under])

    def _end_what_the_caller_runs_under(self) -> None:
        self._ledger.notes.append("this ran inside the suite: what it ran in ends last, after this report")
        self._farewell(self._publish(self._last_look("stopped")))
        self._under = None
        self._evidence.keep_for_later(())
        self._end_processes(self._looks.hold_new(()), _LAST_GRACE_S, self._deadline - self._kept_s / 2)
        self._end_windows()

    # -- the proof ----------------------------------------------------------------------------------------------------

    def _proof(self) -> Proof:
        from daemons.stop.proof import Proof  # a third of all imports; most stops have made it ready by then

        return Proof(self._conf, self._record, self._ledger)

    def _make_ready(self) -> None:
        """While the suite ends: import what only proof and report need, and make what is shown of everybody met."""
        import daemons.journal  # noqa: F401

        self._proof()
        for member in self._ledger.members():
            _shown = member.user, member.command

    def _last_look(self, outcome: Outcome) -> Report:
        self._ledger.doing = "looking whether all has gone"
        looked, left = self._looks.last()
        return self._proof().last_look(outcome, looked, left, self._unknown())

    def _cleared(self, report: Report) -> Report:
        """Once it is proven gone, what only a running suite needs goes, too."""
        if report.proven:
            self._proof().clear_away()
        return report

    def _publish(self, report: Report) -> Report:
        return self._proof().publish(report, min(1.0, self._left_s()))

    def _unknown(self) -> str:
        """Why windows of ours may be left in a tmux that can't be asked; nothing when there can be none."""
        if self._windows is None or not (self._ledger.has_met_a_window() or intent.expects_windows(self._agents)):
            return ""
        return self._windows.unknown(0.0)

    def _count_strangers(self, looked: Table) -> None:
        for stranger in self._proof().strangers(self._evidence.all_of_us(looked)):
            process = looked.get(stranger.pid or 0)
            if process and process.pid not in processes.own_line(looked) and not processes.is_tmux_server(process):
                self._evidence.add_forced(process.pid, f"occupies port {stranger.port}, taken by --force")
