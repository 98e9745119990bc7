"""Sees to it that a broken `dist` is built anew: when, how often, and that one builder at a time does it.

The building is done by a process of its own (`__main__`), so a cycle never waits for it: this starts it, sees how it
ended, and waits longer after each failure. All that must outlive us is on disk: the tries, and the builder's record.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from daemons import clock, files, log, processes, settings
from daemons.budget import Budget
from daemons.clock import Wake
from daemons.health_checker.frontend import exchange, npm, others, record
from daemons.health_checker.frontend.record import Purpose, Record
from daemons.health_checker.frontend.state import State
from daemons.settings import Settings

NAME = "frontend"
REBUILD = "frontend-rebuild"
SETTLE_S = 1.0
KEEP_AGAIN_S = 5.0
RESTORES_AN_HOUR = 60
END_WITHIN_S = 1.5

Doing = Literal["nothing", "settling", "building", "waiting", "cannot"]
Trouble = Literal["build_failed", "no_npm", "not_buildable"]


@dataclass(frozen=True, slots=True)
class Healing:
    """What is being done about dist, and *trouble*: why someone must know of it. *evidence* is one line."""

    doing: Doing
    evidence: str = ""
    trouble: Trouble | None = None
    output: str = ""


class Healer:
    """Decides once a cycle whether dist is to be built now, and keeps the builder that does it."""

    def __init__(self, conf: Settings, budget: Budget, wake: Wake) -> None:
        self._conf = conf
        self._budget = budget
        # Putting back what is kept costs little and helps at once: it may happen more often than building.
        self._restores = Budget(conf.state / "restores.json", replace(budget.policy, most_an_hour=RESTORES_AN_HOUR))
        self._wake = wake
        self._npm = npm.locate()
        self._builder: subprocess.Popen[bytes] | None = None
        self._paid_by: tuple[Budget, str] | None = None
        self._left_over = _is_left_over(conf)
        self._sources: str | None = None
        self._keep_again_mono = float("-inf")
        self._failed: Record | None = None
        self.ended: Record | None = None
        """The attempt whose end this cycle saw, for whoever tells about it."""

    @property
    def is_building(self) -> bool:
        return self._builder is not None

    def step(self, state: State, quiet_s: float, now: datetime) -> Healing:
        """Start, watch or leave alone, as *state* asks for. *quiet_s*: since when nobody has changed dist."""
        self.ended = None
        if self._builder and self._builder.poll() is None:
            return self._building(self._progress())
        if self._builder:
            self._take_in_result(self._builder, state.sources, now)
        self._ease(state.sources)
        if state.finding.is_whole:
            return self._rest(state, quiet_s, now)
        hindrance = self._hindrance(state, now)
        if hindrance:
            return hindrance
        if quiet_s < SETTLE_S:
            return Healing("settling", "dist has changed a moment ago; perhaps somebody is building it")
        return self._somebody_building() or self._start("heal", (self._budget_for(state), NAME), now)

    def close(self) -> None:
        """End the builder: what it has done so far is undone or finished by the next one."""
        if not self._builder:
            return
        self._builder.terminate()
        try:
            self._builder.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            processes.end_tree([self._builder.pid], grace_s=0.0, deadline_s=clock.monotonic() + 1.0)
            self._builder.poll()
        self._give_back()  # it did not fail

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _rest(self, state: State, quiet_s: float, now: datetime) -> Healing:
        """dist is whole: clean up, take note of what is there now, and build anew what is too old."""
        for budget in (self._budget, self._restores):
            if budget.failures(NAME):
                budget.succeeded(NAME)
        self._failed = self._failed if state.is_stale else None
        if quiet_s < SETTLE_S or self._busy():
            return Healing("nothing")
        if self._left_over:
            self._left_over = False
            return self._start("recover")
        if state.is_unknown:
            return self._keep()
        if state.is_stale and self._conf.rebuild_stale:
            paid_by = (self._budget, REBUILD)
            return self._hindrance_to_building(REBUILD, now) or self._start("rebuild", paid_by, now)
        return Healing("nothing")

    def _keep(self) -> Healing:
        """Have the dist that is there taken note of; no more than once in a while, should that fail."""
        if clock.monotonic() < self._keep_again_mono:
            return Healing("nothing")
        self._keep_again_mono = clock.monotonic() + KEEP_AGAIN_S
        self._start("keep")
        return Healing("nothing")

    def _hindrance(self, state: State, now: datetime) -> Healing | None:
        if other := self._busy():
            return Healing("building", f"{other} is building it")
        if state.is_restorable:
            return self._pause(self._restores, NAME, now)
        return self._hindrance_to_building(NAME, now)

    def _budget_for(self, state: State) -> Budget:
        return self._restores if state.is_restorable else self._budget

    def _hindrance_to_building(self, name: str, now: datetime) -> Healing | None:
        if not (self._conf.frontend_dir / "package.json").is_file():
            folder = self._conf.frontend_dir
            return Healing("cannot", f"{folder} has no package.json to build it from; put a whole dist there",
                           "not_buildable")  # fmt: skip
        self._npm = self._npm if self._npm and self._npm.exists() else npm.locate()
        if self._npm is None:
            return Healing("cannot", f"npm is not installed, so dist cannot be built; {npm.advice()}", "no_npm")
        return self._pause(self._budget, name, now)

    def _pause(self, budget: Budget, name: str, now: datetime) -> Healing | None:
        """Waiting for the next try, where one has failed or there were too many."""
        next_at = budget.next_at(name, now)
        if next_at <= now:
            return None
        last = record.read(self._conf)
        failures = budget.failures(name)
        until = f"next try at {next_at:%H:%M:%S} UTC"
        if failures and last and last.outcome == "failed":
            times = "once" if failures == 1 else f"{failures} times"
            return Healing("waiting", f"{last.reason} (failed {times}; {until})", "build_failed", last.output)
        why = "the builder was killed" if failures else "built too often within the hour"
        return Healing("waiting", f"{why}; {until}", "build_failed")

    def _somebody_building(self) -> Healing | None:
        """A build of the user's own empties dist, and writes it anew when it is done: his is waited for."""
        for process in others.building(self._conf.frontend_dir, at_most_s=self._conf.build_timeout_s):
            return Healing("building", f"{processes.describe(process)} is building it")
        return None

    def _busy(self) -> str | None:
        """Who holds the builder's lock, or None."""
        try:
            os.close(files.take_lock(record.lock_path(self._conf), timeout_s=0.0))
        except files.LockBusy as busy:
            return busy.holder
        return None

    def _ease(self, sources: str | None) -> None:
        """Other sources are worth another try."""
        if self._sources and sources and sources != self._sources:
            for budget, name in ((self._budget, NAME), (self._budget, REBUILD), (self._restores, NAME)):
                budget.ease(name)
        self._sources = sources or self._sources

    # -- the builder --------------------------------------------------------------------------------------------------

    def _start(
        self, purpose: Purpose, paid_by: tuple[Budget, str] | None = None, now: datetime | None = None
    ) -> Healing:
        """Start the builder; a try of what is *paid_by* is spent."""
        self._paid_by = paid_by
        if paid_by and now:
            paid_by[0].spend(paid_by[1], now)
        command = [sys.executable, "-P", "-m", "daemons.health_checker.frontend", purpose, "--parent", str(os.getpid())]
        command += ["--npm", str(self._npm)] if self._npm else []
        self._builder = subprocess.Popen(
            command, cwd=self._conf.code, env=settings.child_environment(), stdin=subprocess.DEVNULL
        )
        threading.Thread(target=self._wake_at_end, args=(self._builder,), name="builder-end", daemon=True).start()
        log.info("builder.started", purpose=purpose, pid=self._builder.pid)
        return self._building("begun")

    def _building(self, progress: str) -> Healing:
        """At work; that the try before this one failed stays known until one succeeds."""
        failed = self._failed
        if failed is None:
            return Healing("building", progress)
        return Healing(
            "building", f"{progress}, after a try that failed: {failed.reason}", "build_failed", failed.output
        )

    def _wake_at_end(self, builder: subprocess.Popen[bytes]) -> None:
        builder.wait()
        self._wake.set("builder ended")

    def _progress(self) -> str:
        now = record.read(self._conf)
        return f"at step {now.step}" if now and self._builder and now.pid == self._builder.pid else "begun"

    def _take_in_result(self, builder: subprocess.Popen[bytes], sources: str | None, now: datetime) -> None:
        self._builder = None
        self._sources = sources
        if builder.returncode == record.EXIT_BUSY:
            self._give_back()
            return
        told = record.read(self._conf)
        if told is None or told.pid != builder.pid or told.outcome is None:
            # Killed: the try stays spent, and the next attempt mends what this one left.
            self._left_over = True
            log.warning("builder.killed", pid=builder.pid, code=builder.returncode, step=told.step if told else None)
            return
        self.ended = told
        if told.outcome == "kept":
            self._keep_again_mono = float("-inf")  # what comes in its place is another one, to be kept at once
        if self._paid_by and told.outcome in ("published", "restored", "not_needed"):
            self._failed = None
            self._paid_by[0].succeeded(self._paid_by[1])
        elif self._paid_by and told.outcome == "failed":
            self._failed = told
            self._paid_by[0].failed(self._paid_by[1], now)

    def _give_back(self) -> None:
        if self._paid_by:
            self._paid_by[0].give_back(self._paid_by[1])
        self._paid_by = None


def _is_left_over(conf: Settings) -> bool:
    """Whether an attempt died before it had cleaned up."""
    last = record.read(conf)
    return bool(last and last.outcome is None) or os.path.lexists(exchange.places(conf).staging)
