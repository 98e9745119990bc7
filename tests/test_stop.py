"""Tests of daemons.stop: real suites, strangers and tmux servers, judged from outside."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemons import clock, files, processes, stop, suite, supervisor, tmux
from daemons.registry import Registry
from daemons.settings import Settings
from daemons.stop import Report, intent, published, run, windows
from tests import suites
from tests.conftest import eventually
from tests.drills import stops
from tests.drills.stop_shapes import FORGET, SERVE, SHAPES, WAIT, Shape
from tests.plants import Plants, alive

Shell = Callable[..., str]


@pytest.fixture(autouse=True)
def plants(tmp_path: Path) -> Iterator[Plants]:
    planted = Plants(tmp_path)
    yield planted
    planted.end()


@pytest.fixture
def conf(conf: Settings) -> Settings:
    """Settings with a short grace: what is deaf is met often here."""
    return dataclasses.replace(conf, stop_grace_s=0.6, stop_timeout_s=8.0)


@pytest.fixture
def shell(conf: Settings) -> Shell:
    """The tmux command as a person types it, on this test's server."""

    def execute(*words: str) -> str:
        assert conf.tmux_socket
        command = ["tmux", "-f", "/dev/null", "-L", conf.tmux_socket, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    return execute


def started(conf: Settings, plants: Plants, environ: dict[str, str], **programs: str) -> Settings:
    ours = suites.start(conf, plants, environ, **(programs or {"api": SERVE}))
    eventually(lambda: plants.pids("ours-server") if not programs else True)
    return ours


# -- processes --------------------------------------------------------------------------------------------------------


def test_whatever_shape_it_takes_all_of_ours_is_gone_and_none_but_ours(
    conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    suite_id = suite.suite_id(conf)
    plants.python(
        "for words in (['daemons.api'], ['CMUX_SUITE_ID=' + sys.argv[3]], ['supervisord', '-n', '-c', sys.argv[4]]):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)', *words])\n"
        "    say('innocent', child.pid)\n"
        "while True:\n"
        "    try: held = socket.create_connection(('127.0.0.1', int(sys.argv[2]))); break\n"
        "    except OSError: time.sleep(0.05)\n"
        "say('innocent'); forever()",
        conf.port,
        suite_id,
        conf.run_dir / "supervisord.conf",
    )
    ours = suites.start(
        conf,
        plants,
        environ,
        server="made = listen(int(sys.argv[2]), reuse=True)\n"
        "for _ in range(3): fork(lambda: (say('ours'), forever()))\n"
        "say('ours'); forever()",
        second="made = listen(int(sys.argv[2]), reuse=True, host='127.0.0.1'); say('ours'); forever()",
        six="made = listen(int(sys.argv[2]), host='::1'); say('ours'); forever()",
        away=f"{FORGET}def away(): say('ours'); os.execve('/bin/sleep', ['sleep', '1000'], {{}})\n"
        "def forgets(): forget_environment(); say('ours'); forever()\n"
        "fork(away, detach=True, orphan=True); fork(forgets, detach=True, orphan=True); forever()",
        leader="def leader():\n"
        "    for _ in range(2): fork(lambda: (say('ours'), forever()), detach=True)\n"
        "fork(leader); os.wait(); forever()",
        deaf="ignore(signal.SIGTERM, signal.SIGHUP); say('ours'); forever()",
        stopped="say('ours'); os.kill(os.getpid(), signal.SIGSTOP); forever()",
        respawner="ignore(signal.SIGTERM)\n"
        "def child(): signal.signal(signal.SIGTERM, signal.SIG_DFL); say('ours'); forever()\n"
        "while True: fork(child); os.wait()",
        chain="def chain():\n"
        "    ignore(signal.SIGTERM)\n"
        "    while True:\n"
        "        time.sleep(0.02)\n"
        "        if os.fork(): os._exit(0)\n"
        "fork(chain, detach=True, orphan=True); say('ours'); forever()",
        half="import ctypes\nthreading.Thread(target=forever).start(); say('ours'); ctypes.CDLL(None).syscall(60, 0)",
    )
    eventually(lambda: (len(plants.pids("ours")), len(plants.pids("innocent"))) >= (14, 4), but=plants.said)

    report = stop.stop(ours)

    left = [pid for pid in plants.pids("ours") if alive(pid)]
    assert (left, suites.members(conf)) == ([], set())
    assert [pid for pid in plants.pids("innocent") if not alive(pid)] == []
    assert (report.proven, report.exit_code, report.problem) == (True, 0, "")
    assert report.took_s < 4
    assert processes.can_bind("0.0.0.0", conf.port)


def test_every_process_is_told_with_what_why_and_how(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(
        conf,
        plants,
        environ,
        api="fork(lambda: (say('ours-child'), forever())); say('ours-server'); forever()",
        deaf="fork(lambda: (ignore(signal.SIGTERM), say('ours-orphan'), forever()), orphan=True); forever()",
    )
    server, child, orphan = plants.pid("ours-server"), plants.pid("ours-child"), plants.pid("ours-orphan")

    report = stop.stop(ours)

    told = {each.pid: each for each in report.processes}
    assert told[server].why == "program api"
    assert told[child].why == f"below pid {server}"
    assert told[orphan].why == "adopted by supervisord when its parent had ended"
    assert {each.why for each in report.processes} >= {"supervisord of this suite"}
    assert told[server].user == processes.user_name(os.getuid())
    assert "stand_ins/api.py" in told[server].command
    assert told[server].signals[0] == "SIGTERM"
    assert told[orphan].signals[-1] == "SIGKILL"
    assert all(each.gone for each in report.processes)


def test_the_report_is_kept_and_reads_back(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    report = stop.stop(started(conf, plants, environ))

    kept = Report.from_json((conf.run_dir / "last-stop.json").read_bytes())
    assert kept == report
    [events] = conf.journal_dir.glob("*/events.jsonl")
    journal = [json.loads(line) for line in events.read_text().splitlines()]
    assert [entry["event"] for entry in journal] == ["suite.stopped"]
    assert len(journal[0]["evidence"]["processes"]) == len(report.processes)
    assert json.loads(json.dumps(report.to_json()))["exit_code"] == 0


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"outcome": "stopped"}', b"\xff"])
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):
        Report.from_json(raw)


def test_a_dry_run_tells_the_same_and_changes_nothing(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(conf, plants, environ)
    before = {path: path.stat().st_mtime_ns for path in conf.home.rglob("*")}

    would = stop.stop(ours, dry_run=True)

    assert {path: path.stat().st_mtime_ns for path in conf.home.rglob("*")} == before
    assert all(alive(each.pid) for each in would.processes)
    assert (would.outcome, would.proven, would.exit_code, would.wrong) == ("would stop", False, 0, ())
    done = stop.stop(ours)
    assert {each.pid: each.why for each in would.processes} == {each.pid: each.why for each in done.processes}


def test_stopping_what_is_stopped_is_a_success(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(conf, plants, environ)
    stop.stop(ours)

    again = stop.stop(ours)

    assert (again.outcome, again.exit_code, again.processes) == ("already stopped", 0, ())
    assert again.took_s < 1


def test_stopping_where_nothing_was_ever_started_leaves_no_trace(conf: Settings) -> None:
    report = stop.stop(conf)

    assert (report.outcome, report.exit_code) == ("already stopped", 0)
    assert list(conf.home.iterdir()) == []


def test_what_only_a_running_suite_needs_is_cleared_away(
    conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    ours = started(conf, plants, environ)
    os.kill(plants.pid("supervisord"), signal.SIGKILL)

    assert stop.stop(ours).proven

    left = {path.name for path in conf.run_dir.iterdir()}
    assert not left & {"suite.json", "supervisord.pid", "supervisor.sock"}


def test_a_record_of_an_earlier_life_hits_nobody(conf: Settings, plants: Plants) -> None:
    innocent = processes.identify(plants.python("say('innocent'); forever()"))
    assert innocent
    files.private_dir(conf.run_dir)
    suite.suite_id(conf)
    others = [
        dataclasses.replace(innocent, started=innocent.started - 1),
        dataclasses.replace(innocent, handle=(innocent.handle or 0) + 1),
        dataclasses.replace(innocent, boot="another"),
    ]

    for other in others if innocent.handle is not None else [others[0], others[2]]:
        suite.write(suite.record_of(conf, other, cgroup=None), conf)
        assert stop.stop(conf).outcome == "already stopped"

    assert processes.is_alive(innocent)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a pid namespace")
def test_whoever_gets_a_pid_of_ours_next_is_never_hit(environ: dict[str, str]) -> None:
    script = Path(__file__).parent / "fixtures" / "pid_given_again.py"
    inside = ["unshare", "-pfm", "--mount-proc", sys.executable, str(script), "4"]

    done = subprocess.run(inside, env=environ, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("in the same tick") > 0
    lives = {f"{way}: lives": 4 for way in ("by_handle", "by_identity", "by_an_old_look", "by_a_whole_stop")}
    assert told == {**lives, "by_number: killed": 4}  # the control: the pid really was given again


def test_one_that_forks_on_and_leaves_is_gone_and_not_only_unseen(
    conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    chain = (
        "def chain():\n"
        "    ignore(signal.SIGTERM)\n"
        "    while True:\n"
        "        beat()\n"
        "        if os.fork(): os._exit(0)\n"
        "fork(chain, detach=True, orphan=True); say('ours'); forever()"
    )
    ours = started(conf, plants, environ, chain=chain)
    eventually(plants.beats)

    report = stop.stop(ours)

    assert not plants.beats()
    assert (report.exit_code, report.problem) == (0, "")


def test_a_copied_home_does_not_stop_the_original(
    conf: Settings, plants: Plants, environ: dict[str, str], tmp_path: Path
) -> None:
    started(conf, plants, environ)
    copied = tmp_path / "copied"
    shutil.copytree(conf.home, copied, ignore=shutil.ignore_patterns("*.sock*"))

    report = stop.stop(dataclasses.replace(conf, home=copied))

    assert [each.port for each in report.foreign] == [conf.port]
    assert alive(plants.pid("supervisord"))
    assert alive(plants.pid("ours-server"))


def test_a_record_that_cannot_be_read_is_said(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(conf, plants, environ)
    record = conf.run_dir / "suite.json"
    record.unlink()
    record.mkdir()

    report = stop.stop(ours)

    assert report.exit_code == 1
    assert str(record) in report.problem
    assert not alive(plants.pid("ours-server"))  # its marker was enough


def test_an_id_that_makes_no_sense_hides_nothing(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(conf, plants, environ)
    line = (conf.state / "suite_id").read_bytes()
    (conf.state / "suite_id").write_bytes(b"[")

    report = stop.stop(ours)

    assert (report.outcome, report.exit_code, report.foreign) == ("stopped", 0, ())
    assert not alive(plants.pid("supervisord"))
    assert not alive(plants.pid("ours-server"))
    assert (conf.state / "suite_id").read_bytes() == line  # what is left of it would be found by the next stop too


@pytest.mark.parametrize("lost", [("suite_id",), ("suite_id", "run/suite.json")])
def test_an_id_that_was_deleted_hides_nothing_and_makes_nobody_a_stranger(
    lost: tuple[str, ...], conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    ours = started(conf, plants, environ)
    line = (conf.state / "suite_id").read_bytes()
    for name in lost:
        (conf.state / name).unlink()

    seen = stop.stop(ours, dry_run=True, force=True)
    report = stop.stop(ours)

    assert (seen.foreign, {each.why for each in seen.processes if "--force" in each.why}) == ((), set())
    assert (report.outcome, report.exit_code, report.foreign) == ("stopped", 0, ())
    assert not alive(plants.pid("supervisord"))
    assert not alive(plants.pid("ours-server"))
    assert (conf.state / "suite_id").read_bytes() == line


@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_proven_while_a_stranger_answers_for_supervisord(
    conf: Settings, plants: Plants, force: bool
) -> None:
    files.private_dir(conf.run_dir)
    pid = plants.python(
        "made = socket.socket(socket.AF_UNIX); made.bind(sys.argv[2]); made.listen(); say('stranger'); forever()",
        supervisor.socket_path(conf),
    )
    plants.pid("stranger")

    report = stop.stop(conf, force=force)

    assert alive(pid)
    assert (report.proven, report.exit_code, len(report.wrong)) == (False, 1, 1)
    assert str(supervisor.socket_path(conf)) in report.problem
    assert f"kill {pid}" in report.problem


@pytest.mark.skipif(not os.access("/sys/fs/cgroup/freezer/tasks", os.W_OK), reason="needs a cgroup v1 freezer")
def test_what_cannot_be_killed_is_said_at_the_deadline(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(conf, plants, environ, frozen="say('ours'); forever()")
    pid = plants.pid("ours")
    freezer = Path(f"/sys/fs/cgroup/freezer/cmux-test-{os.getpid()}")
    freezer.mkdir()
    try:
        (freezer / "tasks").write_text(str(pid))
        (freezer / "freezer.state").write_text("FROZEN")
        eventually(lambda: (freezer / "freezer.state").read_text().strip() == "FROZEN")

        report = stop.stop(ours, deadline_s=2.5)

        assert report.exit_code == 1
        assert f"pid {pid}" in report.problem
        assert "STILL THERE" in report.problem
        assert f"frozen by its control group {freezer}, " in report.problem
        assert report.took_s < 2.8
    finally:
        (freezer / "freezer.state").write_text("THAWED")
        eventually(lambda: not (freezer / "tasks").read_text().strip())
        freezer.rmdir()


def test_one_that_has_just_started_and_is_draining_is_left_to_it_while_others_fork(
    conf: Settings, plants: Plants, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drains = "def drain(*_): time.sleep(1.2); say('drained'); os._exit(0)\nsignal.signal(signal.SIGTERM, drain)\n"
    ours = started(conf, plants, environ, drains=f"{drains}say('ours')\nwhile True: time.sleep(0.05)")
    plants.pid("ours")
    # Somebody forks during each look, as on a busy machine; what is among the newest by then is ours.
    monkeypatch.setattr("daemons.processes.newest_pid", itertools.count().__next__)

    report = stop.stop(dataclasses.replace(ours, stop_grace_s=5, stop_timeout_s=10))

    assert plants.pids("drained"), report.processes
    assert [each.signals for each in report.processes if "drains" in each.why] == [("SIGTERM", "SIGCONT")]


# -- the port ---------------------------------------------------------------------------------------------------------


def test_a_stranger_on_the_port_is_named_and_left_alone(
    conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    stranger = plants.python("made = listen(int(sys.argv[2])); say('stranger'); forever()", conf.port)
    plants.pid("stranger")
    ours = started(conf, plants, environ, api=WAIT)

    report = stop.stop(ours)

    assert alive(stranger)
    assert suites.members(conf) == set()
    assert report.exit_code == 1
    [foreign] = report.foreign
    assert (foreign.port, foreign.pid, foreign.user) == (conf.port, stranger, processes.user_name(os.getuid()))
    assert f"kill {stranger}" in foreign.advice
    assert "CMUX_PORT" in foreign.advice
    assert "--force" in foreign.advice


def test_with_force_the_stranger_goes_too(conf: Settings, plants: Plants) -> None:
    files.private_dir(conf.run_dir)
    stranger = plants.python("made = listen(int(sys.argv[2])); say('stranger'); forever()", conf.port)
    plants.pid("stranger")

    would = stop.stop(conf, dry_run=True, force=True)
    report = stop.stop(conf, force=True)

    assert [each.pid for each in would.processes] == [stranger]
    assert not alive(stranger)
    assert (report.exit_code, report.processes[0].why) == (0, f"occupies port {conf.port}, taken by --force")


def test_the_one_who_stops_is_no_stranger_to_itself(conf: Settings) -> None:
    files.private_dir(conf.run_dir)
    with socket.create_server(("127.0.0.1", conf.port)):
        report = stop.stop(conf, force=True)

    assert [each.pid for each in report.foreign] == [os.getpid()]
    assert report.processes == ()


# -- locks and deadlines ----------------------------------------------------------------------------------------------


def test_two_stops_at_once_agree(conf: Settings, plants: Plants, environ: dict[str, str]) -> None:
    ours = started(conf, plants, environ, api=SERVE, deaf="ignore(signal.SIGTERM); say('ours'); forever()")
    plants.pid("ours")
    reports: list[Report] = []
    others = [threading.Thread(target=lambda: reports.append(stop.stop(ours))) for _ in range(3)]

    for other in others:
        other.start()
    for other in others:
        other.join()

    assert [report.exit_code for report in reports] == [0, 0, 0]
    assert sorted(report.joined for report in reports) == [False, True, True]
    assert len({frozenset(each.pid for each in report.processes) for report in reports}) == 1


def test_a_lock_that_stays_taken_is_said_at_the_deadline(conf: Settings) -> None:
    files.private_dir(conf.run_dir)
    with files.lock(suite.stop_lock(conf)):
        report = stop.stop(conf, deadline_s=0.5)

    assert report.exit_code == 1
    assert "is under way" in report.problem
    assert f"pid {os.getpid()}" in report.problem
    assert report.took_s < 0.7


def test_without_room_for_the_lock_it_stops_all_the_same(
    conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    ours = started(conf, plants, environ)
    suite.stop_lock(conf).unlink(missing_ok=True)
    suite.stop_lock(conf).symlink_to("/dev/full")

    report = stop.stop(ours)

    assert report.proven
    assert "without that lock" in report.notes[0]


@pytest.mark.parametrize("what", ["the journal", "tmux", "reading"])
def test_the_deadline_holds_whatever_hangs(
    what: str, conf: Settings, plants: Plants, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    ours = started(conf, plants, environ)
    if what == "tmux":
        shell("new-session", "-d")  # without a server nobody asks it
    released = threading.Barrier(2)

    def hangs(*_: object, **__: object) -> None:
        released.wait(timeout=20)

    place = {"the journal": (published, "write"), "tmux": (tmux, "observe"), "reading": (run.suite, "known_id")}[what]
    with monkeypatch.context() as patched:
        patched.setattr(*place, hangs)
        began = clock.monotonic()
        report = stop.stop(ours, deadline_s=2)
        took_s = clock.monotonic() - began
    released.wait(timeout=20)

    assert took_s < 2.4
    if what == "reading":
        assert "the deadline passed while reading what runs" in report.problem
        return
    assert not alive(plants.pid("ours-server"))
    assert report.exit_code == 0
    if what == "the journal":
        assert "was not written down: the disk does not answer" in report.notes[-1]


def test_the_deadline_holds_although_the_disk_with_the_program_hangs(
    conf: Settings, plants: Plants, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = started(conf, plants, environ)
    disk = threading.Lock()

    def hangs(_: object) -> None:
        with disk:
            raise OSError("too late")

    began = clock.monotonic()
    with disk, monkeypatch.context() as patched:
        patched.setattr(run.Run, "_proof", hangs)
        with pytest.raises(TimeoutError, match=r"not proven: the deadline passed while .* does not answer"):
            stop.stop(ours, deadline_s=1)

    assert clock.monotonic() - began < 1.6
    assert not alive(plants.pid("ours-server"))


# -- what it costs ----------------------------------------------------------------------------------------------------

# `cmux stop` as it is run, which writes down what it has imported when it sends its first signal.
WATCHED = """
import json, sys
from daemons.processes.handles import Handle
send, met = Handle.signal, []
def signal(self, number):
    if not met:
        met.extend(sys.modules)
        with open(sys.argv[1], "w") as told:
            json.dump(met, told)
    return send(self, number)
Handle.signal = signal
from daemons.cli.__main__ import main
sys.exit(main(["stop"]))
"""
# Each takes 1 to 15 ms to import, and none says who is ours.
FOR_THE_REPORT = {
    "daemons.masking",
    "daemons.journal",
    "daemons.stop.proof",
    "daemons.stop.report",
    "daemons.supervisor.rpc",
    "daemons.supervisor.configuration",
    "daemons.processes.sockets",
    "daemons.registry",
    "daemons.cli.help",
    "daemons.tmux.command",
    "ctypes",
    "difflib",
    "hashlib",
    "shutil",
    "socket",
    "subprocess",
}


def test_what_only_the_report_needs_is_imported_while_the_suite_ends(
    conf: Settings, plants: Plants, environ: dict[str, str], tmp_path: Path
) -> None:
    started(conf, plants, environ)

    command = [sys.executable, "-P", "-c", WATCHED, str(tmp_path / "imported")]
    plain = {
        name: value for name, value in environ.items() if not name.startswith("COVERAGE_")
    }  # it imports for itself
    done = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 0, done
    imported = set(json.loads((tmp_path / "imported").read_text()))
    assert "daemons.stop.run" in imported
    assert not FOR_THE_REPORT & imported


def test_a_secret_on_a_command_line_is_in_no_report_though_it_is_masked_after_the_end(
    conf: Settings, plants: Plants, environ: dict[str, str]
) -> None:
    command = "[sys.executable, '-c', 'import time; time.sleep(1000)', '--password=hunter2hunter2']"
    ours = started(conf, plants, environ, api=f"say('ours', subprocess.Popen({command}).pid); forever()")
    pid = plants.pid("ours")
    eventually(lambda: "hunter2" in Path(f"/proc/{pid}/cmdline").read_text())

    report = stop.stop(ours)

    told = [path.read_text() for path in (conf.run_dir / "last-stop.json", *conf.journal_dir.rglob("events.jsonl"))]
    assert len(told) == 2
    assert next(each for each in report.processes if each.pid == pid).command.endswith(" --password=[masked]")
    assert not [text for text in (json.dumps(report.to_json()), *told) if "hunter2" in text]


# -- tmux -------------------------------------------------------------------------------------------------------------

DEAF_AGENT = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    "subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True)\n"
    "open(sys.argv[1], 'w').write('up')\n"
    "time.sleep(1000)"
)


def opened(conf: Settings, name: str, tmp_path: Path) -> tmux.Pane:
    ready = tmp_path / f"{name.replace(':', '_')}.ready"
    command = (sys.executable, "-c", DEAF_AGENT, str(ready))
    pane = tmux.open_window(conf, name, command=command, suite=suite.suite_id(conf))
    eventually(ready.exists)
    return pane


def sessions(shell: Shell) -> set[str]:
    try:
        return set(shell("list-sessions", "-F", "#{session_name}").splitlines())
    except subprocess.CalledProcessError:
        return set()


def test_sessions_that_we_opened_end_with_all_in_them_and_the_users_do_not(
    conf: Settings, shell: Shell, tmp_path: Path
) -> None:
    files.private_dir(conf.run_dir)
    shell("new-session", "-d", "-s", "cmux-notes", "sleep 1000")
    shell("new-session", "-d", "-s", "cmu", "sleep 1000")
    agents = [
        opened(conf, "worker-1", tmp_path),
        opened(conf, "worker-10", tmp_path),
        opened(conf, "cmux-x:a", tmp_path),
    ]
    assert len(suites.members(conf)) == 6

    report = stop.stop(conf)

    assert sessions(shell) == {"cmux-notes", "cmu"}
    assert suites.members(conf) == set()
    assert not any(alive(pane.pid) for pane in agents)
    assert (report.exit_code, report.problem) == (0, "")
    assert {(each.kind, each.name) for each in report.windows} == {("session", "cmux"), ("session", "cmux-x")}
    whys = {each.pid: each.why for each in report.processes}
    assert whys[agents[0].pid] == "window cmux:worker-1, the suite opened it"


def test_our_window_in_a_session_of_the_users_ends_alone(conf: Settings, shell: Shell, tmp_path: Path) -> None:
    files.private_dir(conf.run_dir)
    shell("new-session", "-d", "-s", "cmux", "-n", "mine", "sleep 1000")
    pane = opened(conf, "worker", tmp_path)

    report = stop.stop(conf)

    assert shell("list-windows", "-t", "=cmux:", "-F", "#{window_name}") == "mine"
    assert not alive(pane.pid)
    assert [(each.kind, each.name) for each in report.windows] == [("window", "cmux:worker")]


def test_a_window_that_somebody_else_opened_in_our_session_is_named_as_such_before_and_after(
    conf: Settings, shell: Shell, tmp_path: Path
) -> None:
    files.private_dir(conf.run_dir)
    agent = opened(conf, "worker", tmp_path)
    shell("new-window", "-d", "-t", "=cmux:", "-n", "notes", "sleep 1000")
    notes = int(shell("list-panes", "-t", "=cmux:notes", "-F", "#{pane_pid}"))
    by_somebody_else = "somebody else opened it in the suite's session"

    seen, report = stop.stop(conf, dry_run=True), stop.stop(conf)

    for told in (seen, report):
        named = {(each.kind, each.name): each.why for each in told.windows}
        assert named == {("session", "cmux"): "the suite opened it", ("window", "cmux:notes"): by_somebody_else}
        whys = {each.pid: each.why for each in told.processes}
        assert whys[notes] == f"window cmux:notes, {by_somebody_else}"
        assert whys[agent.pid] == "window cmux:worker, the suite opened it"
    assert (report.exit_code, report.problem, sessions(shell)) == (0, "", set())


def test_a_pane_that_registered_ends_and_its_neighbours_do_not(conf: Settings, shell: Shell) -> None:
    shell("new-session", "-d", "-s", "mine", "-n", "agent", "sleep 1000")
    shell("new-window", "-d", "-t", "=mine:", "-n", "notes", "sleep 1000")
    suite.suite_id(conf)
    seen = tmux.observe(conf)
    assert isinstance(seen, tmux.Seen)
    [pane] = [pane for pane in seen.panes if pane.window == "agent"]
    fields = {"pane_id": pane.pane_id, "tmux_server": pane.server, "pid": pane.pid, "expected": "running"}
    Registry(conf).register("mine:agent", fields, clock.now())

    report = stop.stop(conf)

    assert shell("list-windows", "-t", "=mine:", "-F", "#{window_name}") == "notes"
    assert not alive(pane.pid)
    assert [(each.kind, each.why) for each in report.windows] == [("pane", "registered as agent mine:agent")]
    entry = Registry(conf).snapshot().agents["mine:agent"]
    assert (entry["expected"], entry["ended_by"]) == ("stopped", "cmux stop")


def test_windows_are_looked_for_where_the_suite_was_started_with(
    conf: Settings, plants: Plants, environ: dict[str, str], shell: Shell, tmp_path: Path
) -> None:
    ours = started(conf, plants, environ)
    opened(conf, "worker", tmp_path)

    report = stop.stop(dataclasses.replace(ours, tmux_socket=f"{conf.tmux_socket}-other"))

    assert sessions(shell) == set()
    assert (report.exit_code, [each.name for each in report.windows]) == (0, ["cmux"])


def test_a_server_that_we_started_goes_when_it_is_empty(conf: Settings, shell: Shell, tmp_path: Path) -> None:
    pane = opened(conf, "worker", tmp_path)
    server = int(pane.server.partition("@")[0])

    assert stop.stop(conf).exit_code == 0

    eventually(lambda: not alive(server))


def test_windows_of_a_server_that_inherited_the_marker_are_the_users(
    conf: Settings, plants: Plants, environ: dict[str, str], shell: Shell
) -> None:
    marked = environ | {"CMUX_SUITE_ID": suite.suite_id(conf)}
    command = [
        "tmux",
        "-f",
        "/dev/null",
        "-L",
        str(conf.tmux_socket),
        "new-session",
        "-d",
        "-s",
        "private",
        "sleep 1000",
    ]
    subprocess.run(command, env=marked, check=True, timeout=10)
    pane = int(shell("list-panes", "-a", "-F", "#{pane_pid}"))
    assert processes.marker(processes.table()[pane]) == suite.suite_id(conf)

    report = stop.stop(conf)

    assert alive(pane)
    assert report.exit_code == 0


def test_a_frozen_tmux_server_stretches_nothing_and_is_said(conf: Settings, tmp_path: Path) -> None:
    pane = opened(conf, "worker", tmp_path)
    server = int(pane.server.partition("@")[0])
    os.kill(server, signal.SIGSTOP)
    try:
        report = stop.stop(conf, deadline_s=5)
    finally:
        os.kill(server, signal.SIGCONT)

    assert not alive(pane.pid)
    assert suites.members(conf) == set()
    assert (report.exit_code, report.unknown) == (3, True)
    assert "windows of the suite may be left" in report.problem
    assert report.took_s < 5.3


def test_without_tmux_everything_else_stops(
    conf: Settings, plants: Plants, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    ours = started(conf, plants, environ)
    shell("new-session", "-d")  # else tmux would not be asked at all
    monkeypatch.setenv("PATH", "/nonexistent")

    assert stop.stop(ours).exit_code == 0


INSIDE = """
import json, os, sys
from daemons import settings, stop
def farewell(report):
    print("FAREWELL", flush=True)
    open(sys.argv[1] + ".farewell", "w").write(json.dumps(report.to_json()))
open(sys.argv[1] + ".pid", "w").write(str(os.getpid()))
report = stop.stop(settings.load(), farewell=farewell)
open(sys.argv[1] + ".tmp", "w").write(json.dumps(report.to_json()))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
"""


@pytest.mark.parametrize("shape", ["directly", "from a shell that waits", "through a pipe"])
def test_from_inside_a_window_of_the_suite_it_finishes_its_work_and_report(
    shape: str, conf: Settings, plants: Plants, environ: dict[str, str], shell: Shell, tmp_path: Path
) -> None:
    ours = started(conf, plants, environ)
    shell("new-session", "-d", "-s", "cmux-notes", "sleep 1000")
    told = tmp_path / "told.json"
    kept = {name: environ[name] for name in ("CMUX_HOME", "CMUX_PORT", "CMUX_TMUX_SOCKET", "PYTHONPATH")}
    word = f"{sys.executable} -c '{INSIDE}' {told}"
    command: str | tuple[str, ...] = {
        "directly": (sys.executable, "-c", INSIDE, str(told)),
        "from a shell that waits": ("bash", "--norc", "-i", "-c", f"{word}; sleep 1000"),
        "through a pipe": ("sh", "-c", f"{word} | cat; sleep 1000"),
    }[shape]
    other = opened(conf, "other", tmp_path)
    pane = tmux.open_window(conf, "caller", command=command, environment=kept, suite=suite.suite_id(conf))

    eventually(told.exists, within_s=15, but=lambda: tmux.last_lines(conf, pane))

    report, farewell = json.loads(told.read_text()), json.loads(Path(f"{told}.farewell").read_text())
    caller = int(Path(f"{told}.pid").read_text())
    eventually(lambda: not alive(caller))
    assert (report["exit_code"], report["inside"], farewell["inside"]) == (0, True, True)
    assert suites.members(ours) == set()
    assert not any(alive(pid) for pid in (pane.pid, other.pid, plants.pid("ours-server"), plants.pid("supervisord")))
    assert sessions(shell) == {"cmux-notes"}
    assert caller not in {each["pid"] for each in report["processes"]}
    assert json.loads((conf.run_dir / "last-stop.json").read_text())["outcome"] == "stopped"


def test_the_agent_that_asked_for_the_stop_is_one_that_was_meant_to_end(
    conf: Settings, plants: Plants, environ: dict[str, str], tmp_path: Path
) -> None:
    started(conf, plants, environ)
    told, registered = tmp_path / "told.json", tmp_path / "registered"
    kept = {name: environ[name] for name in ("CMUX_HOME", "CMUX_PORT", "CMUX_TMUX_SOCKET", "PYTHONPATH")}
    word = f"until [ -e {registered} ]; do sleep 0.02; done; {sys.executable} -c '{INSIDE}' {told}; sleep 1000"
    pane = tmux.open_window(conf, "caller", command=("sh", "-c", word), environment=kept, suite=suite.suite_id(conf))
    fields = {"pane_id": pane.pane_id, "tmux_server": pane.server, "pid": pane.pid, "expected": "running"}
    Registry(conf).register("caller", fields, clock.now())
    registered.touch()

    eventually(told.exists, within_s=15, but=lambda: tmux.last_lines(conf, pane))

    entry = Registry(conf).snapshot().agents["caller"]
    assert (entry["expected"], entry["ended_by"]) == ("stopped", "cmux stop")


# -- every shape by itself, for minutes -------------------------------------------------------------------------------


@pytest.mark.drill
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_by_itself(shape: Shape, conf: Settings, environ: dict[str, str], plants: Plants) -> None:
    verdict = stops.run(shape, conf, environ, plants)

    assert [wrong for wrong in verdict.wrong if "took" not in wrong] == []


@pytest.mark.parametrize("nonsense", [{"pane_id": []}, {"pane_id": "%0", "pid": []}, {"tmux_server": {}}, {"pid": {}}])
def test_an_entry_of_nonsense_in_the_registry_keeps_nobody_from_stopping(
    conf: Settings, nonsense: dict[str, object]
) -> None:
    files.replace(files.private_dir(conf.state) / "agent_registry.json", json.dumps({"k": nonsense}).encode())
    pane = tmux.open_window(conf, "worker-1")

    agents = intent.registered(conf)

    assert intent.ending(agents, [pane]) == []
    assert windows.ours_in([pane], "no suite", agents) == []
