"""One process on its way out: what it was sent, when it went, and why it stayed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from signal import Signals

from daemons.processes import proc
from daemons.processes.cgroups import frozen_cgroup
from daemons.processes.handles import Handle


@dataclass(slots=True, eq=False)
class Case:
    """One process that is to end. Times are monotonic."""

    handle: Handle
    asked_at: float
    kill_at: float
    catches_term: bool
    before_exec: bytes | None  # a newborn's command line: another one later means that it executed a program since
    signals: list[str] = field(default_factory=list)
    ended_at: float | None = None
    denied: bool = False

    def send(self, *numbers: Signals) -> None:
        """Send these in their order, and remember it. It is `denied` from then on if that is not ours to do."""
        try:
            for number in numbers:
                if self.handle.signal(number) and number.name not in self.signals:
                    self.signals.append(number.name)
        except PermissionError:
            self.denied = True

    def see(self, now: float) -> bool:
        """Whether it has ended; the first time that says yes is when."""
        if self.ended_at is None and self.handle.ended():
            self.ended_at = now
        return self.ended_at is not None


def what_a_shell_obeys(handle: Handle) -> list[Signals]:
    """SIGHUP for an interactive shell. Not for others: it would kill what is just cleaning up after SIGTERM."""
    leads_terminal = handle.process.terminal and handle.process.sid == handle.pid
    return [Signals.SIGHUP] if leads_terminal and is_in("SigIgn", Signals.SIGTERM, handle.pid) else []


def is_in(mask: str, number: Signals, pid: int) -> bool:
    """Whether the process catches (SigCgt) or ignores (SigIgn) the signal *number*."""
    status = proc.contents(f"/proc/{pid}/status")
    begin = status.find(f"\n{mask}:\t".encode())
    return begin >= 0 and bool(int(status[begin + len(mask) + 3 :].split(None, 1)[0], 16) >> (number - 1) & 1)


def why_left(case: Case) -> str:
    """Why it is still there, for a person."""
    if case.denied:
        return f"not permitted: it belongs to {proc.user_name(case.handle.process.uid)}, and we are uid {os.geteuid()}"
    now = proc.read(case.handle.pid)
    if frozen := frozen_cgroup(case.handle.pid):
        return f"frozen by its control group {frozen}, where no signal reaches it until somebody thaws that"
    if now and now.state == "D":
        return "waits inside the kernel (state D), where no signal reaches it"
    return "still running"
