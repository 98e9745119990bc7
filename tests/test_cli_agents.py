"""`cmux agents` and `cmux attach`, in real tmux windows."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import Cmux, Start, answer, eventually

from daemons import agents, clock
from daemons.registry import Registry
from daemons.settings import Settings


def agents_of(cmux: Cmux) -> dict[str, dict[str, object]]:
    listed = answer(cmux("agents", "--json"))["agents"]
    return {agent["agent_id"]: agent["observed"] for agent in listed}


def test_an_agent_is_opened_listed_and_ended(cmux: Cmux) -> None:
    opened = cmux("agents", "new", "worker-a", "--", "sleep", "600")
    assert opened.returncode == 0, opened.stderr
    assert agents_of(cmux)["worker-a"]["state"] == "running"

    ended = cmux("agents", "rm", "worker-a")

    assert ended.returncode == 0, ended.stderr
    assert "worker-a ended: 1 process" in ended.stdout
    assert agents_of(cmux) == {}


def test_an_agent_may_run_a_whole_shell_line(cmux: Cmux, home: Path) -> None:
    cmux("agents", "new", "worker-a", "-c", "echo one > said; exec sleep 600")

    eventually(lambda: (home / "said").exists() and (home / "said").read_text() == "one\n")


def test_ending_an_agent_can_be_tried_first(cmux: Cmux) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 600")

    tried = cmux("agents", "rm", "worker-a", "-n")

    assert "would end worker-a" in tried.stdout
    assert "worker-a" in agents_of(cmux)


def test_an_agent_is_shown_with_all_that_is_known(cmux: Cmux) -> None:
    cmux("agents", "new", "worker-a", "--type", "tester", "--permanent", "-c", "sleep 600")

    shown = cmux("agents", "show", "cmux:worker-a").stdout

    assert "worker-a is running" in shown
    assert re.search(r"type +tester", shown)
    assert re.search(r"registered_at .*ago|just now", shown)


def test_who_was_known_to_be_gone_stays_so_when_tmux_is_lost(cmux: Cmux, conf: Settings) -> None:
    for name in ("gone", "there"):
        cmux("agents", "new", name, "--", "sleep", "300")
    Registry(conf).update("gone", {"status": "missing", "missing_since": "2026-01-31T12:00:00+00:00"})
    subprocess.run(["tmux", "-L", str(conf.tmux_socket), "kill-server"], check=True)

    shown = cmux("agents").stdout

    assert {name: seen["state"] for name, seen in agents_of(cmux).items()} == {"gone": "missing", "there": "unknown"}
    assert "gone since 2026-01-31T12:00:00" in shown
    assert "cmux agents rm NAME" in shown


def test_one_that_has_frozen_is_not_listed_as_running(cmux: Cmux, conf: Settings, start: Start) -> None:
    cmux("agents", "new", "frozen", "--", "sleep", "300")
    Registry(conf).update("frozen", {"ttl": 0.1})
    start("registry_service", CMUX_AGENTS_INTERVAL="0.2")
    eventually(lambda: agents.last_observed(conf).get("frozen", {}).get("state") == "stale", 20)

    shown = cmux("agents").stdout

    assert agents_of(cmux)["frozen"]["state"] == "stale"
    assert "neither heartbeat nor output since" in shown


def test_an_adopted_window_is_called_by_its_id(cmux: Cmux, conf: Settings) -> None:
    tmux = ["tmux", "-f", "/dev/null", "-L", str(conf.tmux_socket)]
    subprocess.run([*tmux, "new-session", "-d", "-s", "mine", "-n", "notes", "sleep 300"], check=True)

    adopted = cmux("agents", "adopt", "mine:notes")

    assert "is agent mine:notes now" in adopted.stdout


def test_columns_in_which_something_stands_are_shown(cmux: Cmux, conf: Settings, start: Start) -> None:
    cmux("agents", "new", "worker-a", "--", "sleep", "300")
    plain = cmux("agents").stdout
    Registry(conf).register("told", {"type": "tool"}, clock.now())
    cmux("mail", "send", "told", "hello")
    beats = {"told": {"at": clock.stamp(clock.now()), "progress": "3/4", "progress_at": clock.stamp(clock.now())}}
    agents.heartbeats_path(conf).write_text(json.dumps(beats))
    start("registry_service", CMUX_AGENTS_INTERVAL="0.2")
    eventually(lambda: "usage" in agents.last_observed(conf).get("worker-a", {}))

    head, *rows = cmux("agents").stdout.splitlines()

    assert plain.split("\n")[0].split() == ["AGENT", "STATE", "WINDOW", "PID", "AGE", "QUIET", "CPU", "MEM", "RUNS"]
    assert all(title in head.split() for title in ("TYPE", "HEARD", "PROGRESS", "MAIL"))
    told = next(row for row in rows if " told " in row)
    worker = next(row for row in rows if "worker-a" in row)
    assert re.search(r"told +registered +tool .* 3/4, \d.* 1 ", told)
    assert re.search(r"worker-a +running +– +cmux:worker-a +\d+ +[\d.]+ s .* \d+ % +[\d.]+ [KM]B +– +sleep", worker)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["new", "../x"], "allowed"),
        (["rm", "nobody"], "no agent 'nobody'"),
        (["rm", "supervisor"], "supervisor"),
        (["new", "a", "--cwd", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_done_with_an_agent_is_said_in_one_line(cmux: Cmux, words: list[str], expected: str) -> None:
    refused = cmux("agents", *words)

    assert refused.returncode == 1
    assert expected in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_name_that_is_taken_is_refused(cmux: Cmux) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 600")

    assert "end it first" in cmux("agents", "new", "worker-a").stderr


def test_without_tmux_agents_are_listed_all_the_same(cmux: Cmux, bare_path: str) -> None:
    shown = cmux("agents", PATH=bare_path)

    assert shown.returncode == 0
    assert "tmux is not installed" in shown.stdout


def test_without_tmux_opening_an_agent_says_what_to_install(cmux: Cmux, bare_path: str) -> None:
    refused = cmux("agents", "new", "worker-a", PATH=bare_path)

    assert refused.returncode == 5
    assert "install" in refused.stderr


def test_attach_is_one_exact_tmux_command(cmux: Cmux, environ: Mapping[str, str]) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 600")

    printed = answer(cmux("attach", "worker-a", "--json"))["command"]

    assert printed[:4] == ["tmux", "-u", "-L", environ["CMUX_TMUX_SOCKET"]]
    assert "=cmux:" in printed


def test_within_tmux_the_view_is_switched_only_where_it_is_that_tmux(cmux: Cmux, conf: Settings) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 300")
    server = Registry(conf).snapshot().agents["worker-a"]["tmux_server"].partition("@")[0]

    same = answer(cmux("attach", "worker-a", "--json", TMUX=f"/tmp/tmux-0/x,{server},0"))["command"]
    dead = answer(cmux("attach", "worker-a", "--json", TMUX="/tmp/dead/socket,1,0"))["command"]

    assert "switch-client" in same
    assert (dead[:4], "attach-session" in dead) == (["env", "-u", "TMUX", "tmux"], True)


def test_attach_without_a_session_says_how_to_get_one(cmux: Cmux) -> None:
    refused = cmux("attach")

    assert refused.returncode == 4
    assert "cmux agents new" in refused.stderr


def test_a_window_that_is_open_already_becomes_an_agent(cmux: Cmux, environ: Mapping[str, str]) -> None:
    make = ["tmux", "-L", environ["CMUX_TMUX_SOCKET"], "new-session", "-d", "-s", "own", "-n", "notes", "sleep 600"]
    subprocess.run(make, check=True)

    adopted = cmux("agents", "adopt", "own:notes")

    assert adopted.returncode == 0, adopted.stderr
    assert agents_of(cmux)["own:notes"]["state"] == "running"
