"""`python -m tests.drills.logs [MODE …] [--seconds 60] [--rate 300] [--kill-every 3]`: torture a watched log.

Numbered errors are written while the log is rotated every second or two, at random moments, and the watcher is killed
with SIGKILL and started again. Afterwards each number must stand in exactly one body of an alert. Lost counts those
whose bytes still lay on the disk at the end; destroyed are those that were deleted or truncated before anybody read
them. The ledger must account for every byte that was written: examined, or in a gap.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemons import alerts, loop, settings
from daemons.settings import Settings
from tests.drills.report import Report

NUMBER = re.compile(rb"ERROR drill: number (\d+) failed")
# In a body: not where the line only stands around another error.
TOLD = re.compile(rb"^2026-01-31 10:00:00,000 ERROR drill: number (\d+) failed", re.MULTILINE)
QUIET_S = 1.5
TOLD_WITHIN_S = 180.0


# -- what can happen to a log -----------------------------------------------------------------------------------------


class Plant:
    """Writes numbered errors into one log, and rotates it. The log's names are as logrotate gives them."""

    def __init__(self, folder: Path, mode: str, chance: random.Random) -> None:
        self.log = folder / "server.log"
        self.planted = 0
        self.written_bytes = 0
        self._rotate = MODES[mode]
        self._chance = chance
        self._targets = 0
        self._is_storm = mode == "storm"
        if mode == "symlink":
            self.switch()

    def write(self) -> None:
        """One error among quiet lines, in one write; now and then the line comes in two."""
        line = b"2026-01-31 10:00:00,000 ERROR drill: number %d failed%s\n" % (self.planted, self._kind())
        quiet = b"2026-01-31 10:00:00,000 INFO drill: fine, no ERROR\n" * self._chance.randrange(3)
        fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            cut = self._chance.randrange(len(line)) if self._chance.random() < 0.05 else 0
            os.write(fd, quiet + line[:cut])
            os.write(fd, line[cut:])
        finally:
            os.close(fd)
        self.planted += 1
        self.written_bytes += len(quiet) + len(line)

    def _kind(self) -> bytes:
        """In a storm a word that makes every error one of a kind of its own."""
        return b" in " + bytes(ord("a") + int(digit) for digit in f"{self.planted:05d}") if self._is_storm else b""

    def rotate(self) -> None:
        self._rotate(self)

    def make_room(self) -> None:
        names = sorted(self.log.parent.glob("server.log.*"), key=lambda path: -int(path.name.split(".")[2]))
        for path in names:
            number, *packed = path.name.split(".")[2:]
            path.rename(self.log.with_name(".".join(["server.log", str(int(number) + 1), *packed])))

    def first(self) -> Path:
        return self.log.with_name("server.log.1")

    def rename(self) -> None:
        self.make_room()
        with contextlib.suppress(FileNotFoundError):
            self.log.rename(self.first())

    def rename_twice(self) -> None:
        self.rename()
        for _ in range(3):
            self.write()
        self.rename()

    def copytruncate(self) -> None:
        self.make_room()
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self.log, self.first())
            os.truncate(self.log, 0)

    def pack(self) -> None:
        self.rename()
        if not self.first().exists():
            return
        packed = self.first().with_name("server.log.1.gz")
        with self.first().open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as file:
            shutil.copyfileobj(plain, file)
        times = self.first().stat()
        os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.first().unlink()

    def truncate(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.log, 0)

    def delete(self) -> None:
        self.log.unlink(missing_ok=True)

    def switch(self) -> None:
        self._targets += 1
        target = self.log.with_name(f"app-{self._targets}.log")
        target.touch()
        temporary = self.log.with_name("link.tmp")
        temporary.symlink_to(target.name)
        temporary.rename(self.log)

    def on_disk(self) -> set[int]:
        """The numbers whose bytes can still be read."""
        found: set[int] = set()
        for path in self.log.parent.iterdir():
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            found.update(int(number) for number in NUMBER.findall(raw))
        return found


# Where bytes are destroyed: what nobody could read is no fault. With the keeper, a deleted file is read all the same.
DESTROYING = ("truncate",)
MODES: dict[str, Callable[[Plant], None]] = {
    "none": lambda _: None,
    "rename": Plant.rename,
    "rename-twice": Plant.rename_twice,
    "copytruncate": Plant.copytruncate,
    "gzip": Plant.pack,
    "delete": Plant.delete,
    "truncate": Plant.truncate,
    "symlink": Plant.switch,
    "storm": Plant.rename,
}


# -- the watcher, killed and started again ----------------------------------------------------------------------------


class Victim:
    """The log watcher of one home, restarted at once whenever it was killed, as supervisord does; and its keeper."""

    def __init__(self, environ: dict[str, str], stderr: Path, *, keeper: bool) -> None:
        self._environ = environ
        self._stderr = stderr
        self.kills = 0
        self._keeper = self._start("log_keeper") if keeper else None
        self._child = self._start("log_watcher")

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        with self._stderr.open("ab") as stderr:
            command = [sys.executable, "-m", f"daemons.{name}"]
            return subprocess.Popen(command, env=self._environ, stderr=stderr, cwd=settings.CODE)

    @property
    def pid(self) -> int:
        return self._child.pid

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        self.kills += 1
        self._child = self._start("log_watcher")

    def end(self) -> int:
        codes = []
        for child in filter(None, (self._child, self._keeper)):
            child.send_signal(signal.SIGTERM)
            codes.append(child.wait(timeout=10))
        return max(codes, key=abs)


@dataclass
class Outcome:
    mode: str
    planted: int
    kills: int
    told: Counter[int] = field(default_factory=Counter)
    on_disk: set[int] = field(default_factory=set)
    counted: int = 0
    written_bytes: int = 0
    ledger: dict[str, Any] = field(default_factory=dict)
    keeper: bool = True

    @property
    def lost(self) -> list[int]:
        return sorted(self.on_disk - self.told.keys())

    @property
    def twice(self) -> list[int]:
        return sorted(number for number, times in self.told.items() if times > 1)

    @property
    def destroyed(self) -> int:
        return len(set(range(self.planted)) - self.on_disk - self.told.keys())

    @property
    def unaccounted_bytes(self) -> int:
        """Bytes that were written and that the ledger knows nothing of."""
        return self.written_bytes - int(self.ledger["seen_bytes"])

    @property
    def gap_bytes(self) -> int:
        return sum(int(gap["bytes"]) for gap in self.ledger["gaps"].values())

    @property
    def wrong(self) -> str:
        parts = []
        if self.lost:
            parts.append(f"{len(self.lost)} lost, the first {self.lost[:5]}")
        if self.twice:
            parts.append(f"{len(self.twice)} told twice, the first {self.twice[:5]}")
        if self.counted != sum(self.told.values()):
            parts.append(f"the alert counted {self.counted}, its bodies hold {sum(self.told.values())}")
        may_be_destroyed = self.mode in DESTROYING or (self.mode == "delete" and not self.keeper)
        if self.destroyed and not may_be_destroyed:
            parts.append(f"{self.destroyed} not on the disk at the end")
        if self.ledger["unexplained_bytes"]:
            parts.append(f"the ledger can't explain {self.ledger['unexplained_bytes']} bytes: {self.ledger}")
        if self.destroyed and not self.ledger["gaps"]:
            parts.append(f"{self.destroyed} destroyed, and the ledger says nothing")
        if self.unaccounted_bytes and not may_be_destroyed:
            parts.append(f"the ledger misses {self.unaccounted_bytes} of {self.written_bytes} bytes: {self.ledger}")
        return f"{self.mode}: {'; '.join(parts)}" if parts else ""

    def __str__(self) -> str:
        return (
            f"{self.mode}: {self.planted} planted, {self.kills} kills, {len(self.lost)} lost, "
            f"{len(self.twice)} told twice, {self.destroyed} destroyed unread; of {self.written_bytes} bytes "
            f"{self.ledger['examined_bytes']} examined, {self.gap_bytes} in gaps, {self.unaccounted_bytes} unknown"
            + "".join(f"\n    gap: {reason}: {gap}" for reason, gap in self.ledger["gaps"].items())
        )


def torture(
    mode: str, folder: Path, *, seconds: float, rate: float, kill_every_s: float, seed: int, keeper: bool = True
) -> Outcome:
    """Plant, rotate and kill for *seconds*; then wait until all is told, and see what was."""
    chance = random.Random(seed)
    home = folder / f"home-{mode}"
    (home / "logs").mkdir(parents=True)
    # Few enough messages for the cap of ten a minute, often enough for the bodies to hold all.
    environ = environ_of(home, "logs/server.log", min(12.0, max(2.0, seconds / 5)))
    conf = settings.load(environ)
    plant = Plant(home / "logs", mode, chance)
    victim = Victim(environ, folder / f"{mode}.stderr", keeper=keeper)
    _wait(lambda: (conf.status_dir / "log_watcher.json").exists(), 10)
    _run(plant, victim, chance, seconds=seconds, rate=rate, kill_every_s=kill_every_s)
    until_told(conf, victim)
    code = victim.end()
    if code != 0:
        raise RuntimeError(f"{mode}: the watcher ended with {code}")
    told = Counter(_told(conf))
    counted = sum(alert.count for alert in alerts.all_open(conf) if alert.kind == "log")
    status = loop.read_status(conf, "log_watcher")
    ledger = dict(status.detail["coverage"]) if status else {}
    return Outcome(
        mode, plant.planted, victim.kills, told, plant.on_disk(), counted, plant.written_bytes, ledger, keeper
    )


def environ_of(home: Path, logs: str, cooldown_s: float) -> dict[str, str]:
    """What a watcher of *home* is started with."""
    return os.environ | {
        "CMUX_HOME": str(home),
        "CMUX_WATCHED_LOGS": logs,
        "CMUX_ALERT_COOLDOWN": str(cooldown_s),
    }


def until_told(conf: Settings, victim: Victim) -> None:
    """Wait until all is examined and told, and nothing comes any more."""
    _wait(lambda: _is_quiet(conf, victim.pid), TOLD_WITHIN_S)


def _run(
    plant: Plant, victim: Victim, chance: random.Random, *, seconds: float, rate: float, kill_every_s: float
) -> None:
    started = time.monotonic()
    rotate_at, kill_at = 0.5, kill_every_s * chance.uniform(0.2, 1)
    while (elapsed := time.monotonic() - started) < seconds:
        if plant.planted < elapsed * rate:
            plant.write()
        else:
            time.sleep(0.001)
        if elapsed > rotate_at:
            plant.rotate()
            rotate_at = elapsed + chance.uniform(0.3, 2)
        if elapsed > kill_at:
            victim.kill()
            kill_at = elapsed + kill_every_s * chance.uniform(0.2, 1.8)


def _is_quiet(conf: Settings, pid: int) -> bool:
    """Whether all is examined, nothing waits to be told, and nothing has come for a while."""
    before = _seen(conf)
    time.sleep(QUIET_S)
    return before == _seen(conf) and before[:4] == (pid, 0, 0, 0)


def _seen(conf: Settings) -> tuple[object, ...]:
    status = loop.read_status(conf, "log_watcher")
    coverage = status.detail["coverage"] if status else {}
    found = [alert for alert in alerts.all_open(conf) if alert.kind == "log"]
    untold = sum(alert.untold for alert in found)
    pid = status.pid if status else 0
    return pid, coverage.get("pending_bytes"), coverage.get("looked_for"), untold, sum(alert.count for alert in found)


def _told(conf: Settings) -> list[int]:
    bodies = conf.journal_dir.glob("*/attachments/log-alert-*.md")
    return [int(number) for body in bodies for number in TOLD.findall(body.read_bytes())]


def _wait(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def drill(
    modes: list[str],
    folder: Path,
    *,
    seconds: float,
    rate: float,
    kill_every_s: float,
    seed: int,
    at_once: int,
    keeper: bool = True,
) -> Report:
    """All *modes*, a few beside each other, each in a home of its own."""
    report = Report("logs")
    outcomes: list[Outcome] = []

    def run(mode: str) -> None:
        outcomes.append(
            torture(mode, folder, seconds=seconds, rate=rate, kill_every_s=kill_every_s, seed=seed, keeper=keeper)
        )

    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(run, modes))
    for outcome in sorted(outcomes, key=lambda outcome: outcome.mode):
        print(outcome)
        report.count(outcome.mode, outcome.wrong)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.logs", description=__doc__)
    parser.add_argument("modes", nargs="*", default=list(MODES))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--kill-every", type=float, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--at-once", type=int, default=2, help="so many modes beside each other")
    parser.add_argument("--without-keeper", action="store_true", help="to see what it is worth")
    parser.add_argument("--keep", action="store_true", help="keep the homes, and say where they are")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cmux-drill-"))
    print(f"seed {asked.seed}, in {folder}")
    report = drill(
        asked.modes,
        folder,
        seconds=asked.seconds,
        rate=asked.rate,
        kill_every_s=asked.kill_every,
        seed=asked.seed,
        at_once=asked.at_once,
        keeper=not asked.without_keeper,
    )
    if not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
