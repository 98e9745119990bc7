"""The one who asked for the stop may itself run in a window of the suite, or under one of its programs.

Then it must outlive what it ends: it stops listening to hang-ups, leaves its process group (supervisord kills whole
groups), does everything else first, reports, and ends what it ran under last.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator

from daemons import processes
from daemons.processes import Table

_DEAF_TO = (signal.SIGHUP, signal.SIGTERM, signal.SIGTTOU, signal.SIGTTIN)


def runs_under(looked: Table, ours: Collection[int], supervisord: int) -> int | None:
    """The topmost of *ours* that this process runs under or is, *supervisord* excepted; None when there is none."""
    line = (os.getpid(), *processes.ancestors(os.getpid(), looked))
    above = [pid for pid in line if pid in ours and pid != supervisord]
    return above[-1] if above else None


@contextlib.contextmanager
def deaf(*, leave_group: bool) -> Iterator[None]:
    """Survive the end of the terminal and of whatever this process runs under. Only the main thread can.

    *leave_group* too, where this process may be part of the suite; elsewhere Ctrl-C must go on to reach it.
    """
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _DEAF_TO}
    except ValueError:
        yield
        return
    if leave_group:
        # A shell's job leads its group already; a session's leader may not leave its own, and need not.
        with contextlib.suppress(PermissionError):
            os.setpgid(0, 0)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
