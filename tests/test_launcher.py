"""The launcher leaves one supervisord behind: nobody's child, marked, recorded, holding nothing of its starter's."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemons import processes, stop, suite, supervisor
from daemons.settings import Settings
from daemons.suite import Record
from daemons.supervisor import Rpc, SupervisorDown
from tests.conftest import eventually

Launch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def launch(conf: Settings, environ: dict[str, str], tmp_path: Path) -> Iterator[Launch]:
    """Run the launcher to its end. The supervisord that it left is ended after the test."""

    def launcher(*, pass_fds: tuple[int, ...] = (), **extra: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-P", "-m", "daemons.launcher"]
        return subprocess.run(
            argv, env=environ | extra, cwd=tmp_path, capture_output=True, text=True, timeout=20, pass_fds=pass_fds
        )

    yield launcher
    # Not a bare SIGTERM: programs that were forked a moment ago lose theirs at exec, and cost 5 s each.
    stop.stop(conf)


@pytest.fixture
def launched(conf: Settings, launch: Launch) -> Record:
    """The record of a suite that the launcher has started, and that answers."""
    assert launch().returncode == 0
    eventually(Rpc(conf).poke)
    record = suite.running(conf)
    assert record
    return record


def environment_of(pid: int) -> dict[str, str]:
    raw = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")
    return dict(entry.split("=", 1) for entry in raw.split("\0") if entry)


def test_it_leaves_a_supervisord_that_hangs_on_nobody(launched: Record) -> None:
    pid = launched.supervisord.pid
    seen = processes.read(pid)
    assert seen

    assert "supervisor.supervisord -n" in seen.command
    assert seen.ppid != os.getpid()
    assert seen.sid not in (pid, os.getsid(0))
    assert processes.read(seen.sid) is None, "the leader of its session has gone, so it can't get a terminal"
    assert seen.terminal == 0


def test_it_carries_the_suites_marker_and_the_home_and_so_do_its_programs(
    conf: Settings, launch: Launch, home: Path
) -> None:
    (home / "conf").mkdir()
    (home / "conf" / "cmux.conf").write_text("[service:web]\ncommand = sleep 1000\n", encoding="utf-8")
    launch()

    def web() -> int:
        found = {program.name: program for program in Rpc(conf).processes()} if Rpc(conf).poke() else {}
        return found["service-web"].pid if found and found["service-web"].state == "RUNNING" else 0

    pid = eventually(web)
    record = suite.running(conf)
    assert record

    for environment in map(environment_of, (record.supervisord.pid, pid)):
        assert environment["CMUX_SUITE_ID"] == record.suite_id == suite.known_id(conf)
        assert environment["CMUX_HOME"] == str(conf.home)
        assert environment["CMUX_PORT"] == str(conf.port)


def test_it_runs_in_the_home_and_what_it_makes_is_private(conf: Settings, launched: Record) -> None:
    assert Path(f"/proc/{launched.supervisord.pid}/cwd").resolve() == conf.home
    eventually(lambda: (conf.logs_dir / "supervisord.log").exists())

    made = [entry for folder in (conf.run_dir, conf.logs_dir) for entry in folder.iterdir()]

    assert {stat.S_IMODE(entry.stat().st_mode) for entry in made if not entry.is_dir()} == {0o600}


def test_it_adopts_what_leaves_its_parents_and_its_environment(conf: Settings, launch: Launch, home: Path) -> None:
    (home / "conf").mkdir()
    leaves = "(env -i setsid sleep 1000 & echo $! > orphan.new); mv orphan.new orphan; exec sleep 1000"
    (home / "conf" / "cmux.conf").write_text(f"[service:leaver]\ncommand = sh -c '{leaves}'\n", encoding="utf-8")

    launch()

    eventually(lambda: Rpc(conf).poke() and (home / "orphan").exists())
    orphan = int((home / "orphan").read_text(encoding="ascii"))
    record = suite.running(conf)
    assert record
    try:
        eventually(lambda: processes.read(orphan).ppid == record.supervisord.pid, but=lambda: processes.read(orphan))
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_reader_of_the_starters_output_does_not_wait_for_it(launched: Record) -> None:
    # That the fixture's launch, whose output is a pipe, has returned is half of the proof. This is the other half.
    links = {os.readlink(link) for link in Path(f"/proc/{launched.supervisord.pid}/fd").iterdir()}

    assert not {link for link in links if link.startswith("pipe:")} & {
        os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)
    }


def test_a_lock_that_the_starter_holds_is_not_held_by_it(conf: Settings, launch: Launch, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        launch(pass_fds=(lock.fileno(),))
    eventually(Rpc(conf).poke)
    record = suite.running(conf)
    assert record

    held = {os.readlink(link) for link in Path(f"/proc/{record.supervisord.pid}/fd").iterdir()}

    assert str(tmp_path / "lock") not in held


def test_a_second_one_is_refused_by_name(conf: Settings, launch: Launch, launched: Record) -> None:
    second = launch()

    assert second.returncode == 1
    assert second.stderr.startswith(
        f"launcher: the suite of {conf.home} runs already: pid {launched.supervisord.pid} ("
    )
    assert second.stderr.count("\n") == 1
    assert suite.running(conf) == launched


def test_two_at_once_leave_one(conf: Settings, launch: Launch) -> None:
    with ThreadPoolExecutor(3) as crowd:
        codes = sorted(done.returncode for done in crowd.map(lambda _: launch(), range(3)))

    assert codes == [0, 1, 1]
    record = suite.running(conf)
    assert record
    looked = processes.table()
    marked = processes.marked(record.suite_id, looked)
    assert [pid for pid in marked if " supervisor.supervisord " in looked[pid].command] == [record.supervisord.pid]


def test_the_window_that_it_was_started_from_is_forgotten_and_a_relative_conf_means_the_same_file(
    conf: Settings, launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "my.conf").write_text("[cmux]\nCMUX_SESSION = other\n", encoding="utf-8")

    launch(CMUX_CONF="my.conf", CMUX_AGENT_ID="worker-1", TMUX="/tmp/x,1,0", TMUX_PANE="%1")

    record = suite.running(conf)
    assert record
    environment = environment_of(record.supervisord.pid)
    assert environment["CMUX_CONF"] == str(tmp_path / "my.conf")
    assert not environment.keys() & {"CMUX_AGENT_ID", "TMUX", "TMUX_PANE"}
    assert record.session == "other"


def test_wrong_settings_are_one_line_and_exit_code_2(conf: Settings, launch: Launch) -> None:
    refused = launch(CMUX_PORT="eighty")

    assert refused.returncode == 2
    assert refused.stderr == "launcher: CMUX_PORT='eighty' is not a port from 1 to 65535; try CMUX_PORT=8000\n"
    assert suite.read(conf) is None


def test_what_keeps_it_from_starting_is_one_line(conf: Settings, launch: Launch) -> None:
    conf.logs_dir.mkdir(parents=True)
    (conf.logs_dir / "supervisord.out").symlink_to("/etc/hostname")

    refused = launch()

    assert refused.returncode == 1
    assert refused.stderr.startswith("launcher: supervisord cannot be started: ")
    assert "supervisord.out" in refused.stderr
    assert suite.running(conf) is None
    with pytest.raises(SupervisorDown):
        Rpc(conf).processes()
    assert supervisor.socket_path(conf).exists() is False
