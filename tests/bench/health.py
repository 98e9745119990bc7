"""What health costs: the health call while a real project is built, and the checker when nothing happens.

Both beside a bare hello-world on the same server, asked at the same time in turns; the checker beside a bare Python
that asks the health call once an interval. The project is Vite and React from the npm registry.

python -m tests.bench.health [seconds for one figure]
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from daemons import clock, settings
from tests.bench import load
from tests.bench.http import hello
from tests.bench.load import get
from tests.drills import vite
from tests.drills.frontend import BUILDER
from tests.drills.running import running

AIM_P99_MS = 20.0
AIM_CORE = 0.005
PER_S = 50
ROUNDS = 4
IDLE_S = 40.0
HEALTH = "/api/webhooks/health"
# What anybody would write who wants to know once in 10 s.
BARE = (
    "import sys, time, urllib.request as r\n"
    "while True:\n"
    "    try: r.urlopen(sys.argv[1]).read()\n"
    "    except OSError: pass\n"
    "    time.sleep(10)\n"
)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; code at {settings.CODE.name}")
    with tempfile.TemporaryDirectory(prefix="cmux-bench-") as folder, vite.scene(Path(folder)) as (at, environ):
        with vite.looked_after(at, environ), hello() as plain:
            clock.wait_until(at.is_well, within_s=30)
            table(at.conf.port, plain, environ, seconds)
        idle(at, environ)


# -- the call ---------------------------------------------------------------------------------------------------------


def table(port: int, plain: int, environ: dict[str, str], seconds: float) -> None:
    """Asked 50 times a second, as monitors do, and as fast as one connection goes; idle, and while a build runs."""
    print(f"\n{'':<34} {'hello p50/p99 ms':>18} {'health p50/p99 ms':>18}   aim p99")
    line("asked 50 times a second, idle", paced_pairs(plain, port, seconds))
    line("one after the other, idle", full_pairs(plain, port, seconds))
    with building(environ) as builds:
        line("asked 50 times a second, building", paced_pairs(plain, port, seconds), AIM_P99_MS)
        line("one after the other, building", full_pairs(plain, port, seconds), AIM_P99_MS)
    print(f"{builds[0]} builds meanwhile", flush=True)


Pair = tuple[float, float]


def line(name: str, pairs: list[tuple[Pair, Pair]], aim_ms: float | None = None) -> None:
    limit, ours = (
        [statistics.median(column) for column in zip(*side, strict=True)] for side in zip(*pairs, strict=True)
    )
    verdict = "" if aim_ms is None else f"{aim_ms:g} ms{'' if ours[1] < aim_ms else '  missed'}"
    print(f"{name:<34} {limit[0]:>9.1f}/{limit[1]:<8.1f} {ours[0]:>9.1f}/{ours[1]:<8.1f}   {verdict}", flush=True)


def paced_pairs(plain: int, port: int, seconds: float) -> list[tuple[Pair, Pair]]:
    return [(paced(plain, "/", seconds), paced(port, HEALTH, seconds)) for _ in range(ROUNDS)]


def full_pairs(plain: int, port: int, seconds: float) -> list[tuple[Pair, Pair]]:
    def full(at: int, path: str) -> Pair:
        found = load.run(at, [get(at, path)], connections=1, seconds=seconds / 2)
        return found.p50_ms, found.p99_ms

    return [(full(plain, "/"), full(port, HEALTH)) for _ in range(ROUNDS)]


def paced(port: int, path: str, seconds: float) -> Pair:
    """p50 and p99 in ms, asked PER_S times a second; what is late because of an answer that was counts as late."""
    request, times = get(port, path).encode(), []
    due_mono = clock.monotonic()
    until_mono = due_mono + 2 * seconds
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while due_mono < until_mono:
            clock.pause(max(0.0, due_mono - clock.monotonic()))
            connection.sendall(request)
            _receive(connection)
            times.append(clock.monotonic() - due_mono)
            due_mono += 1 / PER_S
    times.sort()
    return times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000


def _receive(connection: socket.socket) -> None:
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += connection.recv(1 << 16)
    head, _, body = seen.partition(b"\r\n\r\n")
    at = head.lower().index(b"content-length: ") + 16
    missing = int(head[at:].split(b"\r\n", 1)[0]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(1 << 16))


@contextlib.contextmanager
def building(environ: dict[str, str]) -> Iterator[list[int]]:
    """One build of the real project after the other, until the block ends; how many there were."""
    builds, ended = [0], threading.Event()

    def build() -> None:
        while not ended.is_set():
            builds[0] += not subprocess.run([*BUILDER, "rebuild"], env=environ, capture_output=True).returncode

    builder = threading.Thread(target=build)
    builder.start()
    try:
        yield builds
    finally:
        ended.set()
        builder.join()
    if not builds[0]:
        raise SystemExit("no build succeeded: nothing was measured")


# -- the checker ------------------------------------------------------------------------------------------------------


def idle(at: vite.Scene, environ: dict[str, str]) -> None:
    """CPU time of the checker and its children over IDLE_S at the default interval, with a frontend to look at."""
    command = [sys.executable, "-c", BARE, f"http://127.0.0.1:{at.conf.port}{HEALTH}"]
    with running(environ, "health_checker") as checker, subprocess.Popen(command) as bare:
        clock.wait_until(at.is_well, within_s=30)
        clock.pause(2 * at.conf.health_interval_s)
        pids = (bare.pid, checker.pid)
        before = [cpu_s(pid) for pid in pids]
        clock.pause(IDLE_S)
        limit, ours = ((cpu_s(pid) - was) / IDLE_S for pid, was in zip(pids, before, strict=True))
        bare.kill()
    verdict = "" if ours < AIM_CORE else "  missed"
    print(f"\nidle for {IDLE_S:g} s: the checker {ours:.2%} of a core, bare {limit:.2%}   aim {AIM_CORE:.1%}{verdict}")


def cpu_s(pid: int) -> float:
    """CPU time of *pid* and of what it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
