"""Whether a daemon that runs still completes its cycles, judged alike by everybody who asks.

    hanging   two of its cycles are missed, and 5 s more have passed: a busy machine makes cycles late
              one and a half, and its process is stopped (SIGSTOP): no load explains that, and whoever doubts it can
              look again before two cycles are over

supervisord calls a frozen or deadlocked program RUNNING for ever. Ages are measured on the monotonic clock, so neither
a wall clock that jumps nor a machine that slept makes anybody look dead.
"""

from __future__ import annotations

from daemons import processes
from daemons.loop import Status

CYCLES_MISSED = 2
MARGIN_S = 5.0
CYCLES_STOPPED = 1.5
_STOPPED = "T"  # not `t`: whoever is held by a debugger is being looked after


def allowed_s(status: Status) -> float:
    """How long after a completed cycle the next one may take: an age above it is hanging."""
    stopped_s = CYCLES_STOPPED * status.interval_s
    if status.age_s > stopped_s and _is_stopped(status):
        return stopped_s
    return CYCLES_MISSED * status.interval_s + MARGIN_S


def is_overdue(status: Status) -> bool:
    return status.age_s > allowed_s(status)


def look_in_s(status: Status) -> float:
    """In how many seconds the next look can tell something new, if the daemon is silent from now on."""
    stopped_s = CYCLES_STOPPED * status.interval_s - status.age_s
    return stopped_s if stopped_s > 0 else max(0.0, CYCLES_MISSED * status.interval_s + MARGIN_S - status.age_s)


def _is_stopped(status: Status) -> bool:
    process = processes.read(status.pid)
    return process is not None and process.started == status.pid_started and process.state == _STOPPED
