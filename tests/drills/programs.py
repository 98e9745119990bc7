"""Three real command-line programs, registered by the installed hooks, one of them killed in the middle of its work.

    python -m tests.drills programs 1

Windows as a person opens them, in a tmux of their own: an interactive bash with the shell hook, sqlite3 through `cmux
hook program`, and Claude Code with its hooks (`claude` from PATH or DRILL_CLAUDE; without it, node's prompt through
`cmux hook program`). Its model can't be reached, so Claude Code is at work for minutes: it tries again. It is killed;
the two others end as they should. What people and the mailbox see is printed, and counted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemons import agents, clock, mailbox, settings
from daemons.registry import Registry
from tests.conftest import free_port
from tests.drills.homes import TmuxHome, tmux_home
from tests.drills.report import Report

WITHIN_S = 30.0
QUIET_S = 5.0
HOOK = settings.CODE / "scripts" / "cmux-hook"


class Desk:
    """A person at a terminal: tmux windows, the command `cmux`, and what they show."""

    def __init__(self, home: TmuxHome) -> None:
        self._home = home
        self.conf = home.conf
        self.folder = home.conf.home

    def cmux(self, *words: str, shows: bool = False) -> str:
        command = [sys.executable, "-m", "daemons.cli", *words]
        done = subprocess.run(
            command, env=self._home.environ, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        if shows:
            print(f"\n$ cmux {' '.join(words)}\n{done.stdout}{done.stderr}", flush=True)
        return done.stdout

    def opens(self, window: str, line: str) -> None:
        has_session = "cmux" in self._home.shell("list-sessions", "-F", "#{session_name}").splitlines()
        place = ("new-window", "-d", "-t", "=cmux:") if has_session else ("new-session", "-d", "-s", "cmux")
        self._home.shell(*place, "-n", window, "-c", str(self.folder), f"exec {line}")

    def types(self, window: str, line: str) -> None:
        # A word that ends in `;` would end tmux's command.
        word = f"{line[:-1]}\\;" if line.endswith(";") else line
        self._home.shell("send-keys", "-t", f"=cmux:{window}", "-l", "--", word)
        self._home.shell("send-keys", "-t", f"=cmux:{window}", "Enter")

    def sees(self, window: str) -> str:
        return self._home.shell("capture-pane", "-p", "-J", "-S", "-50", "-t", f"=cmux:{window}")

    def entries(self) -> dict[str, Any]:
        return dict(Registry(self.conf).snapshot().agents)

    def is_running(self, agent_id: str) -> bool:
        state = agents.last_observed(self.conf).get(agent_id, {}).get("state")
        return state in ("running", "registered") and isinstance(self.entries().get(agent_id, {}).get("pid"), int)

    def told(self) -> list[str]:
        found = (each.message for each in mailbox.of(self.conf).after(None))
        return [message.subject for message in found if message and message.sender.startswith("system:")]


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """A home with the API and the registry service; all that it started is ended."""
    with tmux_home(folder, CMUX_PORT=str(free_port()), CMUX_ALERT_COOLDOWN="0") as home:
        daemons = [home.python("-m", f"daemons.{name}") for name in ("api", "registry_service")]
        try:
            clock.wait_until((home.conf.run_dir / "api.sock").exists, within_s=WITHIN_S)
            yield Desk(home)
        finally:
            for daemon in daemons:
                daemon.terminate()
            for daemon in daemons:
                daemon.wait()


def with_shell(one: Desk) -> str:
    """An interactive bash that reads the file into which the hook was installed; its id."""
    rc = one.folder / "bashrc"
    one.cmux("hook", "install", "shell", "--file", str(rc), shows=True)
    one.opens("shell", f"bash --noprofile --rcfile {shlex.quote(str(rc))} -i")
    found = clock.wait_until(lambda: [name for name in one.entries() if name.startswith("shell-")], within_s=WITHIN_S)
    return found[0] if found else "shell"


def with_program(one: Desk, agent_id: str, *words: str) -> str:
    """A program through the line that `cmux hook program` gives; its id."""
    line = one.cmux("hook", "program", agent_id, "--", *words, shows=True).strip()
    one.opens(agent_id, line)
    return agent_id


def with_claude(one: Desk, claude: str) -> str:
    """Claude Code in a folder into which its hooks were installed, at work on what it can't finish; its id."""
    project = one.folder / "project"
    project.mkdir()
    one.cmux(
        "hook",
        "install",
        "claude",
        "--agent",
        "claude",
        "--file",
        str(project / ".claude/settings.local.json"),
        shows=True,
    )
    own = {
        "HOME": str(one.folder / "user"),
        "ANTHROPIC_API_KEY": "sk-none",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    (one.folder / "user").mkdir()
    words = shlex.join(["env", "-C", str(project), *(f"{name}={value}" for name, value in own.items()), claude])
    one.opens("claude", f"{words} -p 'Read every file here and say what it does.'")
    return "claude"


def opened(one: Desk) -> tuple[str, str, str]:
    """The ids of the shell, of the program that goes on, and of the one that will be killed."""
    claude = os.environ.get("DRILL_CLAUDE") or shutil.which("claude")
    one.cmux("mail", "send", "db", "are the tables there?")
    shell, database = with_shell(one), with_program(one, "db", "sqlite3", str(one.folder / "some.db"))
    worker = with_claude(one, claude) if claude else with_program(one, "node", "node", "-i")
    one.types("db", "create table words (word text); select 'ready';")
    if not claude:
        one.types("node", "setInterval(() => 0, 1000)")
    return shell, database, worker


def day(one: Desk, report: Report) -> None:
    shell, database, worker = opened(one)
    for agent_id in (shell, database, worker):
        runs = clock.wait_until(lambda name=agent_id: one.is_running(name), within_s=WITHIN_S)
        report.count("registered by its hook", "" if runs else f"{agent_id} is not there: {one.entries()}")
    _mail_reaches_the_shell(one, shell, report)
    one.cmux("agents", shows=True)
    _killed(one, worker, report)
    one.cmux("agents", shows=True)
    one.cmux("mail", shows=True)
    one.cmux("alerts", shows=True)
    _ended_as_they_should(one, (shell, database), report)


def _mail_reaches_the_shell(one: Desk, shell: str, report: Report) -> None:
    one.cmux("mail", "send", shell, "please run the tests")
    seen = None
    for _ in range(10):  # a hook that gets no answer in 40 ms leaves it to the next prompt
        one.types("shell", "echo a command")
        seen = seen or clock.wait_until(lambda: "please run the tests" in one.sees("shell"), within_s=3)
        if seen:
            break
    print(f"\nin the shell's window:\n{one.sees('shell')}", flush=True)
    report.count("mail is shown at its prompt", "" if seen else f"{shell} was shown no mail")


def _killed(one: Desk, worker: str, report: Report) -> None:
    began = clock.monotonic()
    os.kill(one.entries()[worker]["pid"], signal.SIGKILL)
    print(f"\n{worker} is killed", flush=True)
    clock.wait_until(one.told, within_s=WITHIN_S, every_s=0.01)
    report.most("seconds until it was told", round(clock.monotonic() - began, 2))
    clock.wait_until(lambda: len(one.told()) > 1, within_s=QUIET_S)
    told = one.told()
    is_right = len(told) == 1 and f"'{worker}' missing" in told[0]
    report.count("the one that was killed is told once", "" if is_right else f"told: {told}")
    report.count("it stays registered", "" if worker in one.entries() else f"{worker} is gone from the registry")


def _ended_as_they_should(one: Desk, ids: tuple[str, str], report: Report) -> None:
    shell, database = ids
    before = one.told()
    one.types("shell", "exit")
    one.types("db", ".quit")
    gone = clock.wait_until(lambda: not {shell, database} & set(one.entries()), within_s=WITHIN_S)
    clock.wait_until(lambda: one.told() != before, within_s=QUIET_S)
    new = one.told()[len(before) :]
    wrong = "" if gone and not new else f"left: {sorted(one.entries())}, told: {new}"
    report.count("those that end as they should are told to nobody", wrong)
    one.cmux("agents", shows=True)


def run(rounds: int, folder: Path) -> Report:
    """*rounds* such days."""
    report = Report("programs")
    for number in range(rounds):
        with desk(folder / str(number)) as one:
            day(one, report)
    return report
