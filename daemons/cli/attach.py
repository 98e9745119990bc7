"""`cmux attach`: become tmux, at the session of the agents."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from daemons import settings, tmux
from daemons.cli.command import DONE, MISSING, NOT_RUNNING, Refused
from daemons.cli.screen import Screen
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux attach", "go there; Ctrl-b d comes back"),
    ("cmux attach worker-a", "straight to the window of that agent"),
    ("$(cmux attach --print)", "the tmux command itself, for a script"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", nargs="?", metavar="AGENT", help="the agent to look at")
    parser.add_argument("--print", action="store_true", help="print the command instead of running it")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    command = _command(conf, options.agent)
    if options.print or screen.as_json:
        screen.say(shlex.join(command))
        screen.answer({"command": command})
        return DONE
    if not sys.stdin.isatty():
        raise Refused(f"attach needs a terminal; run it in one, or run: {shlex.join(command)}")
    return _become(command)


def _become(command: list[str]) -> NoReturn:
    os.execvp(command[0], command)  # noqa: S606  # tmux takes this process's place, and with it the terminal


def _command(conf: Settings, agent: str | None) -> list[str]:
    """The tmux command that shows the main session, or the agent's window. Ids and exact names only."""
    seen = tmux.observe(conf)
    if isinstance(seen, tmux.Unknown):
        raise Refused(*_cannot_look(seen))
    pane = _pane(conf, seen, agent) if agent else None
    session = pane.session if pane else conf.session
    if session not in {other.session for other in seen.panes}:
        raise Refused(f"there is no tmux session {session!r}; open an agent first: cmux agents new NAME", NOT_RUNNING)
    attach = [*tmux.attach_command(conf)[:-1], f"={session}:"]
    inside = settings.child_environment().get("TMUX", "")
    if inside.split(",")[1:2] == [str(seen.server_pid)]:
        # tmux refuses to attach inside itself; the view of the client that stands there is switched instead.
        attach[attach.index("attach-session")] = "switch-client"
    elif inside:
        # Another server, or one that is gone: there is no client of ours whose view could be switched.
        attach = ["env", "-u", "TMUX", *attach]
    return [*attach, ";", "select-window", "-t", pane.window_id] if pane else attach


def _cannot_look(unknown: tmux.Unknown) -> tuple[str, int]:
    if unknown.kind == "absent":
        return unknown.reason, MISSING
    if unknown.kind == "no_server":
        return "no tmux server runs, so there is no agent to look at; open one: cmux agents new NAME", NOT_RUNNING
    return f"tmux cannot be asked: {unknown.reason}", 1


def _pane(conf: Settings, seen: tmux.Seen, agent: str) -> tmux.Pane:
    session, window = tmux.place(conf, agent)
    for pane in seen.panes:
        if pane.agent == agent or (pane.session, pane.window) == (session, window):
            return pane
    raise Refused(f"no window of agent {agent!r} is open; see: cmux agents", NOT_RUNNING)
