"""Whether a program that runs still completes its cycles, by the status file that it writes after each.

What counts as hanging stands in `daemons.heartbeat`; here is what only the one who acts on it must know: a program that
has completed no cycle yet, and a judge who came late himself.
"""

from __future__ import annotations

from daemons import clock, heartbeat, loop
from daemons.loop import Status
from daemons.settings import Settings
from daemons.supervisor import PROGRAMS, ProgramState

# A fresh program may take this long until its first cycle is completed, on a busy machine.
FIRST_CYCLE_S = 30.0
# A round of ours that comes so much after its time says that this machine slept or starved.
_LATE_S = 1.0


class Heartbeats:
    """Looks at the programs of the suite; services have no status file. Call `begin` before each round of looks."""

    def __init__(self, conf: Settings, own_interval_s: float) -> None:
        self._conf = conf
        self._late_after_s = own_interval_s + _LATE_S
        self._last_round_mono = clock.monotonic()
        self._is_fair = True
        self._first_seen: dict[int, float] = {}
        self._running: dict[str, int] = {}

    def begin(self) -> None:
        """A round of looks starts now. After one of ours that came late (machine frozen, starved) nobody is judged."""
        now = clock.monotonic()
        self._is_fair = now - self._last_round_mono < self._late_after_s
        self._last_round_mono = now
        self._running = {}

    def silence(self, program: ProgramState) -> str:
        """For how long *program* has been silent, in words, when that is too long; otherwise nothing."""
        if program.name not in PROGRAMS or program.state != "RUNNING":
            return ""
        self._running[program.name] = program.pid
        silent_s, allowed_s, what = self._measured(program)
        if silent_s <= allowed_s or not self._is_fair:
            return ""
        return f"{what} {silent_s:.0f} s ago; {allowed_s:.0f} s are allowed"

    def next_look_s(self) -> float:
        """In how many seconds a program of the last round will have been silent for too long, if it is from now on."""
        return min(map(heartbeat.look_in_s, self._known()), default=float("inf"))

    def is_anyone_overdue(self) -> bool:
        """Whether another round is due for one that ran in the last; costs a file read a program."""
        return any(map(heartbeat.is_overdue, self._known()))

    def _known(self) -> list[Status]:
        read = [(pid, loop.read_status(self._conf, name)) for name, pid in self._running.items()]
        return [status for pid, status in read if status is not None and status.pid == pid]

    def _measured(self, program: ProgramState) -> tuple[float, float, str]:
        status = loop.read_status(self._conf, program.name)
        if status is not None and status.pid == program.pid:
            allowed_s = heartbeat.allowed_s(status)
            return status.age_s, allowed_s, f"pid {program.pid} completed its last cycle, number {status.cycle},"
        seen = self._first_seen.setdefault(program.pid, clock.monotonic())
        return (
            clock.monotonic() - seen,
            FIRST_CYCLE_S,
            f"pid {program.pid} has completed no cycle since it was seen first",
        )
