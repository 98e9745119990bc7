"""A disk that fills up and is freed again, by bytes and by inodes: nobody is told "done" falsely, and all works again.

A small tmpfs is filled to the last byte (or inode) while the stores are written; each write must either be
acknowledged and be there, or fail with an error that says so. Freed, the same objects must work again by themselves.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import clock
from daemons.files import StorageError
from tests.drills.powercut import MAILBOX, REGISTRY, Store
from tests.drills.report import Report

RECOVERS_WITHIN_S = 15.0


@contextmanager
def small_disk(folder: Path, *, size: str = "4m", inodes: int = 60) -> Iterator[Path]:
    """A tmpfs that holds little. Root only."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_bytes(disk: Path) -> None:
    """Leave no byte free."""
    fd = os.open(disk / "filler", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for piece in (1 << 16, 1 << 12, 1):
            while True:
                os.write(fd, b"x" * piece)
    except OSError:
        pass
    finally:
        os.close(fd)


def fill_inodes(disk: Path) -> None:
    """Leave no inode free."""
    try:
        for number in range(1_000_000):
            (disk / f"filler-{number}").touch()
    except OSError:
        pass


def free(disk: Path) -> None:
    """Undo either kind of filling."""
    for filler in disk.glob("filler*"):
        filler.unlink()


def fill_and_free(folder: Path, rounds: int) -> Report:
    """Fill and free *rounds* times, alternating bytes and inodes, with the same objects throughout."""
    report = Report("fulldisk")
    with small_disk(folder) as disk:
        stores = [_Written(store, disk / "home") for store in (REGISTRY, MAILBOX)]
        for number in range(rounds):
            (fill_inodes if number % 2 else fill_bytes)(disk)
            told = sum(store.try_writes(5) for store in stores)
            free(disk)
            for store in stores:
                report.count(store.name, store.recover() or store.compare(f"round {number}"))
            report.add("errors told", told)
    report.figures["slowest recovery s"] = max(store.slowest_s for store in stores)
    return report


class _Written:
    """One store on the small disk, and what it acknowledged."""

    def __init__(self, store: Store, home: Path) -> None:
        self.name = store.name
        self.slowest_s = 0.0
        self._store = store
        self._home = home
        self._write: Callable[[str], object] = store.writer(home)
        self._acknowledged: set[str] = set()
        self._count = 0
        self._next()

    def _next(self) -> None:
        self._count += 1
        name = f"n{self._count}"
        self._write(name)
        self._acknowledged.add(name)

    def try_writes(self, times: int) -> int:
        """Write *times* times; how many of them were told that they failed."""
        told = 0
        for _ in range(times):
            try:
                self._next()
            except StorageError:
                told += 1
        return told

    def recover(self) -> str:
        """Write until it works again; what was wrong with that."""
        before = clock.monotonic()
        works = clock.wait_until(lambda: self.try_writes(1) == 0, within_s=RECOVERS_WITHIN_S)
        self.slowest_s = max(self.slowest_s, clock.monotonic() - before)
        return "" if works else f"{self.name}: does not work again after the disk was freed"

    def compare(self, where: str) -> str:
        """What is missing of what was acknowledged."""
        lost = self._acknowledged - self._store.names(self._home)
        return f"{where}: {self.name}: {len(lost)} acknowledged lost" if lost else ""
