from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libtmux
import pytest
from conftest import eventually

from daemons import clock, processes, tmux
from daemons.settings import Settings
from daemons.tmux import NameTaken, Pane, Seen, TmuxUnavailable, Unknown

Tmux = Callable[..., str]
FOREVER = ("sleep", "1000")


@pytest.fixture
def shell(conf: Settings) -> Tmux:
    """The tmux command as a person types it, on this test's server."""

    def run(*words: str) -> str:
        assert conf.tmux_socket
        command = ["tmux", "-u", "-f", "/dev/null", "-L", conf.tmux_socket, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def frozen(conf: Settings, shell: Tmux) -> Iterator[Callable[[], None]]:
    """Stop the server with SIGSTOP; it goes on afterwards."""
    stopped: list[int] = []

    def freeze() -> None:
        stopped.append(int(shell("display-message", "-p", "#{pid}")))
        os.kill(stopped[0], signal.SIGSTOP)

    yield freeze
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def seen(conf: Settings) -> Seen:
    answer = tmux.observe(conf)
    assert isinstance(answer, Seen), answer
    return answer


def unknown(conf: Settings, **kwargs: Any) -> Unknown:
    answer = tmux.observe(conf, **kwargs)
    assert isinstance(answer, Unknown), answer
    return answer


def windows(conf: Settings) -> list[tuple[str, str]]:
    return [(pane.session, pane.window) for pane in seen(conf).panes]


def pane_of(conf: Settings, pane_id: str) -> Pane:
    return next(pane for pane in seen(conf).panes if pane.pane_id == pane_id)


def environment_of(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


# -- looking ----------------------------------------------------------------------------------------------------------


def test_without_a_server_nothing_is_known(conf: Settings) -> None:
    answer = unknown(conf)

    assert answer.kind == "no_server"
    assert "\n" not in answer.reason


def test_looking_starts_no_server(conf: Settings) -> None:
    unknown(conf)

    assert unknown(conf).kind == "no_server"


def test_without_tmux_on_the_path_the_answer_says_how_to_get_it(
    conf: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    answer = unknown(conf)

    assert answer.kind == "absent"
    assert "apt install tmux" in answer.reason


def test_a_stopped_server_is_given_up_in_time_and_its_client_is_killed(
    conf: Settings, shell: Tmux, frozen: Callable[[], None]
) -> None:
    shell("new-session", "-d", "-s", "notes", *FOREVER)
    frozen()
    before = clock.monotonic()

    answer = unknown(conf, timeout_s=0.3)

    assert answer.kind == "timeout"
    assert clock.monotonic() - before < 1.5
    assert not children_named("tmux: client")


def children_named(name: str) -> list[int]:
    own = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in own if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def test_a_socket_that_was_removed_is_no_server_although_it_lives(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "notes", *FOREVER)
    pid, socket = shell("display-message", "-p", "#{pid} #{socket_path}").split()
    Path(socket).unlink()

    answer = unknown(conf)

    assert (answer.kind, answer.lost_server) == ("no_server", int(pid))
    assert f"kill -USR1 {pid}" in answer.reason
    os.kill(int(pid), signal.SIGUSR1)  # tmux makes its socket again
    eventually(lambda: isinstance(tmux.observe(conf), Seen))


def test_no_server_is_known_without_starting_tmux_and_only_where_it_is_certain(
    conf: Settings, shell: Tmux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmux.may_be_there(conf)
    shell("new-session", "-d", "-s", "notes", *FOREVER)
    running = tmux.may_be_there(conf)
    Path(shell("display-message", "-p", "#{socket_path}")).unlink()
    lost = tmux.may_be_there(conf)
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    elsewhere = tmux.may_be_there(conf)
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path / "missing"))  # tmux takes /tmp then
    undecided = tmux.may_be_there(conf)

    assert [before, running, lost, elsewhere, undecided] == [False, True, True, False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make somebody else's socket")
def test_a_socket_of_somebody_else_is_denied(conf: Settings) -> None:
    code = (
        "import os, socket, tempfile\n"
        "from daemons import settings, tmux\n"
        "os.environ['TMUX_TMPDIR'] = folder = tempfile.mkdtemp(dir='/tmp')\n"
        f"home = settings.load({{'CMUX_HOME': '/', 'CMUX_TMUX_SOCKET': '{conf.tmux_socket}'}})\n"
        "own = folder + '/tmux-65534'\n"
        "os.mkdir(own, 0o700)\n"
        f"path = own + '/{conf.tmux_socket}'\n"
        "socket.socket(socket.AF_UNIX).bind(path)\n"
        "os.chmod(path, 0o600); os.chmod(folder, 0o711); os.chown(own, 65534, 65534)\n"
        "observe = tmux.observe\n"  # imported now: nobody may not read where Python lies
        "os.setresuid(65534, 65534, 0)\n"
        "print(observe(home))\n"
        "os.seteuid(0)\n"
        "os.unlink(path); os.rmdir(own); os.rmdir(folder)\n"
    )

    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(conf.code)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=20, check=False
    )

    assert "kind='denied'" in done.stdout, done


def test_a_tmux_that_talks_nonsense_is_a_failure_not_an_empty_list(
    conf: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, script in enumerate(["exit 0", "echo nonsense", "echo broken >&2; exit 1", "kill -9 $$"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "tmux").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "tmux").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

        assert unknown(conf).kind == "failed", script


def test_names_with_newlines_and_separators_forge_no_windows(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "notes", "-n", "plain", *FOREVER)
    first = pane_of(conf, "%0")
    forged = f"x\n@9,$9,%9,1,1,,,,,1,1\t\x1f,é → 🦊 #{{pid}} %% {first.window_id}."
    shell("set-option", "-w", "-t", "%0", "@agent", forged)
    shell("rename-window", "-t", "@0", "--", forged)

    answer = seen(conf)

    assert [pane.pane_id for pane in answer.panes] == ["%0"]
    assert answer.panes[0].agent == forged
    assert "🦊" in answer.panes[0].window


def test_the_answer_agrees_with_libtmux(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "one", "-n", "a", *FOREVER)
    shell("new-session", "-d", "-s", "two", "-n", "b", *FOREVER)
    shell("split-window", "-d", "-t", "=two:", *FOREVER)

    oracle = libtmux.Server(socket_name=conf.tmux_socket)

    def row(pane: Any) -> tuple[object, ...]:
        return (pane.pane_id, pane.window_id, pane.session_id, int(pane.pane_pid), pane.session_name, pane.window_name)

    ours = {(p.pane_id, p.window_id, p.session_id, p.pid, p.session, p.window) for p in seen(conf).panes}
    assert ours == {row(pane) for pane in oracle.panes}


def test_places_are_all_but_what_panes_show(conf: Settings, shell: Tmux) -> None:
    tmux.open_window(conf, "worker-a", command=FOREVER, suite="suite-1")
    shell("new-session", "-d", "-s", "notes", *FOREVER)

    places = tmux.observe_places(conf)

    assert places == dataclasses.replace(
        seen(conf), panes=tuple(dataclasses.replace(pane, command="", title="") for pane in seen(conf).panes)
    )


def test_a_server_without_sessions_is_seen_to_hold_nothing(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "notes", *FOREVER, ";", "set-option", "-s", "exit-empty", "off")
    shell("kill-session", "-t", "=notes")

    assert seen(conf).panes == ()


def test_a_server_that_came_after_another_has_another_name(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "notes", *FOREVER)
    first = seen(conf)
    shell("kill-server")
    eventually(lambda: isinstance(tmux.observe(conf), Unknown))
    eventually(lambda: started(shell))

    second = seen(conf)

    assert first.server != second.server
    assert first.panes[0].pane_id == second.panes[0].pane_id


def started(shell: Tmux) -> bool:
    try:
        shell("new-session", "-d", "-s", "notes", *FOREVER)
    except subprocess.CalledProcessError:
        return False
    return True


# -- opening ----------------------------------------------------------------------------------------------------------


def test_an_opened_window_is_tagged_and_its_process_marked(conf: Settings, tmp_path: Path) -> None:
    pane = tmux.open_window(
        conf, "worker-a", command=FOREVER, cwd=tmp_path, environment={"COLOUR": "blue"}, suite="suite-1"
    )

    assert (pane.session, pane.window, pane.agent, pane.suite, pane.session_suite) == (
        "cmux",
        "worker-a",
        "worker-a",
        "suite-1",
        "suite-1",
    )
    assert pane == dataclasses.replace(pane_of(conf, pane.pane_id), activity=pane.activity, command=pane.command)
    marks = eventually(lambda: environment_of(pane.pid).get("CMUX_AGENT_ID") and environment_of(pane.pid))
    assert marks["CMUX_AGENT_ID"] == "worker-a"
    assert marks["CMUX_SUITE_ID"] == "suite-1"
    assert marks["COLOUR"] == "blue"
    assert Path(f"/proc/{pane.pid}/cwd").resolve() == tmp_path.resolve()


def test_our_markers_reach_neither_the_server_nor_the_users_own_panes(
    conf: Settings, shell: Tmux, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CMUX_SUITE_ID", "CMUX_PORT", "SUPERVISOR_PROCESS_NAME", "TMUX_PANE"):
        monkeypatch.setenv(name, "leaked")

    tmux.open_window(conf, "worker-a", command=FOREVER, suite="suite-1", environment={"SECRET": "s"})

    names = {line.partition("=")[0] for line in shell("show-environment", "-g").splitlines()}
    assert not {name for name in names if name.startswith(("CMUX_", "SUPERVISOR_", "TMUX_P"))}
    private = int(shell("new-session", "-d", "-s", "notes", "-P", "-F", "#{pane_pid}", *FOREVER))
    eventually(lambda: "TMUX" in environment_of(private))
    assert not {name for name in environment_of(private) if name.startswith(("CMUX_", "SUPERVISOR_", "SECRET"))}
    beside = int(shell("new-window", "-d", "-t", "=cmux:", "-P", "-F", "#{pane_pid}", *FOREVER))
    eventually(lambda: "TMUX" in environment_of(beside))
    assert "CMUX_AGENT_ID" not in environment_of(beside)
    assert "SECRET" not in environment_of(beside)


def test_the_server_that_we_start_is_nobodys_child_and_adopts_its_own_orphans(conf: Settings, tmp_path: Path) -> None:
    orphan = f"trap '' HUP; (setsid sh -c 'echo $$ > {tmp_path}/orphan; exec sleep 1000' &)"

    tmux.open_window(conf, "worker-a", command=orphan)

    server = processes.read(seen(conf).server_pid)
    assert server
    assert processes.is_tmux_server(server)
    assert os.getpid() not in processes.ancestors(server.pid, processes.table())
    left = int(eventually(lambda: written(tmp_path / "orphan")))
    eventually(lambda: parent_of(left) == server.pid, but=lambda: parent_of(left))
    os.kill(left, signal.SIGKILL)


def parent_of(pid: int) -> int | None:
    process = processes.read(pid)
    return process.ppid if process else None


def test_a_tmux_conf_that_ends_empty_servers_keeps_no_window_from_opening(
    conf: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".tmux.conf").write_text("set -s exit-empty on\nset -g base-index 5\n")
    monkeypatch.setenv("HOME", str(tmp_path))

    pane = tmux.open_window(conf, "worker-a", command=FOREVER, suite="s-1")

    assert (pane.window, pane.window_index) == ("worker-a", 5)


def test_agents_live_on_while_nobody_looks_whatever_a_tmux_conf_says(
    conf: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = (
        "set -g destroy-unattached on\nset -g exit-unattached on\nset -g remain-on-exit on\n"
        "set -g default-shell /no/such/shell\nsetw -g pane-base-index 3\nset -g renumber-windows on\n"
        "set-hook -g after-new-window 'rename-window hooked'\nset-hook -g session-created 'rename-session -t : user'\n"
    )
    (tmp_path / ".tmux.conf").write_text(odd)
    monkeypatch.setenv("HOME", str(tmp_path))

    opened = [tmux.open_window(conf, name, command=FOREVER, suite="s-1").pane_id for name in ("a", "b")]

    clock.wait_until(lambda: isinstance(tmux.observe(conf), Unknown), within_s=0.5)  # it would end within that
    assert [(pane.pane_id, pane.dead, pane.agent) for pane in seen(conf).panes] == [
        (opened[1], False, "b"),
        (opened[0], False, "a"),
    ]


def test_people_in_windows_do_not_get_the_umask_of_daemons(conf: Settings, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tmux.open_window(conf, "worker-a", command=f"umask > {tmp_path}/mask; exec sleep 1000")
    finally:
        os.umask(before)

    assert eventually(lambda: (tmp_path / "mask").exists() and (tmp_path / "mask").read_text()).strip() == "0022"


def test_a_name_that_is_taken_is_refused_whoever_took_it(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "cmux", "-n", "worker-a", *FOREVER)

    # For an instant the new process still is tmux itself.
    with pytest.raises(NameTaken, match=r"cmux:worker-a is taken: @0 runs (sleep|tmux)"):
        tmux.open_window(conf, "worker-a", command=FOREVER)

    assert windows(conf) == [("cmux", "worker-a")]


def test_a_name_that_begins_like_another_is_free(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "cmux-notes", "-n", "worker-10", *FOREVER)

    tmux.open_window(conf, "worker-10", command=FOREVER)
    tmux.open_window(conf, "worker-1", command=FOREVER)

    assert sorted(windows(conf)) == [("cmux", "worker-1"), ("cmux", "worker-10"), ("cmux-notes", "worker-10")]


def test_many_at_once_all_open_in_one_session(conf: Settings) -> None:
    code = "import sys; from daemons import settings, tmux; tmux.open_window(settings.load(), sys.argv[1])"
    env = os.environ | {"CMUX_HOME": str(conf.home), "CMUX_TMUX_SOCKET": str(conf.tmux_socket)}
    env["PYTHONPATH"] = str(conf.code)

    openers = [subprocess.Popen([sys.executable, "-c", code, f"w{n}"], env=env) for n in range(6)]

    assert [opener.wait(timeout=30) for opener in openers] == [0] * 6
    assert sorted(windows(conf)) == [("cmux", f"w{n}") for n in range(6)]


def test_names_of_any_script_are_kept(conf: Settings) -> None:
    for name in ("परीक्षक", "рабочий-1", "测试"):
        assert tmux.open_window(conf, name, command=FOREVER).window == name


def test_a_window_in_a_session_of_the_users_leaves_the_session_his(conf: Settings, shell: Tmux) -> None:
    shell("new-session", "-d", "-s", "cmux", "-n", "mine", *FOREVER)

    pane = tmux.open_window(conf, "worker-a", command=FOREVER, suite="suite-1")

    assert (pane.suite, pane.session_suite) == ("suite-1", "")
    assert shell("display-message", "-p", "-t", "=cmux:", "#{window_name}") == "mine"
    assert pane_of(conf, "%0").suite == ""


def test_another_session_is_named_before_a_colon(conf: Settings) -> None:
    pane = tmux.open_window(conf, "cmux-team:worker.a:2", command=FOREVER)

    assert (pane.session, pane.window, pane.agent) == ("cmux-team", "worker.a:2", "cmux-team:worker.a:2")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a.b:c",
        ":x",
        "x:",
        "-t",
        "=cmux",
        "@1",
        "$1",
        "#{pid}",
        "#(touch x)",
        "a\nb",
        "a" * 129,
        "a;b",
        "s:#x",
        "é\x1b",
    ],
)
def test_names_that_tmux_would_change_or_obey_are_refused(conf: Settings, name: str) -> None:
    with pytest.raises(ValueError, match="agent"):
        tmux.open_window(conf, name)

    assert unknown(conf).kind == "no_server"


@pytest.mark.parametrize(
    "words", [("a;",), (";",), ("\\;", "$HOME", "#{pid}", "#(id)", "a b", "'\"", "-x", "{", "é 🦊")]
)
def test_arguments_arrive_as_they_were_given(conf: Settings, tmp_path: Path, words: tuple[str, ...]) -> None:
    script = 'for word; do printf "%s\\n" "$word"; done > ' + str(tmp_path / "words")

    tmux.open_window(conf, "worker-a", command=("sh", "-c", script, "sh", *words))

    assert eventually(lambda: written(tmp_path / "words")).splitlines() == list(words)


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_lone_program_with_a_space_in_its_path_is_not_split(conf: Settings, tmp_path: Path) -> None:
    program = tmp_path / "my program"
    program.write_text(f"#!/bin/sh\necho ran > {tmp_path}/ran\nexec sleep 1000\n")
    program.chmod(0o755)

    tmux.open_window(conf, "worker-a", command=(str(program),))

    assert eventually(lambda: written(tmp_path / "ran")) == "ran\n"


def test_a_folder_whose_name_is_a_format_is_only_a_folder(conf: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "#(touch ran) #{pid} ##["
    folder.mkdir()

    pane = tmux.open_window(conf, "worker-a", command=FOREVER, cwd=folder)

    eventually(lambda: Path(f"/proc/{pane.pid}/cwd").resolve() == folder.resolve())
    assert not list(tmp_path.rglob("ran"))


def test_a_folder_that_does_not_exist_is_refused(conf: Settings) -> None:
    with pytest.raises(ValueError, match="not a folder"):
        tmux.open_window(conf, "worker-a", cwd=conf.home / "nowhere")


@pytest.mark.parametrize("command", ["", " ", (), ("a\0b",)])
def test_a_command_that_is_none_is_refused(conf: Settings, command: tmux.Command) -> None:
    with pytest.raises(ValueError, match="command"):
        tmux.open_window(conf, "worker-a", command=command)


@pytest.mark.parametrize(
    ("script", "status", "number"), [("exit 3", 3, None), ("exit 0", 0, None), ("kill -9 $$", None, 9)]
)
def test_a_command_that_ends_at_once_leaves_its_exit_status(
    conf: Settings, script: str, status: int | None, number: int | None
) -> None:
    opened = tmux.open_window(conf, "worker-a", command=("sh", "-c", script))

    ended = eventually(lambda: dead(conf, opened.pane_id))
    assert (ended.dead_status, ended.dead_signal) == (status, number)
    assert ended.dead_at


def test_tmux_missing_the_end_of_a_process_hides_no_exit_status(conf: Settings) -> None:
    tmux.open_window(conf, "worker-a", command=FOREVER)

    for number in range(40):  # without a second look one in ten stays without
        opened = tmux.open_window(conf, f"quick-{number}", command="echo hi; exit 3")
        assert eventually(lambda opened=opened: dead(conf, opened.pane_id)).dead_status == 3


def dead(conf: Settings, pane_id: str) -> Pane | None:
    pane = pane_of(conf, pane_id)
    return pane if pane.dead else None


def test_a_window_whose_command_has_ended_makes_room_for_the_next_of_its_name(conf: Settings) -> None:
    first = tmux.open_window(conf, "worker-a", command="exit 1")
    eventually(lambda: dead(conf, first.pane_id))

    second = tmux.open_window(conf, "worker-a", command=FOREVER)

    assert [pane.pane_id for pane in seen(conf).panes] == [second.pane_id]


def test_opening_on_a_stopped_server_says_so(conf: Settings, shell: Tmux, frozen: Callable[[], None]) -> None:
    shell("new-session", "-d", "-s", "notes", *FOREVER)
    frozen()

    with pytest.raises(TmuxUnavailable) as raised:
        tmux.open_window(conf, "worker-a")

    assert raised.value.unknown.kind == "timeout"


def test_opening_right_after_the_server_was_killed_works(conf: Settings, shell: Tmux) -> None:
    for _ in range(5):
        tmux.open_window(conf, "worker-a", command=FOREVER)
        shell("kill-server")

    assert tmux.open_window(conf, "worker-a", command=FOREVER).window == "worker-a"


# -- ending -----------------------------------------------------------------------------------------------------------


def test_the_last_window_may_go_and_tmux_can_still_be_asked(conf: Settings) -> None:
    pane = tmux.open_window(conf, "worker-a", command=FOREVER, suite="s-1")

    assert tmux.end_window(conf, pane.window_id)

    assert seen(conf).panes == ()
    tmux.release_server(conf, "another")
    assert seen(conf).panes == ()
    tmux.release_server(conf, "s-1")
    assert eventually(lambda: unknown_kind(conf)) == "no_server"


def unknown_kind(conf: Settings) -> str | None:
    answer = tmux.observe(conf)
    return answer.kind if isinstance(answer, Unknown) else None


def test_a_pane_beside_an_ended_one_stays(conf: Settings, shell: Tmux) -> None:
    pane = tmux.open_window(conf, "worker-a", command=FOREVER)
    shell("split-window", "-d", "-t", pane.pane_id, *FOREVER)

    assert tmux.end_pane(conf, pane.pane_id)

    assert [left.window_id for left in seen(conf).panes] == [pane.window_id]


def test_a_released_server_stays_while_the_user_has_sessions_in_it(conf: Settings, shell: Tmux) -> None:
    pane = tmux.open_window(conf, "worker-a", command=FOREVER, suite="s-1")
    shell("new-session", "-d", "-s", "cmux-notes", *FOREVER)

    assert tmux.end_session(conf, pane.session_id, server=seen(conf).server)
    tmux.release_server(conf, "s-1")

    assert [pane.session for pane in seen(conf).panes] == ["cmux-notes"]


def test_ids_of_an_earlier_server_end_nothing(conf: Settings, shell: Tmux) -> None:
    tmux.open_window(conf, "worker-a", command=FOREVER)
    earlier = seen(conf).server
    shell("kill-server")
    pane = tmux.open_window(conf, "worker-b", command=FOREVER)

    assert not tmux.end_window(conf, pane.window_id, server=earlier)
    assert not tmux.end_session(conf, pane.session_id, server=earlier)

    assert windows(conf) == [("cmux", "worker-b")]


def test_ending_what_is_not_there_is_no_error(conf: Settings) -> None:
    tmux.open_window(conf, "worker-a", command=FOREVER)

    assert not tmux.end_window(conf, "@77")
    assert not tmux.end_session(conf, "$77")


@pytest.mark.parametrize("name", ["cmux", "=cmux", "@1 ; kill-server", "", "@"])
def test_only_ids_can_be_ended(conf: Settings, name: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        tmux.end_window(conf, name)
    with pytest.raises(ValueError, match="not an id"):
        tmux.end_session(conf, name)


# -- typing -----------------------------------------------------------------------------------------------------------


def test_text_is_typed_as_it_is(conf: Settings) -> None:
    pane = tmux.open_window(conf, "worker-a", command=("cat",))

    tmux.send_text(conf, pane.pane_id, "#(id) -l $HOME é;", server=seen(conf).server)

    eventually(lambda: "#(id) -l $HOME é;" in shown(conf, pane))


def shown(conf: Settings, pane: Pane) -> str:
    lines = tmux.last_lines(conf, pane)
    assert isinstance(lines, str)
    return lines


def test_text_with_escapes_is_refused(conf: Settings) -> None:
    with pytest.raises(ValueError, match="control"):
        tmux.send_text(conf, "%0", "a\x1b[201~\nrm -rf x")


def test_text_for_an_earlier_server_is_typed_nowhere(conf: Settings) -> None:
    pane = tmux.open_window(conf, "worker-a", command=("cat",))

    with pytest.raises(TmuxUnavailable):
        tmux.send_text(conf, pane.pane_id, "hello", server="1@1")

    assert "hello" not in shown(conf, pane)
    assert isinstance(tmux.last_lines(conf, dataclasses.replace(pane, server="1@1")), Unknown)
