"""Stopping, beside its bare limits: how long a server takes to end by itself, how long `cmux stop` takes to prove it.

    python -m tests.bench.stop [rounds]        20 by default; scripts/bench stop

A cooperative server of four workers: by bare kill and wait, with and without supervisord above it (whose interpreter
takes 20 ms to leave), by the library's ending of a tree, its stop of a suite, and by the command. A worker that ignores
SIGTERM when its leader has gone; one that nothing can kill; who listens on a port among 2,000 processes.
"""

from __future__ import annotations

import compileall
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from daemons import clock, processes, settings, stop, suite
from daemons.settings import Settings
from daemons.stop import Report
from daemons.supervisor import Rpc
from tests import suites
from tests.bench.suite import told
from tests.conftest import eventually
from tests.drills.stops import a_home
from tests.plants import Plants

# Each of five takes 50 ms to finish, the leader after its workers: about what uvicorn does.
SERVER = """
def worker():
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.05), os._exit(0)))
    say('ours'); forever()
workers = []
def leave(*_):
    for pid in workers: os.kill(pid, signal.SIGTERM)
    for pid in workers: os.waitpid(pid, 0)
    os._exit(0)
made = listen(int(sys.argv[2]))
for _ in range(4): workers.append(fork(worker))
signal.signal(signal.SIGTERM, leave)
say('leader'); forever()
"""

LEFT_BEHIND = """
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
fork(lambda: (ignore(signal.SIGTERM), say('ours'), forever()), detach=True)
say('leader'); forever()
"""

FREEZER = Path("/sys/fs/cgroup/freezer")


@contextmanager
def planted(body: str, workers: int) -> Iterator[tuple[Settings, dict[str, str], Plants]]:
    """A suite whose one program is *body*, up with all its *workers*."""
    with a_home() as (conf, environ, plants):
        ours = suites.start(conf, plants, environ, server=body)
        plants.pid("leader")
        plants.pid("ours", workers - 1)
        yield ours, environ, plants


def bare_s() -> float:
    """The server by itself: kill, and wait for its exit."""
    with a_home() as (conf, _environ, plants):
        pid = plants.python(SERVER, conf.port)
        plants.pid("leader")
        plants.pid("ours", 3)
        held = processes.Handle.open(pid)
        assert held
        began = clock.monotonic()
        held.signal(signal.SIGTERM)
        processes.wait_any([held], 5)
        took_s = clock.monotonic() - began
        held.close()
        return took_s


def tree_s() -> float:
    """The server by itself again, by what ends agents and builds: its whole tree gone, its port free."""
    with a_home() as (conf, _environ, plants):
        pid = plants.python(SERVER, conf.port)
        plants.pid("leader")
        plants.pid("ours", 3)
        began = clock.monotonic()
        ended = processes.end_tree([pid], grace_s=5, deadline_s=began + 10)
        assert processes.can_bind(conf.host, conf.port)
        took_s = clock.monotonic() - began
        assert len(ended) == 5
        assert all(each.gone for each in ended)
        return took_s


def supervised_s() -> float:
    """The server under supervisord, and nobody who proves anything: SIGTERM, nudges, and wait for them all."""
    with planted(SERVER, 4) as (conf, _environ, plants):
        record = suite.running(conf)
        assert record
        pids = [record.supervisord.pid, plants.pid("leader"), *(plants.pid("ours", n) for n in range(4))]
        held = [handle for pid in pids if (handle := processes.Handle.open(pid))]
        began = clock.monotonic()
        held[0].signal(signal.SIGTERM)
        while living := [handle for handle in held if not handle.ended()]:
            Rpc(conf, timeout_s=0.0).poke()
            processes.wait_any(living, 0.01)
        took_s = clock.monotonic() - began
        for handle in held:
            handle.close()
        return took_s


def library_s() -> float:
    """Until it is proven; the report's way to the disk, which is synced, comes after that."""
    with planted(SERVER, 4) as (conf, _environ, _plants):
        report = stop.stop(conf)
        assert report.proven, report.problem
        return report.took_s


def command_s(*, windows: int = 0) -> float:
    """As a person types it, beside a tmux server of the user's with so many *windows*."""
    with planted(SERVER, 4) as (conf, environ, _plants):
        for number in range(windows):
            _in_tmux(conf, "new-session", "-d", "-s", f"notes-{number}", "sleep", "300")
        began = clock.monotonic()
        done = subprocess.run(_cmux("stop"), env=environ, cwd=conf.home, capture_output=True, check=False)
        took_s = clock.monotonic() - began
        assert done.returncode == 0, done.stderr
        return took_s


def _in_tmux(conf: Settings, *command: str) -> None:
    assert conf.tmux_socket
    subprocess.run(["tmux", "-f", "/dev/null", "-L", conf.tmux_socket, *command], check=True, timeout=10)


def _cmux(word: str) -> list[str]:
    """The command; in a checkout that has no environment of its own, what its script becomes."""
    if (settings.CODE / ".venv").is_dir():
        return [str(settings.CODE / "scripts" / "cmux"), word]
    return [sys.executable, "-P", "-m", "daemons.cli", word]


def python_s() -> float:
    """The bare limit of any command: an interpreter that starts and ends."""
    began = clock.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return clock.monotonic() - began


def left_behind_s() -> float:
    with planted(LEFT_BEHIND, 1) as (conf, _environ, _plants):
        report = stop.stop(conf)
        assert report.proven, report.problem
        return report.took_s


def unkillable(deadline_s: float) -> Report:
    """A program that stands in a frozen cgroup: signals wait until it is thawed."""
    with planted("say('leader'); say('ours'); forever()", 1) as (conf, _environ, plants):
        folder = FREEZER / f"cmux-bench-{os.getpid()}"
        folder.mkdir()
        try:
            (folder / "tasks").write_text(str(plants.pid("ours")))
            (folder / "freezer.state").write_text("FROZEN")
            eventually(lambda: (folder / "freezer.state").read_text().strip() == "FROZEN")
            return stop.stop(conf, deadline_s=deadline_s)
        finally:
            (folder / "freezer.state").write_text("THAWED")
            eventually(lambda: not (folder / "tasks").read_text().strip())
            folder.rmdir()


# -- who listens ------------------------------------------------------------------------------------------------------

CROWD = """
made = listen(int(sys.argv[2]))
for _ in range(3): fork(lambda: (say('holder'), forever()))
for _ in range(int(sys.argv[3])):
    if os.fork() == 0:
        made.close(); signal.pause()
say('crowd'); forever()
"""


def who_listens(rounds: int, crowd: int) -> None:
    with a_home() as (conf, _environ, plants):
        pid = plants.python(CROWD, conf.port, crowd, start_new_session=True)
        plants.pid("crowd")
        try:
            _asked(conf.port, rounds)
        finally:
            os.killpg(pid, signal.SIGKILL)


def _asked(port: int, rounds: int) -> None:
    ways: tuple[tuple[str, Callable[[], object]], ...] = (
        ("processes.listeners", lambda: processes.listeners(port)),
        ("… bound ones too", lambda: processes.occupants(port)),
        ("… and all who hold it", lambda: processes.holders([each.inode for each in processes.listeners(port)])),
        ("psutil", lambda: [c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr[1] == port]),
        ("ss", lambda: _output("ss", "-Hltnp", f"sport = :{port}")),
        ("lsof", lambda: _output("lsof", "-t", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN")),
    )
    print(f"\nwho listens, {len(processes.all_pids())} processes on the machine, four share the socket")
    for name, ask in ways:
        assert ask()
        print(f"{name:24}{statistics.median(_took_ms(ask) for _ in range(rounds)):10.3f} ms median")


def _output(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def _took_ms(ask: Callable[[], object]) -> float:
    began = clock.monotonic()
    ask()
    return (clock.monotonic() - began) * 1000


# -- all of it --------------------------------------------------------------------------------------------------------


def main() -> int:
    asked = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    rounds = int(asked) if asked >= 2 else 20  # scripts/bench gives seconds for one figure
    # As after any first use of the command; an edited checkout would be compiled anew in every round.
    compileall.compile_dir(settings.CODE / "daemons", quiet=1)
    series: dict[str, list[float]] = {}
    for _ in range(rounds):
        # In turns, so that what else the machine does falls on all alike.
        for name, measure in (
            ("by kill and wait", bare_s),
            ("by end_tree", tree_s),
            ("supervisord and server", supervised_s),
            ("by the library", library_s),
            ("by the command", command_s),
            ("... with 20 windows", lambda: command_s(windows=20)),
            ("an empty interpreter", python_s),
        ):
            series.setdefault(name, []).append(measure())
    for name, took_s in series.items():
        told(name, took_s)
    for name, own in (
        ("by end_tree", "by kill and wait"),
        ("by the library", "supervisord and server"),
        ("by the library", "by kill and wait"),
        ("by the command", "by kill and wait"),
        ("... with 20 windows", "by kill and wait"),
    ):
        above_s = statistics.median(series[name]) - statistics.median(series[own])
        print(f"{name:24}{above_s * 1000:8.1f} ms above {own}")
    told("deaf, its leader gone", [left_behind_s() for _ in range(3)])
    if os.access(FREEZER, os.W_OK):
        report = unkillable(2.5)
        print(f"{'unkillable':24}{report.took_s:8.3f} s of 2.5, exit code {report.exit_code}: {report.problem}")
    else:
        print("unkillable: left out, it needs a cgroup v1 freezer")
    who_listens(rounds, 2000)
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
