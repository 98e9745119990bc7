"""One look at everything in one tmux server: a complete answer, or Unknown."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daemons import processes
from daemons.settings import Settings
from daemons.text import decode, safe
from daemons.tmux.command import (
    ANOTHER_SERVER,
    PANE_ID,
    SESSION_ID,
    WINDOW_ID,
    Answer,
    Unknown,
    on_server,
    run,
)
from daemons.tmux.presence import socket_path

LOOK_TIMEOUT_S = 3.0
_SERVER = re.compile(r"\d+@\d+")
_LISTENS = "00010000"


@dataclass(frozen=True, slots=True)
class Pane:
    """One pane as tmux tells it. Its texts are by strangers: make them safe before showing them.

    *dead*: its command has ended, and nothing of it is left but how. *agent* and *suite* are tags that `open_window`
    left; *session_suite* only that of the session. Times are Unix seconds; *activity* is the window's last output.
    *server* names the life of its server (`pid@start`): ids mean something only together with it.
    """

    session: str
    session_id: str
    window: str
    window_id: str
    window_index: int
    pane_id: str
    pid: int
    dead: bool
    dead_status: int | None
    dead_signal: int | None
    dead_at: int | None
    activity: int
    command: str
    title: str
    agent: str
    suite: str
    session_suite: str
    server: str

    @property
    def is_uncollected(self) -> bool:
        """Its command has ended, and how is not known (yet)."""
        return self.dead and self.dead_status is None and self.dead_signal is None


@dataclass(frozen=True, slots=True)
class Seen:
    """A complete answer of one tmux server; *server* names its life (`pid@start`)."""

    server: str
    panes: tuple[Pane, ...]

    @property
    def server_pid(self) -> int:
        return int(self.server.partition("@")[0])


# Ids and numbers first, where no text of others can stand; then the texts, between marks that are drawn anew for each
# call: window names may hold newlines and anything else, but not a number that nobody knew when they were given.
_NUMBERS = (
    "window_id",
    "session_id",
    "pane_id",
    "pane_pid",
    "window_index",
    "pane_dead",
    "pane_dead_status",
    "pane_dead_signal",
    "pane_dead_time",
    "window_activity",
)
_PLACE = ("session_name", "window_name", "@agent", "@cmux_window", "@cmux")
_SHOWN = ("pane_current_command", "pane_title")


def _never() -> bool:
    return False


def observe(
    conf: Settings, *, timeout_s: float = LOOK_TIMEOUT_S, give_up: Callable[[], bool] = _never
) -> Seen | Unknown:
    """All panes of the server that *conf* names, from one tmux call, or why that could not be known.

    Never raises, never starts a server, hardly ever takes longer than *timeout_s*; ends soon after *give_up* says yes.
    A server without any session is Seen with no panes.
    """
    return _observe(conf, (*_PLACE, *_SHOWN), timeout_s, give_up)


def observe_places(
    conf: Settings, *, timeout_s: float = LOOK_TIMEOUT_S, give_up: Callable[[], bool] = _never
) -> Seen | Unknown:
    """Like `observe`, with empty commands and titles: to find those costs tmux a third of the time."""
    return _observe(conf, _PLACE, timeout_s, give_up)


def _observe(conf: Settings, texts: Sequence[str], timeout_s: float, give_up: Callable[[], bool]) -> Seen | Unknown:
    def look(*first: Sequence[str]) -> Seen | Unknown:
        mark = os.urandom(8).hex()
        commands = (*first, head(mark), ("list-sessions", "-F", mark), ("list-panes", "-a", "-F", row(mark, texts)))
        answer = run(conf, *commands, timeout_s=timeout_s, give_up=give_up)
        return _with_lost_server(conf, answer) if isinstance(answer, Unknown) else _parsed(answer, mark)

    seen = look()
    if isinstance(seen, Seen) and any(pane.is_uncollected for pane in seen.panes):
        # tmux misses the end of a process that falls into its call of utempter (1 of 10 commands that end at once),
        # and notices with the next one: give it one, and wait for that.
        seen = look(("run-shell", ":"))
    return seen


def _parsed(answer: Answer, mark: str) -> Seen | Unknown:
    try:
        return _understood(answer, mark)
    except ValueError:
        beginning = safe(answer.out[:80], one_line=True)
        return Unknown("failed", f"tmux gave an answer that cannot be understood: {beginning!r}")


def _understood(answer: Answer, mark: str) -> Seen | Unknown:
    if answer.code != 0 and not answer.out:
        return answer.unknown()
    server, *rows, _end = answer.out.split(f"{mark}\n")
    # `list-panes -a` is refused when there is no session to start from; that list-sessions gave none proves the rest.
    if answer.code != 0 and (rows or not answer.error.startswith("no current target")):
        return answer.unknown()
    checked_server(server)
    return Seen(server, tuple(pane_from(row, mark, server) for row in rows if row))


def _with_lost_server(conf: Settings, unknown: Unknown) -> Unknown:
    """*unknown*, and whether there is a server that only lost its socket file (`rm -rf /tmp/*` does that)."""
    pid = _listening_without_a_file(socket_path(conf)) if unknown.kind == "no_server" else None
    if pid is None:
        return unknown
    reason = f"tmux's socket {socket_path(conf)} was removed, but its server lives: `kill -USR1 {pid}` brings it back"
    return Unknown("no_server", reason, lost_server=pid)


def _listening_without_a_file(path: Path) -> int | None:
    if path.exists():
        return None
    rows = decode(Path("/proc/net/unix").read_bytes()).splitlines() if Path("/proc/net/unix").exists() else []
    # `0000000000000000: 00000002 00000000 00010000 0001 01 12345 /tmp/tmux-0/default`
    cells = [row.split(maxsplit=7) for row in rows]
    inodes = [int(cell[6]) for cell in cells if len(cell) == 8 and cell[3] == _LISTENS and cell[7] == str(path)]
    pids = [pid for holders in processes.holders(inodes).values() for pid in holders] if inodes else []
    return pids[0] if pids else None


def head(mark: str) -> tuple[str, ...]:
    """The command that names the server."""
    return ("display-message", "-p", f"#{{pid}}@#{{start_time}}{mark}")


def checked_server(text: str) -> str:
    if not _SERVER.fullmatch(text):
        raise ValueError(text)
    return text


def row(mark: str, texts: Sequence[str] = (*_PLACE, *_SHOWN)) -> str:
    numbers = ",".join(f"#{{{name}}}" for name in _NUMBERS)
    return mark.join([numbers, *(f"#{{{name}}}" for name in texts)]) + mark


def pane_from(row: str, mark: str, server: str) -> Pane:
    """One row as a Pane. ValueError when it is none."""
    numbers, *texts = row.split(mark)
    pane = _pane(numbers, tuple(texts), server)
    return _still_living(pane) if pane.is_uncollected else pane


@functools.lru_cache(maxsize=1024)
def _pane(numbers: str, texts: tuple[str, ...], server: str) -> Pane:
    """Kept, because a look every two seconds finds nearly all rows as they were."""
    session, window, agent, window_suite, session_suite, *shown = texts
    command, title = shown or ("", "")
    window_id, session_id, pane_id, *rest = numbers.split(",")
    if not (WINDOW_ID.fullmatch(window_id) and SESSION_ID.fullmatch(session_id) and PANE_ID.fullmatch(pane_id)):
        raise ValueError(numbers)
    pid, index, dead, status, signal, dead_at, activity = (int(n) if n else None for n in rest)
    if pid is None:
        raise ValueError(numbers)
    return Pane(
        session=session,
        session_id=session_id,
        window=window,
        window_id=window_id,
        window_index=index or 0,
        pane_id=pane_id,
        pid=pid,
        dead=bool(dead),
        dead_status=status if dead else None,
        dead_signal=signal if dead else None,
        dead_at=dead_at if dead else None,
        activity=activity or 0,
        command=command,
        title=title,
        agent=agent,
        suite=window_suite or session_suite,
        session_suite=session_suite,
        server=server,
    )


def _still_living(pane: Pane) -> Pane:
    """*pane*, which tmux calls dead: its terminal is closed, and that says nothing about its process."""
    process = processes.read(pane.pid)
    lives = process is not None and not process.ended
    return replace(pane, dead=False, dead_at=None) if lives else pane


def last_lines(conf: Settings, pane: Pane, *, lines: int = 100) -> str | Unknown:
    """The last *lines* lines that *pane* shows, its history included. Text by strangers."""
    answer = on_server(conf, pane.server, f"capture-pane -p -J -t {pane.pane_id} -S -{lines:d}")
    if isinstance(answer, Unknown):
        return answer
    return answer.unknown() if answer.code != 0 or answer.out.startswith(ANOTHER_SERVER) else answer.out.rstrip()
