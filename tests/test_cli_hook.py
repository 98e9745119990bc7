"""`cmux hook`: what it writes into whose file, and that nothing of theirs is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Start, eventually

from daemons import agents, settings
from daemons.alerts import all_open
from daemons.registry import Registry
from daemons.settings import Settings

HOOK = str(settings.CODE / "scripts" / "cmux-hook")
Cmux = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cmux(conf: Settings, environ: dict[str, str]) -> Cmux:
    def run(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [str(settings.CODE / "scripts" / "cmux"), *words]
        own = {**environ, **extra}
        return subprocess.run(command, env=own, cwd=conf.home, capture_output=True, text=True, check=False)

    return run


def commands(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (event, each["command"])
        for event, groups in told["hooks"].items()
        for group in groups
        for each in group["hooks"]
    ]


def test_claudes_hooks_are_added_beside_those_that_are_there_and_removed_alone(cmux: Cmux, conf: Settings) -> None:
    theirs = {
        "model": "x",
        "hooks": {"Stop": [{"matcher": "*", "hooks": [{"type": "command", "command": "say done"}]}]},
    }
    path = conf.home / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text(json.dumps(theirs))

    assert cmux("hook", "install", "claude", "--agent", "worker-a").returncode == 0
    assert cmux("hook", "install", "claude", "--agent", "worker-a").returncode == 0  # twice is once

    told = json.loads(path.read_text())
    assert told["model"] == "x"
    assert ("Stop", "say done") in commands(told)
    ours = [(event, command) for event, command in commands(told) if HOOK in command]
    assert ("SessionStart", f"{HOOK} start {conf.home} worker-a") in ours
    assert ("SessionEnd", f"{HOOK} stop {conf.home} worker-a") in ours
    assert len(ours) == len(set(ours)) == 8

    assert cmux("hook", "remove", "claude").returncode == 0
    assert json.loads(path.read_text()) == theirs


@pytest.mark.parametrize("content", ["{", "[]", '{"hooks": 1}', '{"hooks": {"Stop": [{}]}}'])
def test_a_file_that_is_not_understood_is_left_as_it_is(cmux: Cmux, conf: Settings, content: str) -> None:
    path = conf.home / "settings.json"
    path.write_text(content)

    refused = cmux("hook", "install", "claude", "--file", str(path))

    assert refused.returncode == 1
    assert "nothing was changed" in refused.stderr
    assert path.read_text() == content


def test_codex_gets_one_notify_before_its_tables(cmux: Cmux, conf: Settings) -> None:
    path = conf.home / "codex" / "config.toml"
    path.parent.mkdir()
    path.write_text('[tui]\ntheme = "dark"\n')

    assert cmux("hook", "install", "codex", CODEX_HOME=str(path.parent)).returncode == 0

    told = tomllib.loads(path.read_text())
    assert told == {"notify": [HOOK, "turn", str(conf.home)], "tui": {"theme": "dark"}}
    assert cmux("hook", "remove", "codex", CODEX_HOME=str(path.parent)).returncode == 0
    assert path.read_text() == '[tui]\ntheme = "dark"\n'


def test_a_notify_of_the_users_own_is_not_replaced(cmux: Cmux, conf: Settings) -> None:
    path = conf.home / "config.toml"
    path.write_text('notify = ["mine"]\n')

    refused = cmux("hook", "install", "codex", "--file", str(path))

    assert (refused.returncode, path.read_text()) == (1, 'notify = ["mine"]\n')
    assert "notify of its own" in refused.stderr


def test_the_lines_for_a_shell_are_a_shells_and_come_out_again(cmux: Cmux, conf: Settings) -> None:
    rc = conf.home / "rc"
    rc.write_text("export MINE=1")

    assert cmux("hook", "install", "shell", "--file", str(rc)).returncode == 0
    checked = subprocess.run(["bash", "-n", rc], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert cmux("hook", "remove", "shell", "--file", str(rc)).returncode == 0

    assert rc.read_text() == "export MINE=1\n"


def test_a_shell_that_registered_itself_is_known_by_its_own_process_and_window(
    cmux: Cmux, conf: Settings, start: Start
) -> None:
    rc = conf.home / "rc"
    cmux("hook", "install", "shell", "--file", str(rc))
    start("api")
    start("registry_service", CMUX_AGENTS_INTERVAL="0.2")
    eventually(lambda: (conf.run_dir / "api.sock").exists(), 15)
    tmux = ["tmux", "-u", "-f", "/dev/null", "-L", str(conf.tmux_socket)]
    shell = f"exec bash --noprofile --rcfile {rc} -i"
    subprocess.run([*tmux, "new-session", "-d", "-s", "user", "-n", "mine", shell], check=True, cwd=conf.home)
    registry = Registry(conf)

    (agent_id,) = eventually(lambda: list(registry.snapshot().agents), 15)
    pane = subprocess.run([*tmux, "list-panes", "-a", "-F", "#{pane_pid}"], check=True, capture_output=True, text=True)
    assert agent_id == f"shell-{pane.stdout.strip()}"
    seen = eventually(lambda: agents.last_observed(conf).get(agent_id))
    assert (seen["state"], "user:mine" in seen["evidence"]) == ("running", True)
    # Windows of one name are common: none of them is this shell's next life.
    subprocess.run([*tmux, "new-window", "-d", "-n", "mine", "sleep 300"], check=True)

    os.kill(registry.snapshot().agents[agent_id]["pid"], signal.SIGKILL)

    eventually(lambda: [alert.subject for alert in all_open(conf)] == [agent_id])


def test_a_dry_run_shows_and_changes_nothing(cmux: Cmux, conf: Settings) -> None:
    done = cmux("hook", "install", "claude", "--dry-run")

    assert "SessionStart" in done.stdout
    assert not (conf.home / ".claude").exists()


def test_the_line_for_any_program_can_be_run(cmux: Cmux, conf: Settings) -> None:
    line = cmux("hook", "program", "tool", "--", "echo", "it's here").stdout.splitlines()[0]

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, env=dict(os.environ))

    assert done.stdout == "it's here\n"


def test_a_link_to_the_file_stays_one(cmux: Cmux, conf: Settings) -> None:
    rc, link = conf.home / "dotfiles-rc", conf.home / "rc"
    rc.write_text("a\n")
    link.symlink_to(rc)

    assert cmux("hook", "install", "shell", "--file", str(link)).returncode == 0

    assert Path(link).is_symlink()
    assert "cmux hook" in rc.read_text()
