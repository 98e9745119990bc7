"""`cmux recover --apply`, killed at random moments after tmux was lost: each agent comes back once, as it was.

    python -m tests.drills recover 10

A round: eight permanent agents, each with a command, a folder and a variable of its own, and one that is not permanent;
tmux is killed; recover is killed some times in the middle of its work, then left to finish. What is so is read from
/proc and from tmux itself: every agent in one living window, its process with that command, folder and variable.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from daemons import agents, clock
from daemons.registry import Registry
from tests.drills.homes import TmuxHome, tmux_home
from tests.drills.report import Report

NAMES = tuple(f"p{number}" for number in range(8))
KILLS = 3
LEFT_S = 300


def cmux(home: TmuxHome, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a command and what it answered."""
    command = [sys.executable, "-m", "daemons.cli", *words, "--json"]
    done = subprocess.run(command, env=home.environ, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def fill(home: TmuxHome) -> None:
    registry = Registry(home.conf)
    for number, name in enumerate(NAMES):
        (home.conf.home / name).mkdir()
        agents.open_agent(
            home.conf,
            registry,
            name,
            command=["sleep", str(LEFT_S - number)],
            cwd=name,
            environment={"WHO": name},
            permanent=True,
        )
    agents.open_agent(home.conf, registry, "passing", command=["sleep", str(LEFT_S)])


def lose_tmux(home: TmuxHome) -> None:
    home.shell("kill-server")
    clock.wait_until(lambda: not home.shell("list-sessions"), within_s=5)


def wrong_of(home: TmuxHome) -> str:
    """What is not as it was; nothing when all is."""
    rows = home.shell("list-panes", "-a", "-F", "#{window_name} #{pane_dead} #{pane_pid}").splitlines()
    living = [(name, int(pid)) for name, dead, pid in (row.split() for row in rows) if dead == "0"]
    if sorted(name for name, _ in living) != list(NAMES):
        return f"windows: {sorted(name for name, _ in living)}"
    found = [wrong for name, pid in living if (wrong := _wrong_process(home, name, pid))]
    return "; ".join(found)


def _wrong_process(home: TmuxHome, name: str, pid: int) -> str:
    proc = Path(f"/proc/{pid}")
    words = proc.joinpath("cmdline").read_bytes().split(b"\0")
    is_right_command = words[:2] == [b"sleep", str(LEFT_S - NAMES.index(name)).encode()]
    is_right_folder = proc.joinpath("cwd").resolve() == home.conf.home / name
    has_variable = f"WHO={name}".encode() in proc.joinpath("environ").read_bytes().split(b"\0")
    whole = is_right_command and is_right_folder and has_variable
    return "" if whole else f"{name}: command {is_right_command}, folder {is_right_folder}, variable {has_variable}"


def round_of(home: TmuxHome, report: Report, chance: random.Random) -> None:
    fill(home)
    lose_tmux(home)
    _, plan = cmux(home, "recover", "--plan")
    report.count("the plan names each permanent agent", _wrong_plan(plan))
    for _ in range(KILLS):
        child = home.python("-m", "daemons.cli", "recover", "--apply")
        clock.pause(chance.uniform(0.1, 0.7))
        child.kill()
        child.wait()
    began = clock.monotonic()
    code, told = cmux(home, "recover", "--apply")
    report.most("seconds for the last apply", round(clock.monotonic() - began, 2))
    report.add("opened by the last apply", sum(one["pid"] is not None for one in told["agents"]))
    settled = clock.wait_until(lambda: not wrong_of(home), within_s=5)
    report.count("killed half-way, it goes on", "" if settled and code == 0 else f"code {code}, {wrong_of(home)}")
    code, again = cmux(home, "recover", "--apply")
    opened = [one["agent_id"] for one in again["agents"] if one["action"] != "runs"]
    report.count("again, it does nothing", "" if code == 0 and not opened else f"again: code {code}, {opened}")


def _wrong_plan(plan: dict[str, Any]) -> str:
    found = [one["agent_id"] for one in plan["agents"] if one["action"] == "open"]
    return "" if found == list(NAMES) else f"planned: {found}"


def run(rounds: int, folder: Path) -> Report:
    """*rounds* homes, each with a lost tmux and a recover that is killed three times."""
    report, chance = Report("recover"), random.Random()
    for number in range(rounds):
        with tmux_home(folder / str(number)) as home:
            round_of(home, report, chance)
    return report
