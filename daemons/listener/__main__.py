"""The listener: supervisord's programs stay up, and somebody is told when that takes doing.

    tick:  hear what happened -> look at what is so -> pay what has been owed for long enough

Between two such rounds it wakes when the next heartbeat would be overdue, and goes on sleeping when it came.

supervisord restarts what ends, and owns every restart. It does nothing about a program that hangs, gives up for good
after some failed starts, and restarts one that ends again and again at full speed for ever: the listener's part.
Events only wake it; what it does, it decides by what supervisord and the status files say.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from datetime import datetime

from daemons import clock, files, log, loop, suite
from daemons.clock import Wake
from daemons.listener.alarms import Alarms, Trouble
from daemons.listener.care import Care
from daemons.listener.events import Events
from daemons.listener.heartbeats import Heartbeats
from daemons.listener.outdated import Outdated
from daemons.listener.papers import Papers
from daemons.settings import Settings
from daemons.supervisor import Rpc, SupervisorDown, SupervisorRefused

# supervisord's TICK_5 comes first as long as it is well.
INTERVAL_S = 6.0
# Longer than it takes to end: events of the programs that go first would wake us several times meanwhile.
SILENT_FOR_S = 10.0
_JUST_AFTER_S = 0.02
_SHORTEST_S = 0.05


class Listener:
    """One home's listener, one cycle at a time."""

    interval_s = INTERVAL_S

    def __init__(self, conf: Settings, wake: Wake, events: Events) -> None:
        self._conf = conf
        self._wake = wake
        self._events = events
        self._rpc = Rpc(conf)
        self._alarms = Alarms(conf)
        self._heartbeats = Heartbeats(conf, INTERVAL_S)
        self._care = Care(conf, self._rpc, self._alarms, self._heartbeats)
        self._heard = -1
        self._round_mono = float("-inf")
        self._detail: Mapping[str, object] = {}
        self._answered_mono = clock.monotonic()
        self._timer: threading.Timer | None = None
        self._papers = Papers(conf)
        self._outdated = Outdated(conf, self._rpc, self._alarms, self._care.expect)
        events.listen(wake)

    def tick(self, now: datetime) -> Mapping[str, object]:
        if self._is_due(now):
            self._heard = self._events.count
            self._round_mono = clock.monotonic()
            self._detail = self._round(now)
        self._come_back(now)
        return self._detail

    def _is_due(self, now: datetime) -> bool:
        """Whether there is anything to do: not when all heartbeats came that we woke for."""
        is_time = clock.monotonic() - self._round_mono >= 0.9 * INTERVAL_S
        news = self._events.count != self._heard or self._care.endings.due(now)
        return bool(is_time or news) or self._heartbeats.is_anyone_overdue()

    def _round(self, now: datetime) -> Mapping[str, object]:
        programs: Mapping[str, str] = {}
        try:
            programs = self._cycle(now)
            self._answers(now)
        except (SupervisorDown, SupervisorRefused) as silence:
            self._is_silent(str(silence), now)
        self._alarms.tick(now)
        return {"programs": programs, "events": self._events.count, "outdated": self._outdated.names}

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._events.supervisord_is_gone and not self._is_being_stopped():
            headline = "supervisord ended though nobody stopped it, and so did the suite: cmux start"
            self._alarms.tell(Trouble("supervisord", "ended", headline, f"{headline}."), clock.now())

    def _cycle(self, now: datetime) -> Mapping[str, str]:
        events = self._events.take()
        if self._rpc.is_shutting_down():
            return {}
        self._papers.keep()
        self._care.hear(events, now)
        programs = {program.name: program for program in self._rpc.processes()}
        self._care.look(programs, now)
        self._care.pay(programs, now)
        self._outdated.look(programs, now)
        if self._outdated.ends_with_us:
            self._wake.request_stop()  # supervisord starts another one, with the code on the disk
        return {name: program.state for name, program in programs.items()}

    def _answers(self, now: datetime) -> None:
        self._answered_mono = clock.monotonic()
        self._alarms.clear("supervisord", "silent", now, reason="it answers again")
        self._alarms.clear("supervisord", "ended", now, reason="the suite has been started again")

    def _is_silent(self, reason: str, now: datetime) -> None:
        silent_s = clock.monotonic() - self._answered_mono
        log.warning("supervisord.silent", reason=reason, silent_s=round(silent_s, 1))
        if silent_s < SILENT_FOR_S or ("supervisord", "silent") in self._alarms.open():
            return
        headline = "supervisord does not answer, so nothing is restarted: cmux restart"
        self._alarms.tell(Trouble("supervisord", "silent", headline, f"{headline}. {reason}"), now)

    def _is_being_stopped(self) -> bool:
        try:
            with files.lock(suite.stop_lock(self._conf), timeout_s=0.0):
                return False
        except files.LockBusy:
            return True

    def _come_back(self, now: datetime) -> None:
        """Have the next cycle begin when the next debt is due, or the next heartbeat overdue."""
        if self._timer:
            self._timer.cancel()
        due = self._care.endings.next_due()
        debt_s = (due - now).total_seconds() if due else float("inf")
        wanted_s = min(debt_s, self._heartbeats.next_look_s() + _JUST_AFTER_S)
        if wanted_s >= INTERVAL_S:
            return
        self._timer = threading.Timer(max(_SHORTEST_S, wanted_s), self._wake.set, args=["due"])
        self._timer.daemon = True
        self._timer.start()


def main() -> int:
    events = Events(sys.stdin.fileno(), sys.stdout.fileno())
    return loop.run("listener", lambda conf, wake: Listener(conf, wake, events))


if __name__ == "__main__":
    sys.exit(main())
