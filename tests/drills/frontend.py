"""The frontend under attack: exchanged under load, and its builder killed. What was served must be whole all the time.

    python -m tests.drills.frontend exchanges 500     page loads follow their assets while dist is exchanged
    python -m tests.drills.frontend kills 200         kill -9 of the builder at random moments of a rebuild

Both over the real API. A page load that meets anything but 200, or other bytes than were built, is a fault.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from daemons import clock, processes, settings
from daemons.health_checker.frontend import check, exchange, record
from daemons.health_checker.frontend.exchange import Places
from daemons.settings import Settings
from tests.conftest import free_port
from tests.drills.report import Report

FIXTURE = Path(__file__).parents[1] / "fixtures" / "frontend"
BUILDER = [sys.executable, "-m", "daemons.health_checker.frontend"]
LOADERS = 3
LATER_S = 0.05
# A page stays open for a while before it asks for what it loads later: in one of so many loads.
STAYS_OPEN_EVERY = 5


@dataclass
class Loads:
    """What the visitors saw."""

    pages: int = 0
    requests: int = 0
    faults: list[str] = field(default_factory=list)


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


class Visitor(threading.Thread):
    """Loads the page and all that it names, again and again, over one connection as a browser does."""

    def __init__(self, conf: Settings, loads: Loads, ended: threading.Semaphore) -> None:
        super().__init__()
        self._conf = conf
        self._loads = loads
        self._ended = ended
        self._line = http.client.HTTPConnection("127.0.0.1", conf.port, timeout=10)

    def run(self) -> None:
        while not self._ended.acquire(blocking=False):
            index = self._get("/")
            self._loads.pages += 1
            if index is None:
                continue
            if self._loads.pages % STAYS_OPEN_EVERY == 0 and self._ended.acquire(timeout=LATER_S):
                return
            for asset in check.assets.of_page(index, self._conf.frontend_url).assets:
                body = self._get(asset.request)
                if body is not None and not body.startswith(b"/* whole "):
                    self._loads.faults.append(f"{asset.request}: not what was built")

    def _get(self, path: str) -> bytes | None:
        try:
            self._line.request("GET", path)
            answer = self._line.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as cause:
            self._loads.faults.append(f"{path}: {cause!r}")
            self._line.close()
            return None
        self._loads.requests += 1
        if answer.status != 200:
            self._loads.faults.append(f"{path}: {answer.status}")
            return None
        return body


@contextmanager
def visited(conf: Settings) -> Iterator[Loads]:
    """Visitors on the page for as long as the block lasts."""
    loads, ended = Loads(), threading.Semaphore(0)
    visitors = [Visitor(conf, loads, ended) for _ in range(LOADERS)]
    for visitor in visitors:
        visitor.start()
    try:
        yield loads
    finally:
        for _ in visitors:
            ended.release()
        for visitor in visitors:
            visitor.join()


def lay(folder: Path, number: int) -> None:
    """A build of its own: every file has a name that no other build has."""
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / f"app-{number:08x}.js").write_text(f"/* whole {number} */" + "x" * 20_000)
    (folder / "assets" / f"app-{number:08x}.css").write_text(f"/* whole {number} */")
    name = f"/assets/app-{number:08x}"
    (folder / "index.html").write_text(f'<link rel="stylesheet" href="{name}.css"><script src="{name}.js"></script>')


def carefully(at: Places) -> None:
    exchange.keep_assets(at, clock.now())
    exchange.publish(at)
    exchange.forget_assets(at, clock.now())


def carelessly(at: Places) -> None:
    """What the shell version did: the old one out, the new one in."""
    os.rename(at.dist, at.aside)
    os.rename(at.ready, at.dist)


def swapped(conf: Settings, numbers: range, swap: Callable[[Places], None]) -> Loads:
    """An exchange for each of *numbers*, as fast as they go, under page loads; what the visitors saw."""
    at = exchange.places(conf)
    with visited(conf) as loads:
        for number in numbers:
            exchange.prepare(at)
            lay(at.out, number)
            exchange.make_ready(at)
            swap(at)
    return loads


def exchanges(rounds: int, home: Path) -> Report:
    """*rounds* exchanges, each of a build with names of its own."""
    report = Report("exchanges")
    with api(environment(home)) as conf:
        at = exchange.places(conf)
        shutil.rmtree(at.dist)
        lay(at.dist, 0)
        began_mono = clock.monotonic()
        loads = swapped(conf, range(1, rounds + 1), carefully)
        report.add("exchanges a second", round(rounds / (clock.monotonic() - began_mono), 1))
        control = swapped(conf, range(rounds + 1, rounds + 101), carelessly)
    report.count("page loads during one exchange after the other", "")
    report.wrong += loads.faults
    report.count_control("two renames", "; ".join(control.faults))
    report.add("exchanges", rounds)
    report.add("page loads", loads.pages)
    report.add("requests", loads.requests)
    report.add("faults of the control in 100 swaps", len(control.faults))
    return report


def kills(rounds: int, home: Path) -> Report:
    """*rounds* rebuilds, each killed at a random moment; dist is looked at right after, and mended in the end."""
    environ = environment(home)
    chance = random.Random(rounds)
    report = Report("kills")
    with api(environ) as conf:
        began_mono = clock.monotonic()
        subprocess.run([*BUILDER, "rebuild"], env=environ, check=True, capture_output=True)
        whole_s = clock.monotonic() - began_mono
        for number in range(rounds):
            (conf.frontend_dir / "src" / "main.js").write_text(f"console.log({number})")
            builder = subprocess.Popen([*BUILDER, "rebuild"], env=environ, stderr=subprocess.DEVNULL)
            try:
                builder.wait(chance.uniform(0.05, 1.2 * whole_s))  # or it ends by itself: the last step counts too
            except subprocess.TimeoutExpired:
                builder.kill()
                builder.wait()
            found = check.look(conf.dist, conf.frontend_url, conf.frontend_dir / "index.html")
            last = record.read(conf)
            report.count(f"killed at {last.step if last else 'the beginning'}", found.evidence)
        subprocess.run([*BUILDER, "recover"], env=environ, check=True, capture_output=True)
        left = exchange.places(conf).staging.exists()
        report.count("mended in the end", "a staging folder is left" if left else "")
    return report


def main() -> int:
    name, rounds = sys.argv[1], int(sys.argv[2])
    home = Path(tempfile.mkdtemp(prefix="cmux-drill-"))
    try:
        report = {"exchanges": exchanges, "kills": kills}[name](rounds, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
