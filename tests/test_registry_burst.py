"""Publications in a row: three files go round, and neither a reader nor a crash may notice."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemons import clock, files
from daemons.files import StorageError
from daemons.registry import Registry, exchange

NOW = datetime(2026, 1, 31, 18, 54, tzinfo=UTC)
spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder / "agent_registry.json"


@pytest.fixture
def registry(path: Path) -> Registry:
    """A registry in the middle of a burst."""
    begun = Registry(path)
    for number in range(4):
        change(begun, number)
    return begun


def change(registry: Registry, number: int) -> None:
    registry.register("a", {"n": number, "pad": "x" * 20_000, "end": number}, NOW)


def number_in(raw: bytes) -> object:
    entry = json.loads(raw)["a"]
    assert entry["n"] == entry["end"], "two versions in one"
    return entry["n"]


def spares(path: Path) -> list[Path]:
    return list(path.parent.glob(".agent_registry.json.*.tmp"))


def test_in_a_burst_the_same_three_files_go_round(registry: Registry, path: Path) -> None:
    seen = set()
    for number in range(9):
        change(registry, number)
        seen.add(path.stat().st_ino)
        assert number_in(path.read_bytes()) == number
        assert number_in((path.parent / ".registry-last-good.json").read_bytes()) == (number - 1 if number else 3)

    assert len(seen) == 3


def test_who_reads_slowly_reads_one_version_to_its_end(registry: Registry, path: Path) -> None:
    with path.open("rb", buffering=0) as slow:
        first = slow.read(10_000)
        for number in range(10, 20):
            change(registry, number)
        rest = slow.read()

    assert number_in(first + rest) == 3


def test_who_mapped_a_version_keeps_it(registry: Registry, path: Path) -> None:
    import mmap

    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for number in range(10, 20):
        change(registry, number)

    assert number_in(mapped[:]) == 3


def test_a_second_name_for_a_version_keeps_it(registry: Registry, path: Path) -> None:
    backup = path.with_name("backup.json")
    os.link(path, backup)
    for number in range(10, 20):
        change(registry, number)

    assert number_in(backup.read_bytes()) == 3


def test_a_smaller_version_ends_where_it_ends(registry: Registry, path: Path) -> None:
    registry.update("a", {"pad": None, "n": 7, "end": 7})

    assert number_in(path.read_bytes()) == 7
    assert path.stat().st_size < 500


def test_a_version_keeps_the_mode_of_the_one_before(registry: Registry, path: Path) -> None:
    path.chmod(0o640)
    for number in range(3):
        change(registry, number)
        assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, lambda spare: spare.write_bytes(b"somebody's"), lambda spare: (spare.unlink(), spare.mkdir())],
)
def test_a_spare_that_is_not_what_it_was_is_not_needed(
    registry: Registry, path: Path, spoil: Callable[[Path], object]
) -> None:
    [spare] = spares(path)
    spoil(spare)
    change(registry, 8)

    assert number_in(path.read_bytes()) == 8


def test_a_system_without_leases_gets_a_new_file_each_time(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.fcntl

    def refuse(fd: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETLEASE:
            raise OSError(errno.EINVAL, "no leases here")
        return real(fd, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with path.open("rb", buffering=0) as slow:
        first = slow.read(10_000)
        for number in range(10, 15):
            change(registry, number)
        assert number_in(first + slow.read()) == 3

    assert number_in(path.read_bytes()) == 14


def test_a_reader_that_comes_upon_a_file_being_written_looks_again(path: Path) -> None:
    Registry(path).register("a", {}, NOW)
    held = os.open(path, os.O_WRONLY)
    fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    real = os.open

    def moving_on(*args: object, **kwargs: object) -> int:
        try:
            return real(*args, **kwargs)
        except BlockingIOError:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            raise

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", moving_on)
        assert list(Registry(path).snapshot().agents) == ["a"]
    os.close(held)


def test_a_burst_that_is_over_leaves_nothing(registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.settle()
    assert len(spares(path)) == 1  # the next change may come in an instant

    later = clock.monotonic() + 2
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    registry.settle()
    assert spares(path) == []

    change(registry, 9)
    assert spares(path) == []  # alone, it begins no burst
    assert number_in(path.read_bytes()) == 9


def test_a_registry_that_is_let_go_leaves_nothing(path: Path) -> None:
    short = Registry(path)
    for number in range(4):
        change(short, number)
    assert len(spares(path)) == 1
    del short

    assert spares(path) == []


def _burst_and_die(path: Path, step: str) -> None:
    registry = Registry(path)
    for number in range(4):
        change(registry, number)

    def killer(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    files.reached = killer
    change(registry, 4)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("step", ["replace.written", "replace.prepared", "exchange.done", "none"])
def test_what_a_writer_killed_in_a_burst_leaves_is_cleared_away(path: Path, step: str) -> None:
    victim = spawn.Process(target=_burst_and_die, args=(path, step))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert len(spares(path)) == 1
    assert number_in(path.read_bytes()) in (3, 4)

    Registry(path).register("b", {}, NOW)

    assert spares(path) == []
    # What was about to be published is kept like an editor's work; what was published once is nothing new.
    kept = list((path.parent / ".quarantine").glob("stray-*"))
    assert [number_in(file.read_bytes()) for file in kept] == ([4] if step.startswith("replace") else [])
    assert number_in(path.read_bytes()) in (3, 4)


def test_a_folder_that_cannot_be_synced_takes_both_files_back(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = path.parent / ".registry-last-good.json"
    before = path.read_bytes(), good.read_bytes()
    real = exchange.KeptFolder.sync

    def fail(_folder: object, at: str) -> None:
        raise StorageError("sync the folder", at, OSError(errno.EIO, "no"))

    monkeypatch.setattr(exchange.KeptFolder, "sync", fail)
    with pytest.raises(StorageError):
        change(registry, 8)
    assert (path.read_bytes(), good.read_bytes()) == before
    assert spares(path) == []  # what the disk calls by which name is not known: nothing is written anew
    monkeypatch.setattr(exchange.KeptFolder, "sync", real)

    for number in range(5):
        change(registry, number)
        assert number_in(path.read_bytes()) == number


@pytest.mark.parametrize("call", ["write", "ftruncate", "fdatasync", "open"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_disk_that_fails_in_a_burst_is_told_and_the_file_stays(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    real: Callable[..., object] = getattr(os, call)
    calls = iter(range(1, 1000))

    def fail(*args: object, **kwargs: object) -> object:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, "no")
        return real(*args, **kwargs)

    expected = 4
    monkeypatch.setattr(os, call, fail)
    try:
        registry.update("a", {"n": 4, "pad": None, "end": 4})
    except StorageError:
        expected = 3
    monkeypatch.undo()

    assert number_in(path.read_bytes()) == expected
    for number in range(5, 9):
        change(registry, number)
        assert number_in(path.read_bytes()) == number
