"""Starting a home's suite, once, and waiting until all of it is healthy.

    start.lock ---------------------------------------------------------------------------------.
    stop.lock ------------------------------------------------------.                           |
      leftovers ended -> strangers on our ports? -> launcher -> record -> wait, looking at all parts

Two starts at once make one suite: the second waits for the first, and finds it running. Nothing is started while a stop
is under way, and a stop that comes while a start waits has its way.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Literal

from daemons import clock, files, processes, settings, suite
from daemons.files import LockBusy, StorageError
from daemons.journal import Journal
from daemons.settings import Settings
from daemons.start.leftovers import Leftover, end_leftovers
from daemons.start.readiness import Part, Waiting
from daemons.start.strangers import strangers
from daemons.suite import Record

__all__ = ["Outcome", "Part", "Report", "start"]

WAIT_S = 30.0
_LAUNCH_WITHIN_S = 20.0

Outcome = Literal["started", "running already", "refused"]


@dataclass(frozen=True, slots=True)
class Report:
    """How a start went. *problem* is one line, empty when *healthy*; *ended* is what a suite before had left running.

    *notes* say in which settings the suite that ran already differs from the ones that this start came with.
    """

    outcome: Outcome
    healthy: bool
    problem: str
    parts: tuple[Part, ...]
    ended: tuple[Leftover, ...]
    notes: tuple[str, ...]
    url: str
    took_s: float


class _Refused(Exception):
    """The suite is not started. The text is one line."""


def start(conf: Settings, *, wait_s: float = WAIT_S) -> Report:
    """Start the suite of this home unless it runs, and wait up to *wait_s* until every part of it is healthy.

    Programs that somebody stopped are started again. Never raises for what can go wrong outside: the report says it.
    """
    began = clock.monotonic()
    ended: tuple[Leftover, ...] = ()
    outcome: Outcome = "refused"
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    url = conf.api_url
    try:
        files.private_dir(conf.run_dir)
        with files.lock(suite.start_lock(conf), timeout_s=wait_s):
            record, outcome, ended = _launched(conf)
            parts, problem = _waited(conf, record, began + wait_s)
            if outcome == "running already" and not processes.is_alive(record.supervisord):
                # It was on its way out when we came (a kill -9 takes its time): this is the start that counts.
                record, outcome, ended = _launched(conf)
                parts, problem = _waited(conf, record, began + wait_s)
            notes, url = _differences(conf, record), _as_started(conf, record).api_url
    except (_Refused, StorageError, LockBusy) as reason:
        problem = str(reason)
    return Report(outcome, not problem, problem, parts, ended, notes, url, clock.monotonic() - began)


def _waited(conf: Settings, record: Record, deadline_s: float) -> tuple[tuple[Part, ...], str]:
    return Waiting(_as_started(conf, record), record).until_healthy(deadline_s)


def _launched(conf: Settings) -> tuple[Record, Outcome, tuple[Leftover, ...]]:
    """The suite that runs when this returns: the one from before, or a new one."""
    if record := suite.running(conf):
        return record, "running already", ()
    try:
        with files.lock(suite.stop_lock(conf), timeout_s=0.0):
            return _launch(conf)
    except LockBusy as busy:
        raise _Refused(f"a stop is under way ({busy.holder}); start again when it has finished") from None


def _differences(conf: Settings, record: Record) -> tuple[str, ...]:
    """What the suite that runs was told otherwise than the settings say now."""
    services = tuple(service.name for service in conf.services)
    compared = (
        ("CMUX_HOST", record.host, conf.host),
        ("CMUX_PORT", record.port, conf.port),
        ("CMUX_SESSION", record.session, conf.session),
        ("CMUX_TMUX_SOCKET", record.tmux_socket, conf.tmux_socket),
        ("services", ", ".join(record.services) or None, ", ".join(services) or None),
    )
    return tuple(f"{name} was {then} when it was started, now {now}" for name, then, now in compared if then != now)


def _as_started(conf: Settings, record: Record) -> Settings:
    kept = tuple(service for service in conf.services if service.name in record.services)
    return replace(conf, host=record.host, port=record.port, services=kept)


def _launch(conf: Settings) -> tuple[Record, Outcome, tuple[Leftover, ...]]:
    ended = end_leftovers(conf)
    if staying := [each for each in ended if not each.ended.gone]:
        names = ", ".join(each.who for each in staying)
        raise _Refused(f"a suite that was killed left {names}, which cannot be ended: {staying[0].ended.left}")
    if taken := strangers(conf):
        raise _Refused("; ".join(taken))
    record = _run_launcher(conf)
    _note(conf, record, ended)
    return record, "started", ended


def _note(conf: Settings, record: Record, ended: tuple[Leftover, ...]) -> None:
    leftovers = [{"who": each.who, "signals": each.ended.signals} for each in ended]
    try:
        Journal(conf, "system:start").record("suite.started", pid=record.supervisord.pid, ended_leftovers=leftovers)
    except (StorageError, LockBusy):
        return  # it runs; a disk that is full will be told by the suite itself


def _run_launcher(conf: Settings) -> Record:
    launcher = [sys.executable, "-P", "-m", "daemons.launcher"]
    environment = settings.child_environment(CMUX_HOME=str(conf.home))
    try:
        told = subprocess.run(
            launcher,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LAUNCH_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _Refused(f"the launcher did not finish within {_LAUNCH_WITHIN_S:g} s; is the disk stuck?") from None
    # Also when ours was refused because the launcher of a starter that was killed came first.
    record = suite.running(conf) or (suite.read(conf) if told.returncode == 0 else None)
    if record is None:
        lines = os.fsdecode(told.stderr).strip().splitlines() or [f"exit code {told.returncode}, and no word"]
        raise _Refused(lines[-1])
    return record
