"""`python -m daemons.log_watcher`: tells every error that a watched log gets, once, within a second.

A log line's way, one direction, no back and forth:

    names -> tail (look, read) -> patterns, record, events -> incidents -> alerts -> then the marker moves

`tick` runs when a file changed, and once a second in any case: what woke it is a hint, what it reads is the truth.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from daemons import clock, files, loop
from daemons.alerts import Alerts
from daemons.clock import Wake
from daemons.log_watcher.incidents import Incidents
from daemons.log_watcher.keeper import Keeper
from daemons.log_watcher.ledger import Ledger, total
from daemons.log_watcher.names import Names
from daemons.log_watcher.opening import Source
from daemons.log_watcher.patterns import Patterns
from daemons.log_watcher.tail import Log
from daemons.log_watcher.wakeup import NEW_NAME, Wakeup
from daemons.settings import Settings

SENDER = "system:log-watcher"
# What costs next to nothing is done this often: seeing whether a file is another one, has grown, has come to be.
LOOK_EVERY_S = 1.0
# A cycle ends after this, also while there is more to do: each completed cycle is a sign of life.
CYCLE_S = 0.5
PACE_S = 0.005
# What the status says is computed anew when something came, and in any case this often.
DETAIL_EVERY_S = 10.0
QUIET_LOOK_EVERY_S = 10.0
LOGS_SHOWN = 50


class LogWatcher:
    """The daemon: follows the logs that the settings name, and tells their errors."""

    def __init__(self, conf: Settings, wake: Wake) -> None:
        """Raises SettingsError for a pattern that can't be used, StorageError when the state can't be kept."""
        self.interval_s = min(LOOK_EVERY_S, conf.log_check_interval_s)
        self._conf = conf
        self._wake = wake
        self._patterns = Patterns(conf)
        files.private_dir(conf.markers_dir)
        self._names = Names(conf)
        self._alerts = Alerts(conf, sender=SENDER)
        self._incidents = Incidents(self._alerts, self._patterns)
        self._wakeup = Wakeup(wake)
        self._keeper = Keeper(conf)
        self._logs: dict[str, Log] = {}
        self._named: dict[str, bool] = {}
        self._restless: dict[str, Log] = {}  # those that were not as they had been when they were looked at last
        self._is_listed = False
        self._look_at = self._check_at = self._quiet_at = self._detail_at = 0.0
        self._began = 0.0
        self._last = ""
        self._has_changed = False
        self._told_detail: dict[str, object] = {}
        _raise_file_limit()

    def tick(self, now: datetime) -> Mapping[str, object]:
        """Read what is new and tell it, until nothing is waiting; then let quiet alerts end."""
        mono = self._began = clock.monotonic()
        self._watch_until_settled(now, mono + CYCLE_S)
        self._end_quiet_alerts(now, mono)
        self._alerts.tick(now)
        if self._has_changed or mono >= self._detail_at:
            self._detail_at = mono + DETAIL_EVERY_S
            self._told_detail = self._detail()
        self._has_changed = False
        return {**self._told_detail, "alerts_waiting": self._alerts.stuck}

    def close(self) -> None:
        self._wakeup.close()
        for one in self._logs.values():
            one.close()
        self._keeper.close()

    # -- which logs ---------------------------------------------------------------------------------------------------

    def _find(self, mono: float, *, at_once: bool) -> None:
        """Take up the logs that the settings name now; let go of those that are gone and read to their end."""
        found = self._names.find(mono, at_once=at_once)
        if found is self._named and found.keys() == self._logs.keys():
            return
        self._named, self._is_listed = found, False
        for path, looked_for_before in found.items():
            if path not in self._logs:
                elsewhere = partial(self._read_elsewhere, path)
                first_look = not looked_for_before
                self._logs[path] = Log(
                    path,
                    self._conf.markers_dir,
                    first_look=first_look,
                    read_elsewhere=elsewhere,
                    keeper=self._keeper,
                )
        for path in self._logs.keys() - found.keys():
            if not self._logs[path].generations:
                self._logs.pop(path).close()
                self._restless.pop(path, None)
                self._has_changed = True
        self._names.followed = set(self._logs)

    def _read_elsewhere(self, path: str, source: Source) -> bool:
        return any(one.knows(source) for one in self._logs.values() if one.path != path)

    # -- reading and telling ------------------------------------------------------------------------------------------

    def _watch_until_settled(self, now: datetime, until: float) -> None:
        """Look, read, tell; and again as long as something is due in a moment, or comes in: but not beyond *until*."""
        while True:
            mono = clock.monotonic()
            is_busy = self._watch(now, mono, until)
            self._has_changed |= is_busy
            left_s = until - clock.monotonic()
            due_s = self._due_in(clock.monotonic())
            if self._wake.stop_requested or (due_s is None and not is_busy):
                return
            if left_s <= (due_s or 0.0):
                self._wake.set("unsettled")  # the next cycle follows at once
                return
            if self._wake.wait(left_s if due_s is None else due_s):
                # A busy log changes a thousand times a second: a hundred looks see all of that.
                clock.pause(max(0.0, mono + PACE_S - clock.monotonic()))

    def _watch(self, now: datetime, mono: float, until: float) -> bool:
        """One look at what may have changed: did something come? The next begins where *until* ended this one."""
        is_busy = False
        is_anyway = mono >= self._check_at
        for one in self._to_look_at(mono):
            if one.is_as_it_was() and not is_anyway:
                self._restless.pop(one.path, None)
                continue
            self._restless[one.path] = one
            refusal = one.refusal
            one.look(mono)
            self._has_changed |= one.refusal != refusal
            is_busy |= one.read(self._patterns, mono, anyway=is_anyway)
            if one.has_news:
                self._tell(one, now)
            if self._wake.stop_requested or clock.monotonic() > until:
                self._last, self._look_at = one.path, 0.0
                return True
        self._last = ""
        self._after_look(mono)
        return is_busy

    def _to_look_at(self, mono: float) -> list[Log]:
        """All logs once a second; in between those that something happened to, or that wait for something."""
        changed = self._wakeup.changed()
        if NEW_NAME in changed or mono >= self._look_at:
            self._find(mono, at_once=NEW_NAME in changed or mono >= self._check_at)
            self._look_at = mono
            return sorted(self._logs.values(), key=lambda one: (one.path <= self._last, one.path))
        due = [one.path for one in self._restless.values() if one.is_due(mono)]
        return [self._logs[path] for path in sorted({*changed, *due}) if path in self._logs]

    def _after_look(self, mono: float) -> None:
        if mono >= self._look_at:
            self._look_at = mono + self.interval_s
            if self._restless or not self._is_listed:
                self._is_listed = True
                self._wakeup.follow({path: one.real for path, one in self._logs.items()}, self._names.globs)
                self._names.remember()
                self._keeper.follow(self._logs)
            self._wakeup.check()
            self._names.has_events = self._wakeup.problem is None
            self._keeper.tick(mono)
        if mono >= self._check_at:
            self._check_at = mono + self._conf.log_check_interval_s

    def _due_in(self, mono: float) -> float | None:
        """In how many seconds something is due, if that is soon. Logs that are as they were wait for nothing."""
        moments = [due for due in (one.due_at() for one in self._restless.values()) if due is not None]
        soonest = min(moments, default=None)
        return None if soonest is None or soonest > mono + CYCLE_S else max(0.0, soonest - mono)

    def _tell(self, one: Log, now: datetime) -> None:
        """Tell what was found in *one*, then let its marker move: dying in between repeats and loses nothing."""
        if one.gets_more_in_a_moment(clock.monotonic()):
            return
        if one.unsaid:
            one.identify()
            # A cycle may last a while: no error may seem to be told before it was written.
            since = timedelta(seconds=clock.monotonic() - self._began)
            self._incidents.raise_(one.path, one.unsaid, now + since)
            files.reached("log_watcher.told")
        one.commit(clock.monotonic())

    # -- the end of an alert ------------------------------------------------------------------------------------------

    def _end_quiet_alerts(self, now: datetime, mono: float) -> None:
        if mono >= self._quiet_at:
            self._quiet_at = mono + QUIET_LOOK_EVERY_S
            self._incidents.end_quiet(now)

    # -- what the status says -----------------------------------------------------------------------------------------

    def _detail(self) -> dict[str, object]:
        logs = list(self._logs.values())
        refused = self._names.refused | {one.path: one.refusal for one in logs if one.refusal}
        ledgers = {one.path: one.account(Ledger()) for one in logs}
        to_tell = islice(((path, one) for path, one in ledgers.items() if not one.is_plain), LOGS_SHOWN)
        return {
            "logs": len(logs),
            "followed": sum(bool(one.generations) for one in logs),
            "refused": refused,
            "watching": self._wakeup.problem or "events and poll",
            "log_keeper": "holds the files" if self._keeper.is_there else "not there",
            "coverage": total(ledgers.values()).to_json(),
            # Those of which there is something to tell; all of them stand in the markers.
            "by_log": {path: one.to_json() for path, one in to_tell},
        }


def _raise_file_limit() -> None:
    """Every log holds a file open, a rotated one some more: take what the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _watcher(conf: Settings, wake: Wake) -> LogWatcher:
    """A watcher whose own objects the garbage collector no longer walks through: a storm makes it come often."""
    watcher = LogWatcher(conf, wake)
    gc.collect()
    gc.freeze()
    return watcher


def main() -> int:
    return loop.run("log_watcher", _watcher)


if __name__ == "__main__":
    raise SystemExit(main())
