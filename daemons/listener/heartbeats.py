"""Whether a program that runs still completes its cycles, by the status file that it writes after each.

supervisord calls a frozen or deadlocked program RUNNING for ever. Ages are measured on the monotonic clock, so neither
a wall clock that jumps nor a machine that slept makes anybody look dead.
"""

from __future__ import annotations

from daemons import clock, loop
from daemons.settings import Settings
from daemons.supervisor import PROGRAMS, ProgramState

CYCLES_MISSED = 2
MARGIN_S = 5.0
# A fresh program may take this long until its first cycle is completed, on a busy machine.
FIRST_CYCLE_S = 30.0


class Heartbeats:
    """Looks at the programs of the suite; services have no status file. Call `begin` before each round of looks."""

    def __init__(self, conf: Settings, own_interval_s: float) -> None:
        self._conf = conf
        self._late_after_s = CYCLES_MISSED * own_interval_s
        self._last_round_mono = clock.monotonic()
        self._is_fair = True
        self._first_seen: dict[int, float] = {}

    def begin(self) -> None:
        """A round of looks starts now. After one of ours that came late (machine frozen, starved) nobody is judged."""
        now = clock.monotonic()
        self._is_fair = now - self._last_round_mono < self._late_after_s
        self._last_round_mono = now

    def silence(self, program: ProgramState) -> str:
        """For how long *program* has been silent, in words, when that is too long; otherwise nothing."""
        if program.name not in PROGRAMS or program.state != "RUNNING":
            return ""
        silent_s, allowed_s, what = self._measured(program)
        if silent_s <= allowed_s or not self._is_fair:
            return ""
        return f"{what} {silent_s:.0f} s ago; {allowed_s:.0f} s are allowed"

    def _measured(self, program: ProgramState) -> tuple[float, float, str]:
        status = loop.read_status(self._conf, program.name)
        if status is not None and status.pid == program.pid:
            allowed_s = CYCLES_MISSED * status.interval_s + MARGIN_S
            return status.age_s, allowed_s, f"pid {program.pid} completed its last cycle, number {status.cycle},"
        seen = self._first_seen.setdefault(program.pid, clock.monotonic())
        return (
            clock.monotonic() - seen,
            FIRST_CYCLE_S,
            f"pid {program.pid} has completed no cycle since it was seen first",
        )
