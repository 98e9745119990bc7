from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from daemons import agents, processes, suite, tmux
from daemons.agents import Look, NoSuchAgent, NoSuchWindow, Protected, Sighting
from daemons.files import StorageError
from daemons.journal import Journal
from daemons.registry import InvalidAgent, Registry
from daemons.settings import Settings
from daemons.tmux import NameTaken, Seen, TmuxUnavailable, Unknown

FOREVER = ["sleep", "1000"]
NOW = datetime(2026, 1, 31, 18, 54, tzinfo=UTC)
NO_ANSWER = Unknown("timeout", "tmux gave no answer in 3 s")


@pytest.fixture
def registry(conf: Settings) -> Registry:
    return Registry(conf)


@pytest.fixture
def shell(conf: Settings) -> Callable[..., str]:
    def run(*words: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-L", str(conf.tmux_socket), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    return run


def entries(registry: Registry) -> dict[str, Any]:
    return dict(registry.snapshot().agents)


def seen(conf: Settings) -> Seen:
    answer = tmux.observe(conf)
    assert isinstance(answer, Seen), answer
    return answer


def windows(conf: Settings) -> list[str]:
    answer = tmux.observe(conf)
    return [f"{pane.session}:{pane.window}" for pane in answer.panes] if isinstance(answer, Seen) else []


def sighting(conf: Settings, registry: Registry, agent_id: str) -> Sighting:
    return Look(conf, tmux.observe(conf)).at(agent_id, registry.snapshot().agents[agent_id])


def alive(pid: int) -> bool:
    process = processes.read(pid)
    return process is not None and not process.ended


def number_in(path: Path) -> int:
    return int(eventually(lambda: path.exists() and path.read_text().strip()))


# -- opening ----------------------------------------------------------------------------------------------------------


def test_an_opened_agent_has_a_window_and_an_entry_that_says_where(conf: Settings, registry: Registry) -> None:
    entry = agents.open_agent(conf, registry, "worker-a", command=FOREVER, created_by="cli")

    pane = seen(conf).panes[0]
    assert entries(registry)["worker-a"] == entry
    assert entry["registered_at"]
    assert (entry["session"], entry["window"], entry["pane_id"], entry["window_id"], entry["pid"]) == (
        "cmux",
        "worker-a",
        pane.pane_id,
        pane.window_id,
        pane.pid,
    )
    identity = processes.identify(pane.pid)
    assert identity
    assert entry["pid_started"] == identity.started
    assert entry["tmux_server"] == seen(conf).server
    assert (entry["type"], entry["created_by"], entry["expected"]) == ("worker", "cli", "running")
    assert (entry["command"], entry["cwd"], entry["permanent"]) == (FOREVER, str(conf.home), False)
    assert (pane.agent, pane.suite) == ("worker-a", suite.known_id(conf))
    assert sighting(conf, registry, "worker-a").state == "running"


def test_the_main_sessions_name_is_no_part_of_an_id(conf: Settings, registry: Registry) -> None:
    agents.open_agent(conf, registry, "cmux:worker-a", command=FOREVER)
    agents.open_agent(conf, registry, "cmux-team:worker-a", command=FOREVER)

    assert sorted(entries(registry)) == ["cmux-team:worker-a", "worker-a"]
    assert sorted(windows(conf)) == ["cmux-team:worker-a", "cmux:worker-a"]


def test_a_folder_counts_from_the_home(conf: Settings, registry: Registry) -> None:
    (conf.home / "src").mkdir()

    entry = agents.open_agent(conf, registry, "worker-a", command=FOREVER, cwd="src")

    assert entry["cwd"] == str(conf.home / "src")
    eventually(lambda: Path(f"/proc/{entry['pid']}/cwd").resolve() == conf.home / "src")


def test_a_name_that_is_registered_is_taken_until_its_agent_is_gone(conf: Settings, registry: Registry) -> None:
    first = agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    agents.open_agent(conf, registry, "other", command=FOREVER)
    registry.register("over-http", {}, NOW)

    with pytest.raises(NameTaken, match="'worker-a' is registered"):
        agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    with pytest.raises(NameTaken):
        agents.open_agent(conf, registry, "over-http", command=FOREVER)
    assert sorted(windows(conf)) == ["cmux:other", "cmux:worker-a"]

    tmux.end_window(conf, first["window_id"])
    second = agents.open_agent(conf, registry, "worker-a", command=FOREVER)

    assert second["pane_id"] != first["pane_id"]
    assert second["registered_at"] == first["registered_at"]


def test_a_window_of_the_users_own_takes_the_name_too(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    shell("new-session", "-d", "-s", "cmux", "-n", "worker-a", *FOREVER)

    with pytest.raises(NameTaken):
        agents.open_agent(conf, registry, "worker-a", command=FOREVER)

    assert entries(registry) == {}


def test_what_cannot_be_registered_leaves_no_window(
    conf: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("write", conf.registry, OSError(28, "full"))

    monkeypatch.setattr(registry, "change", full)

    with pytest.raises(StorageError):
        agents.open_agent(conf, registry, "worker-a", command=FOREVER)

    assert windows(conf) == []


def test_bad_names_folders_and_commands_are_refused_before_anything_happens(conf: Settings, registry: Registry) -> None:
    for name in ("", "../x", "a b", "#(id)", "x" * 129):
        with pytest.raises(InvalidAgent):
            agents.open_agent(conf, registry, name)
    with pytest.raises(ValueError, match=r"holds a '\.'"):
        agents.open_agent(conf, registry, "a.b:c")
    with pytest.raises(ValueError, match="not a folder"):
        agents.open_agent(conf, registry, "worker-a", cwd="nowhere")
    with pytest.raises(ValueError, match="command"):
        agents.open_agent(conf, registry, "worker-a", command="")

    assert isinstance(tmux.observe(conf), Unknown)
    assert entries(registry) == {}


def test_no_second_server_is_started_beside_one_whose_socket_was_removed(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    pid, socket = shell("display-message", "-p", "#{pid} #{socket_path}").split()
    Path(socket).unlink()

    with pytest.raises(TmuxUnavailable, match=f"kill -USR1 {pid}"):
        agents.open_agent(conf, registry, "worker-b", command=FOREVER)

    os.kill(int(pid), signal.SIGUSR1)
    eventually(lambda: windows(conf) == ["cmux:worker-a"])


def test_an_agent_of_a_lost_server_can_be_opened_again(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    shell("kill-server")

    agents.open_agent(conf, registry, "worker-a", command=FOREVER)

    assert sighting(conf, registry, "worker-a").state == "running"


# -- adopting ---------------------------------------------------------------------------------------------------------


def test_a_window_that_is_there_already_is_adopted_as_it_is(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    shell("new-session", "-d", "-s", "cmux", "-n", "mine", *FOREVER)
    shell("split-window", "-d", "-t", "=cmux:", *FOREVER)
    shell("new-window", "-d", "-t", "=cmux:", "-n", "worker-a", *FOREVER)

    entry = agents.adopt_agent(conf, registry, "cmux:worker-a")
    named = agents.adopt_agent(conf, registry, "%1", name="beside")

    assert (entry["pane_id"], entry["window"]) == ("%2", "worker-a")
    assert named["pane_id"] == "%1"
    assert sorted(entries(registry)) == ["beside", "worker-a"]
    assert sighting(conf, registry, "beside").state == "running"
    assert seen(conf).panes[2].agent == ""
    with pytest.raises(NameTaken):
        agents.adopt_agent(conf, registry, "%0", name="worker-a")
    for unclear in ("cmux:mine", "cmux:nowhere"):
        with pytest.raises(NoSuchWindow, match="session:window"):
            agents.adopt_agent(conf, registry, unclear)

    agents.end_agent(conf, registry, "beside")

    assert sorted(windows(conf)) == ["cmux:mine", "cmux:worker-a"]


# -- ending -----------------------------------------------------------------------------------------------------------

# A child that ignores SIGHUP, and one that left for a session of its own.
STUBBORN = (
    "trap '' HUP; sh -c 'trap \"\" HUP TERM; echo $$ > child; while :; do sleep 1; done' & "
    "setsid sh -c 'echo $$ > leaver; exec sleep 1000' & wait"
)


def test_ending_an_agent_ends_its_whole_tree_its_window_and_its_entry(conf: Settings, registry: Registry) -> None:
    entry = agents.open_agent(conf, registry, "worker-a", command=STUBBORN)
    agents.open_agent(conf, registry, "other", command=FOREVER)
    child, leaver = number_in(conf.home / "child"), number_in(conf.home / "leaver")

    report = agents.end_agent(conf, registry, "worker-a", by="cli")

    assert {entry["pid"], child, leaver} <= {ended.pid for ended in report.ended}
    assert not any(alive(pid) for pid in (entry["pid"], child, leaver))
    assert report.left == ()
    assert report.window_ended
    assert sorted(entries(registry)) == ["other"]
    assert windows(conf) == ["cmux:other"]


@pytest.fixture
def quick(conf: Settings, environ: dict[str, str]) -> Settings:
    from daemons import settings

    return settings.load(environ | {"CMUX_STOP_GRACE": "0.3"})


def test_intent_is_on_disk_before_anything_is_ended(
    quick: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.open_agent(quick, registry, "worker-a", command=FOREVER)
    at_the_end: list[object] = []

    def look(*_: object, **__: object) -> tuple[()]:
        at_the_end.append(Registry(quick).snapshot().agents["worker-a"]["expected"])
        return ()

    monkeypatch.setattr(processes, "end_tree", look)
    agents.end_agent(quick, registry, "worker-a")

    assert at_the_end == ["stopped"]


def test_an_agent_whose_window_is_gone_still_has_its_leavers_ended(
    quick: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    agents.open_agent(quick, registry, "worker-a", command=STUBBORN)
    agents.open_agent(quick, registry, "other", command=FOREVER)
    leaver = number_in(quick.home / "leaver")
    shell("kill-window", "-t", "=cmux:=worker-a")
    assert alive(leaver)

    report = agents.end_agent(quick, registry, "worker-a")

    assert leaver in {ended.pid for ended in report.ended}
    assert not alive(leaver)
    assert not report.window_ended


def test_a_window_that_we_did_not_open_loses_only_the_agents_pane(
    quick: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    shell("new-session", "-d", "-s", "cmux", "-n", "mine", *FOREVER)
    pane_id, pid = shell("split-window", "-d", "-t", "=cmux:", "-P", "-F", "#{pane_id} #{pane_pid}", *FOREVER).split()
    fields = {"pane_id": pane_id, "pid": int(pid), "session": "cmux", "window": "mine"}
    registry.register("guest", fields, NOW)

    agents.end_agent(quick, registry, "guest")

    assert windows(quick) == ["cmux:mine"]
    assert not alive(int(pid))


def test_an_agent_that_was_only_registered_is_unregistered(conf: Settings, registry: Registry) -> None:
    registry.register("over-http", {"pid": os.getpid(), "pid_started": 1}, NOW)

    report = agents.end_agent(conf, registry, "over-http")

    assert report.ended == ()
    assert entries(registry) == {}


def test_opening_and_ending_leave_a_trace_of_who_did_it(quick: Settings, registry: Registry) -> None:
    agents.open_agent(quick, registry, "worker-a", command=["sleep", "1000"], created_by="ann")
    agents.end_agent(quick, registry, "worker-a", by="bob")

    traces = [(line["actor"], line["event"]) for line in Journal(quick, "test").entries()]
    assert traces == [("ann", "agent.opened"), ("bob", "agent.ended")]


def test_nobody_ends_the_supervisor_or_somebody_unknown(conf: Settings, registry: Registry) -> None:
    registry.register("supervisor", {}, NOW)

    for name in ("supervisor", "cmux:supervisor"):
        with pytest.raises(Protected):
            agents.end_agent(conf, registry, name)
    with pytest.raises(NoSuchAgent):
        agents.end_agent(conf, registry, "nobody")

    assert list(entries(registry)) == ["supervisor"]
    assert "expected" not in entries(registry)["supervisor"]


def test_with_a_stopped_server_the_processes_end_and_the_entry_stays_for_another_try(
    quick: Settings, registry: Registry
) -> None:
    entry = agents.open_agent(quick, registry, "worker-a", command=FOREVER)
    server = seen(quick).server_pid
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(TmuxUnavailable):
            agents.end_agent(quick, registry, "worker-a")
        assert not alive(entry["pid"])
        assert entries(registry)["worker-a"]["expected"] == "stopped"
    finally:
        os.kill(server, signal.SIGCONT)

    agents.end_agent(quick, registry, "worker-a")

    assert entries(registry) == {}
    assert windows(quick) == []


# -- what is so -------------------------------------------------------------------------------------------------------


def test_a_window_that_was_renamed_or_moved_is_the_same_agent(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    entry = agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    agents.open_agent(conf, registry, "other", command=FOREVER)
    shell("new-session", "-d", "-s", "notes", "-n", "n", *FOREVER)

    shell("rename-window", "-t", entry["window_id"], "renamed")
    shell("move-window", "-s", entry["window_id"], "-t", "=notes:")

    found = sighting(conf, registry, "worker-a")
    assert found.state == "running"
    assert found.pane
    assert (found.pane.session, found.pane.window) == ("notes", "renamed")


def test_a_new_window_of_the_old_name_is_a_new_life(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    entry = agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    agents.open_agent(conf, registry, "other", command=FOREVER)
    shell("kill-window", "-t", entry["window_id"])
    assert sighting(conf, registry, "worker-a").state == "gone"

    shell("new-window", "-d", "-t", "=cmux:", "-n", "worker-a", *FOREVER)

    found = sighting(conf, registry, "worker-a")
    assert found.state == "running"
    assert found.pane
    assert found.pane.pane_id != entry["pane_id"]


def test_an_ended_command_tells_how(conf: Settings, registry: Registry) -> None:
    agents.open_agent(conf, registry, "worker-a", command="exit 3")
    agents.open_agent(conf, registry, "worker-b", command="kill -9 $$")

    eventually(lambda: sighting(conf, registry, "worker-a").state == "exited")
    eventually(lambda: sighting(conf, registry, "worker-b").state == "exited")

    assert sighting(conf, registry, "worker-a").evidence == "its command ended with exit status 3"
    assert sighting(conf, registry, "worker-b").evidence == "its command ended by signal 9 (SIGKILL)"


def test_could_not_look_is_not_gone(conf: Settings, registry: Registry, shell: Callable[..., str]) -> None:
    entry = agents.open_agent(conf, registry, "worker-a", command=FOREVER)

    assert Look(conf, NO_ANSWER).at("worker-a", entry).state == "unknown"

    shell("kill-server")
    assert eventually(lambda: Look(conf, tmux.observe(conf)).at("worker-a", entry).state == "unknown")


def test_another_server_with_the_same_ids_knows_nothing_of_the_agent(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    entry = agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    shell("kill-server")
    agents.open_agent(conf, registry, "worker-b", command=FOREVER)
    assert seen(conf).panes[0].pane_id == entry["pane_id"]

    found = Look(conf, tmux.observe(conf)).at("worker-a", entry)

    assert found.state == "unknown"
    assert "was replaced" in found.evidence


def test_who_registered_without_a_window_is_unwatched_until_one_of_his_name_opens(
    conf: Settings, registry: Registry, shell: Callable[..., str]
) -> None:
    registry.register("worker-a", {}, NOW)
    shell("new-session", "-d", "-s", "cmux", "-n", "other", *FOREVER)
    assert sighting(conf, registry, "worker-a").state == "unwatched"
    assert Look(conf, NO_ANSWER).at("worker-a", {}).state == "unwatched"

    shell("new-window", "-d", "-t", "=cmux:", "-n", "worker-a", *FOREVER)

    assert sighting(conf, registry, "worker-a").state == "running"


def test_the_view_shows_entries_beside_what_is_so_and_changes_nothing(conf: Settings, registry: Registry) -> None:
    agents.open_agent(conf, registry, "worker-a", command=FOREVER)
    registry.register("over-http", {"note": "x"}, NOW)
    before = registry.snapshot().etag

    shown = {each["agent_id"]: each for each in agents.view(conf, registry.snapshot(), tmux.observe(conf))}

    assert shown["worker-a"]["observed"]["state"] == "running"
    assert shown["worker-a"]["observed"]["window"] == "cmux:worker-a"
    assert shown["over-http"]["observed"]["state"] == "registered"
    assert shown["over-http"]["note"] == "x"
    assert registry.snapshot().etag == before


def test_without_a_service_nothing_was_observed(conf: Settings) -> None:
    assert agents.last_observed(conf) == {}
