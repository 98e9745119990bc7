"""Stopping a home's suite, all of it, and proving it, within a deadline that holds whatever hangs.

    stop.lock
      look: who is ours, and why -> SIGTERM to all at once, supervisord first -> look again … -> freeze, SIGKILL
      -> tmux sessions and windows of ours, by id -> last look: no process, no window, every port free -> report

What is not proven ours is never touched: clients of the port, other listeners, look-alikes, the user's own sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemons import clock, later
from daemons.settings import Settings
from daemons.stop.run import Farewell, Run

if TYPE_CHECKING:
    from daemons.stop.report import Foreign, Port, Report, Stopped, Window
else:
    __getattr__ = later.names(__name__, {"daemons.stop.report": ("Foreign", "Port", "Report", "Stopped", "Window")})

__all__ = ["Foreign", "Port", "Report", "Stopped", "Window", "stop"]

# The deadline is for the work; what hangs in it is left behind this long afterwards.
_MARGIN_S = 0.2


def stop(
    conf: Settings,
    *,
    dry_run: bool = False,
    force: bool = False,
    deadline_s: float | None = None,
    farewell: Farewell | None = None,
) -> Report:
    """End everything of this home's suite, and prove it. What goes wrong outside is in the report.

    Takes at most *deadline_s* seconds (default: CMUX_STOP_TIMEOUT), whatever hangs. *dry_run* finds the same and
    changes nothing. *force* takes listeners on the suite's ports too, whoever they are. A caller that runs in a window
    of the suite is told the report by *farewell* while its terminal still stands; the window ends last.

    TimeoutError when not even a report can be made in that time, because the disk with this program hangs.
    """
    within_s = conf.stop_timeout_s if deadline_s is None else deadline_s
    run = Run(conf, force=force, deadline=clock.monotonic() + within_s, farewell=farewell or _say_nothing)
    return run.look() if dry_run else run.stop(_MARGIN_S)


def _say_nothing(_report: Report) -> None:
    return
