from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Cmux, eventually

from daemons import agents, files, tmux
from daemons.agents import Done, Step, environments
from daemons.registry import Registry
from daemons.settings import Settings
from daemons.tmux import TmuxUnavailable, Unknown

FOREVER = ["sleep", "300"]


@pytest.fixture
def registry(conf: Settings) -> Registry:
    return Registry(conf)


def lose_tmux(conf: Settings) -> None:
    subprocess.run(["tmux", "-L", str(conf.tmux_socket), "kill-server"], capture_output=True, check=False)
    eventually(lambda: isinstance(tmux.observe(conf), Unknown))


def permanent(conf: Settings, registry: Registry, name: str, **how: Any) -> dict[str, Any]:
    return dict(agents.open_agent(conf, registry, name, **{"command": FOREVER, "permanent": True, **how}))


def recovered(conf: Settings, registry: Registry) -> dict[str, Done]:
    return {one.step.agent_id: one for one in agents.recover(conf, registry)}


def planned(conf: Settings, registry: Registry) -> dict[str, Step]:
    return {step.agent_id: step for step in agents.plan(conf, registry)}


def environment_of(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def windows(conf: Settings) -> list[str]:
    answer = tmux.observe(conf)
    return sorted(pane.window for pane in answer.panes) if isinstance(answer, tmux.Seen) else []


def test_permanent_agents_come_back_with_command_folder_and_environment(conf: Settings, registry: Registry) -> None:
    (conf.home / "api").mkdir()
    permanent(conf, registry, "web", cwd="api", environment={"PORT": "8100", "WORDS": "a  b;c"}, agent_type="server")
    permanent(conf, registry, "line", command="exec sleep 299")
    agents.open_agent(conf, registry, "passing", command=FOREVER)
    lose_tmux(conf)

    done = recovered(conf, registry)

    assert {name: one.step.action for name, one in done.items()} == {"web": "open", "line": "open"}
    entry = registry.snapshot().agents["web"]
    assert entry["pid"] == done["web"].pid
    assert (entry["command"], entry["cwd"], entry["type"]) == (FOREVER, str(conf.home / "api"), "server")
    found = eventually(lambda: "PORT" in (now := environment_of(entry["pid"])) and now)
    assert (found["PORT"], found["WORDS"]) == ("8100", "a  b;c")
    assert os.readlink(f"/proc/{entry['pid']}/cwd") == str(conf.home / "api")
    line = registry.snapshot().agents["line"]["pid"]
    eventually(lambda: Path(f"/proc/{line}/cmdline").read_bytes() == b"sleep\x00299\x00")
    assert windows(conf) == ["line", "web"]


def test_what_runs_is_left_alone_however_often_it_is_asked(conf: Settings, registry: Registry) -> None:
    first = permanent(conf, registry, "web")

    for _ in range(3):
        assert recovered(conf, registry)["web"].step.action == "runs"

    assert registry.snapshot().agents["web"]["pid"] == first["pid"]
    assert windows(conf) == ["web"]


def test_a_kill_half_way_leaves_what_the_next_call_finishes(conf: Settings, registry: Registry) -> None:
    for name in ("a", "b", "c"):
        permanent(conf, registry, name)
    lose_tmux(conf)

    steps = agents.recover(conf, registry)
    assert next(steps).pid
    steps.close()  # type: ignore[attr-defined]

    assert {name: step.action for name, step in planned(conf, registry).items()} == {
        "a": "runs",
        "b": "open",
        "c": "open",
    }
    recovered(conf, registry)
    assert windows(conf) == ["a", "b", "c"]


def test_a_window_that_was_opened_and_never_registered_is_not_opened_twice(conf: Settings, registry: Registry) -> None:
    entry = permanent(conf, registry, "web")
    lose_tmux(conf)
    tmux.open_window(conf, "web", command=tuple(FOREVER))

    assert planned(conf, registry)["web"].action == "runs"
    recovered(conf, registry)

    assert windows(conf) == ["web"]
    assert registry.snapshot().agents["web"]["pane_id"] == entry["pane_id"]  # the registry service notes the new one


def test_what_was_meant_to_end_stays_ended(conf: Settings, registry: Registry) -> None:
    permanent(conf, registry, "done", command="true")
    permanent(conf, registry, "failed", command="exit 3")
    permanent(conf, registry, "meant")
    registry.update("meant", {"expected": "stopped"})
    eventually(
        lambda: {step.agent_id for step in agents.plan(conf, registry) if step.action != "runs"} >= {"done", "failed"}
    )
    lose = registry.snapshot().agents["meant"]
    os.kill(lose["pid"], signal.SIGKILL)
    eventually(lambda: planned(conf, registry)["meant"].action == "stopped")

    actions = {name: step.action for name, step in planned(conf, registry).items()}

    assert actions == {"done": "stopped", "failed": "open", "meant": "stopped"}


def test_nobody_is_brought_back_while_tmux_can_not_be_asked(conf: Settings, registry: Registry) -> None:
    permanent(conf, registry, "web")
    seen = tmux.observe(conf)
    assert isinstance(seen, tmux.Seen)
    os.kill(seen.server_pid, signal.SIGSTOP)
    try:
        step = planned(conf, registry)["web"]
    finally:
        os.kill(seen.server_pid, signal.SIGCONT)

    assert step.action == "stuck"
    assert "no answer" in step.reason


def test_an_agent_whose_process_lives_on_without_a_window_is_not_doubled(conf: Settings, registry: Registry) -> None:
    ready = conf.home / "ready"
    entry = permanent(conf, registry, "web", command=f"trap '' HUP; touch {ready}; for i in 1 2 3; do sleep 100; done")
    eventually(ready.exists)
    lose_tmux(conf)

    step = planned(conf, registry)["web"]
    os.kill(entry["pid"], signal.SIGKILL)

    assert (step.action, f"pid {entry['pid']}, still runs" in step.reason) == ("stuck", True)
    eventually(lambda: planned(conf, registry)["web"].action == "open")


def test_what_can_not_be_as_it_was_is_told(conf: Settings, registry: Registry) -> None:
    (conf.home / "api").mkdir()
    permanent(conf, registry, "homeless", cwd="api")
    permanent(conf, registry, "spoilt", environment={"A": "1"})
    agents.open_agent(conf, registry, "user", command=FOREVER)
    registry.unregister("user")
    agents.adopt_agent(conf, registry, "cmux:user")
    registry.update("user", {"permanent": True})
    permanent(conf, registry, "strange")
    registry.update("strange", {"command": {"rm": "-rf"}})
    (conf.home / "api").rmdir()
    for file in (conf.state / "environments").iterdir():
        file.write_text("{")
    lose_tmux(conf)

    steps = planned(conf, registry)

    assert {name: step.action for name, step in steps.items()} == dict.fromkeys(
        ("homeless", "spoilt", "strange", "user"), "stuck"
    )
    assert "api is not there" in steps["homeless"].reason
    assert "environment" in steps["spoilt"].reason
    assert "its command is not known" in steps["user"].reason
    assert "its command is not known" in steps["strange"].reason


def test_one_that_ends_again_and_again_is_not_brought_back_for_ever(conf: Settings, registry: Registry) -> None:
    permanent(conf, registry, "web", command="exit 3")
    actions = []
    for _ in range(7):
        eventually(lambda: planned(conf, registry)["web"].action != "runs")
        actions.append(recovered(conf, registry)["web"].step.action)

    assert actions == ["open"] * 5 + ["wait"] * 2


def test_a_try_that_was_killed_before_it_opened_anything_keeps_nobody_waiting(
    conf: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    permanent(conf, registry, "web")
    lose_tmux(conf)
    with monkeypatch.context() as killed:
        killed.setattr("daemons.agents.recovery.open_agent", die)
        with pytest.raises(KeyboardInterrupt):
            recovered(conf, registry)

    assert recovered(conf, registry)["web"].pid


def test_what_could_not_be_opened_says_why_and_does_not_count(
    conf: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TmuxUnavailable(Unknown("failed", "no space for a window"))

    permanent(conf, registry, "web")
    lose_tmux(conf)
    with monkeypatch.context() as full:
        full.setattr("daemons.agents.recovery.open_agent", refuse)
        problems = [recovered(conf, registry)["web"].problem for _ in range(6)]

    assert problems == ["no space for a window"] * 6
    assert recovered(conf, registry)["web"].pid


def test_only_what_was_given_to_a_permanent_agent_is_kept_and_only_for_its_user(
    conf: Settings, registry: Registry
) -> None:
    permanent(conf, registry, "web", environment={"TOKEN": "s3cret"})
    agents.open_agent(conf, registry, "passing", command=FOREVER, environment={"TOKEN": "s3cret"})

    (kept,) = (conf.state / "environments").iterdir()
    assert json.loads(kept.read_bytes()) == {"agent_id": "web", "environment": {"TOKEN": "s3cret"}}
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    others = [path for path in conf.state.rglob("*") if path.is_file() and path != kept]
    assert [path for path in others if b"s3cret" in path.read_bytes()] == []

    agents.end_agent(conf, registry, "web")
    assert not kept.exists()


def test_what_nobody_registered_needs_is_removed_after_a_while(conf: Settings) -> None:
    environments.keep(conf, "gone", {"A": "1"})
    environments.keep(conf, "here", {"A": "2"})
    environments.keep(conf, "opening", {"A": "3"})
    for file in (conf.state / "environments").iterdir():
        if b"opening" not in file.read_bytes():
            os.utime(file, (0, 0))

    environments.forget_others(conf, {"here"})

    assert [environments.kept(conf, name) for name in ("gone", "here", "opening")] == [{}, {"A": "2"}, {"A": "3"}]


@pytest.mark.parametrize("environment", [{"A=B": "1"}, {"": "1"}, {"1A": "1"}, {"A": "x\0y"}])
def test_names_and_values_that_no_program_could_be_given_are_refused(
    conf: Settings, registry: Registry, environment: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"environment name|NUL"):
        permanent(conf, registry, "web", environment=environment)

    assert windows(conf) == []


def test_two_at_once_open_each_agent_once(conf: Settings, registry: Registry, cmux: Cmux) -> None:
    permanent(conf, registry, "web")
    lose_tmux(conf)

    with files.lock(conf.run_dir / "recover.lock"):
        refused = cmux("recover", "--apply")

    assert refused.returncode == 1
    assert windows(conf) == []


# -- the command ------------------------------------------------------------------------------------------------------


def test_plan_and_apply_print_the_same_list(conf: Settings, registry: Registry, cmux: Cmux) -> None:
    permanent(conf, registry, "web", environment={"PORT": "8100"})
    permanent(conf, registry, "tests", command="exec sleep 298")
    lose_tmux(conf)
    permanent(conf, registry, "runs")

    plan = cmux("recover", "--json")
    text = cmux("recover", "--plan").stdout
    apply = cmux("recover", "--apply", "--json")
    again = cmux("recover", "--apply")

    told = [json.loads(each.stdout)["agents"] for each in (plan, apply)]
    pids = [one.pop("pid") for one in told[1]]
    assert told[0] == [{**one, "pid": None} for one in told[1]]
    assert [bool(pid) for pid in pids] == [False, True, True]  # runs, tests, web
    assert (plan.returncode, apply.returncode, again.returncode) == (0, 0, 0)
    assert "would bring back 2 agents" in text
    assert "PORT" in text
    assert "8100" not in text + plan.stdout + apply.stdout
    assert "nothing to bring back" in again.stdout
    assert windows(conf) == ["runs", "tests", "web"]


def test_after_a_stop_the_next_start_says_what_can_be_brought_back(conf: Settings, cmux: Cmux) -> None:
    try:
        assert cmux("start").returncode == 0
        cmux("agents", "new", "web", "--permanent", "--env", "A=1", "--", *FOREVER)
        cmux("stop")
        told = cmux("start").stdout
        back = cmux("recover", "--apply")
    finally:
        cmux("stop")

    assert "bring back 1 permanent agent" in told
    assert "opened, pid" in back.stdout


def test_what_can_not_be_brought_back_is_exit_code_3(conf: Settings, registry: Registry, cmux: Cmux) -> None:
    (conf.home / "api").mkdir()
    permanent(conf, registry, "web", cwd="api")
    (conf.home / "api").rmdir()
    lose_tmux(conf)

    for words in (("recover",), ("recover", "--apply")):
        told = cmux(*words)
        assert told.returncode == 3
        assert "is not there" in told.stdout


def test_a_variable_without_a_value_is_the_one_that_you_have(conf: Settings, registry: Registry, cmux: Cmux) -> None:
    words = ("agents", "new", "web", "--permanent", "--env", "TOKEN", "--env", "A=b=c", "--", *FOREVER)
    cmux(*words, TOKEN="s3cret")
    refused = cmux("agents", "new", "other", "--env", "NOT_THERE", "--", *FOREVER)

    pid = registry.snapshot().agents["web"]["pid"]
    found = eventually(lambda: "A" in (now := environment_of(pid)) and now)
    assert (found["TOKEN"], found["A"]) == ("s3cret", "b=c")
    assert (refused.returncode, "you have no such variable" in refused.stderr) == (2, True)
