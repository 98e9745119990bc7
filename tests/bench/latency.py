"""From a writer's `write()` of an error to its line in the mailbox, and what the log watcher costs while all is quiet.

    python -m tests.bench.latency [1: so many minutes of quiet, 100 errors a figure; less for a quick look]

Beside it, in the same run: `tail -F`, which only prints the line, and three durable appends, which are what a body, a
line in the mailbox and a state cost at the least. Every error is of a kind of its own and told at once, so the cap of
messages a minute is taken out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from daemons import clock, files, loop, settings
from daemons.settings import Settings

LINES_A_SECOND = 1000
QUIET_LOGS = 200
PAUSE_S = 0.15
GIVE_UP_S = 5.0
WATCHER = """
from daemons.alerts import telling
telling.MESSAGES_A_MINUTE = 10**9
from daemons.log_watcher.__main__ import main
raise SystemExit(main())
"""


@contextmanager
def suite(home: Path, logs: str) -> Iterator[tuple[Settings, list[int]]]:
    """Keeper and watcher of *home*; their pids."""
    environ = os.environ | {"CMUX_HOME": str(home), "CMUX_WATCHED_LOGS": logs, "CMUX_ALERT_COOLDOWN": "0"}
    conf = settings.load(environ)
    commands = [sys.executable, "-m", "daemons.log_keeper"], [sys.executable, "-c", WATCHER]
    children = [
        subprocess.Popen(command, env=environ, cwd=settings.CODE, stderr=subprocess.DEVNULL) for command in commands
    ]
    try:
        clock.wait_until(lambda: loop.read_status(conf, "log_watcher"), within_s=10)
        yield conf, [child.pid for child in children]
    finally:
        for child in children:
            child.terminate()
            child.wait(timeout=10)


def kind(number: int) -> str:
    """A word that no mask takes for a number: every error is another one."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:05d}")


def measured(write: Callable[[int], None], size: Callable[[], int], count: int) -> list[float]:
    """Seconds from just before each of *count* writes until *size* has grown."""
    took = []
    for number in range(count):
        before = size()
        began = clock.monotonic()
        write(number)
        while size() == before and clock.monotonic() - began < GIVE_UP_S:
            clock.pause(0.0002)
        took.append(clock.monotonic() - began)
        clock.pause(PAUSE_S)
    return took


def told(name: str, took: list[float]) -> None:
    took = sorted(took)
    p50, p99 = (1000 * took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.99))
    print(f"{name:58} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   most {1000 * took[-1]:7.2f} ms")


def append(path: Path, line: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


@contextmanager
def chatter(path: Path, lines_a_second: int) -> Iterator[None]:
    """Quiet lines, evenly, from a thread."""
    done = threading.Lock()
    done.acquire()

    def talk() -> None:
        began, written = clock.monotonic(), 0
        while not done.acquire(timeout=0.001):
            while written < (clock.monotonic() - began) * lines_a_second:
                append(path, f"2026-01-31 10:00:00,000 INFO app: request {written} done in 3 ms\n")
                written += 1

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        done.release()
        thread.join()


def error(path: Path, run: str, number: int) -> None:
    append(path, f"2026-01-31 10:00:00,000 ERROR app: the {run} {kind(number)} is on fire\n")


def latency(folder: Path, count: int) -> None:
    home = folder / "home"
    home.mkdir()
    log = home / "server.log"
    with suite(home, "server.log") as (conf, _):
        conf.mailbox.touch(0o600)

        def size() -> int:
            return conf.mailbox.stat().st_size

        measured(lambda number: error(log, "warm", number), size, 5)
        told("write() to mailbox, idle", measured(lambda number: error(log, "idle", number), size, count))
        with chatter(log, LINES_A_SECOND):
            name = f"write() to mailbox, {LINES_A_SECOND} lines/s"
            told(name, measured(lambda number: error(log, "busy", number), size, count))


def rivals(folder: Path, count: int) -> None:
    log, out = folder / "rival.log", folder / "rival.out"
    log.touch()
    with out.open("wb") as stdout:
        tail: subprocess.Popen[bytes] = subprocess.Popen(["tail", "-F", str(log)], stdout=stdout)
        try:
            clock.pause(0.5)
            told(
                "tail -F, write() to its output, idle",
                measured(lambda n: error(log, "t", n), lambda: _size(out), count),
            )
        finally:
            tail.terminate()
            tail.wait()

    def three(number: int) -> None:
        for name in ("body", "mailbox", "state"):
            files.append(folder / name, b"x" * 300 + b"%d\n" % number)

    took = []
    for number in range(count):
        began = clock.monotonic()
        three(number)
        took.append(clock.monotonic() - began)
        clock.pause(PAUSE_S / 3)
    told("three durable appends, nothing else", took)


def _size(path: Path) -> int:
    return path.stat().st_size


def idle(folder: Path, seconds: float) -> None:
    home = folder / "quiet"
    (home / "logs").mkdir(parents=True)
    for number in range(QUIET_LOGS):
        append(home / "logs" / f"{kind(number)}.log", "2026-01-31 10:00:00,000 INFO app: fine\n")
    with suite(home, "logs/*.log") as (conf, pids):
        clock.wait_until(lambda: _followed(conf) == QUIET_LOGS, within_s=20)
        clock.pause(3.0)
        before, began = [cpu_s(pid) for pid in pids], clock.monotonic()
        clock.pause(seconds)
        took = clock.monotonic() - began
        used = [cpu_s(pid) - already for pid, already in zip(pids, before, strict=True)]
        for name, pid, cpu in zip(("log_keeper", "log_watcher"), pids, used, strict=True):
            print(f"{QUIET_LOGS} quiet logs, {name:12} {cpu / took:8.3%} of a core   {rss_mb(pid):5.1f} MB")


def _followed(conf: Settings) -> object:
    status = loop.read_status(conf, "log_watcher")
    return status.detail.get("followed") if status else None


def cpu_s(pid: int) -> float:
    """By the scheduler's nanoseconds: clock ticks are too coarse."""
    return sum(int(_text(thread / "schedstat").split()[0]) for thread in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def rss_mb(pid: int) -> float:
    row = next(row for row in _text(Path(f"/proc/{pid}/status")).splitlines() if row.startswith("VmRSS"))
    return int(row.split()[1]) / 1024


def _text(path: Path) -> str:
    file: IO[str]
    with path.open() as file:
        return file.read()


def main() -> None:
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    count = max(10, round(100 * share))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latency(folder, count)
        rivals(folder, count)
        idle(folder, 60 * share)


if __name__ == "__main__":
    main()
