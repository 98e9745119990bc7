"""The builder: builds the frontend in a copy and puts the result in the place of `dist` in one step.

    lock -> mend what an earlier attempt left -> copy -> npm run build -> check -> exchange -> verify over HTTP
                                                   `- failed: npm ci, and once more

A process of its own, started by the health checker and ended with it: `python -m daemons.health_checker.frontend heal`.
What it does at the moment and how it ended is in `.cmux/frontend-build.json`. Until the exchange nothing that is served
is touched, after it nothing is left to do that could break it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import signal
import sys
from dataclasses import replace
from pathlib import Path

from daemons import clock, files, log, loop, processes, settings
from daemons.clock import Wake
from daemons.health_checker.frontend import check, copy, exchange, npm, record, served
from daemons.health_checker.frontend.check import Finding
from daemons.health_checker.frontend.record import Outcome, Purpose, Record
from daemons.health_checker.frontend.served import Serving
from daemons.settings import Settings

VERIFY_WITHIN_S = 3.0
_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
# From npm's cache where that has it: without a registry that heals in 4 s. Where it hasn't, the default retries make
# `npm ci` hang for more than ten minutes; with these it gives up after 9 s.
_INSTALL_OPTIONS = (
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--fetch-timeout=60000",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=10000",
)


class Failed(Exception):
    """The attempt came to nothing; dist is as it was. *output* is the end of what npm said."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


class Cancelled(Exception):
    """We were asked to end."""


class Attempt:
    """One attempt, written down step by step. The caller holds the lock."""

    def __init__(self, conf: Settings, purpose: Purpose, npm_path: Path | None, wake: Wake) -> None:
        self._conf = conf
        self._npm = npm_path
        self._wake = wake
        self._at = exchange.places(conf)
        self._source = conf.frontend_dir / "index.html"
        self._copy = conf.state / "frontend-build" / "project"
        self._began_mono = self._step_mono = clock.monotonic()
        self._deadline_mono = self._began_mono + conf.build_timeout_s
        self._before = record.read(conf)
        good_lock = self._before.good_lock if self._before else None
        self.record = Record(secrets.token_hex(8), purpose, os.getpid(), clock.stamp(clock.now()), good_lock=good_lock)

    def run(self) -> Outcome:
        """Make the attempt and write down how it ended. Leaves no process and no scratch behind."""
        try:
            outcome, reason, output = self._work(), self.record.reason, ""
        except Cancelled:
            outcome, reason, output = "cancelled", f"ended by request while at step {self.record.step}", ""
        except Failed as failed:
            outcome, reason, output = "failed", str(failed), failed.output
        except OSError as cause:  # a full disk, say: told like any other failure
            outcome, reason, output = "failed", f"step {self.record.step}: {cause}", ""
        self._clean_up()
        self._step("ended")
        ended = clock.stamp(clock.now())
        self.record = replace(self.record, outcome=outcome, reason=reason, output=output, ended_at=ended)
        record.write(self._conf, self.record)
        return outcome

    def _work(self) -> Outcome:
        mended = self._mend()
        if self.record.purpose == "recover":
            self.record.reason = mended or "nothing was left of an earlier attempt"
            return "recovered"
        if self.record.purpose == "heal" and self._look().is_whole:
            self.record.reason = mended or "dist is whole"
            return "not_needed"
        self._build()
        return self._put_in_place()

    def _mend(self) -> str | None:
        if self._before and self._before.outcome is None:
            npm.end_descendants(self._before.attempt)
        self._step("mend")
        mended = exchange.mend(self._at)
        copy.remove(self._copy.parent)
        return mended

    # -- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """A whole build in `out`, or Failed: build; on failure install what the lock file says, and build again."""
        self._step("copy")
        exchange.prepare(self._at)
        files.private_dir(self._copy.parent)
        aside = {self._conf.dist, self._at.dist, self._at.staging, self._conf.state}
        copy.project(self._conf.frontend_dir, self._copy, leave_out=aside, carry_on=self._carry_on)
        problem = self._problem_with_build() if self._has_modules() else Failed("no packages are installed")
        if problem:
            self._install(problem)
            problem = self._problem_with_build()
        if problem:
            raise problem

    def _has_modules(self) -> bool:
        """False only where packages are needed and none are installed: a build that cannot work is not tried."""
        lock = self._lock()
        return (self._copy / copy.MODULES).is_dir() or lock is None or not _lists_packages(lock)

    def _problem_with_build(self) -> Failed | None:
        self._step("build")
        copy.remove(self._at.out)
        run = self._run_npm("run", "build", "--", "--outDir", str(self._at.out))
        if not run.went_well:
            return Failed(f"`npm run build` ended with code {run.code}", run.output)
        found = check.look(self._at.out, self._conf.frontend_url, self._source)
        if not found.is_whole:
            return Failed(f"`npm run build` ended with code 0 and built nothing whole: {found.evidence}", run.output)
        return None

    def _install(self, problem: Failed) -> None:
        """`npm ci` in the copy. Raises *problem*, with what stands in the way, where that must not or cannot be."""
        lock = self._lock()
        if lock is None:
            raise Failed(f"{problem}, and without a package-lock.json `npm ci` cannot help", problem.output)
        if self.record.good_lock not in (None, _sum(lock)):
            raise Failed(
                f"{problem}, and {lock.name} has changed since the last good build: check it and run `npm ci` yourself",
                problem.output,
            )
        self._step("install")
        scripts = [] if self._conf.allow_npm_scripts else ["--ignore-scripts"]
        run = self._run_npm("ci", *scripts, *_INSTALL_OPTIONS)
        if not run.went_well:
            output = "\n".join(part for part in (problem.output, f"$ npm ci\n{run.output}") if part)
            raise Failed(f"{problem}, and `npm ci` ended with code {run.code}", output)

    def _run_npm(self, *arguments: str) -> npm.Run:
        if self._npm is None:
            raise Failed(f"npm is not installed; {npm.advice()}")
        run = npm.run(
            self._npm,
            *arguments,
            cwd=self._copy,
            attempt=self.record.attempt,
            deadline_mono=self._deadline_mono,
            stop=lambda: self._wake.stop_requested,
        )
        if run.why == "timed out":
            raise Failed(f"`npm {arguments[0]}` did not end within {self._conf.build_timeout_s:g} s", run.output)
        self._carry_on()
        return run

    def _lock(self) -> Path | None:
        return next((lock for name in _LOCKS if (lock := self._copy / name).is_file()), None)

    # -- putting in place ---------------------------------------------------------------------------------------------

    def _put_in_place(self) -> Outcome:
        self._step("exchange")
        exchange.make_ready(self._at)
        old = self._look()
        if self.record.purpose == "heal" and old.is_whole:
            self.record.reason = "dist became whole meanwhile; somebody else built it"
            return "not_needed"
        self._carry_on()
        exchange.keep_assets(self._at, clock.now())
        how = exchange.publish(self._at)
        self._step("verify")
        self.record.reason = f"built and {how}" + self._verify(old)
        exchange.forget_assets(self._at, clock.now())
        lock = self._lock()
        self.record.good_lock = _sum(lock) if lock else None
        return "published"

    def _verify(self, old: Finding) -> str:
        """What HTTP says to the new dist. If it says no, a whole *old* one is put back, and Failed is raised."""
        serving = self._serving()
        if serving.answer == "yes":
            return ", verified over HTTP"
        if serving.answer != "no":
            return f", not verified over HTTP: {serving.evidence}"
        if not old.is_whole:
            return f", but HTTP serves it otherwise: {serving.evidence}"
        exchange.publish(self._at)
        raise Failed(f"the old dist was put back, because HTTP serves the new one otherwise: {serving.evidence}")

    def _serving(self) -> Serving:
        """How the new dist is served; a server that still has the old one in mind gets a moment to notice."""
        new = self._look()
        if not new.is_whole:
            return Serving("no", new.faults)
        last = Serving("unknown")

        def answered() -> bool:
            nonlocal last
            last = served.compare(new, self._conf.frontend_url, within_s=VERIFY_WITHIN_S, allow=self._conf.host)
            return last.answer != "no"

        clock.wait_until(answered, within_s=VERIFY_WITHIN_S, every_s=0.2)
        return last

    # -- all along ----------------------------------------------------------------------------------------------------

    def _look(self) -> Finding:
        return check.look(self._at.dist, self._conf.frontend_url, self._source)

    def _step(self, step: str) -> None:
        self._carry_on_unless(step in ("verify", "ended"))
        now_mono = clock.monotonic()
        took = self.record.seconds.get(self.record.step, 0.0) + now_mono - self._step_mono
        self.record.seconds[self.record.step] = round(took, 3)
        self._step_mono = now_mono
        self.record.step = step
        record.write(self._conf, self.record)
        files.reached(f"frontend.{step}")

    def _carry_on_unless(self, past_the_exchange: bool) -> None:
        if not past_the_exchange:
            self._carry_on()

    def _carry_on(self) -> None:
        if self._wake.stop_requested:
            raise Cancelled
        if clock.monotonic() > self._deadline_mono:
            raise Failed(f"not done within {self._conf.build_timeout_s:g} s, at step {self.record.step}")

    def _clean_up(self) -> None:
        try:
            exchange.mend(self._at)
            copy.remove(self._copy.parent)
        except OSError as cause:
            log.warning("frontend.scratch_left", reason=str(cause))


def _lists_packages(lock: Path) -> bool:
    try:
        told = json.loads(lock.read_bytes())
    except ValueError:
        return True
    return isinstance(told, dict) and any(told.get("packages", {"?": None}))


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    asked = _parse(arguments)
    log.set_daemon("frontend_builder")
    wake = Wake()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: wake.request_stop())
    if asked.parent:
        loop.die_with_parent(asked.parent)
    processes.become_subreaper()
    conf = settings.load()
    files.private_dir(conf.run_dir)
    try:
        with files.lock(record.lock_path(conf), timeout_s=0.0):
            attempt = Attempt(conf, asked.purpose, asked.npm or npm.locate(), wake)
            outcome = attempt.run()
    except files.LockBusy as busy:
        log.info("frontend.builder_busy", reason=str(busy))
        return record.EXIT_BUSY
    log.info(f"frontend.{outcome}", reason=attempt.record.reason, seconds=attempt.record.seconds)
    return record.EXIT_CODES[outcome]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m daemons.health_checker.frontend", description="Build it.")
    parser.add_argument("purpose", choices=("heal", "rebuild", "recover"))
    parser.add_argument("--npm", type=Path, help="npm's full path (default: looked for)")
    parser.add_argument("--parent", type=int, help="end when this process, our parent, ends")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
