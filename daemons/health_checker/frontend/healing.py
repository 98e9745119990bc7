"""Sees to it that a broken `dist` is built anew: when, how often, and that one builder at a time does it.

The building is done by a process of its own (`__main__`), so a cycle never waits for it: this starts it, sees how it
ended, and waits longer after each failure. All that must outlive us is on disk: the tries, and the builder's record.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from daemons import clock, files, log, processes, settings
from daemons.budget import Budget
from daemons.clock import Wake
from daemons.health_checker.frontend import exchange, npm, record
from daemons.health_checker.frontend.check import Finding
from daemons.health_checker.frontend.record import Purpose, Record
from daemons.settings import Settings

NAME = "frontend"
SETTLE_S = 1.0
END_WITHIN_S = 1.5
_SOURCES_LOOKED_AT = 5_000

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
        self._wake = wake
        self._npm = npm.locate()
        self._builder: subprocess.Popen[bytes] | None = None
        self._left_over = _is_left_over(conf)
        self._sources: str | None = None
        self.ended: Record | None = None
        """The attempt whose end this cycle saw, for whoever tells about it."""

    @property
    def is_building(self) -> bool:
        return self._builder is not None

    def step(self, finding: Finding, quiet_s: float, now: datetime) -> Healing:
        """Start, watch or leave alone, as *finding* asks for. *quiet_s*: since when nobody has changed dist."""
        self.ended = None
        if self._builder and self._builder.poll() is None:
            return Healing("building", self._progress())
        if self._builder:
            self._take_in_result(self._builder)
        if finding.is_whole:
            return self._rest()
        hindrance = self._hindrance(now)
        if hindrance:
            return hindrance
        if quiet_s < SETTLE_S:
            return Healing("settling", "dist has changed a moment ago; perhaps somebody is building it")
        self._budget.spend(NAME, now)
        return self._start("heal")

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
        self._budget.give_back(NAME)  # it did not fail

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _rest(self) -> Healing:
        if self._left_over and not self._busy():
            self._left_over = False
            return self._start("recover")
        if self._budget.failures(NAME):
            self._budget.succeeded(NAME)
        return Healing("nothing")

    def _hindrance(self, now: datetime) -> Healing | None:
        if other := self._busy():
            return Healing("building", f"{other} is building it")
        if not (self._conf.frontend_dir / "package.json").is_file():
            folder = self._conf.frontend_dir
            return Healing("cannot", f"{folder} has no package.json to build it from; put a whole dist there",
                           "not_buildable")  # fmt: skip
        self._npm = self._npm if self._npm and self._npm.exists() else npm.locate()
        if self._npm is None:
            return Healing("cannot", f"npm is not installed, so dist cannot be built; {npm.advice()}", "no_npm")
        return self._pause(now)

    def _pause(self, now: datetime) -> Healing | None:
        """Waiting for the next try, where one has failed or there were too many."""
        if self._sources_changed():
            self._budget.ease(NAME)
        next_at = self._budget.next_at(NAME, now)
        if next_at <= now:
            return None
        last = record.read(self._conf)
        failures = self._budget.failures(NAME)
        until = f"next try at {next_at:%H:%M:%S} UTC"
        if failures and last and last.outcome == "failed":
            return Healing("waiting", f"{last.reason} (failed {failures} times; {until})", "build_failed", last.output)
        why = "the builder was killed" if failures else "built too often within the hour"
        return Healing("waiting", f"{why}; {until}", "build_failed")

    def _busy(self) -> str | None:
        """Who holds the builder's lock, or None."""
        try:
            os.close(files.take_lock(record.lock_path(self._conf), timeout_s=0.0))
        except files.LockBusy as busy:
            return busy.holder
        return None

    def _sources_changed(self) -> bool:
        before, self._sources = self._sources, _fingerprint(self._conf)
        return before is not None and before != self._sources

    # -- the builder --------------------------------------------------------------------------------------------------

    def _start(self, purpose: Purpose) -> Healing:
        command = [sys.executable, "-P", "-m", "daemons.health_checker.frontend", purpose, "--parent", str(os.getpid())]
        command += ["--npm", str(self._npm)] if self._npm else []
        self._builder = subprocess.Popen(
            command, cwd=self._conf.code, env=settings.child_environment(), stdin=subprocess.DEVNULL
        )
        threading.Thread(target=self._wake_at_end, args=(self._builder,), name="builder-end", daemon=True).start()
        log.info("builder.started", purpose=purpose, pid=self._builder.pid)
        return Healing("building", "begun")

    def _wake_at_end(self, builder: subprocess.Popen[bytes]) -> None:
        builder.wait()
        self._wake.set("builder ended")

    def _progress(self) -> str:
        now = record.read(self._conf)
        return f"at step {now.step}" if now and self._builder and now.pid == self._builder.pid else "begun"

    def _take_in_result(self, builder: subprocess.Popen[bytes]) -> None:
        self._builder = None
        self._sources = _fingerprint(self._conf)
        if builder.returncode == record.EXIT_BUSY:
            self._budget.give_back(NAME)
            return
        told = record.read(self._conf)
        if told is None or told.pid != builder.pid or told.outcome is None:
            # Killed: the try stays spent, and the next attempt mends what this one left.
            self._left_over = True
            log.warning("builder.killed", pid=builder.pid, code=builder.returncode, step=told.step if told else None)
            return
        self.ended = told
        if told.outcome in ("published", "not_needed"):
            self._budget.succeeded(NAME)


def _is_left_over(conf: Settings) -> bool:
    """Whether an attempt died before it had cleaned up."""
    last = record.read(conf)
    return bool(last and last.outcome is None) or os.path.lexists(exchange.places(conf).staging)


def _fingerprint(conf: Settings) -> str:
    """Changes when a source of the frontend changes. Names, sizes and times of so many files; no content."""
    digest = hashlib.sha256()
    left = _SOURCES_LOOKED_AT
    aside = {"node_modules", ".git", exchange.STAGING, conf.dist.name}
    for folder, folders, names in os.walk(conf.frontend_dir):
        folders[:] = sorted(name for name in folders if name not in aside)
        for name in sorted(names)[:left]:
            digest.update(_line(Path(folder) / name))
        left -= min(left, len(names))
        if not left:
            break
    return digest.hexdigest()


def _line(path: Path) -> bytes:
    try:
        found = os.lstat(path)
    except OSError:
        return b""
    return os.fsencode(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n")
