"""The health checker: is everything served as it should be? What is broken is healed, or told.

    tick:  ask the programs -> look at the disk and at what they use -> look after the frontend
           -> tell what is new, clear what is over

Files of `dist` are looked at in every cycle, which a file event starts at once; servers are asked once an interval, and
soon again after an answer that differs from what is believed. No cycle waits for a build or for a restart.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from daemons import clock, log, loop
from daemons.budget import Budget, Policy
from daemons.clock import Wake
from daemons.files import LockBusy
from daemons.health_checker import probes
from daemons.health_checker.alarms import Alarms
from daemons.health_checker.fetch import Target
from daemons.health_checker.frontend.care import Frontend
from daemons.health_checker.notes import Notes
from daemons.health_checker.programs import Programs
from daemons.health_checker.resources import Resources
from daemons.health_checker.retention import Retention
from daemons.health_checker.space import Space
from daemons.settings import Settings, SettingsError

SOON_S = 2.0
# What is served otherwise than it lies on disk is believed within an interval: three looks, the last two soon.
FRONTEND_SOON_S = 1.0
_SOON_AGAIN = 2
SETTLING_S = 0.5
VERDICT_LATE_S = 0.8
# The first try is free; a failed one waits 10 s, then 20 … up to an hour.
POLICY = Policy(first_pause_s=10.0, longest_pause_s=3600.0, most_an_hour=12)


class HealthChecker:
    """What is looked after, one cycle at a time."""

    def __init__(self, conf: Settings, wake: Wake) -> None:
        self._conf = conf
        self._wake = wake
        self._page = _page(conf)
        self._timer: threading.Timer | None = None
        self._due_mono = float("-inf")
        budget = Budget(conf.state / "repairs.json", POLICY)
        notes = Notes(conf)
        self._alarms = Alarms(conf)
        self._programs = Programs(conf, budget, notes)
        self._space = Space(conf.state)
        self._resources = Resources(conf.services)
        self._retention = Retention(conf)
        self._frontend = Frontend(conf, budget, notes, wake)
        self.interval_s = conf.health_interval_s

    def tick(self, now: datetime) -> Mapping[str, object]:
        is_due = clock.monotonic() >= self._due_mono
        if is_due:
            self._try("programs", lambda: self._programs.look(now))
            self._try("disk", self._space.look)
            self._try("resources", lambda: self._resources.look(self._programs.trees))
            self._try("retention", lambda: self._retention.look(now))
        self._frontend.cycle(now, ask=is_due and self._can_be_served())
        if is_due:
            self._due_mono = clock.monotonic() + self._ask_every_s()
        self._try("alerts", lambda: self._tell(now))
        self._come_back()
        return {
            "frontend": self._frontend.detail(),
            **self._programs.detail(),
            "disk": self._space.detail(),
            "resources": self._resources.detail(),
            "alerts_waiting": self._alarms.waiting,
        }

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._frontend.close()

    def _can_be_served(self) -> bool:
        """Whether asking for the page can tell anything about dist: not while the API that serves it is down."""
        return self._page.port != self._conf.port or self._programs.api_is_healthy

    def _try(self, part: str, work: Callable[[], None]) -> None:
        """Do *work*; the trouble that one part has with its files keeps no other from its own."""
        try:
            work()
        except (LockBusy, OSError) as cause:
            log.error("part.failed", part=part, reason=str(cause))

    def _tell(self, now: datetime) -> None:
        conditions = [*self._frontend.conditions(), *self._programs.conditions(), *self._space.conditions()]
        conditions += self._resources.conditions()
        unsure = self._programs.unsure() | ({"frontend"} if self._frontend.is_unsure else set())
        self._alarms.report(conditions, now, unsure=unsure)

    def _ask_every_s(self) -> float:
        wanted_s = self._programs.overdue_in_s + 0.1
        if self._programs.is_unsteady:
            wanted_s = SOON_S
        elif self._frontend.is_unsettled:
            wanted_s = _frontend_soon_s(self._conf.health_interval_s)
        return min(wanted_s, _between_looks_s(self._conf.health_interval_s))

    def _come_back(self) -> None:
        """Have the next cycle begin when it is wanted. The published interval stays the promise that others check."""
        if self._timer:
            self._timer.cancel()
        wanted_s = SETTLING_S if self._frontend.is_settling else self._due_mono - clock.monotonic()
        self._timer = threading.Timer(max(0.05, wanted_s), self._wake.set, args=("due",))
        self._timer.daemon = True
        self._timer.start()


def _between_looks_s(interval_s: float) -> float:
    """The pause that has the verdict on a server that hangs, too, within one interval and VERDICT_LATE_S.

    And what is believed of the frontend, after three looks, within the interval itself.
    """
    for_servers_s = interval_s - (probes.WITHIN_S - VERDICT_LATE_S)
    soon_s = _frontend_soon_s(interval_s)
    for_frontend_s = interval_s - _SOON_AGAIN * soon_s - soon_s / 2  # which is for the looks themselves
    return max(interval_s / 2, min(for_servers_s, for_frontend_s))


def _frontend_soon_s(interval_s: float) -> float:
    return min(FRONTEND_SOON_S, interval_s / 6)


def _page(conf: Settings) -> Target:
    try:
        return Target.parse(conf.frontend_url, allow=conf.host)
    except ValueError as wrong:
        raise SettingsError(f"CMUX_FRONTEND_URL: {wrong}") from None


if __name__ == "__main__":
    sys.exit(loop.run("health_checker", HealthChecker))
