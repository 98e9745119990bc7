"""What is believed and when, what is told of it, and how low a disk is: no servers needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemons import clock, files
from daemons.budget import Budget, Policy
from daemons.clock import Wake
from daemons.health_checker import __main__ as checker
from daemons.health_checker import probes, space
from daemons.health_checker.alarms import Alarms, Condition
from daemons.health_checker.frontend import healing, npm
from daemons.health_checker.frontend.check import Finding
from daemons.health_checker.frontend.healing import Healer
from daemons.health_checker.frontend.state import State
from daemons.health_checker.frontend.watch import Watch
from daemons.health_checker.restarts import Restarts
from daemons.health_checker.space import Space
from daemons.health_checker.steadiness import Kind, Track, Verdict
from daemons.mailbox import Message
from daemons.settings import Settings
from daemons.supervisor import ProgramState, SupervisorDown
from tests.conftest import eventually

T0 = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
Mail = Callable[[], list[Message]]


def seen(*kinds: Kind) -> Track:
    track = Track()
    for second, kind in enumerate(kinds):
        track.see(Verdict(kind, f"look {second}"), T0 + timedelta(seconds=second))
    return track


# -- belief -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "believed"),
    [
        ([], "unknown"),
        (["healthy"], "unknown"),
        (["healthy", "healthy", "healthy"], "healthy"),
        (["healthy"] * 4 + ["frozen"], "healthy"),
        (["healthy"] * 4 + ["frozen", "healthy", "frozen"], "healthy"),
        (["healthy"] * 4 + ["frozen", "frozen", "healthy", "frozen"], "frozen"),
        (["frozen"] * 4 + ["healthy", "healthy"], "frozen"),
        (["frozen"] * 4 + ["healthy", "healthy", "healthy"], "healthy"),
        (["refused", "frozen", "refused", "frozen"], "unknown"),
    ],
)
def test_three_of_four_looks_must_agree(kinds: list[Kind], believed: Kind) -> None:
    assert seen(*kinds).believed.kind == believed


def test_since_is_when_it_became_so() -> None:
    track = seen("healthy", "frozen", "frozen")

    assert track.since == T0 + timedelta(seconds=1)
    assert track.detail()["evidence"] == "look 2"


def test_after_something_was_done_the_looks_begin_anew() -> None:
    track = seen("frozen", "frozen", "frozen")

    track.start_anew()
    track.see(Verdict("frozen", "still"), T0)

    assert track.believed.kind == "unknown"


# -- telling ----------------------------------------------------------------------------------------------------------

FROZEN = Condition("api", "frozen", "api: does not answer", "no answer within 2 s")
LOW = Condition("disk", "low", "the disk has 3 MiB left", "3 MiB")


@pytest.fixture
def alarms(conf: Settings) -> Alarms:
    files.private_dir(conf.state)
    return Alarms(conf)


def test_a_condition_is_told_once_and_cleared_once(conf: Settings, alarms: Alarms, mail: Mail) -> None:
    for second in range(5):
        alarms.report([FROZEN], T0 + timedelta(seconds=second))
    Alarms(conf).report([FROZEN], T0 + timedelta(seconds=9))  # restarted
    for second in range(10, 13):
        alarms.report([], T0 + timedelta(seconds=second))

    assert [message.subject for message in mail()] == [
        "[HEALTH ALERT] api: does not answer",
        "[CLEARED] api: it is in order again",
    ]


def test_what_cannot_be_judged_is_not_cleared(alarms: Alarms, mail: Mail) -> None:
    alarms.report([FROZEN, LOW], T0)

    alarms.report([LOW], T0 + timedelta(seconds=1), unsure={"api"})

    assert len(mail()) == 2


def test_a_change_for_the_worse_is_told_as_such(alarms: Alarms, mail: Mail) -> None:
    alarms.report([FROZEN], T0)

    alarms.report([Condition("api", "foreign", "api: pid 7 (root) nc holds port 8000", "…")], T0 + timedelta(seconds=1))

    assert "pid 7" in mail()[1].subject
    assert "something else is wrong with it now (foreign)" in mail()[2].subject


# -- the disk ---------------------------------------------------------------------------------------------------------


def disk(monkeypatch: pytest.MonkeyPatch, *, free_mib: int, size_mib: int = 100_000, names: float = 0.5) -> None:
    blocks = size_mib * 256
    fields = (4096, 4096, blocks, free_mib * 256, free_mib * 256, 1000, int(1000 * names), int(1000 * names), 0, 255)
    monkeypatch.setattr(space.os, "statvfs", lambda _path: os.statvfs_result(fields))


def test_a_disk_is_low_before_it_is_full_and_until_there_is_more_than_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked = Space(tmp_path)
    told = []
    for free_mib in (2000, 1025, 1023, 1100, 1300):
        disk(monkeypatch, free_mib=free_mib)
        looked.look()
        told.append(bool(looked.conditions()))

    assert told == [False, False, True, True, False]


def test_a_small_disk_is_low_at_a_tenth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looked = Space(tmp_path)
    disk(monkeypatch, free_mib=7, size_mib=64)
    looked.look()
    assert not looked.conditions()

    disk(monkeypatch, free_mib=6, size_mib=64)
    looked.look()
    assert "6 MiB" in looked.conditions()[0].headline


def test_a_disk_without_names_left_is_low(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looked = Space(tmp_path)
    disk(monkeypatch, free_mib=50_000, names=0.01)

    looked.look()

    assert looked.detail()["status"] == "low"


# -- healing ----------------------------------------------------------------------------------------------------------

BROKEN = State(Finding(("index.html is missing",)))


@pytest.fixture
def healer(conf: Settings, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Healer:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # its builder is of this home
    conf.frontend_dir.mkdir(parents=True)
    (conf.frontend_dir / "package.json").write_text("{}")
    files.private_dir(conf.run_dir)
    return Healer(conf, Budget(conf.state / "repairs.json", Policy(10, 3600, 12)), Wake())


def test_without_npm_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, healer: Healer) -> None:
    monkeypatch.setattr(npm, "locate", lambda: None)
    healer._npm = None

    step = healer.step(BROKEN, 60, T0)

    assert step.trouble == "no_npm"
    assert "install" in step.evidence


def test_without_a_project_there_is_nothing_to_build(conf: Settings, healer: Healer) -> None:
    (conf.frontend_dir / "package.json").unlink()

    assert healer.step(BROKEN, 60, T0).trouble == "not_buildable"


def test_a_dist_that_is_being_written_is_left_alone_for_a_moment(healer: Healer) -> None:
    assert healer.step(BROKEN, 0.3, T0).doing == "settling"


def test_another_builder_is_waited_for(conf: Settings, healer: Healer) -> None:
    with files.lock(healing.record.lock_path(conf)):
        step = healer.step(BROKEN, 60, T0)

    assert step.doing == "building"
    assert f"pid {os.getpid()}" in step.evidence


def test_the_next_try_waits_and_a_changed_source_shortens_the_wait(conf: Settings, healer: Healer) -> None:
    budget = healer._budget
    for hours in range(5):
        budget.spend("frontend", T0 + timedelta(hours=2 * hours))
    now = T0 + timedelta(hours=8, seconds=20)
    assert healer.step(replace(BROKEN, sources="broken"), 60, now).doing == "waiting"
    assert budget.next_at("frontend", now) > now

    try:
        assert healer.step(replace(BROKEN, sources="mended"), 60, now).doing == "building"
    finally:
        healer.close()


def test_a_build_that_failed_is_told_while_the_next_try_is_under_way(conf: Settings, healer: Healer) -> None:
    (conf.frontend_dir / "package.json").write_text('{"scripts": {"build": "echo told by npm; exit 1"}}')
    now = T0
    healer.step(BROKEN, 60, now)
    eventually(lambda: healer._builder and healer._builder.poll() is not None, within_s=20)

    waiting = healer.step(BROKEN, 60, now + timedelta(seconds=30))
    assert (waiting.doing, waiting.trouble) == ("waiting", "build_failed"), "the pause begins when the try has ended"
    again = healer.step(BROKEN, 60, now + timedelta(seconds=41))
    try:
        assert (again.doing, again.trouble) == ("building", "build_failed")
        assert "told by npm" in again.output
        assert healer.step(BROKEN, 60, now + timedelta(seconds=42)).trouble == "build_failed"
    finally:
        healer.close()


# -- when to look again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval_s", [0.3, 3.0, 10.0, 60.0])
def test_three_looks_at_what_is_served_fit_in_one_interval(interval_s: float) -> None:
    looks_s = checker._between_looks_s(interval_s) + 2 * checker._frontend_soon_s(interval_s)

    assert interval_s / 2 < looks_s < interval_s
    assert checker._between_looks_s(interval_s) + probes.WITHIN_S < interval_s + 1 or interval_s < 2


# -- file events ------------------------------------------------------------------------------------------------------


def test_changes_of_dist_wake_and_reading_it_does_not(conf: Settings) -> None:
    conf.dist.mkdir(parents=True)
    (conf.dist / "index.html").write_text("1")
    wake = Wake()
    watch = Watch(conf.dist, wake)
    try:
        watch.follow()
        (conf.dist / "index.html").read_text()
        assert not wake.wait(0.1)

        (conf.dist / "index.html").write_text("2")
        assert wake.wait(2)

        conf.dist.rename(conf.dist.with_name("gone"))
        conf.dist.mkdir()
        assert wake.wait(2)
        watch.follow()
        wake.wait(0.5)
        (conf.dist / "index.html").write_text("3")
        assert wake.wait(2), "the new folder is followed"
    finally:
        watch.close()


def test_a_thousand_changes_are_few_wakes_and_the_last_one_is_heard(conf: Settings) -> None:
    conf.dist.mkdir(parents=True)
    wake = Wake()
    watch = Watch(conf.dist, wake)
    watch.follow()
    wakes = 0
    try:
        began = clock.monotonic()
        for number in range(1000):
            (conf.dist / f"{number}.js").write_text("x")
            wakes += wake.wait(0)
        took_s = clock.monotonic() - began
        while wake.wait(0.5):
            wakes += 1
        assert 1 <= wakes <= 3 + took_s / 0.2
        eventually(lambda: watch.quiet_s > 0.3)
    finally:
        watch.close()


def test_above_the_watch_limit_the_poll_goes_on_alone(conf: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.dist.mkdir(parents=True)
    watch = Watch(conf.dist, Wake())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watch._observer, "schedule", refuse)
    try:
        watch.follow()
        watch.follow()
    finally:
        watch.close()


# -- restarts ---------------------------------------------------------------------------------------------------------


class Supervisor:
    """Stands in for supervisord's RPC, to say what a real one says only in bad moments."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.down = False

    def stop(self, name: str) -> None:
        if self.down:
            raise SupervisorDown("no answer")
        self.calls.append(f"stop {name}")

    def start(self, name: str) -> None:
        self.calls.append(f"start {name}")

    def signal(self, name: str, number: int) -> None:
        self.calls.append(f"signal {name} {number:d}")

    def is_shutting_down(self) -> bool:
        return False

    def poke(self) -> bool:
        return True


class Silent:
    def record(self, event: str, *, reason: str, **evidence: object) -> None:
        pass


def program(state: str, pid: int = 7) -> ProgramState:
    return ProgramState("api", state, pid, 0, 0, 100, 0, "")  # type: ignore[arg-type]


@pytest.fixture
def supervisord() -> Supervisor:
    return Supervisor()


def restarts_of(conf: Settings, supervisord: Supervisor) -> Restarts:
    files.private_dir(conf.run_dir)
    budget = Budget(conf.state / "repairs.json", Policy(10, 3600, 12))
    return Restarts(conf, supervisord, budget, Silent())  # type: ignore[arg-type]


WHY = Verdict("frozen", "no answer")
# A frozen one must wake to hear that it is to end.
STOPPED = ["stop api", "signal api 18"]


def test_a_restart_is_a_stop_now_and_a_start_when_it_has_ended(conf: Settings, supervisord: Supervisor) -> None:
    restarts = restarts_of(conf, supervisord)

    assert restarts.ask(program("RUNNING"), WHY, T0)
    restarts.pursue({"api": program("STOPPING")})
    assert supervisord.calls == STOPPED
    restarts.pursue({"api": program("STOPPED", 0)})
    restarts.pursue({"api": program("RUNNING")})

    assert supervisord.calls == [*STOPPED, "start api"]
    assert not restarts.is_owed("api")


def test_whoever_dies_between_stop_and_start_owes_the_start(conf: Settings, supervisord: Supervisor) -> None:
    restarts_of(conf, supervisord).ask(program("RUNNING"), WHY, T0)

    restarts_of(conf, supervisord).pursue({"api": program("STOPPED", 0)})

    assert supervisord.calls == [*STOPPED, "start api"]


def test_a_program_that_its_user_stopped_stays_stopped(conf: Settings, supervisord: Supervisor) -> None:
    restarts_of(conf, supervisord).pursue({"api": program("STOPPED", 0)})

    assert supervisord.calls == []


def test_nothing_is_started_while_a_stop_is_under_way(conf: Settings, supervisord: Supervisor) -> None:
    restarts = restarts_of(conf, supervisord)
    restarts.ask(program("RUNNING"), WHY, T0)

    with files.lock(conf.run_dir / "stop.lock"):
        restarts.pursue({"api": program("STOPPED", 0)})

    assert supervisord.calls == STOPPED


def test_restarts_are_paced(conf: Settings, supervisord: Supervisor) -> None:
    restarts = restarts_of(conf, supervisord)

    asked = [restarts.ask(program("RUNNING"), WHY, T0 + timedelta(seconds=second)) for second in (0, 5, 10, 15, 30)]

    assert asked == [True, False, True, False, True]


def test_without_supervisord_nothing_is_owed(conf: Settings, supervisord: Supervisor) -> None:
    restarts = restarts_of(conf, supervisord)
    supervisord.down = True

    assert not restarts.ask(program("RUNNING"), WHY, T0)
    assert not restarts.is_owed("api")
