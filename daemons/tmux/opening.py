"""Opening an agent's window: where it goes, what it is marked with, and what stays when its command ends."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemons import clock, files, processes
from daemons.settings import Settings
from daemons.text import safe
from daemons.tmux.command import CHANGE_TIMEOUT_S, TmuxUnavailable, Unknown, client, environment, run
from daemons.tmux.ending import end_window
from daemons.tmux.look import Pane, Seen, checked_server, head, observe, pane_from, row

Command = tuple[str, ...] | str | None

_TRIES = 8
_SERVER_UP_S = 3.0


class NameTaken(Exception):
    """A window of that name is open in that session."""


def place(conf: Settings, agent_id: str) -> tuple[str, str]:
    """The session and window name where an agent lives: `name` in the main session, `session:name` in that one.

    ValueError, saying what is allowed, for what tmux would quietly turn into another name.
    """
    session, colon, window = agent_id.partition(":")
    if not colon:
        session, window = conf.session, agent_id
    if "." in session:
        raise ValueError(f"session {session!r} of agent {agent_id!r} holds a '.': tmux has no such sessions; use '-'")
    if not (_is_name(session) and _is_name(window)):
        raise ValueError(
            f"agent {agent_id!r} names no window; allowed: name or session:name, each of 1-128 letters, digits and "
            ". _ : / @ + -, starting with a letter or digit"
        )
    return session, window


def _is_name(text: str) -> bool:
    # No '#', so never a format; no quote, no space, no control character. Marks (M…) are parts of letters.
    plain = all(char in "._:/@+-" or char.isalnum() or unicodedata.category(char)[0] == "M" for char in text)
    return plain and 0 < len(text) <= 128 and text[0].isalnum()


def open_window(
    conf: Settings,
    name: str,
    *,
    command: Command = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    suite: str | None = None,
) -> Pane:
    """Open a window for the agent *name* (see `place`) without switching anybody's view to it.

    A tuple is run as it is, a string by tmux's default shell, None is that shell itself; in the folder *cwd* (default:
    the home), with *environment* and the markers CMUX_SUITE_ID and CMUX_AGENT_ID added. A session or server that is
    missing is started, without our markers: every pane of the user's would inherit the server's. The window stays when
    its command ends. One that stayed so under this name is replaced.

    Raises NameTaken, TmuxUnavailable, ValueError for a name, folder or command that tmux could not take.
    """
    session, window = place(conf, name)
    suite = suite or conf.suite_id or ""
    marks = {**(environment or {}), "CMUX_SUITE_ID": suite, "CMUX_AGENT_ID": name}
    new = _New(session, window, name, suite, _arguments(command), _folder(cwd or conf.home), marks)
    files.private_dir(conf.run_dir)
    # Looking whether the name is free and taking it are two tmux calls: only one opener at a time.
    with files.lock(conf.run_dir / "tmux.lock", timeout_s=CHANGE_TIMEOUT_S):
        return _open(conf, new)


@dataclass(frozen=True, slots=True)
class _New:
    session: str
    window: str
    agent: str
    suite: str
    arguments: tuple[str, ...]
    cwd: Path
    marks: Mapping[str, str]

    def options(self) -> list[str]:
        marks = [word for key, value in self.marks.items() for word in ("-e", f"{key}={value}")]
        return ["-n", self.window, *marks, "--", *self.arguments]


def _arguments(command: Command) -> tuple[str, ...]:
    if command is None:
        return ()
    # tmux gives a lone argument to a shell, even where the caller meant a program's path.
    words = (command,) if isinstance(command, str) else command
    if isinstance(command, tuple) and len(words) == 1:
        words = (shlex.quote(words[0]),)
    if not words or not words[0].strip() or any("\0" in word for word in words):
        raise ValueError(f"command {command!r} is none: give a program and its arguments, without NUL characters")
    return words


def _folder(cwd: Path) -> Path:
    if not cwd.is_dir():
        raise ValueError(f"cwd {str(cwd)!r} is not a folder; tmux would silently use another one")
    return cwd


# Another program may have made the session or taken the index at the same moment.
_AGAIN = re.compile(r"duplicate session|index \d+ in use|can't find (session|window)")


def _open(conf: Settings, new: _New) -> Pane:
    our_server = False
    unknown = Unknown("failed", "tmux opened no window")
    for attempt in range(_TRIES):
        seen = observe(conf)
        if isinstance(seen, Unknown) and seen.kind == "no_server" and not seen.lost_server and not our_server:
            our_server = True
            seen = _started_server(conf)
        if isinstance(seen, Unknown) and (seen.kind != "no_server" or seen.lost_server):
            # Beside a server that lost its socket a second one would hide all windows of the first for good. One that
            # is leaving looks the same for a moment.
            opened: Pane | Unknown = seen
        else:
            opened = _opened(conf, new, seen, our_server=our_server)
        if isinstance(opened, Pane):
            return opened
        unknown = opened
        if unknown.kind != "no_server" and not _AGAIN.search(unknown.reason):
            break
        clock.pause(0.05 * (attempt + 1))
    raise TmuxUnavailable(unknown)


def _opened(conf: Settings, new: _New, seen: Seen | Unknown, *, our_server: bool) -> Pane | Unknown:
    panes = seen.panes if isinstance(seen, Seen) else ()
    ended = _ended_of_the_same_name(new, panes)
    mark = os.urandom(8).hex()
    answer = run(conf, *_opening(new, panes, mark, our_server=our_server), cwd=new.cwd)
    if isinstance(answer, Unknown):
        return answer
    if answer.code != 0:
        return answer.unknown()
    server, opened, _end = answer.out.split(f"{mark}\n")
    for pane in ended:
        # After the new window is open: ending a session's only window would end the session, perhaps the server.
        end_window(conf, pane.window_id, server=pane.server)
    return pane_from(opened, mark, checked_server(server))


# A supervised program has 077; what people do in windows is not the suite's state and gets the usual mask.
_SERVER_SHELL = 'umask 022; cd /; exec "$@"'


def _started_server(conf: Settings) -> Seen | Unknown:
    """Start a server that is nobody's child (`start_apart`) and wait until it answers.

    Where it does not come up so (a tmux.conf that ends a server without sessions), the next command starts one.
    """
    server = [*client(conf), "-D"]
    processes.start_apart(["sh", "-c", _SERVER_SHELL, "sh", *server], environment())
    clock.wait_until(lambda: isinstance(observe(conf), Seen), within_s=_SERVER_UP_S)
    return observe(conf)


def _ended_of_the_same_name(new: _New, panes: Iterable[Pane]) -> list[Pane]:
    """Our windows of that name whose command has ended. NameTaken when there is any other of that name."""
    same = [pane for pane in panes if (pane.session, pane.window) == (new.session, new.window)]
    for pane in same:
        if not (pane.dead and pane.agent == new.agent):
            runs = f"runs {safe(pane.command, one_line=True)}, pid {pane.pid}"
            what = "has ended but stays open" if pane.dead else runs
            raise NameTaken(f"window {new.session}:{new.window} is taken: {pane.window_id} {what}")
    return same


def _opening(new: _New, panes: Sequence[Pane], mark: str, *, our_server: bool) -> list[Sequence[str]]:
    """One sequence, so that nothing comes between the new window and its options: tmux runs it in one go, and a
    command that ends within a millisecond still leaves its exit status."""
    there = [pane for pane in panes if pane.session == new.session]
    if there:
        # A place that is free now; taken meanwhile, tmux refuses. The only target that no name can imitate.
        target = f"{there[0].session_id}:{max(pane.window_index for pane in there) + 1}"
        commands: list[Sequence[str]] = [("new-window", "-d", "-t", target, *new.options())]
    else:
        target = f"={new.session}:"
        commands = [("new-session", "-d", "-s", new.session, *new.options())]
        # `-e` marks the session, and by it every later window of it: right for the suite, wrong for one agent.
        commands += [("set-environment", "-t", target, "-u", key) for key in new.marks if key != "CMUX_SUITE_ID"]
        commands += [("set-option", "-t", target, "@cmux", new.suite)]
        # Agents work while nobody looks, whatever a tmux.conf says of sessions that nobody looks at.
        commands += [("set-option", "-t", target, "destroy-unattached", "off")]
    if our_server:
        # Else the server ends with the last window, and nobody can say any more what became of it.
        commands += [("set-option", "-s", "exit-empty", "off"), ("set-option", "-s", "@cmux_server", new.suite)]
        commands += [("set-option", "-s", "exit-unattached", "off")]
    return [
        *commands,
        head(mark),
        ("set-option", "-w", "-t", target, "remain-on-exit", "on"),
        ("set-option", "-w", "-t", target, "@cmux_window", new.suite),
        ("set-option", "-w", "-t", target, "@agent", new.agent),
        ("list-panes", "-t", target, "-F", row(mark)),
    ]
