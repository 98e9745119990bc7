"""What programs use, measured on real ones, and told before it is too much."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemons import clock, processes
from daemons.health_checker import resources
from daemons.health_checker.resources import MIB, Resources
from daemons.settings import Service
from tests.conftest import eventually

HOLDS = "import sys; held = {}; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def program() -> Iterator[Callable[[str], int]]:
    """Start Python that makes *held* and waits; its pid."""
    running: list[subprocess.Popen[bytes]] = []

    def starter(held: str) -> int:
        command = [sys.executable, "-c", HOLDS.format(held)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(child)
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        return child.pid

    yield starter
    for child in running:
        child.kill()
        child.communicate()


def web(memory_bytes: int) -> Service:
    return Service("web", ("web",), Path(), None, None, True, memory_bytes=memory_bytes)


def told(looked: Resources) -> list[str]:
    return [f"{each.about}: {each.kind}" for each in looked.conditions() if each.about != "memory"]


def look_again(looked: Resources, trees: resources.Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look: half a minute later."""
    later = clock.monotonic() + resources.LOOK_EVERY_S
    monkeypatch.setattr("daemons.clock.monotonic", lambda: later)
    looked.look(trees)


def test_a_service_above_its_memory_is_told_until_it_is_well_below(
    program: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = program("b'x' * 80_000_000"), program("0")
    looked = Resources([web(60 * MIB)])

    looked.look({"service-web": {large}})
    assert told(looked) == ["memory of service-web: high"]
    assert "more than 60" in looked.conditions()[0].headline

    look_again(looked, {"service-web": {small}}, monkeypatch)
    assert told(looked) == []


def test_what_a_program_started_counts_as_its_own(program: Callable[[str], int]) -> None:
    pids = {program("b'x' * 40_000_000"), program("b'x' * 40_000_000")}
    looked = Resources([web(80 * MIB)])

    looked.look({"service-web": pids})

    assert told(looked) == ["memory of service-web: high"]


def test_files_near_the_limit_are_told_before_it_is_met(program: Callable[[str], int]) -> None:
    pid = program("[open('/dev/null') for _ in range(60)]")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (70, 70))
    looked = Resources([])

    looked.look({"api": {pid}})

    assert told(looked) == ["files of api: near_limit"]
    assert "63 files open, and may have 70" in looked.conditions()[0].headline


def test_a_daemon_that_keeps_a_core_busy_for_five_minutes_is_told(
    program: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = program("0")
    usage = processes.usage([pid])
    begin = clock.monotonic()
    looked = Resources([])
    said = []
    for minute in range(8):
        busy = usage.__class__(1, 60.0 * min(minute, 6), usage.rss_bytes, 3)
        monkeypatch.setattr("daemons.processes.usage", lambda _pids, busy=busy: busy)
        monkeypatch.setattr("daemons.clock.monotonic", lambda minute=minute: begin + 60 * minute)
        looked.look({"api": {pid}})
        said.append(told(looked))

    assert said[:5] == [[]] * 5
    assert said[5] == ["CPU of api: high"]
    assert said[7] == []


def test_nothing_is_measured_twice_within_half_a_minute(program: Callable[[str], int]) -> None:
    looked = Resources([web(1)])
    looked.look({"api": {program("0")}})

    looked.look({"service-web": {program("0")}})

    assert told(looked) == []


def test_inotify_is_counted_over_all_processes_of_the_user(program: Callable[[str], int], tmp_path: Path) -> None:
    before = processes.inotify_use(os.getuid())
    folders = [tmp_path / str(number) for number in range(7)]
    for folder in folders:
        folder.mkdir()
    watch = "lambda fd, paths: [libc.inotify_add_watch(fd, path.encode(), 2) for path in paths]"
    paths = [str(folder) for folder in folders]
    program(f"0; import ctypes; libc = ctypes.CDLL(None); ({watch})(libc.inotify_init(), {paths!r})")
    now = eventually(lambda: processes.inotify_use(os.getuid()))

    assert now["watches"][0] - before["watches"][0] >= 7
    assert now["watches"][1] == int(Path("/proc/sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))


def test_a_machine_that_is_nearly_full_is_told_with_who_uses_most(
    program: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemons.processes.machine_memory", lambda: (40 * MIB, 1000 * MIB))
    looked = Resources([])

    looked.look({"api": {program("b'x' * 50_000_000")}})

    low = next(each for each in looked.conditions() if each.about == "memory")
    assert low.headline == "40 MiB of 1000 MiB of memory are left"
    assert "of ours: api " in low.evidence
