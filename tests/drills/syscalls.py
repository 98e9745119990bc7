"""Every file system call of every state operation, killed or failed in turn (`strace -e inject`).

    for each operation, for each system call that it makes, for N = 1, 2, … until nothing is hit:
        a child stops before the operation -> strace attaches and arms the N-th call -> the child runs it
        -> the harness checks what lies on the disk, and that the same operation works afterwards

Needs strace and permission to trace; nothing else is touched than a temporary home.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemons import clock
from tests.drills.operations import Operation

FAULTS = ("kill", "EIO", "ENOSPC", "EMFILE")

# What touches names or content. `close` is left out: Linux closes whatever it answers, and nothing is lost by it.
CALLS = (
    "openat open creat mkdir mkdirat rename renameat renameat2 link linkat unlink unlinkat symlink ftruncate truncate "
    "write pwrite64 writev read pread64 lseek fstat newfstatat stat lstat statx fsync fdatasync fchmod fchmodat chmod "
    "fchown flock fcntl getdents64 copy_file_range sendfile utimensat faccessat access readlink ioctl"
).split()


@dataclass(frozen=True)
class Outcome:
    """What one run of an operation under a fault came to."""

    acknowledged: bool
    error: str
    hit: bool
    calls: Counter[str]


def enumerate_faults(operation: Operation, home: Path, faults: tuple[str, ...], most: int) -> Iterator[tuple[str, str]]:
    """Run *operation* under each fault at each call; for each round its name and what was wrong (empty: nothing).

    At most *most* rounds, spread evenly over all of them: the short form for CI.
    """
    calls = _trace(operation, home / "look", None).calls
    rounds = [(fault, call, n) for fault in faults for call, count in calls.items() for n in range(1, count + 1)]
    step = max(1, len(rounds) // most)
    for number, (fault, call, n) in enumerate(rounds[::step]):
        yield f"{operation.name}: {fault} at {call} #{n}", _round(operation, home / str(number), (fault, call, n))


def _round(operation: Operation, home: Path, fault: tuple[str, str, int]) -> str:
    outcome = _trace(operation, home, fault)
    wrong = operation.check(home, outcome.acknowledged)
    if wrong:
        return f"{wrong} (acknowledged: {outcome.acknowledged}, error: {outcome.error or 'none'})"
    again = _trace(operation, home, None)
    if not again.acknowledged:
        return f"does not work again afterwards: {again.error}"
    return operation.check(home, True)


def _trace(operation: Operation, home: Path, fault: tuple[str, str, int] | None) -> Outcome:
    """Run *operation* in a child of our own under strace, with one fault armed."""
    home.mkdir(parents=True, exist_ok=True)
    ready, told, go = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(operation, home, ready[1], told[1], go[0])
    for unused in (ready[1], told[1], go[0]):
        os.close(unused)
    os.read(ready[0], 1)
    log = home.parent / f"{home.name}.strace"
    tracer = _attach(pid, log, fault)
    with suppress(BrokenPipeError):  # the fault may have hit the very read that waits for this
        os.write(go[1], b"g")
    answer = _drain(told[0])
    _, status = os.waitpid(pid, 0)
    tracer.wait()
    for used in (ready[0], told[0], go[1]):
        os.close(used)
    return _outcome(answer, log.read_text(errors="replace"), status)


def _child(operation: Operation, home: Path, ready: int, told: int, go: int) -> None:
    try:
        act = operation.prepare(home)
        os.write(ready, b"r")
        os.read(go, 1)
        act()
        os.write(told, b"ok")
    except BaseException as error:  # noqa: BLE001  whatever it is, the harness reads it
        os.write(ready, b"r")
        os.write(told, f"{type(error).__name__}: {error} {traceback.format_exc(limit=-2)}".encode(errors="replace"))
    finally:
        os._exit(0)


def _attach(pid: int, log: Path, fault: tuple[str, str, int] | None) -> subprocess.Popen[bytes]:
    inject = []
    if fault:
        kind, call, n = fault
        what = "signal=SIGKILL" if kind == "kill" else f"error={kind}"
        inject = ["-e", f"inject={call}:{what}:when={n}"]
    # `?` before a name: not every architecture has every call.
    names = ",".join(f"?{call}" for call in CALLS)
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-p", str(pid), "-o", str(log), "-e", f"trace={names}", *inject],
        stderr=subprocess.DEVNULL,
    )
    if not clock.wait_until(lambda: _is_traced(pid) or tracer.poll() is not None, within_s=10, every_s=0.001):
        tracer.kill()
    return tracer


def _is_traced(pid: int) -> bool:
    # Every thread of the child must be held before it is let go, or the first calls are missed.
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0\n" not in status


def _drain(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, 65536):
        pieces.append(piece)
    return b"".join(pieces)


_LINE = re.compile(r"^\d+\s+(\w+)\(", re.MULTILINE)


def _outcome(answer: bytes, log: str, status: int) -> Outcome:
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return Outcome(
        acknowledged=answer == b"ok",
        error="" if answer == b"ok" else answer.decode(errors="replace"),
        hit=killed or "INJECTED" in log,
        calls=Counter(_LINE.findall(log)),
    )
