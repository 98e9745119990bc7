"""The command against a whole suite that runs: start, status, health, why, wait, restart, stop."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cmux, answer, eventually, free_port, run_cmux

from daemons import settings, supervisor
from daemons.settings import Settings

SERVICE = """
[service:web]
command = sleep 600
"""


class Suite:
    """A home whose suite was started with the command, for all tests of this file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tmux = f"cmux-test-{os.getpid()}-{secrets.token_hex(4)}"
        own = {name: value for name, value in os.environ.items() if name not in {"TMUX", "TMUX_PANE"}}
        own |= {"CMUX_HOME": str(home), "CMUX_WATCHED_LOGS": "server.log"}
        self.plain = own
        self.environ = own | {"CMUX_PORT": str(free_port()), "CMUX_TMUX_SOCKET": self.tmux}
        self.conf = settings.load(self.environ)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_cmux(words, self.environ, self.home)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    home = tmp_path_factory.mktemp("suite")
    (home / "conf").mkdir()
    (home / "conf" / "cmux.conf").write_text(SERVICE)
    made = Suite(home.resolve())
    started = made("start", "--json", "--wait", "45")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield made
    finally:
        stopped = made("stop", "--json")
        subprocess.run(["tmux", "-L", made.tmux, "kill-server"], capture_output=True, check=False)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert answer(stopped)["proven"] is True


# -- while it runs ----------------------------------------------------------------------------------------------------


def test_starting_what_runs_changes_nothing(suite: Suite) -> None:
    before = answer(suite("status", "--json"))["programs"]

    again = suite("start")

    assert again.returncode == 0, again.stderr
    assert "ran already" in again.stdout
    assert suite.conf.api_url in again.stdout
    pids = [program["pid"] for program in before if program["name"] != "log_watcher"]
    now = answer(suite("status", "--json"))["programs"]
    assert [program["pid"] for program in now if program["name"] != "log_watcher"] == pids


def test_status_shows_every_program(suite: Suite) -> None:
    shown = suite("status")

    assert shown.returncode == 0, shown.stdout
    assert "is healthy" in shown.stdout
    for name in (*supervisor.PROGRAMS, "service-web"):
        assert f"{name} " in shown.stdout


def test_status_finds_what_was_started_with_settings_of_its_own(suite: Suite) -> None:
    shown = run_cmux(["status", "--json"], suite.plain, suite.home)

    assert shown.returncode == 0, shown.stdout
    assert answer(shown)["page"] == suite.conf.api_url


def test_health_is_what_the_api_says(suite: Suite) -> None:
    asked = suite("health", "--json")

    assert asked.returncode == 0
    assert answer(asked)["health"]["service"] == "cmux"
    assert "healthy" in suite("health").stdout


def test_why_has_nothing_to_say_of_a_healthy_suite(suite: Suite) -> None:
    asked = suite("why")

    assert (asked.returncode, "all is well" in asked.stdout) == (0, True)


def test_wait_returns_at_once_when_it_is_so(suite: Suite) -> None:
    assert suite("wait", "--timeout", "10").returncode == 0


def test_wait_says_when_the_time_was_over(suite: Suite) -> None:
    waited = suite("wait", "--for", "stopped", "--timeout", "0.2")

    assert waited.returncode == 124
    assert "not stopped within" in waited.stderr


def test_a_program_that_is_stopped_is_found_and_started_again(suite: Suite) -> None:
    supervisor.Rpc(suite.conf).stop("log_watcher", wait=True)

    asked = suite("why", "--json")
    assert asked.returncode == 3
    assert "log_watcher is stopped" in [finding["what"] for finding in answer(asked)["findings"]]

    assert suite("restart", "log_watcher").returncode == 0
    assert suite("wait", "--timeout", "20").returncode == 0


def test_an_unknown_program_is_refused_with_the_known_ones(suite: Suite) -> None:
    refused = suite("restart", "log_watchr")

    assert refused.returncode == 2
    assert "log_watcher" in refused.stderr


def test_a_restart_can_be_tried_first(suite: Suite) -> None:
    pid = {program.name: program.pid for program in supervisor.Rpc(suite.conf).processes()}["service-web"]

    tried = suite("restart", "web", "-n")

    assert f"would restart service-web, which was pid {pid}" in tried.stdout


def test_stop_can_be_tried_first(suite: Suite) -> None:
    tried = suite("stop", "-n")

    assert tried.returncode == 0
    assert "program api" in tried.stdout
    assert "nothing was changed" in tried.stdout
    assert suite("wait", "--timeout", "10").returncode == 0


def test_alerts_that_cannot_be_read_are_found_and_hide_nothing_else(suite: Suite) -> None:
    planted = suite.conf.alerts_dir / "system:other.json"
    os.mkfifo(planted)
    try:
        why, status = suite("why", "--json"), suite("status")
    finally:
        planted.unlink()

    assert why.returncode == status.returncode == 3, why.stderr + status.stderr
    [finding] = answer(why)["findings"]
    assert finding["what"] == "the open alerts are unknown"
    assert "move it away" in finding["evidence"]
    assert "log_watcher " in status.stdout
    assert suite("wait", "--timeout", "20").returncode == 0


def test_logs_are_there_from_the_first_second(suite: Suite) -> None:
    assert "daemon.started" in suite("logs", "api").stdout


def test_nothing_but_logs_is_logged(suite: Suite) -> None:
    names = {path.name for path in suite.conf.logs_dir.glob("*.log")}

    assert names == {f"{name}.log" for name in (*supervisor.PROGRAMS, "service-web", "supervisord")}


def test_doctor_says_that_the_port_is_ours(suite: Suite) -> None:
    assert "held by our own" in suite("doctor").stdout


def test_every_file_of_the_state_is_on_its_page(suite: Suite) -> None:
    page = (settings.CODE / ".cmux" / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in suite.conf.state.iterdir() if f"`{path.name}" not in page] == []


def test_nobody_else_can_look_into_the_state(suite: Suite) -> None:
    open_to_others = [path for path in suite.conf.state.rglob("*") if path.lstat().st_mode & 0o077]

    assert [path for path in (suite.conf.state, *open_to_others) if path.stat().st_mode & 0o077] == []


def test_plain_supervisorctl_works_beside_it(suite: Suite) -> None:
    rendered = suite.conf.run_dir / "supervisord.conf"
    asked = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisorctl", "-c", rendered, "status"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "registry_service" in asked.stdout


def test_a_suite_whose_record_was_deleted_is_not_called_stopped_and_has_its_record_again(suite: Suite) -> None:
    lost = [suite.conf.run_dir / "suite.json", suite.conf.state / "suite_id"]
    for each in lost:
        each.unlink()

    told = answer(suite("status", "--json"))

    assert told["verdict"] == "degraded"
    assert "a supervisord runs here" in told["findings"][0]["what"]
    eventually(lambda: all(each.exists() for each in lost), within_s=15)
    assert answer(suite("status", "--json"))["verdict"] == "healthy"


# -- while nothing runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["status"], ["why"], ["health"], ["restart", "api"]])
def test_when_nothing_runs_that_is_said_and_how_to_start(cmux: Cmux, words: list[str]) -> None:
    asked = cmux(*words)

    assert asked.returncode == 4
    assert "cmux start" in asked.stdout + asked.stderr or "cmux status" in asked.stderr


def test_stopping_what_is_stopped_is_a_success(cmux: Cmux) -> None:
    stopped = cmux("stop")

    assert stopped.returncode == 0
    assert "nothing of the suite runs" in stopped.stdout


def test_a_stranger_on_the_port_is_named_and_start_refused(cmux: Cmux, conf: Settings) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", conf.port))
        stranger.listen()
        refused = cmux("start")

    assert refused.returncode == 1
    assert f"pid {os.getpid()}" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_start_that_cannot_become_healthy_says_what_it_waited_for(cmux: Cmux, home: Path) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "cmux.conf").write_text("[service:web]\ncommand = false\n")

    started = cmux("start", "--wait", "40", "--json")
    stopped = cmux("stop")

    assert started.returncode in (3, 124), started.stderr
    assert "service-web" in str(answer(started)["problem"])
    assert stopped.returncode == 0, stopped.stdout
