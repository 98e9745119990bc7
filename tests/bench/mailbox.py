"""Durable mailbox appends beside the bare limit of the same disk in the same run: append + fdatasync of one file each.

    python -m tests.bench.mailbox [seconds]

Rounds of both alternate, because disk and machine change from second to second; the median ratio counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from daemons import clock, settings
from daemons.mailbox import Mailbox, Message

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(settings.CODE))
LINE_BYTES = 300
ROUNDS = 5
AIM = 1.5


def _counted(write: Callable[[], object], until: float) -> int:
    done = 0
    while clock.monotonic() < until:
        write()
        done += 1
    return done


def bare(folder: Path) -> Callable[[], object]:
    """The limit: one process, one open file, no lock, nothing but append and fdatasync."""
    fd = os.open(folder / f"bare-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = b"x" * (LINE_BYTES - 1) + b"\n"

    def write() -> None:
        os.write(fd, line)
        os.fdatasync(fd)

    return write


def ours(folder: Path) -> Callable[[], object]:
    """The mailbox: lock, repair, append, position, unlock, sync."""
    import portalocker  # noqa: F401  # 40 ms, once, at the first lock that is busy: not what is measured here

    box = Mailbox(folder / "mailbox", session="cmux", notation="line", archive_dir=folder / "archive")
    message = Message(datetime.now(UTC), "cmux:worker-a", "cmux:supervisor", "x" * (LINE_BYTES - 80))
    return lambda: box.post(message, timeout_s=60)


def worker(kind: str, folder: str, seconds: str) -> None:
    """Warm up, say so, wait for the word, write as fast as it goes, say how much that was."""
    write = {"bare": bare, "ours": ours}[kind](Path(folder))
    write()
    print("ready", flush=True)
    sys.stdin.readline()
    print(_counted(write, clock.monotonic() + float(seconds)))


def rate(kind: str, writers: int, folder: Path, seconds: float) -> float:
    """Lines a second by *writers* processes together."""
    code = "import sys; from tests.bench.mailbox import worker; worker(*sys.argv[1:])"
    command = [sys.executable, "-c", code, kind, str(folder), str(seconds)]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(command, env=ENVIRONMENT, stdin=pipe, stdout=pipe, text=True) for _ in range(writers)]
    for child in children:
        if child.stdout is None or child.stdout.readline() != "ready\n":
            raise RuntimeError(f"a writer of {kind} did not start")
    for child in children:
        print("go", file=child.stdin, flush=True)
    return sum(int(child.communicate()[0]) for child in children) / seconds


def measure(seconds: float, writers: int) -> tuple[float, float, float]:
    """Median rates of the limit (one writer) and of the mailbox with *writers*, and the median of their ratios."""
    limits, rates = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            limits.append(rate("bare", 1, Path(folder), seconds))
            rates.append(rate("ours", writers, Path(folder), seconds))
    ratios = [ours / limit for ours, limit in zip(rates, limits, strict=True)]
    return statistics.median(limits), statistics.median(rates), statistics.median(ratios)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{'writers':>8} {'bare/s':>9} {'mailbox/s':>10} {'ratio':>6}   (aim at 16 writers: {AIM})")
    for writers in (1, 4, 16):
        limit, ours, ratio = measure(seconds, writers)
        print(f"{writers:>8} {limit:>9.0f} {ours:>10.0f} {ratio:>6.2f}")


if __name__ == "__main__":
    main()
