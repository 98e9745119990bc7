"""The listener against a real supervisord: what it leaves alone is restarted, paced and told once."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from daemons import clock, files, loop, processes, suite, supervisor
from daemons.clock import Wake
from daemons.journal import Journal
from daemons.listener.alarms import Alarms
from daemons.listener.endings import LONGEST_PAUSE_S, Endings
from daemons.listener.events import Events
from daemons.listener.heartbeats import Heartbeats
from daemons.listener.outdated import Outdated
from daemons.loop import Status
from daemons.mailbox import Message
from daemons.settings import Settings
from daemons.supervisor import ProgramState, Rpc
from tests.conftest import eventually
from tests.stand_ins import in_place_of_the_daemons, pids, run_supervisord, states

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
Mail = Callable[[], list[Message]]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class TestTheProtocol:
    @pytest.fixture
    def wake(self) -> Wake:
        return Wake()

    def converse(self, asked: bytes, wake: Wake) -> tuple[Events, bytes]:
        """Say *asked* in two pieces and fall silent; what was gathered, and what was answered."""
        asks, says = os.pipe()
        hears, answers = os.pipe()
        events = Events(asks, answers)
        events.listen(wake)
        for piece in (asked[:50], asked[50:]):
            os.write(says, piece)
        os.close(says)
        eventually(lambda: wake.stop_requested)
        os.close(answers)
        with os.fdopen(hears, "rb") as answered:
            return events, answered.read()

    def told(self, name: str, payload: str) -> bytes:
        head = f"ver:3.0 server:supervisor serial:21 pool:listener poolserial:10 eventname:{name} len:{len(payload)}\n"
        return (head + payload).encode()

    def test_every_event_is_answered_at_once_and_kept(self, wake: Wake) -> None:
        exited = self.told("PROCESS_STATE_EXITED", "processname:api groupname:api from_state:RUNNING expected:0 pid:12")
        fatal = self.told("PROCESS_STATE_FATAL", "processname:web groupname:web from_state:BACKOFF")

        events, answers = self.converse(exited + fatal, wake)

        assert answers == b"READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"
        first, second = events.take()
        assert (first.kind, first.program, first.fields["expected"]) == ("EXITED", "api", "0")
        assert (second.kind, second.program) == ("FATAL", "web")
        assert events.take() == []

    def test_a_tick_wakes_and_leaves_nothing(self, wake: Wake) -> None:
        events, answers = self.converse(self.told("TICK_5", "when:1201063880"), wake)

        assert answers.count(b"RESULT 2\nOK") == 1
        assert (events.take(), events.count) == ([], 1)

    @pytest.mark.parametrize(
        "asked", [b"", b"nonsense\n", b"eventname:TICK_5\n", b"eventname:TICK_5 len:x\n", b"\xff:1\n"]
    )
    def test_when_nobody_talks_sense_any_more_it_ends(self, wake: Wake, asked: bytes) -> None:
        events, _ = self.converse(asked, wake)

        assert events.take() == []


class TestOutdated:
    def published(self, conf: Settings, *, pid: int) -> None:
        """A status file of a listener of that *pid*, with other code than the disk's."""
        status = Status("listener", pid, 1, "", 7, "", clock.monotonic(), 6.0, 0, None, "", "")
        files.private_dir(conf.status_dir)
        told = dataclasses.asdict(status) | {"code": "older"}
        loop.status_path(conf, "listener").write_text(json.dumps(told), encoding="utf-8")

    @pytest.mark.parametrize(("pid", "ends"), [(11, False), (12, True)])
    def test_the_file_of_the_process_before_does_not_end_the_new_one(
        self, conf: Settings, mail: Mail, pid: int, ends: bool
    ) -> None:
        outdated = Outdated(conf, Rpc(conf), Alarms(conf), lambda _: None)
        self.published(conf, pid=pid)

        outdated.look({"listener": ProgramState("listener", "RUNNING", 12, 1, 0, 1, 0, "")}, clock.now())

        assert outdated.ends_with_us == ends
        assert [message.subject for message in mail()] == (
            ["[ALERT] the suite's code has changed: listener is restarted"] if ends else []
        )


class TestEndings:
    @pytest.fixture
    def endings(self, tmp_path: Path) -> Endings:
        return Endings(tmp_path / "listener.json")

    def ends(self, endings: Endings, times: int, *, every_s: float = 1.0) -> datetime:
        moments = [NOON + seconds(every_s * number) for number in range(times)]
        for moment in moments:
            endings.add("api", moment)
        return moments[-1]

    def test_three_in_ten_minutes_are_not_too_many(self, endings: Endings) -> None:
        assert not endings.is_too_often("api", self.ends(endings, 3))
        assert endings.is_too_often("api", self.ends(endings, 4))
        assert not endings.is_too_often("web", NOON)

    def test_they_are_forgotten_after_ten_minutes(self, endings: Endings) -> None:
        last = self.ends(endings, 5)

        assert endings.count("api", last + seconds(590)) == 5
        assert endings.count("api", last + seconds(601)) == 0

    def test_pauses_grow_up_to_a_minute(self, endings: Endings) -> None:
        pauses = []
        for _ in range(12):
            endings.add("api", NOON)
            pauses.append(endings.pause_s("api", NOON))

        assert pauses == [1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_a_debt_survives_and_is_due_after_its_pause(self, endings: Endings, tmp_path: Path) -> None:
        now = self.ends(endings, 5)
        due = endings.owe("api", now)
        assert due == now + seconds(2)

        again = Endings(tmp_path / "listener.json")

        assert again.is_owed("api")
        assert again.next_due() == due
        assert again.due(now + seconds(1.9)) == []
        assert again.due(due) == ["api"]
        again.paid("api")
        assert Endings(tmp_path / "listener.json").due(due) == []

    def test_a_clock_that_is_set_back_makes_nobody_wait_for_a_day(self, endings: Endings) -> None:
        endings.owe("api", NOON)

        assert endings.due(NOON - timedelta(days=1)) == ["api"]
        assert endings.due(NOON - seconds(LONGEST_PAUSE_S - 2)) == []

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"api": 1}', b'{"api": {"ended": 1, "owed": null}}'])
    def test_a_file_that_makes_no_sense_counts_as_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "listener.json").write_bytes(content)

        endings = Endings(tmp_path / "listener.json")

        assert endings.count("api", NOON) == 0
        endings.add("api", NOON)
        assert Endings(tmp_path / "listener.json").count("api", NOON) == 1

    def test_a_full_disk_loses_no_count_while_it_runs(self, tmp_path: Path) -> None:
        endings = Endings(tmp_path / "gone" / "listener.json")

        endings.add("api", NOON)

        assert endings.count("api", NOON) == 1


class TestHeartbeats:
    @pytest.fixture
    def heartbeats(self, conf: Settings) -> Heartbeats:
        return Heartbeats(conf, own_interval_s=6.0)

    def program(self, name: str = "api", state: str = "RUNNING", pid: int = 12) -> ProgramState:
        return ProgramState(name, cast("supervisor.State", state), pid, 1, 0, 1, 0, "")

    def completed(self, conf: Settings, *, ago_s: float, pid: int = 12, interval_s: float = 2.0) -> None:
        at = clock.monotonic() - ago_s
        status = Status("api", pid, 1, "", 7, "", at, interval_s, 0, None, "", "")
        files.private_dir(conf.status_dir)
        loop.status_path(conf, "api").write_text(json.dumps(dataclasses.asdict(status)), encoding="utf-8")

    def test_two_missed_cycles_and_a_margin_are_allowed(self, conf: Settings, heartbeats: Heartbeats) -> None:
        self.completed(conf, ago_s=8.5)
        assert heartbeats.silence(self.program()) == ""

        self.completed(conf, ago_s=9.2)
        assert heartbeats.silence(self.program()) == (
            "pid 12 completed its last cycle, number 7, 9 s ago; 9 s are allowed"
        )

    @pytest.mark.parametrize("other", [{"state": "STARTING"}, {"state": "STOPPED", "pid": 0}, {"name": "service-web"}])
    def test_who_does_not_run_and_who_is_no_daemon_is_not_judged(
        self, conf: Settings, heartbeats: Heartbeats, other: dict[str, str]
    ) -> None:
        self.completed(conf, ago_s=100)

        assert heartbeats.silence(self.program(**other)) == ""  # type: ignore[arg-type]

    def test_the_file_of_an_earlier_process_says_nothing(self, conf: Settings, heartbeats: Heartbeats) -> None:
        self.completed(conf, ago_s=100, pid=11)

        assert heartbeats.silence(self.program()) == ""

    def test_one_that_never_completes_a_cycle_is_noticed(
        self, heartbeats: Heartbeats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert heartbeats.silence(self.program()) == ""

        begin = clock.monotonic()
        monkeypatch.setattr("daemons.clock.monotonic", lambda: begin + 31)
        assert "pid 12 has completed no cycle since it was seen first 31 s ago" in heartbeats.silence(self.program())

    def test_after_a_round_of_ours_that_came_late_nobody_is_judged(
        self, conf: Settings, heartbeats: Heartbeats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = clock.monotonic()
        self.completed(conf, ago_s=0)
        monkeypatch.setattr("daemons.clock.monotonic", lambda: begin + 60)
        heartbeats.begin()
        assert heartbeats.silence(self.program()) == ""

        monkeypatch.setattr("daemons.clock.monotonic", lambda: begin + 66)
        heartbeats.begin()
        assert "66 s ago" in heartbeats.silence(self.program())


# -- beside a real supervisord ----------------------------------------------------------------------------------------

STEADY = """
from daemons import loop

class Steady:
    interval_s = 0.5
    def tick(self, now): return None
    def close(self): pass

raise SystemExit(loop.run("api", lambda conf, wake: Steady()))
"""
# The real one, only less patient.
LISTENER = """
from daemons import heartbeat
from daemons.listener import __main__ as listener, care

listener.INTERVAL_S = listener.Listener.interval_s = 1.0
listener.SILENT_FOR_S = 2.0
care.STEADY_AFTER_S = 2
heartbeat.MARGIN_S = 1.0
raise SystemExit(listener.main())
"""
ENDS = "import time; time.sleep(1.2); raise SystemExit(3)"
REFUSES = "raise SystemExit('api: CMUX_PORT is wrong')"  # within 4 s, also of a busy machine

Run = Callable[..., Settings]


@pytest.fixture
def run(conf: Settings, environ: dict[str, str], tmp_path: Path) -> Iterator[Run]:
    """Run the program `api` with this code under a real supervisord with the real listener, until the test ends."""
    running: list[subprocess.Popen[bytes]] = []

    def starter(code: str, *, retries: int = 10, up_after_s: int = 1) -> Settings:
        paces = {"retries": retries, "up_after_s": up_after_s}
        stand_ins = in_place_of_the_daemons(conf, tmp_path / "checkout", {"api": code}, listener=LISTENER, **paces)
        running.append(run_supervisord(stand_ins, environ=environ))
        eventually(lambda: loop.read_status(conf, "listener"), within_s=10)
        return stand_ins

    yield starter
    for child in running:
        child.terminate()
        eventually(lambda: not Rpc(conf).poke() and child.poll() is not None, within_s=20)  # noqa: B023


def subjects(mail: Mail) -> list[str]:
    return [message.subject for message in mail()]


def happened(conf: Settings, event: str) -> list[dict[str, object]]:
    return [entry for entry in Journal(conf, "test").entries() if entry["event"] == event]


def test_one_that_hangs_is_restarted_and_told_once_and_cleared(run: Run, mail: Mail) -> None:
    conf = run(STEADY)
    # Up for so long that it counts as steady when it is found hanging: that must not clear what is told of it.
    eventually(lambda: (status := loop.read_status(conf, "api")) and status.cycle > 4, within_s=10)
    pid = pids(conf)["api"]

    os.kill(pid, signal.SIGSTOP)

    eventually(lambda: pids(conf).get("api", pid) != pid, within_s=20, but=lambda: states(conf))
    eventually(lambda: len(mail()) == 1, but=mail)
    assert mail()[0].sender == "system:supervisor-listener"
    assert mail()[0].subject == "[ALERT] api hangs and is restarted"
    assert "completed its last cycle" in (conf.home / str(mail()[0].body)).read_text(encoding="utf-8")
    eventually(lambda: len(mail()) == 2, within_s=25, but=mail)
    assert mail()[1].subject.startswith("[CLEARED] api: it has been running for ")
    assert mail()[1].subject.endswith(f" s, pid {pids(conf)['api']}")
    assert [entry["actor"] for entry in happened(conf, "program.hung")] == ["system:supervisor-listener"]


def test_one_that_dies_once_is_no_news(run: Run, mail: Mail) -> None:
    conf = run(STEADY)
    eventually(lambda: states(conf).get("api") == "RUNNING")
    pid = pids(conf)["api"]

    os.kill(pid, signal.SIGKILL)

    eventually(lambda: pids(conf).get("api", pid) != pid)
    eventually(lambda: happened(conf, "program.ended_unexpectedly"))
    assert mail() == []


def test_one_that_ends_again_and_again_is_held_back_and_told_once_also_over_a_kill(run: Run, mail: Mail) -> None:
    conf = run(ENDS)
    eventually(lambda: states(conf)["api"] == "STOPPED", within_s=15, but=lambda: states(conf))
    assert Endings(conf.run_dir / "listener.json").is_owed("api")

    os.kill(pids(conf)["listener"], signal.SIGKILL)

    eventually(lambda: states(conf)["api"] in ("STARTING", "RUNNING"), within_s=10, but=lambda: states(conf))
    ends = "program.ended_unexpectedly"
    eventually(lambda: sum(entry["evidence"]["program"] == "api" for entry in happened(conf, ends)) >= 5, within_s=15)
    assert subjects(mail) == ["[ALERT] api ends again and again: 4 times within 10 minutes"]


def test_one_that_supervisord_gave_up_is_tried_again_until_it_starts(run: Run, mail: Mail) -> None:
    conf = run(REFUSES, retries=1, up_after_s=4)
    eventually(lambda: happened(conf, "program.given_up"), within_s=15, but=lambda: states(conf))

    (conf.code / "stand_ins" / "api.py").write_text(STEADY, encoding="utf-8")

    eventually(lambda: states(conf).get("api") == "RUNNING", within_s=20, but=lambda: states(conf))
    assert len(mail()) == 1
    assert mail()[0].subject == "[ALERT] api fails to start: CMUX_PORT is wrong; see .cmux/logs/api.log"
    assert "api: CMUX_PORT is wrong" in (conf.home / str(mail()[0].body)).read_text(encoding="utf-8")
    eventually(lambda: len(mail()) == 2, within_s=20, but=mail)


def test_nothing_is_started_while_a_stop_is_under_way(run: Run) -> None:
    conf = run(REFUSES, retries=1, up_after_s=4)
    with files.lock(suite.stop_lock(conf)):
        eventually(lambda: states(conf).get("api") == "FATAL", within_s=15, but=lambda: states(conf))
        log = conf.logs_dir / "listener.log"
        eventually(lambda: b"program.not_started" in log.read_bytes(), within_s=10)

        assert states(conf)["api"] == "FATAL"


def test_supervisord_that_is_killed_takes_all_along_and_is_told_once(
    run: Run, mail: Mail, environ: dict[str, str]
) -> None:
    conf = run(STEADY)
    eventually(lambda: loop.read_status(conf, "api"))
    before = pids(conf)

    os.kill(supervisord_of(before["api"]), signal.SIGKILL)

    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before.values()))
    assert subjects(mail) == ["[ALERT] supervisord ended though nobody stopped it, and so did the suite: cmux start"]


def supervisord_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def test_a_supervisord_that_hangs_is_told_once_and_cleared(run: Run, mail: Mail) -> None:
    conf = run(STEADY)
    supervisord = supervisord_of(eventually(lambda: pids(conf).get("api")))

    os.kill(supervisord, signal.SIGSTOP)
    eventually(mail, within_s=25)
    os.kill(supervisord, signal.SIGCONT)

    assert subjects(mail) == ["[ALERT] supervisord does not answer, so nothing is restarted: cmux restart"]
    eventually(lambda: len(mail()) == 2, within_s=15, but=mail)


def test_a_stop_is_no_trouble(run: Run, mail: Mail) -> None:
    conf = run(STEADY)
    eventually(lambda: loop.read_status(conf, "api"))
    before = pids(conf)

    os.kill(supervisord_of(before["api"]), signal.SIGTERM)

    eventually(lambda: not Rpc(conf).poke() and not Path(f"/proc/{before['listener']}").exists(), within_s=10)
    assert mail() == []


def test_a_record_that_was_deleted_while_the_suite_runs_is_written_anew(run: Run) -> None:
    conf = run(STEADY)
    supervisord = processes.identify(supervisord_of(eventually(lambda: pids(conf).get("listener"))))
    assert supervisord
    written = suite.record_of(conf, supervisord, cgroup=None)
    suite.write(written, conf)
    seen = loop.read_status(conf, "listener")
    eventually(lambda: (status := loop.read_status(conf, "listener")) and seen and status.cycle > seen.cycle + 2)

    (conf.run_dir / "suite.json").unlink()
    (conf.state / "suite_id").unlink()

    assert eventually(lambda: suite.running(conf)) == written
