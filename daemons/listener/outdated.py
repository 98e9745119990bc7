"""Programs that run other code than lies on the disk: told, and restarted one after the other.

    the disk has other code, the same at two looks a minute apart -> can it be started at all? -> SIGTERM to the first
    that is outdated, which supervisord starts anew -> it completes a cycle with the new code -> the next -> at last we

Code that cannot even be imported (a half-merged file, a dependency that is not installed) is told, and what runs goes
on running. A restart that comes to nothing stops the round: the rest keeps the code that works.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from daemons import clock, log, loop, text
from daemons.listener.alarms import Alarms, Trouble
from daemons.settings import Settings
from daemons.supervisor import PROGRAMS, ProgramState, Rpc

LOOK_EVERY_S = 60.0
TRIAL_WITHIN_S = 10.0
CYCLE_WITHIN_S = 60.0
OWN_NAME = "listener"
_CODE = "code"
_TRIAL = "import importlib, sys; [importlib.import_module(f'daemons.{name}.__main__') for name in sys.argv[1:]]"


class Outdated:
    """Call `look` in every round. *expected(pid)* is told of each end that is ours."""

    def __init__(self, conf: Settings, rpc: Rpc, alarms: Alarms, expected: Callable[[int], None]) -> None:
        self._conf = conf
        self._rpc = rpc
        self._alarms = alarms
        self._expected = expected
        self._looked_mono = float("-inf")
        self._before = self._on_disk = loop.code_hash(conf.code)
        self._unfit = ""
        self._restarting: tuple[str, int, float] | None = None
        self.names: list[str] = []
        self.ends_with_us = False
        """Whether we are the only one left with old code, so that it is time for us to end."""

    def look(self, programs: Mapping[str, ProgramState], now: datetime) -> None:
        """Look at the disk once a minute, and go on with a round of restarts at every call."""
        if clock.monotonic() - self._looked_mono >= LOOK_EVERY_S:
            self._looked_mono = clock.monotonic()
            self._before, self._on_disk = self._on_disk, loop.code_hash(self._conf.code)
        self.names = [name for name in PROGRAMS if name in programs and self._is_outdated(programs[name])]
        if not self.names:
            self._alarms.clear(_CODE, "outdated", now, reason="all programs run what is on the disk")
            self._alarms.clear(_CODE, "unfit", now, reason="all programs run what is on the disk")
        elif self._before == self._on_disk and self._on_disk != self._unfit and not self._is_waiting(programs):
            self._restart_next(programs, now)

    def _is_outdated(self, program: ProgramState) -> bool:
        """Whether it has said so itself: what the process before it has left says nothing of it (nor of us)."""
        status = loop.read_status(self._conf, program.name)
        return status is not None and status.pid == program.pid and status.code != self._on_disk

    def _is_waiting(self, programs: Mapping[str, ProgramState]) -> bool:
        """Whether the one that was restarted has still to show that it works."""
        if self._restarting is None:
            return False
        name, pid, until_mono = self._restarting
        status = loop.read_status(self._conf, name)
        if status and status.pid != pid and status.pid == programs[name].pid and status.cycle > 0:
            self._restarting = None
            return False
        if clock.monotonic() >= until_mono:
            log.error("outdated.round_stopped", program=name, reason="completed no cycle with the new code")
            self._unfit = self._on_disk
            self._restarting = None
        return True

    def _restart_next(self, programs: Mapping[str, ProgramState], now: datetime) -> None:
        if reason := trial(self.names):
            self._unfit = self._on_disk
            headline = f"the suite's code on the disk cannot be started, so the programs go on with the old: {reason}"
            evidence = f"{headline}\n\nThey run older code: {', '.join(self.names)}"
            self._alarms.tell(Trouble(_CODE, "unfit", headline, evidence), now)
            return
        if ("code", "outdated") not in self._alarms.open():
            are = "is restarted" if len(self.names) == 1 else "are restarted, one after the other"
            headline = f"the suite's code has changed: {', '.join(self.names)} {are}"
            self._alarms.tell(Trouble(_CODE, "outdated", headline, headline), now)
        others = [name for name in self.names if name != OWN_NAME]
        if not others:
            self.ends_with_us = True
            return
        program = programs[others[0]]
        self._restarting = (program.name, program.pid, clock.monotonic() + CYCLE_WITHIN_S)
        self._expected(program.pid)
        self._rpc.signal(program.name, signal.SIGTERM)


def trial(names: Iterable[str]) -> str:
    """Why the programs *names* could not be started with the code on the disk, in one line; empty when they could."""
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL, *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TRIAL_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        return text.safe(str(cause), one_line=True)
    said = text.decode(tried.stderr).strip().splitlines()
    return text.safe(said[-1] if said else f"exit code {tried.returncode}", one_line=True) if tried.returncode else ""
