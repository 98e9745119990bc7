"""Every shape that a stop has met, planted for real and stopped, judged from outside.

python -m tests.drills.stops [WORD …]    a table of all shapes, or those whose name holds a word; exit code 1 if wrong
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from signal import signal as handle

import pytest

from daemons import clock, processes, settings, stop, suite
from daemons.settings import Settings
from daemons.stop import Report
from tests import suites
from tests.conftest import free_port
from tests.drills import report as drills
from tests.drills.stop_shapes import SHAPES, Shape
from tests.plants import Plants, alive

GRACE_S = 1.0


@dataclass(frozen=True)
class Verdict:
    """What was wrong with a stop of *shape*: nothing, hopefully."""

    shape: Shape
    took_s: float
    exit_code: int
    wrong: tuple[str, ...]


def run(shape: Shape, conf: Settings, environ: dict[str, str], plants: Plants) -> Verdict:
    """Plant *shape*, stop, judge."""
    conf = dataclasses.replace(conf, stop_grace_s=GRACE_S, stop_timeout_s=8.0)
    if shape.beside:
        plants.python(shape.beside, conf.port, suite.suite_id(conf))
    ours = suites.start(conf, plants, environ, **shape.programs)
    try:
        for name in set(shape.names):
            plants.pid(name, shape.names.count(name) - 1)
    except pytest.fail.Exception as silence:
        return Verdict(shape, 0.0, -1, (f"was not planted: {silence}",))
    for name, number in [(n, Signals.SIGSTOP) for n in shape.freeze] + [(n, Signals.SIGKILL) for n in shape.kill]:
        signal(plants.pid(name), number)

    began = clock.monotonic()
    report = stop.stop(ours, force=shape.force)
    took_s = clock.monotonic() - began

    return Verdict(shape, took_s, report.exit_code, tuple(judge(shape, conf, plants, report, took_s)))


def judge(shape: Shape, conf: Settings, plants: Plants, report: Report, took_s: float) -> Iterator[str]:
    """What is wrong, seen from outside, and beside what the shape demands."""
    yield from seen(shape, conf, plants)
    if report.exit_code != shape.exit_code:
        yield f"exit code {report.exit_code}, not {shape.exit_code}: {report.problem}"
    if shape.says not in report.problem:
        yield f"does not say {shape.says!r}: {report.problem}"
    if (drained := len(plants.pids("drained"))) != shape.drained:
        yield f"{drained} could finish, not {shape.drained}"
    if took_s > shape.within_s:
        yield f"took {took_s:.2f} s, not {shape.within_s:g}"


def seen(shape: Shape, conf: Settings, plants: Plants) -> Iterator[str]:
    """What /proc and sockets show wrong, whoever did the stopping."""
    names = {pid: name for pid, name in plants.said() if name.startswith(("ours", "innocent", "supervisord"))}
    for pid, name in names.items():
        if name.startswith("innocent") and not alive(pid):
            yield f"innocent killed: {name} {pid}"
        if not name.startswith("innocent") and alive(pid):
            yield f"left over: {name} {pid}"
    for pid in suites.members(conf) - names.keys():
        yield f"left over: {processes.describe(pid)}"
    if plants.beats():
        yield "left over: one that forks on"
    held = any(name.startswith("innocent-stranger") for name in names.values())
    if not held and not all(_bindable(family, conf.port) for family in (socket.AF_INET, socket.AF_INET6)):
        yield f"port {conf.port} is taken"


def _bindable(family: socket.AddressFamily, port: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("", port))
    except OSError:
        return False
    return True


def signal(pid: int, number: Signals) -> None:
    """Send *number* to the planted process *pid*."""
    held = processes.Handle.open(pid)
    assert held
    held.signal(number)
    held.close()


# -- as a program -----------------------------------------------------------------------------------------------------


@contextmanager
def a_home() -> Iterator[tuple[Settings, dict[str, str], Plants]]:
    """A home of its own, with plants that are killed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cmux-stops-"))
    (folder / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CMUX_", "TMUX"))}
    own = {"CMUX_HOME": str(folder / "home"), "CMUX_PORT": str(free_port()), "PYTHONPATH": str(settings.CODE)}
    environ = kept | own | {"CMUX_TMUX_SOCKET": folder.name}
    plants = Plants(folder)
    try:
        yield settings.load(environ), environ, plants
    finally:
        plants.end()
        subprocess.run(["tmux", "-L", folder.name, "kill-server"], capture_output=True, check=False, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def clean_up_when_ended() -> None:
    """A drill that is told to end takes what it planted with it: two guards of each other would else go on alone."""
    handle(Signals.SIGTERM, lambda *_: sys.exit(1))


def every_shape(rounds: int, _folder: Path) -> drills.Report:
    """Each shape *rounds* times, each time in a home of its own."""
    return stopped([shape for shape in SHAPES for _ in range(rounds)])


def stopped(shapes: Sequence[Shape]) -> drills.Report:
    """Each of *shapes* planted, stopped and judged, with a line as it comes."""
    clean_up_when_ended()
    report = drills.Report("stops")
    for shape in shapes:
        with a_home() as (conf, environ, plants):
            verdict = run(shape, conf, environ, plants)
        outcome = "; ".join(verdict.wrong)
        print(f"{shape.name:58} {verdict.took_s:5.2f} s  exit {verdict.exit_code}  {outcome or 'right'}", flush=True)
        report.count("shapes", f"{shape.name}: {outcome}" if outcome else "")
        report.most("slowest, in s", round(verdict.took_s, 2))
    return report


def main() -> int:
    words = sys.argv[1:]
    report = stopped([shape for shape in SHAPES if not words or any(word in shape.name for word in words)])
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
