"""What is done about each program: who ends too often is held back, who hangs is ended, who is given up is retried.

supervisord starts all of them, and only supervisord: it is asked to. Starting is asked for under the stop lock, so that
nothing starts while a stop is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from daemons import clock, files, log, loop, processes, suite
from daemons.journal import Journal
from daemons.listener.alarms import SENDER, Alarms, Kind, Trouble
from daemons.listener.endings import AT_ONCE, Endings
from daemons.listener.events import Event
from daemons.listener.heartbeats import Heartbeats
from daemons.processes import Identity
from daemons.settings import Settings
from daemons.supervisor import ProgramState, Rpc, SupervisorRefused

# Told after so many failed starts in a row, some 6 s; supervisord goes on trying.
TRIES_UNTIL_TOLD = 3
STEADY_AFTER_S = 10
HANGING_GRACE_S = 1.0
HANGING_DEADLINE_S = 3.0
_UP = ("STARTING", "RUNNING", "BACKOFF")
_DOWN = ("STOPPED", "EXITED", "FATAL")

Programs = Mapping[str, ProgramState]


class Care:
    """Call `hear` with what happened, then `look` at what is so now, then `pay` what has been owed for long enough."""

    def __init__(self, conf: Settings, rpc: Rpc, alarms: Alarms, heartbeats: Heartbeats) -> None:
        self._conf = conf
        self._rpc = rpc
        self._alarms = alarms
        self._heartbeats = heartbeats
        self._journal = Journal(conf, SENDER)
        self._ended_by_us: set[str] = set()
        self.endings = Endings(conf.run_dir / "listener.json")

    # -- what happened ------------------------------------------------------------------------------------------------

    def hear(self, events: Iterable[Event], now: datetime) -> None:
        """Take up what supervisord told since the last cycle."""
        for event in events:
            if event.kind == "EXITED" and event.fields.get("expected") == "0":
                self._ended(event.program, event.fields.get("pid", ""), now)
            elif event.kind == "BACKOFF" and int(event.fields.get("tries", 0)) == TRIES_UNTIL_TOLD:
                self._fails_to_start(event.program, f"{TRIES_UNTIL_TOLD} starts in a row failed", now)

    def expect(self, pid: int) -> None:
        """The end of *pid* is ours: it counts as no failure."""
        self._ended_by_us.add(str(pid))

    def _ended(self, name: str, pid: str, now: datetime) -> None:
        if pid in self._ended_by_us:
            self._ended_by_us.discard(pid)
            return
        self.endings.add(name, now)
        count = self.endings.count(name, now)
        self._note("program.ended_unexpectedly", program=name, pid=pid, within_10_min=count)
        if self.endings.is_too_often(name, now):
            self._hold_back(name, count, now)

    def _hold_back(self, name: str, count: int, now: datetime) -> None:
        """Keep a program from ending again and again at full speed; ourselves, supervisord's pace must do for."""
        is_held = name != "listener"
        pause_s = self.endings.pause_s(name, now) if is_held else 0
        headline = f"{name} ends again and again: {count} times within 10 minutes"
        evidence = f"{headline}. It is started again after {pause_s:.0f} s."
        self._alarms.tell(Trouble(name, "ends-again-and-again", headline, evidence), now)
        if is_held:
            self.endings.owe(name, now)  # before the stop: dying in between must not leave it stopped
            self._rpc.stop(name)

    def _fails_to_start(self, name: str, what: str, now: datetime) -> None:
        headline = f"{name} fails to start: {self._alarms.refusal(name) or what}; see .cmux/logs/{name}.log"
        self._alarms.tell(Trouble(name, "fails-to-start", headline, f"{headline}. It is tried again and again."), now)

    # -- what is so ---------------------------------------------------------------------------------------------------

    def look(self, programs: Programs, now: datetime) -> None:
        """Deal with what supervisord gave up, with what hangs, and with what is well again."""
        self._heartbeats.begin()
        hanging = {name: silence for name, each in programs.items() if (silence := self._heartbeats.silence(each))}
        for name, program in programs.items():
            if name in hanging:
                self._end_hanging(program, hanging[name], now)
            elif program.state == "FATAL" and not self.endings.is_owed(name):
                self._retry(program, now)
        for name, kind in self._alarms.open():
            # One that was ended just now may have come to for its last moment: that is not being well.
            if name not in hanging and name not in ("supervisord", "code"):
                self._clear_if_over(name, kind, programs.get(name), now)

    def _end_hanging(self, program: ProgramState, silence: str, now: datetime) -> None:
        """End it with all that it started; supervisord, which sees it go, starts it again."""
        identity = self._identity(program)
        if identity is None:
            return
        self.endings.add(program.name, now)
        self.expect(program.pid)
        self._note("program.hung", reason=silence, program=program.name, pid=program.pid)
        headline = f"{program.name} hangs and is restarted"
        self._alarms.tell(Trouble(program.name, "hangs", headline, f"{headline}: {silence}."), now)
        deadline_s = clock.monotonic() + HANGING_DEADLINE_S
        processes.end_tree([identity], grace_s=HANGING_GRACE_S, deadline_s=deadline_s)
        self._rpc.poke()

    def _identity(self, program: ProgramState) -> Identity | None:
        status = loop.read_status(self._conf, program.name)
        if status is not None and status.pid == program.pid:
            return Identity(program.pid, status.pid_started, None, processes.boot_id())
        return processes.identify(program.pid)

    def _retry(self, program: ProgramState, now: datetime) -> None:
        """supervisord has given it up for good: not we."""
        self.endings.add(program.name, now)
        due = self.endings.owe(program.name, now)
        self._note("program.given_up", reason=program.problem, program=program.name, next_start=str(due))
        self._fails_to_start(program.name, program.problem.partition(" (")[0].lower() or "supervisord gave it up", now)

    def _clear_if_over(self, name: str, kind: Kind, program: ProgramState | None, now: datetime) -> None:
        if over := self._is_over(program, kind, now):
            self._alarms.clear(name, kind, now, reason=over)

    def _is_over(self, program: ProgramState | None, kind: Kind, now: datetime) -> str:
        """Why that trouble is over, or nothing."""
        if program is None:
            return "it is not declared any more"
        if program.state == "STOPPED" and not self.endings.is_owed(program.name):
            return "somebody stopped it"
        if program.state != "RUNNING" or program.up_s < STEADY_AFTER_S:
            return ""
        if kind == "ends-again-and-again" and self.endings.is_too_often(program.name, now):
            return ""
        return f"it has been running for {program.up_s} s, pid {program.pid}"

    # -- what is owed -------------------------------------------------------------------------------------------------

    def pay(self, programs: Programs, now: datetime) -> None:
        """Start what was held back or given up, once its pause is over."""
        for name in self.endings.due(now):
            program = programs.get(name)
            if program is None or program.state in _UP:
                self.endings.paid(name)
            elif program.state in _DOWN:
                self._start(name, now)

    def _start(self, name: str, now: datetime) -> None:
        try:
            with files.lock(suite.stop_lock(self._conf), timeout_s=0.0):
                self._rpc.start(name)
        except files.LockBusy as busy:
            log.info("program.not_started", program=name, reason=str(busy))
        except SupervisorRefused as refused:
            self._note("program.not_started", reason=str(refused), program=name)
            self.endings.add(name, now)
            self.endings.owe(name, now)
        else:
            self.endings.paid(name)  # last: dying before this line starts it once more, which changes nothing
            log.info(
                "program.started", program=name, ended_within_10_min=self.endings.count(name, now), at_once=AT_ONCE
            )

    def _note(self, event: str, *, reason: str | None = None, **evidence: object) -> None:
        """Log it and keep it in the journal. A full disk keeps no program from being restarted."""
        log.warning(event, reason=reason, **evidence)
        try:
            self._journal.record(event, reason=reason, **evidence)
        except (files.StorageError, files.LockBusy) as full:
            log.error("journal.not_written", event_lost=event, reason=str(full))
