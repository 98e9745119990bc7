"""The rendered configuration is judged by a real supervisord, and so is what we ask it."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemons import files, settings, supervisor
from daemons.settings import Settings, SettingsError
from daemons.supervisor import Rpc, SupervisorDown, SupervisorRefused
from tests.conftest import eventually
from tests.stand_ins import WAITS, in_place_of_the_daemons, pids, run_supervisord, states, up

BESIDE = Path(sys.executable).parent
Run = Callable[[Settings], "subprocess.Popen[bytes]"]


def with_stand_ins(conf: Settings, checkout: Path) -> Settings:
    return in_place_of_the_daemons(conf, checkout, {"one": WAITS, "two": WAITS})


@pytest.fixture
def stand_ins(conf: Settings, tmp_path: Path) -> Settings:
    return with_stand_ins(conf, tmp_path / "checkout")


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a real supervisord on the rendered configuration of these settings, until the test ends."""
    running: list[tuple[subprocess.Popen[bytes], Rpc]] = []

    def starter(conf: Settings, rendered: Path | None = None) -> subprocess.Popen[bytes]:
        child = run_supervisord(conf, rendered)
        running.append((child, Rpc(conf)))
        return child

    yield starter
    for child, rpc in running:
        child.terminate()
        eventually(lambda: not rpc.poke() and child.poll() is not None, within_s=20)  # noqa: B023  # ends in this turn


def supervisorctl(configuration: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(BESIDE / "supervisorctl"), "-c", str(configuration), *words]
    return subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("name", ["plain", "two words", "50% off %(x)s", "a ;b #c", "quo'te\"d", "naïve 家"])
def test_supervisord_runs_in_a_home_of_any_name(conf: Settings, tmp_path: Path, run: Run, name: str) -> None:
    home = tmp_path / name
    home.mkdir()
    named = with_stand_ins(dataclasses.replace(conf, home=home), tmp_path / "checkout")

    run(named)

    eventually(lambda: up(named), but=lambda: states(named))
    assert {entry.name for entry in named.logs_dir.iterdir()} == {"one.log", "two.log", "supervisord.log"}
    assert supervisorctl(named.run_dir / "supervisord.conf", "pid").stdout.strip().isdigit()


def test_a_python_in_a_folder_of_any_name_is_run(
    conf: Settings, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "it's 5% ;of #all"
    odd.symlink_to(BESIDE)
    monkeypatch.setattr(sys, "executable", str(odd / "python"))
    rendered = supervisor.render(with_stand_ins(conf, tmp_path / "checkout"))
    monkeypatch.undo()

    run(conf, rendered)

    eventually(lambda: up(conf), but=lambda: states(conf))


def test_the_real_configuration_names_its_programs_and_nothing_unknown(
    conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from supervisor.options import ServerOptions

    rendered = supervisor.render(conf)

    monkeypatch.chdir(conf.home)
    options = ServerOptions()
    options.realize(["-c", str(rendered)])
    groups = options.configroot.supervisord.process_group_configs
    assert {group.name for group in groups} == set(supervisor.PROGRAMS)
    assert all(sys.executable in program.command for group in groups for program in group.process_configs)
    assert options.parse_warnings == []


def test_a_checkout_that_is_not_whole_is_said(conf: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"conf/supervisord\.conf is missing"):
        supervisor.render(dataclasses.replace(conf, code=tmp_path))


@pytest.mark.parametrize("configuration", ["the one of the checkout", "the rendered one"])
def test_supervisorctl_works_beside_the_suite_of_a_checkout(conf: Settings, run: Run, configuration: str) -> None:
    home_is_checkout = with_stand_ins(conf, conf.home)
    run(home_is_checkout)
    eventually(lambda: set(states(conf).values()) == {"RUNNING"}, but=lambda: states(conf))

    from_checkout = conf.home / "conf" / "supervisord.conf"
    told = supervisorctl(
        from_checkout if configuration.endswith("checkout") else conf.run_dir / "supervisord.conf", "status"
    )

    assert told.returncode == 0, told
    assert [line.split()[:2] for line in told.stdout.splitlines()] == [["one", "RUNNING"], ["two", "RUNNING"]]


def test_the_configuration_of_the_checkout_is_valid_as_it_stands(conf: Settings, run: Run) -> None:
    home_is_checkout = with_stand_ins(conf, conf.home)
    files.private_dir(conf.run_dir)
    files.private_dir(conf.logs_dir)
    (conf.home / ".venv").symlink_to(BESIDE.parent)

    run(home_is_checkout, conf.home / "conf" / "supervisord.conf")

    eventually(lambda: up(conf), but=lambda: states(conf))


def test_only_its_owner_can_talk_to_it(stand_ins: Settings, run: Run) -> None:
    run(stand_ins)
    eventually(lambda: up(stand_ins))

    place = supervisor.socket_path(stand_ins)

    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(log.stat().st_mode) for log in stand_ins.logs_dir.iterdir()} == {0o600}


def test_asking_wakes_it_so_that_programs_execute_at_once(stand_ins: Settings, run: Run) -> None:
    rpc = Rpc(stand_ins)
    run(stand_ins)
    eventually(rpc.poke)

    # Unasked it sleeps for its first second before it starts anything.
    eventually(lambda: rpc.poke() and up(stand_ins), within_s=0.7, but=lambda: states(stand_ins))


def test_programs_are_started_stopped_and_signalled(stand_ins: Settings, run: Run) -> None:
    rpc = Rpc(stand_ins)
    run(stand_ins)
    eventually(lambda: up(stand_ins))
    before = pids(stand_ins)

    rpc.stop("one", wait=True)
    rpc.stop("one")
    assert states(stand_ins)["one"] == "STOPPED"
    rpc.start("one")
    rpc.start("one")
    rpc.restart("two")

    after = pids(stand_ins)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())

    eventually(lambda: set(states(stand_ins).values()) == {"RUNNING"})
    rpc.signal("two", signal.SIGKILL)
    eventually(lambda: pids(stand_ins).get("two", after["two"]) != after["two"])


def test_a_frozen_program_is_restarted_though_its_end_takes_longer_than_an_answer_may(
    stand_ins: Settings, run: Run
) -> None:
    run(stand_ins)
    eventually(lambda: set(states(stand_ins).values()) == {"RUNNING"})
    frozen = pids(stand_ins)["one"]
    os.kill(frozen, signal.SIGSTOP)

    Rpc(stand_ins, timeout_s=1.0).restart("one")

    assert pids(stand_ins)["one"] != frozen


def test_a_program_that_does_not_exist_is_refused_by_name(stand_ins: Settings, run: Run) -> None:
    run(stand_ins)
    eventually(lambda: up(stand_ins))

    with pytest.raises(SupervisorRefused, match="BAD_NAME: three & <co>"):
        Rpc(stand_ins).start("three & <co>")


def test_it_says_that_it_is_ending(stand_ins: Settings, run: Run) -> None:
    rpc = Rpc(stand_ins)
    child = run(stand_ins)
    eventually(lambda: up(stand_ins))
    assert not rpc.is_shutting_down()

    rpc.stop_all()
    rpc.shutdown()

    assert child.wait(timeout=10) == 0
    with pytest.raises(SupervisorDown, match="does not answer"):
        rpc.processes()
    assert not rpc.poke()


def test_a_supervisord_that_hangs_is_given_up_in_time(conf: Settings) -> None:
    place = supervisor.prepare_socket(conf)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(place))
        deaf.listen()

        with pytest.raises(SupervisorDown, match="timed out"):
            Rpc(conf, timeout_s=0.1).processes()


def test_a_stranger_on_its_socket_is_told(conf: Settings) -> None:
    place = supervisor.prepare_socket(conf)
    with socket.create_server(str(place), family=socket.AF_UNIX) as stranger:

        def answer() -> None:
            line, _ = stranger.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()

        with pytest.raises(SupervisorDown, match="is another program on its socket"):
            Rpc(conf).processes()


class TestAHomeWithALongPath:
    @pytest.fixture
    def far(self, conf: Settings, tmp_path: Path) -> Iterator[Settings]:
        home = tmp_path / ("long" * 20) / ("path" * 20)
        home.mkdir(parents=True)
        made = with_stand_ins(dataclasses.replace(conf, home=home), tmp_path / "checkout")
        yield made
        supervisor.remove_sockets(made)

    def test_its_socket_is_short_and_private(self, far: Settings, run: Run) -> None:
        place = supervisor.socket_path(far)
        assert len(os.fsencode(place)) < 60

        run(far)

        eventually(lambda: up(far), but=lambda: states(far))
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert supervisorctl(far.run_dir / "supervisord.conf", "pid").stdout.strip().isdigit()

    @pytest.mark.parametrize("strange", [False, True])
    def test_nothing_of_it_is_left_when_its_sockets_are_removed_but_what_is_a_strangers(
        self, far: Settings, strange: bool
    ) -> None:
        folder = supervisor.prepare_socket(far, "log_keeper.sock").parent
        for name in ("supervisor.sock", "log_keeper.sock", "api.sock"):
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(folder / name))
        if strange:
            (folder / "notes").touch()

        supervisor.remove_sockets(far)

        assert [each.name for each in folder.glob("*")] == ["notes"] * strange
        assert folder.exists() == strange
        files.discard(folder / "notes")

    def test_a_link_that_somebody_planted_is_refused(
        self, far: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("daemons.supervisor.sockets._ELSEWHERE", tmp_path)
        (tmp_path / "theirs").mkdir(mode=0o700)
        (tmp_path / f"cmux-{os.getuid()}").symlink_to(tmp_path / "theirs")

        with pytest.raises(files.StorageError, match=r"cannot keep sockets in .*: permission denied"):
            supervisor.render(far)


class TestServices:
    @pytest.fixture
    def declared(
        self, environ: dict[str, str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Settings:
        (home / "conf").mkdir()
        (home / "web site").mkdir()
        (home / "conf" / "cmux.conf").write_text(
            f"[service:web]\ncommand = {sys.executable} -c '{WAITS} # 100% ;' \"\"\ndirectory = web site\n"
            "[service:later]\ncommand = no-such-program\nautostart = no\n",
            encoding="utf-8",
        )
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return with_stand_ins(settings.load(environ), tmp_path / "checkout")

    def test_a_service_runs_as_declared(self, declared: Settings, run: Run) -> None:
        run(declared)
        eventually(lambda: states(declared).get("service-web") == "RUNNING", but=lambda: states(declared))

        pid = pids(declared)["service-web"]

        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        assert [word.decode() for word in words] == [sys.executable, "-c", f"{WAITS} # 100% ;", ""]
        assert Path(f"/proc/{pid}/cwd").resolve() == declared.home / "web site"
        assert states(declared)["service-later"] == "STOPPED"

    def test_it_ends_with_its_supervisord_however_that_ends(self, declared: Settings, run: Run) -> None:
        child = run(declared)
        eventually(lambda: states(declared).get("service-web") == "RUNNING", but=lambda: states(declared))
        running = pids(declared)

        child.kill()

        eventually(lambda: not Path(f"/proc/{running['service-web']}").exists())
        for stand_in in ("one", "two"):
            os.kill(running[stand_in], signal.SIGTERM)

    def test_a_command_that_is_not_there_is_named(self, declared: Settings, run: Run) -> None:
        run(declared)
        eventually(lambda: up(declared) or "service-later" in states(declared))
        log = declared.logs_dir / "service-later.log"

        Rpc(declared).start("service-later")

        eventually(lambda: log.exists() and b"No such file" in log.read_bytes())
        assert "service later: 'no-such-program' cannot be run in" in log.read_text(encoding="utf-8")
