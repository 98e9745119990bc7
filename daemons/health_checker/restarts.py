"""Restarts of programs that live but fail their probe: asked of supervisord, their one owner, within a budget.

    owed on disk -> stop (not waited for: a frozen one takes seconds) -> seen STOPPED -> start -> owed no more

Whoever dies between the stop and the start leaves the debt on the disk, and pays it after the next start.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from daemons import files, log, suite
from daemons.budget import Budget
from daemons.health_checker.notes import Notes
from daemons.health_checker.steadiness import Verdict
from daemons.settings import Settings
from daemons.supervisor import ProgramState, Rpc, SupervisorDown, SupervisorRefused

_ENDED = {"STOPPED", "EXITED", "FATAL"}


class Restarts:
    """What was asked to be restarted and is not yet. Every method may be called while supervisord is down."""

    def __init__(self, conf: Settings, rpc: Rpc, budget: Budget, notes: Notes) -> None:
        self._conf = conf
        self._rpc = rpc
        self._budget = budget
        self._notes = notes
        self._path = conf.state / "restarts.json"
        self._owed = self._load()

    def is_owed(self, program: str) -> bool:
        return program in self._owed

    def ask(self, program: ProgramState, why: Verdict, now: datetime) -> bool:
        """Have *program* restarted because of *why*. False: not now, the budget is spent or supervisord says no."""
        if not self._budget.may(program.name, now):
            return False
        self._budget.spend(program.name, now)
        self._keep(self._owed | {program.name})
        if not self._told("stop", program.name):
            self._keep(self._owed - {program.name})
            return False
        self._told("resume", program.name)  # a stopped one (SIGSTOP) would sleep through its SIGTERM
        self._notes.record(
            "program.restarted", reason=f"{why.kind}: {why.evidence}", program=program.name, pid=program.pid
        )
        log.warning("program.restarted", program=program.name, pid=program.pid, why=why.kind, evidence=why.evidence)
        return True

    def pursue(self, programs: Mapping[str, ProgramState]) -> None:
        """Start what has ended by now. Nothing is started while a stop of the suite is under way."""
        for name in sorted(self._owed):
            program = programs.get(name)
            if program is None or program.state in ("RUNNING", "STARTING"):
                self._keep(self._owed - {name})
            elif program.state in _ENDED:
                self._start(name)

    def _start(self, name: str) -> None:
        try:
            with files.lock(suite.stop_lock(self._conf), timeout_s=0.0):
                if not self._rpc.is_shutting_down() and self._told("start", name):
                    self._rpc.poke()
        except (files.LockBusy, SupervisorDown, SupervisorRefused) as hindrance:
            log.info("program.not_started", program=name, reason=str(hindrance))

    def _told(self, what: Literal["stop", "resume", "start"], name: str) -> bool:
        calls = {"stop": self._rpc.stop, "resume": self._resume, "start": self._rpc.start}
        try:
            calls[what](name)
        except (SupervisorDown, SupervisorRefused) as hindrance:
            log.warning("supervisor.refused", call=what, program=name, reason=str(hindrance))
            return False
        return True

    def _resume(self, name: str) -> None:
        self._rpc.signal(name, signal.SIGCONT)

    def _keep(self, owed: frozenset[str]) -> None:
        if owed != self._owed:
            self._owed = owed
            files.replace(self._path, json.dumps({"owed": sorted(owed)}).encode() + b"\n")

    def _load(self) -> frozenset[str]:
        try:
            raw = files.read(self._path)
            return frozenset(str(name) for name in json.loads(raw)["owed"]) if raw else frozenset()
        except (ValueError, TypeError, KeyError):
            return frozenset()
