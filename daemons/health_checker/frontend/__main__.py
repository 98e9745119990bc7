"""The builder: builds the frontend in a copy and puts the result in the place of `dist` in one step.

    lock -> mend what an earlier attempt left -> put the last whole build back; if the sources are the same: done
         -> copy -> npm run build -> check -> exchange -> verify over HTTP -> keep as the last whole build
                       `- failed: npm ci, and once more

A process of its own, started by the health checker and ended with it: `python -m daemons.health_checker.frontend heal`.
What it does at the moment and how it ended is in `.cmux/frontend-build.json`. Until the exchange nothing that is served
is touched, after it nothing is left to do that could break it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
from dataclasses import replace
from pathlib import Path

from daemons import builds, clock, files, log, loop, processes, settings
from daemons.clock import Wake
from daemons.health_checker.frontend import check, copy, exchange, good, npm, record, served
from daemons.health_checker.frontend.building import Building, Cancelled, Failed, lock_of, sum_of
from daemons.health_checker.frontend.check import Finding
from daemons.health_checker.frontend.record import Outcome, Purpose, Record
from daemons.health_checker.frontend.served import Serving
from daemons.health_checker.frontend.sources import Sources
from daemons.settings import Settings

VERIFY_WITHIN_S = 3.0


class Attempt:
    """One attempt, written down step by step. The caller holds the lock."""

    def __init__(self, conf: Settings, purpose: Purpose, npm_path: Path | None, wake: Wake) -> None:
        self._conf = conf
        self._npm = npm_path
        self._wake = wake
        self._at = exchange.places(conf)
        self._source = conf.frontend_dir / "index.html"
        self._began_mono = self._step_mono = clock.monotonic()
        self.deadline_mono = self._began_mono + conf.build_timeout_s
        self._before = record.read(conf)
        self.good_lock = self._before.good_lock if self._before else None
        self.attempt = secrets.token_hex(8)
        self._sources = Sources(conf.frontend_dir, conf.dist.name).digest()
        self._good = good.read(conf)
        self._restored = False
        self.record = Record(self.attempt, purpose, os.getpid(), clock.stamp(clock.now()), good_lock=self.good_lock)

    def run(self) -> Outcome:
        """Make the attempt and write down how it ended. Leaves no process and no scratch behind."""
        try:
            outcome, reason, output = self._work(), self.record.reason, ""
        except Cancelled:
            outcome, reason, output = "cancelled", f"ended by request while at step {self.record.step}", ""
        except Failed as failed:
            back = "the last whole build is back in place, but building anew failed: " if self._restored else ""
            outcome, reason, output = "failed", f"{back}{failed}", failed.output
        except OSError as cause:  # a full disk, say: told like any other failure
            outcome, reason, output = "failed", f"step {self.record.step}: {cause}", ""
        self._clean_up()
        self.step("ended")
        ended = clock.stamp(clock.now())
        self.record = replace(self.record, outcome=outcome, reason=reason, output=output, ended_at=ended)
        record.write(self._conf, self.record)
        return outcome

    def _work(self) -> Outcome:
        mended = self._mend()
        if self.record.purpose == "recover":
            if self._before and self._before.outcome is None and self._before.step in ("verify", "keep"):
                self._keep("us", self._sources)  # it is in place, and nobody took note
            self.record.reason = mended or "nothing was left of an earlier attempt"
            return "recovered"
        if self.record.purpose == "keep":
            return self._keep_what_is_there()
        if self.record.purpose == "heal" and self._look().is_whole:
            self.record.reason = mended or "dist is whole"
            return "not_needed"
        if self.record.purpose == "heal" and self._restore() and self._good_is_of_these_sources():
            return "restored"
        return self._build()

    def _mend(self) -> str | None:
        if self._before and self._before.outcome is None:
            npm.end_descendants(self._before.attempt)
        self.step("mend")
        mended = exchange.mend(self._at)
        self._remove_copies()
        return mended

    # -- building and putting in place ---------------------------------------------------------------------------------

    def _build(self) -> Outcome:
        exchange.prepare(self._at)
        place = copy.place(self._conf)
        building = Building(self._conf, self._npm, self, place, self._at.out)
        building.build({self._conf.dist, self._at.dist, self._at.staging, self._conf.state})
        self.step("exchange")
        exchange.make_ready(self._at)
        old = self._look()
        if self.record.purpose == "heal" and old.is_whole and not self._restored:
            self.record.reason = "dist became whole meanwhile; somebody else built it"
            return "not_needed"
        self.carry_on()
        exchange.keep_assets(self._at, clock.now(), self._source_of_old_assets(old))
        self._publish("built", old)
        exchange.forget_assets(self._at, clock.now())
        self.record.good_lock = sum_of(lock_of(place))
        self._keep("us", building.sources)
        return "published"

    def _restore(self) -> bool:
        """Put the last whole build in the place of a broken dist; whether that could be done."""
        self.step("restore")
        exchange.prepare(self._at)
        if self._good is None or not good.lay(self._conf, self._good, self._at.out):
            return False
        if not check.look(self._at.out, self._conf.frontend_url).is_whole:
            return False
        exchange.make_ready(self._at)
        self._publish(f"restored as it was at {self._good.at}", self._look())
        copy.remove(self._at.ready)
        good.restamp(self._conf, self._good, self._look_at_files())
        self._restored = True
        return True

    def _good_is_of_these_sources(self) -> bool:
        known = self._good.sources if self._good else None
        return None in (known, self._sources) or known == self._sources

    def _publish(self, what: str, old: Finding) -> None:
        how = exchange.publish(self._at)
        self.step("verify")
        self.record.reason = f"{what} and {how}" + self._verify(old)

    def _source_of_old_assets(self, old: Finding) -> Path:
        """Where to keep old assets from, for open pages: not from a damaged dist."""
        kept = builds.good(self._conf) / "files"
        return kept if not old.is_whole and self._good and self._good.held else self._at.dist

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
        new = self._look_at_files()
        if not new.is_whole:
            return Serving("no", new.faults)
        last = Serving("unknown")

        def answered() -> bool:
            nonlocal last
            last = served.compare(new, self._conf.frontend_url, within_s=VERIFY_WITHIN_S, allow=self._conf.host)
            return last.answer != "no"

        clock.wait_until(answered, within_s=VERIFY_WITHIN_S, every_s=0.2)
        return last

    # -- keeping what is good -----------------------------------------------------------------------------------------

    def _keep_what_is_there(self) -> Outcome:
        """Take a whole dist that we did not build for the good one, from now on."""
        found = self._look_at_files()
        related, faults = good.relation(self._good, found, self._sources)
        if not found.is_whole or faults:
            self.record.reason = f"dist is not whole: {found.evidence or faults[0]}"
            return "not_needed"
        if self._good and related in ("same", "moved"):
            good.restamp(self._conf, self._good, found)
            self.record.reason = "dist is the build that was kept"
            return "kept"
        if self._good and self._good.held:  # pages that were opened before still ask for its assets
            exchange.keep_assets(self._at, clock.now(), builds.good(self._conf) / "files")
            exchange.forget_assets(self._at, clock.now())
        self.record.good_lock = sum_of(lock_of(self._conf.frontend_dir))
        self._keep("somebody else" if self._good else "unknown", good.sources_of(self._good, found, self._sources))
        self.record.reason = "dist is another whole build now" if self._good else "dist was seen for the first time"
        return "kept"

    def _keep(self, maker: good.Maker, sources: str | None) -> None:
        """Keep what is in place. Where that can't be, dist stays as it is, and is told from damage less well."""
        self.step("keep")
        try:
            good.keep(self._conf, self._at.dist, self._look_at_files(), maker, sources, clock.now())
        except OSError as cause:
            log.warning("frontend.not_kept", reason=str(cause))

    # -- all along ----------------------------------------------------------------------------------------------------

    def _look(self) -> Finding:
        """What dist is, wrong bytes included."""
        return good.judged(self._good, self._look_at_files(), self._sources)

    def _look_at_files(self) -> Finding:
        return check.look(self._at.dist, self._conf.frontend_url, self._source)

    @property
    def stop_requested(self) -> bool:
        return self._wake.stop_requested

    def step(self, step: str) -> None:
        """Write down that *step* is done now. What comes after the exchange is done in any case."""
        if step not in ("verify", "keep", "ended"):
            self.carry_on()
        now_mono = clock.monotonic()
        took = self.record.seconds.get(self.record.step, 0.0) + now_mono - self._step_mono
        self.record.seconds[self.record.step] = round(took, 3)
        self._step_mono = now_mono
        self.record.step = step
        record.write(self._conf, self.record)
        files.reached(f"frontend.{step}")

    def carry_on(self) -> None:
        """Raises Cancelled or Failed when there shall be no more."""
        if self._wake.stop_requested:
            raise Cancelled
        if clock.monotonic() > self.deadline_mono:
            raise Failed(f"not done within {self._conf.build_timeout_s:g} s, at step {self.record.step}")

    def _clean_up(self) -> None:
        try:
            exchange.mend(self._at)
            self._remove_copies()
        except OSError as cause:
            log.warning("frontend.scratch_left", reason=str(cause))

    def _remove_copies(self) -> None:
        for place in copy.places(self._conf):
            copy.remove(place)


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
    parser.add_argument("purpose", choices=("heal", "rebuild", "recover", "keep"))
    parser.add_argument("--npm", type=Path, help="npm's full path (default: looked for)")
    parser.add_argument("--parent", type=int, help="end when this process, our parent, ends")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
