"""A whole suite: how long it takes to start and to stop, and what its programs use while nothing happens.

    python -m tests.bench.suite [rounds] [idle seconds]        10 and 60 by default

First: in a home that has never had a suite. Executing: from supervisord's first instant until all of its programs have
been exec'd. The machine's load is printed too: five interpreters start at once, and compete with everything else.
"""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemons import clock, processes, settings, start, stop, suite
from daemons.settings import Settings
from daemons.supervisor import Rpc
from tests.conftest import free_port

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


@contextmanager
def a_home() -> Iterator[Settings]:
    """A fresh home with a free port and a tmux server of its own, in this process's environment too."""
    folder = Path(tempfile.mkdtemp(prefix="cmux-bench-"))
    socket = f"cmux-bench-{secrets.token_hex(4)}"
    os.environ.update(CMUX_HOME=str(folder), CMUX_PORT=str(free_port()), CMUX_TMUX_SOCKET=socket)
    os.environ.setdefault("PYTHONPATH", str(settings.CODE))
    try:
        yield settings.load()
    finally:
        stop.stop(settings.load())
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True, check=False)
        shutil.rmtree(folder)


def started(conf: Settings) -> float:
    report = start.start(conf)
    assert report.healthy, report.problem
    return report.took_s


def stopped(conf: Settings) -> float:
    report = stop.stop(conf)
    assert report.proven, report.problem
    return report.took_s


def executing_s(conf: Settings) -> float:
    """From supervisord's exec (its start, all but the launcher's share of it) to its last program's fork."""
    record = suite.running(conf)
    assert record
    began = processes.read(record.supervisord.pid)
    forked = [processes.read(program.pid) for program in Rpc(conf).processes() if program.pid]
    assert began
    return max(each.started for each in forked if each) / TICKS_PER_S - began.started / TICKS_PER_S


def programs(conf: Settings) -> Mapping[str, int]:
    record = suite.running(conf)
    assert record
    found = {program.name: program.pid for program in Rpc(conf).processes() if program.pid}
    return {"supervisord": record.supervisord.pid, **found}


def idle(conf: Settings, watched_s: float) -> None:
    pids = programs(conf)
    clock.pause(10)
    before = {name: processes.usage([pid]).cpu_s for name, pid in pids.items()}
    clock.pause(watched_s)
    print(f"\n{'idle':18}{'CPU %':>8}{'RSS MB':>9}{'own MB':>9}{'files':>7}")
    total = [0.0, 0.0, 0.0]
    for name, pid in pids.items():
        used = processes.usage([pid])
        row = [(used.cpu_s - before[name]) / watched_s * 100, used.rss_bytes / MIB, own_bytes(pid) / MIB]
        total = [was + more for was, more in zip(total, row, strict=True)]
        print(f"{name:18}{row[0]:8.2f}{row[1]:9.1f}{row[2]:9.1f}{used.files:7}")
    print(f"{'all':18}{total[0]:8.2f}{total[1]:9.1f}{total[2]:9.1f}")


def own_bytes(pid: int) -> int:
    """Memory that would be free without this process: shared pages don't count."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


def told(what: str, took_s: list[float]) -> None:
    ordered = sorted(took_s)
    print(f"{what:24}{statistics.median(ordered):8.3f} s median{ordered[0]:8.3f} least{ordered[-1]:8.3f} most")


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    watched_s = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    first: list[float] = []
    again: list[float] = []
    executing: list[float] = []
    stops: list[float] = []
    for _ in range(rounds):
        with a_home() as conf:
            first.append(started(conf))
            executing.append(executing_s(conf))
            stops.append(stopped(conf))
            again.append(started(conf))
            stops.append(stopped(conf))
    told("first start to healthy", first)
    told("start to healthy", again)
    told("programs executing", executing)
    told("idle suite stopped", stops)
    with a_home() as conf:
        started(conf)
        idle(conf, watched_s)
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
