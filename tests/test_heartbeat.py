"""When a daemon counts as hanging: two missed cycles and a margin; less for a process that is stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from daemons import clock, heartbeat, processes
from daemons.loop import Status
from tests.conftest import eventually


@pytest.fixture
def daemon() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child.pid
        child.kill()


def silent(pid: int, age_s: float) -> Status:
    """A daemon with a cycle of 2 s that completed its last one *age_s* ago."""
    identity = processes.identify(pid)
    assert identity
    return Status("api", pid, identity.started, "", 7, "", clock.monotonic() - age_s, 2.0, 0, None, "", "")


def test_a_busy_machine_may_make_a_cycle_late(daemon: int) -> None:
    assert not heartbeat.is_overdue(silent(daemon, 8.5))
    assert heartbeat.is_overdue(silent(daemon, 9.2))


def test_one_that_is_stopped_is_overdue_before_two_cycles_are_over(daemon: int) -> None:
    os.kill(daemon, signal.SIGSTOP)
    eventually(lambda: processes.read(daemon).state == "T")  # type: ignore[union-attr]

    assert not heartbeat.is_overdue(silent(daemon, 2.9))
    assert heartbeat.is_overdue(silent(daemon, 3.1))


def test_another_process_of_the_same_pid_says_nothing(daemon: int) -> None:
    os.kill(daemon, signal.SIGSTOP)
    eventually(lambda: processes.read(daemon).state == "T")  # type: ignore[union-attr]

    assert not heartbeat.is_overdue(dataclasses.replace(silent(daemon, 4.1), pid_started=1))


@pytest.mark.parametrize(("age_s", "look_in_s"), [(0.0, 3.0), (2.0, 1.0), (5.0, 4.0), (20.0, 0.0)])
def test_the_next_look_is_when_it_can_tell_something(daemon: int, age_s: float, look_in_s: float) -> None:
    assert heartbeat.look_in_s(silent(daemon, age_s)) == pytest.approx(look_in_s, abs=0.1)
