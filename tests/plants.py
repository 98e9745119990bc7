"""Processes planted for tests: small programs of every shape that a stop has met, each telling its pids.

A planted program says `say("worker")` from any of its processes; `plant.pid("worker")` waits for that. What it planted
is killed afterwards by identity, however far it ran.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import Signals

from daemons import clock, processes
from tests.conftest import eventually

PRELUDE = """
import os, signal, socket, subprocess, sys, threading, time

# Nothing planted outlives a test that was killed for long: chains and guards are hard to catch. Children don't inherit
# an alarm, so each fork sets its own.
_until = time.monotonic() + 300
signal.alarm(300)
_real_fork = os.fork
def _mortal_fork():
    if time.monotonic() > _until: os._exit(0)
    pid = _real_fork()
    if pid == 0: signal.alarm(max(1, int(_until - time.monotonic())))
    return pid
os.fork = _mortal_fork

def say(name, number=None):
    report = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(report, f"{name} {number or os.getpid()}\\n".encode())
    os.close(report)

def beat():
    # For one that has no pid for long: as long as it lives, this file is young.
    os.close(os.open(sys.argv[1] + '.beat', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    os.utime(sys.argv[1] + '.beat')

def forever():
    time.sleep(max(0, _until - time.monotonic()))
    os._exit(0)

def ignore(*numbers):
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)

def fork(body, *, detach=False, orphan=False):
    # detach: a session of its own. orphan: through a child that leaves at once.
    pid = os.fork()
    if pid:
        if orphan:
            os.waitpid(pid, 0)
        return pid
    if detach:
        os.setsid()
    if orphan and os.fork():
        os._exit(0)
    try:
        body()
    finally:
        os._exit(0)

def listen(port, *, host="127.0.0.1", reuse=False, backlog=5):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if reuse:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    if backlog is not None:
        made.listen(backlog)
    made.set_inheritable(True)
    return made
"""


class Plants:
    """All that one test planted."""

    def __init__(self, folder: Path) -> None:
        self.report = folder / "plants.report"
        self.report.touch()
        self._beat = folder / "plants.report.beat"
        self.env: Mapping[str, str] = _plain()
        self._children: list[subprocess.Popen[bytes]] = []
        self._known: dict[int, processes.Identity] = {}

    def python(self, body: str, *args: object, env: Mapping[str, str] | None = None, **popen: object) -> int:
        """Run *body* after the prelude as a child of the test; its pid. `sys.argv[2:]` are *args*."""
        command = [sys.executable, "-c", PRELUDE + body, str(self.report), *map(str, args)]
        child = subprocess.Popen(command, env=dict(env or self.env), **popen)  # type: ignore[call-overload]
        self._children.append(child)
        self._remember(child.pid)
        return int(child.pid)

    def pid(self, name: str, nth: int = 0) -> int:
        """The pid that a planted process said under *name* (the *nth* time), once it has."""
        pids = eventually(lambda: self._said(name)[nth:], but=self.report.read_text)
        self._remember(pids[0])
        return pids[0]

    def pids(self, name: str) -> list[int]:
        """All pids said under *name* so far."""
        found = self._said(name)
        for pid in found:
            self._remember(pid)
        return found

    def said(self) -> list[tuple[int, str]]:
        """All that was said: pids with their names."""
        lines = [line.split() for line in self.report.read_text().splitlines()]
        return [(int(pid), name) for name, pid in lines]

    def beats(self) -> bool:
        """Whether something planted says `beat()` within the next moments."""
        if not self._beat.exists():
            return False
        said = self._beat.stat().st_mtime_ns
        return bool(clock.wait_until(lambda: self._beat.stat().st_mtime_ns != said, within_s=_BEAT_S))

    def reap(self) -> None:
        """Take the exit codes of those children that have ended."""
        for child in self._children:
            child.poll()

    def end(self) -> None:
        """Kill all that was planted and is still there."""
        for pid, _ in self.said():
            self._remember(pid)
        for identity in self._known.values():
            _kill(identity)
        while strays := self._strays():
            for stray in strays:
                _kill(stray)
        self._end_chains()
        for child in self._children:
            child.wait(timeout=10)

    def _end_chains(self) -> None:
        """Kill what forks on and leaves faster than a look at all takes: met among the newest, or not at all."""
        folder = os.fsencode(self.report.parent)
        missed = 0
        while missed < _MISSES:
            caught = processes.freeze_newest(lambda looked: {pid for pid in looked if _is_plant(pid, folder)})
            if caught:
                caught.signal(Signals.SIGKILL)
                caught.close()
            missed = 0 if caught else missed + 1

    def _strays(self) -> list[processes.Identity]:
        """Those that never said their pid: this test's folder stands in their command line or environment."""
        folder = os.fsencode(self.report.parent)
        left = [pid for pid in processes.all_pids() if alive(pid) and _is_plant(pid, folder)]
        return [identity for pid in left if (identity := processes.identify(pid))]

    def _said(self, name: str) -> list[int]:
        return [pid for pid, said in self.said() if said == name]

    def _remember(self, pid: int) -> None:
        if pid not in self._known and (identity := processes.identify(pid)):
            self._known[pid] = identity


_MISSES = 40
_BEAT_S = 0.3


def _is_plant(pid: int, folder: bytes) -> bool:
    return pid != os.getpid() and _carries(pid, folder)


def _carries(pid: int, word: bytes) -> bool:
    try:
        return any(word in Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return False


def _kill(identity: processes.Identity) -> None:
    held = processes.Handle.open(identity)
    if held:
        held.signal(Signals.SIGKILL)
        held.close()


def _plain() -> dict[str, str]:
    kept = {"PATH", "HOME", "LANG", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name in kept}


def alive(pid: int) -> bool:
    """Whether *pid* runs now, by what the kernel shows; judged without the code under test."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return False
    return stat[0] not in "ZX"
