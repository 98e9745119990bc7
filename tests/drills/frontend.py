"""The frontend under attack: exchanged under load, and its healer killed. What was served must be whole all the time.

exchanges ROUNDS: dist is exchanged as fast as it goes, under wrk at full rate and page loads that follow their assets
kills ROUNDS:     kill -9 of the builder at every step and at random moments, and of the health checker in between

Both over the real API. A page load that meets anything but 200, or other bytes than were built, is a fault.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from daemons import clock, files, loop, processes, settings
from daemons.health_checker.frontend import check, exchange, record
from daemons.health_checker.frontend.exchange import Places
from daemons.settings import Settings
from tests.conftest import free_port
from tests.drills import wrk
from tests.drills.report import Report
from tests.drills.visitors import Visitors
from tests.drills.wrk import Loads

FIXTURE = Path(__file__).parents[1] / "fixtures" / "frontend"
BUILDER = [sys.executable, "-m", "daemons.health_checker.frontend"]
# A builder that is killed the moment it reaches a step: its name and what for are the arguments.
DIES_AT = (
    "import os, sys\nfrom daemons import files\n"
    "def die(step):\n    if step == sys.argv[1]: os.kill(os.getpid(), 9)\n"
    "files.reached = die\nfrom daemons.health_checker.frontend import __main__ as builder\n"
    "sys.exit(builder.main([sys.argv[2]]))\n"
)
STEPS = [f"frontend.{step}" for step in "mend copy build exchange synced ready swapped verify keep good ended".split()]
STEPS.append("exchange.done")
CHECKER_KILLS_EVERY = 10
PLACES_IN_LINE = 16
PAGE_BYTES = 20_000

Whole = set[tuple[str, str]]


def environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("CMUX_")}
    return own | {"CMUX_HOME": str(home), "CMUX_PORT": str(free_port()), "PYTHONPATH": str(settings.CODE)}


@contextmanager
def api(environ: dict[str, str]) -> Iterator[Settings]:
    """The real API of a home with a built frontend."""
    conf = settings.load(environ)
    shutil.copytree(FIXTURE, conf.frontend_dir)
    subprocess.run([*BUILDER, "heal"], env=environ, check=True, capture_output=True)
    server = subprocess.Popen([sys.executable, "-m", "daemons.api"], env=environ, stderr=subprocess.DEVNULL)
    try:
        if not clock.wait_until(lambda: processes.listeners(conf.port), within_s=20):
            raise SystemExit("the API does not listen")
        yield conf
    finally:
        server.terminate()
        server.wait()


# -- exchanged under load ---------------------------------------------------------------------------------------------


def exchanges(rounds: int, folder: Path) -> Report:
    """*rounds* exchanges, each of a build with names of its own."""
    report = Report("exchanges")
    with api(environment(folder)) as conf:
        at = exchange.places(conf)
        shutil.rmtree(at.dist)
        lay(at.dist, 0)
        began_mono = clock.monotonic()
        report.wrong += _swapped(conf, range(1, rounds + 1), _carefully, report)
        report.add("exchanges a second", round(rounds / (clock.monotonic() - began_mono), 1))
        control = _swapped(conf, range(rounds + 1, rounds + 101), _carelessly, Report("control"))
    report.count("page loads during one exchange after the other", "")
    report.count_control("two renames", "; ".join(control))
    report.add("exchanges", rounds)
    return report


def _swapped(conf: Settings, numbers: range, swap: Callable[[Places], None], report: Report) -> list[str]:
    """An exchange for each of *numbers*, as fast as they go, under load; a line for each kind of fault."""
    at = exchange.places(conf)
    whole = sums_of(at.dist, conf)
    with _under_load(conf) as (loads, visitors):
        for number in numbers:
            exchange.prepare(at)
            lay(at.out, number)
            whole |= sums_of(at.out, conf)
            exchange.make_ready(at)
            swap(at)
    for name, each in loads.items():
        report.add(f"{name}: requests", each.requests)
        report.add(f"{name}: whole pages", each.pages)
        report.add(f"{name}: requests a second", round(each.requests / each.seconds))
        report.add(f"{name}: p99, ms", each.p99_ms)
    report.add("visitors: page loads", visitors.met.judged(whole)["whole"])
    report.add("visitors: requests", visitors.met.requests)
    return [fault for each in loads.values() for fault in each.faults] + visitors.met.faults(whole)


@contextmanager
def _under_load(conf: Settings) -> Iterator[tuple[dict[str, Loads], Visitors]]:
    """wrk over connections that stay and over new ones, and visitors of whom some keep a page open for a while."""
    loads: dict[str, Loads] = {}
    with ExitStack() as stack:
        if wrk.is_here():
            loads["wrk"] = stack.enter_context(wrk.loading(conf.frontend_url, connections=PLACES_IN_LINE))
            few = wrk.loading(conf.frontend_url, connections=2, closing=True)
            loads["wrk, a connection a request"] = stack.enter_context(few)
        visitors = Visitors(conf.frontend_url, how_many=2, pause_s=0.0, stays_open_every=5)
        yield loads, stack.enter_context(visitors)


def lay(folder: Path, number: int) -> None:
    """A build of its own: every file has a name that no other build has, and says how long it is."""
    (folder / "assets").mkdir(parents=True)
    name = f"assets/app-{number:08x}"
    for suffix, length in ((".js", PAGE_BYTES), (".css", 500)):
        (folder / f"{name}{suffix}").write_text(f"/* whole {number} {length} */".ljust(length, "x"))
    (folder / "index.html").write_text(f'<link rel="stylesheet" href="/{name}.css"><script src="/{name}.js"></script>')


def sums_of(dist: Path, conf: Settings) -> Whole:
    """What the files of *dist* hold, by path."""
    return set(check.look(dist, conf.frontend_url).sums.items())


def _carefully(at: Places) -> None:
    exchange.keep_assets(at, clock.now())
    exchange.publish(at)
    exchange.forget_assets(at, clock.now())


def _carelessly(at: Places) -> None:
    """What the shell version did: the old one out, the new one in."""
    os.rename(at.dist, at.aside)
    os.rename(at.ready, at.dist)


# -- killed -----------------------------------------------------------------------------------------------------------


def kills(rounds: int, folder: Path) -> Report:
    """*rounds* rebuilds, each killed; dist is looked at right after, visited all the time, and mended in the end."""
    environ = environment(folder)
    chance = random.Random(rounds)
    report = Report("kills")
    with api(environ) as conf:
        began_mono = clock.monotonic()
        subprocess.run([*BUILDER, "rebuild"], env=environ, check=True, capture_output=True)
        build_s = clock.monotonic() - began_mono
        whole = sums_of(conf.dist, conf)
        with Visitors(conf.frontend_url) as visitors:
            for number in range(rounds):
                (conf.frontend_dir / "src" / "main.js").write_text(f"console.log({number})")
                killed_at = _killed(number, conf, environ, chance.uniform(0.05, 1.2 * build_s))
                found = check.look(conf.dist, conf.frontend_url, conf.frontend_dir / "index.html")
                whole |= sums_of(conf.dist, conf)
                report.count(killed_at, found.evidence)
        subprocess.run([*BUILDER, "recover"], env=environ, check=True, capture_output=True)
    left = exchange.places(conf).staging.exists()
    report.count("mended in the end", "a staging folder is left" if left else "")
    report.wrong += [*visitors.met.faults(whole), *([] if visitors.met.pages else ["nobody visited"])]
    report.add("whole page loads meanwhile", visitors.met.judged(whole)["whole"])
    report.add("plain pages meanwhile", visitors.met.judged(whole)["plain page"])
    return report


def _killed(number: int, conf: Settings, environ: dict[str, str], moment_s: float) -> str:
    """Kill whoever heals: the checker now and then, else the builder, at a step and at a random moment in turn."""
    if number % CHECKER_KILLS_EVERY == CHECKER_KILLS_EVERY - 1:
        _kill_checker(conf, environ)
        return "the checker killed while it has dist rebuilt"
    if number % 2:
        step = STEPS[number // 2 % len(STEPS)]
        subprocess.run([sys.executable, "-c", DIES_AT, step, "rebuild"], env=environ, capture_output=True, check=False)
        return f"killed at {step}"
    builder = subprocess.Popen([*BUILDER, "rebuild"], env=environ, stderr=subprocess.DEVNULL)
    try:
        builder.wait(moment_s)  # or it ends by itself: the last step counts too
    except subprocess.TimeoutExpired:
        builder.kill()
        builder.wait()
    last = record.read(conf)
    return f"killed at a random moment, step {last.step if last else 'begun'}"


def _kill_checker(conf: Settings, environ: dict[str, str]) -> None:
    """A health checker that finds dist stale, killed in the middle of the build; its builder must go with it."""
    eager = environ | {"CMUX_REBUILD_STALE": "yes", "CMUX_HEALTH_INTERVAL": "0.5"}
    checker = subprocess.Popen([sys.executable, "-m", "daemons.health_checker"], env=eager, stderr=subprocess.DEVNULL)
    clock.wait_until(lambda: _is_at_work(conf, checker.pid), within_s=15)
    checker.kill()
    checker.wait()
    clock.wait_until(lambda: not _is_locked(conf), within_s=5)


def _is_at_work(conf: Settings, pid: int) -> bool:
    last, status = record.read(conf), loop.read_status(conf, "health_checker")
    is_its_own = status is not None and status.pid == pid and status.cycle > 0
    return is_its_own and last is not None and last.outcome is None and last.purpose == "rebuild"


def _is_locked(conf: Settings) -> bool:
    try:
        os.close(files.take_lock(record.lock_path(conf), timeout_s=0.0))
    except files.LockBusy:
        return True
    return False
