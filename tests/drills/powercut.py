"""Power cuts on a real file system: what was acknowledged must be there after the next boot.

An ext4 or XFS image in memory is mounted through a loop device; writers work in it; the ioctl that xfstests uses
("godown") then drops everything not yet on the disk, and mounting it again replays the file system's own journal.
Root only.

A flush that races the cut may return 0 although it did nothing, so a writer counts an acknowledgement only after a
further fsync on a clean file of its own succeeded (else 13 of 60 "losses" are false). Runs in a mount namespace of its
own, or any other process's namespace would keep the dead file system alive.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daemons import clock
from daemons.registry import Registry
from tests.drills.homes import conf_of
from tests.drills.operations import _mailbox, _message, _subjects

_EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2
# What each kind of file system needs at least.
_IMAGE_MIB = {"ext4": 32, "xfs": 320}
_MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
KINDS = tuple(_MAKE)


@dataclass(frozen=True)
class Store:
    """A store under test: *writer* makes one change a call, acknowledged on return; *names* reads them.

    Each of *writers* is a process of its own.
    """

    name: str
    writer: Callable[[Path], Callable[[str], object]]
    names: Callable[[Path], set[str]]
    writers: tuple[str, ...] = ("a", "b")


def _registry_writer(home: Path) -> Callable[[str], object]:
    registry = Registry(conf_of(home))
    return lambda name: registry.register(name, {"type": "worker"}, clock.now())


def _careless_writer(home: Path) -> Callable[[str], object]:
    """Write aside and rename, without a sync: what most programs that mean well do."""
    path = conf_of(home).registry
    path.parent.mkdir(exist_ok=True)

    def write(name: str) -> None:
        agents = json.loads(path.read_text()) if path.exists() else {}
        agents[name] = {"type": "worker"}
        path.with_suffix(".tmp").write_text(json.dumps(agents))
        path.with_suffix(".tmp").replace(path)

    return write


def _registry_names(home: Path) -> set[str]:
    path = home / ".cmux" / "agent_registry.json"
    return set(json.loads(path.read_bytes())) if path.exists() else set()


def _mailbox_writer(home: Path) -> Callable[[str], object]:
    box = _mailbox(home)
    return lambda name: box.post(_message(name))


def _mailbox_names(home: Path) -> set[str]:
    return set(_subjects(home)) if (home / ".cmux" / "mailbox").exists() else set()


REGISTRY = Store("registry", _registry_writer, _registry_names)
# Nobody comes between: each version is written over the one before the last.
BURST = Store("registry, one writer", _registry_writer, _registry_names, writers=("a",))
MAILBOX = Store("mailbox", _mailbox_writer, _mailbox_names, writers=tuple("abcdef"))  # a crowd, which shares flushes
CARELESS = Store("careless", _careless_writer, _registry_names)


def cut(store: Store, disk: Disk, rounds: int, seed: int) -> Iterator[tuple[int, str]]:
    """Cut the power *rounds* times; for each how many writes were acknowledged, and what was wrong (or nothing)."""
    chance = random.Random(seed)
    for number in range(rounds):
        yield _round(store, disk, number, chance)


def _round(store: Store, disk: Disk, number: int, chance: random.Random) -> tuple[int, str]:
    disk.mount()
    try:
        home = disk.folder / f"home-{number}"
        acknowledged, writers = _write_until_cut(store, disk, home, after_s=0.02 + chance.random() * 0.08)
    finally:
        disk.unmount()
    disk.mount()
    try:
        wrong = _compare(store, home, acknowledged, writers)
        shutil.rmtree(home, ignore_errors=True)  # on a disk that is full nothing is acknowledged, and nothing shown
        return len(acknowledged), wrong
    finally:
        disk.unmount()


def _compare(store: Store, home: Path, acknowledged: set[str], writers: int) -> str:
    if not acknowledged:
        return ""
    try:
        there = store.names(home)
    except (OSError, ValueError) as broken:
        return f"{store.name}: cannot be read after the cut: {broken}"
    lost = acknowledged - there
    return f"{store.name}: {len(lost)} of {len(acknowledged)} acknowledged by {writers} writers lost" if lost else ""


def _write_until_cut(store: Store, disk: Disk, home: Path, after_s: float) -> tuple[set[str], int]:
    read, write = os.pipe()
    children = [_fork_writer(store, home, tag, write, disk.folder) for tag in store.writers]
    os.close(write)
    clock.pause(after_s)
    disk.cut()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(read, "rb") as answers:
        return set(answers.read().decode().split()), len(children)


def _fork_writer(store: Store, home: Path, tag: str, answers: int, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        write = store.writer(home)
        witness = os.open(folder / f"witness-{tag}", os.O_CREAT | os.O_WRONLY)
        for number in range(100_000):
            write(f"{tag}{number}")
            os.fsync(witness)
            os.write(answers, f"{tag}{number}\n".encode())
    finally:
        os._exit(0)


class Disk:
    """A file system of *kind* in memory that can lose its power."""

    def __init__(self, folder: Path, kind: str = "ext4") -> None:
        self.folder = folder / kind
        self.folder.mkdir()
        self._image = Path("/dev/shm") / f"cmux-drill-{os.getpid()}-{kind}.img"
        with self._image.open("wb") as image:
            image.truncate(_IMAGE_MIB[kind] << 20)
        subprocess.run([*_MAKE[kind], str(self._image)], check=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.folder)], check=True)

    def cut(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, _NO_LOG_FLUSH.to_bytes(4, sys.byteorder))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)

    def discard(self) -> None:
        self._image.unlink(missing_ok=True)
