"""One suite a home, whoever starts it how often, whatever an earlier one left, whoever sits on its port."""

from __future__ import annotations

import dataclasses
import getpass
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemons import asking, files, loop, processes, settings, start, suite, supervisor
from daemons.settings import Settings
from daemons.start import Report
from daemons.start.leftovers import end_leftovers
from daemons.supervisor import Rpc
from tests.conftest import eventually, free_port
from tests.stand_ins import WAITS, pids

# Deaf to SIGTERM, and so to the signal that its supervisord's death sends as well.
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"

Declare = Callable[..., Settings]


@pytest.fixture
def ours(conf: Settings, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a home whose suite the test starts itself, in this process. The suite is ended afterwards."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    yield conf
    end_suite(conf)


@pytest.fixture
def declare(ours: Settings, environ: dict[str, str]) -> Declare:
    """Write services into the home's settings: `declare(web=f"command = …")`."""

    def writer(**services: str) -> Settings:
        (ours.home / "conf").mkdir(exist_ok=True)
        text = "".join(f"[service:{name}]\n{lines}\n" for name, lines in services.items())
        (ours.home / "conf" / "cmux.conf").write_text(text, encoding="utf-8")
        return settings.load(environ)

    return writer


def end_suite(conf: Settings) -> None:
    record = suite.read(conf)
    if record and processes.is_alive(record.supervisord):
        os.kill(record.supervisord.pid, signal.SIGTERM)
        eventually(lambda: not Rpc(conf).poke() and not processes.is_alive(record.supervisord), within_s=20)
    end_leftovers(conf)
    if record and record.cgroup:
        processes.remove_cgroup(Path(record.cgroup))


def launch(conf: Settings) -> suite.Record:
    """A suite without waiting for its health: the launcher alone."""
    subprocess.run([sys.executable, "-P", "-m", "daemons.launcher"], check=True, timeout=20)
    record = suite.running(conf)
    assert record
    return record


def ignores(pid: int, number: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(mask & 1 << number - 1)


def members(conf: Settings) -> set[int]:
    """All living processes that carry the marker of this home's suite."""
    looked = processes.table()
    return {pid for pid in processes.marked(suite.suite_id(conf), looked) if not looked[pid].ended}


class TestAPortThatIsTaken:
    def test_the_stranger_is_named_and_nothing_is_started(self, ours: Settings) -> None:
        with socket.create_server((ours.host, ours.port)):
            report = start.start(ours)

        assert (report.outcome, report.healthy) == ("refused", False)
        assert report.problem.startswith(f"port {ours.port} is taken by pid {os.getpid()} ({getpass.getuser()}) ")
        assert report.problem.endswith(": end it, or set CMUX_PORT to another port")
        assert suite.running(ours) is None

    def test_a_services_port_counts_as_well(self, declare: Declare) -> None:
        port = free_port()
        declared = declare(web=f"command = true\nport = {port}")

        with socket.create_server(("::1", port), family=socket.AF_INET6):
            report = start.start(declared)

        assert report.outcome == "refused"
        assert report.problem.endswith(": end it, or give [service:web] another port")
        assert f"pid {os.getpid()} " in report.problem


class TestBesideAStop:
    def test_nothing_is_started_while_one_is_under_way(self, ours: Settings) -> None:
        files.private_dir(ours.run_dir)

        with files.lock(suite.stop_lock(ours)):
            report = start.start(ours)

        assert report.outcome == "refused"
        assert report.problem.startswith(f"a stop is under way (pid {os.getpid()} (")
        assert suite.running(ours) is None

    def test_a_start_that_another_one_keeps_waiting_says_so(self, ours: Settings) -> None:
        files.private_dir(ours.run_dir)

        with files.lock(suite.start_lock(ours)):
            report = start.start(ours, wait_s=0.1)

        assert report.outcome == "refused"
        assert f"start.lock is locked by pid {os.getpid()} " in report.problem


class TestLeftovers:
    def test_they_are_ended_by_identity_and_named(self, declare: Declare) -> None:
        declared = declare(deaf=f"command = {sys.executable} -c '{DEAF}'")
        record = launch(declared)
        deaf = eventually(lambda: pids(declared).get("service-deaf"))
        eventually(lambda: ignores(deaf, signal.SIGTERM))
        os.kill(record.supervisord.pid, signal.SIGKILL)
        eventually(lambda: suite.running(declared) is None)

        ended = end_leftovers(dataclasses.replace(declared, stop_grace_s=0.2))

        assert {each.ended.pid: each.ended.signals[-1] for each in ended}[deaf] == "SIGKILL"
        assert all(each.ended.gone for each in ended)
        assert members(declared) == set()

    def test_a_suite_whose_id_and_record_were_lost_is_one_and_each_is_named_once(self, ours: Settings) -> None:
        record = launch(ours)
        eventually(lambda: set(supervisor.PROGRAMS) <= pids(ours).keys())
        for lost in (ours.state / "suite_id", ours.run_dir / "suite.json"):
            lost.unlink()

        ended = end_leftovers(ours)

        named = {each.ended.pid: each.who for each in ended}
        assert len(ended) == len(named)
        assert f"pid {record.supervisord.pid} " in named[record.supervisord.pid]
        assert "supervisor.supervisord" in named[record.supervisord.pid]
        assert not [who for who in named.values() if who.endswith("(gone)")]
        assert suite.known_id(ours) == record.suite_id
        assert members(ours) == set()

    def test_an_agents_window_is_none(self, ours: Settings) -> None:
        marker = f"CMUX_SUITE_ID={suite.suite_id(ours)}"
        tmux = ["tmux", "-L", str(ours.tmux_socket)]
        subprocess.run([*tmux, "-f", "/dev/null", "new-session", "-d", "-e", marker, "exec sleep 1000"], check=True)
        shown = subprocess.run([*tmux, "list-panes", "-aF", "#{pane_pid}"], check=True, capture_output=True, text=True)
        agent = int(shown.stdout)
        assert members(ours) == {agent}

        assert end_leftovers(ours) == ()
        assert members(ours) == {agent}

    def test_what_an_agent_left_in_the_background_is_none(self, ours: Settings, environ: dict[str, str]) -> None:
        in_a_window = environ | {"CMUX_SUITE_ID": suite.suite_id(ours), "TMUX_PANE": "%1"}
        server = subprocess.Popen([sys.executable, "-c", WAITS], env=in_a_window, start_new_session=True)
        try:
            assert end_leftovers(ours) == ()
            assert server.poll() is None
        finally:
            server.kill()
            server.wait()

    def test_a_home_that_never_had_a_suite_has_none(self, ours: Settings) -> None:
        assert end_leftovers(ours) == ()
        assert not ours.state.exists()


class TestAWholeSuite:
    """All programs for real."""

    @pytest.fixture
    def started(self, ours: Settings) -> Report:
        report = start.start(ours)
        assert report.healthy, report
        return report

    def test_it_is_healthy_when_the_start_says_so(self, ours: Settings, started: Report) -> None:
        assert started.outcome == "started"
        assert {part.name for part in started.parts} == {"supervisord", *supervisor.PROGRAMS, "health"}
        assert started.url == f"http://127.0.0.1:{ours.port}/"
        assert asking.get(ours, "/api/webhooks/health").code == 200
        assert {name: loop.read_status(ours, name).pid for name in supervisor.PROGRAMS} == pids(ours)

    def test_starting_again_changes_nothing_and_says_what_differs(self, ours: Settings, started: Report) -> None:
        before = (suite.running(ours), pids(ours))
        port = free_port()

        again = start.start(dataclasses.replace(ours, port=port))

        assert (again.outcome, again.healthy, again.url) == ("running already", True, started.url)
        assert again.notes == (f"CMUX_PORT was {ours.port} when it was started, now {port}",)
        assert (suite.running(ours), pids(ours)) == before

        Rpc(ours).stop("log_watcher", wait=True)

        assert start.start(ours).healthy
        assert "log_watcher" in pids(ours), "a program that somebody stopped is started again"

    def test_two_starts_at_once_make_one_suite(self, ours: Settings) -> None:
        with ThreadPoolExecutor(2) as both:
            reports = list(both.map(start.start, [ours, ours]))

        assert {report.outcome for report in reports} == {"started", "running already"}
        assert all(report.healthy for report in reports)
        assert len([pid for pid in members(ours) if "supervisor.supervisord" in processes.describe(pid)]) == 1

    def test_after_supervisords_own_kill_nothing_is_doubled(self, ours: Settings, started: Report) -> None:
        before = suite.running(ours)
        assert before
        os.kill(before.supervisord.pid, signal.SIGKILL)

        again = start.start(ours)

        assert (again.outcome, again.healthy) == ("started", True)
        after = suite.running(ours)
        assert after
        assert members(ours) == {after.supervisord.pid, *pids(ours).values()}

    def test_two_homes_do_not_know_each_other(
        self, ours: Settings, started: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "other").mkdir()
        monkeypatch.setenv("CMUX_HOME", str(tmp_path / "other"))
        monkeypatch.setenv("CMUX_PORT", str(free_port()))
        other = settings.load()
        try:
            report = start.start(other)

            assert report.healthy, report
            assert not members(ours) & members(other)
        finally:
            end_suite(other)
        assert suite.running(ours)
        assert asking.get(ours, "/api/webhooks/health").code == 200

    def test_a_part_that_will_not_become_well_is_named_with_its_reason(
        self, declare: Declare, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("daemons.start.readiness._HOPELESS_AFTER_S", 2.0)
        declared = declare(web="command = no-such-program")

        report = start.start(declared)

        assert report.outcome == "started"
        assert not report.healthy
        assert report.problem.startswith("service-web: fails to start: service web: 'no-such-program' cannot be run in")
        assert report.took_s < start.WAIT_S
        assert "service-web" in [part.name for part in report.parts if not part.healthy]

    def test_a_stop_that_comes_while_it_waits_has_its_way(self, declare: Declare) -> None:
        declared = declare(web="command = no-such-program")
        with ThreadPoolExecutor(1) as apart:
            waiting = apart.submit(start.start, declared)
            record = eventually(lambda: suite.running(declared))
            with files.lock(suite.stop_lock(declared), timeout_s=1.0):
                os.kill(record.supervisord.pid, signal.SIGTERM)

            assert waiting.result().problem == "the suite was stopped meanwhile"
