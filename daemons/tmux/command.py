"""Running the tmux command: one sequence a call, a deadline, an answer or Unknown. Nothing else here starts it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemons import clock
from daemons.settings import Settings, child_environment
from daemons.text import decode, safe

Kind = Literal["absent", "no_server", "timeout", "denied", "failed"]

CHANGE_TIMEOUT_S = 5.0

WINDOW_ID = re.compile(r"@\d+")
SESSION_ID = re.compile(r"\$\d+")
PANE_ID = re.compile(r"%\d+")


@dataclass(frozen=True, slots=True)
class Unknown:
    """tmux could not be asked: why, as one line for a person. Says nothing about what exists.

    *lost_server*: the pid of a server that lives although its socket file is gone, with all its windows.
    """

    kind: Kind
    reason: str
    lost_server: int | None = None


class TmuxUnavailable(Exception):
    """tmux could not be asked or refused; nothing is known to have changed. `.unknown` says why."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.reason)
        self.unknown = unknown


ANOTHER_SERVER = "another tmux server answers"


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    out: str
    error: str

    def unknown(self) -> Unknown:
        """Why tmux said no."""
        return Unknown(_kind(self.error), self.error or self.out.strip() or f"tmux ended with {self.code}")


def run(
    conf: Settings,
    *commands: Sequence[str],
    timeout_s: float = CHANGE_TIMEOUT_S,
    stdin: bytes = b"",
    cwd: Path = Path("/"),
    give_up: Callable[[], bool] = lambda: False,
) -> Answer | Unknown:
    """Run tmux commands as one sequence, until *timeout_s* has passed or *give_up* says so.

    A client that hangs is killed: the server may be stopped for ever.
    """
    try:
        with subprocess.Popen(
            [*client(conf), *_sequence(commands)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=cwd,
        ) as child:
            said = _said(child, stdin, timeout_s, give_up)
    except FileNotFoundError:
        return Unknown("absent", "tmux is not installed (Debian, Ubuntu: apt install tmux; macOS: brew install tmux)")
    except PermissionError as cause:
        return Unknown("denied", f"tmux may not be run: {cause}")
    except OSError as cause:
        return Unknown("failed", f"tmux could not be run: {cause}")
    if said is None:
        return Unknown("timeout", f"tmux gave no answer in {timeout_s:g} s")
    out, errors = said
    error = safe(decode(errors).strip(), one_line=True)
    if child.returncode != 0 and (kind := _kind(error)) != "failed":
        return Unknown(kind, error)
    return Answer(child.returncode, decode(out), error)


_GIVE_UP_WITHIN_S = 0.1


def _said(
    child: subprocess.Popen[bytes], stdin: bytes, timeout_s: float, give_up: Callable[[], bool]
) -> tuple[bytes, bytes] | None:
    """What *child* wrote until it ended. None, and it is killed, when it took too long."""
    deadline = clock.monotonic() + timeout_s
    unsaid: bytes | None = stdin
    try:
        while (left_s := deadline - clock.monotonic()) > 0 and not give_up():
            with suppress(subprocess.TimeoutExpired):
                said, unsaid = unsaid, None  # it goes on with what it was given first
                return child.communicate(said, timeout=min(left_s, _GIVE_UP_WITHIN_S))
    finally:
        if child.returncode is None:
            child.kill()
    return None


# Right after a kill-server the socket still belongs to the one that is leaving.
LEAVING = re.compile(r"server exited|lost server")


def _kind(error: str) -> Kind:
    nobody = error.startswith("no server running on") or "(No such file or directory)" in error or "refused" in error
    if nobody or LEAVING.match(error):
        return "no_server"
    if "ermission denied" in error or "access not allowed" in error:
        return "denied"
    return "failed"


def on_server(conf: Settings, server: str | None, command: str) -> Answer | Unknown:
    """Run *command*, of our own words and ids only, if *server* is the one that answers; else print ANOTHER_SERVER."""
    if server is None:
        return run(conf, ("if-shell", "-F", "1", command))
    pid, _, started = server.partition("@")
    same = f"#{{&&:#{{==:#{{pid}},{int(pid)}}},#{{==:#{{start_time}},{int(started)}}}}}"
    return run(conf, ("if-shell", "-F", same, command, f"display-message -p '{ANOTHER_SERVER}'"))


def _sequence(commands: Iterable[Sequence[str]]) -> list[str]:
    """Several commands as one argument list. A word that ends in `;` would end its command: `\\;` is that word."""
    words: list[str] = []
    for command in commands:
        words += [";"] if words else []
        words += [f"{word[:-1]}\\;" if word.endswith(";") else word for word in command]
    return words


def client(conf: Settings) -> list[str]:
    # -u: names come back in UTF-8 whatever the locale; without it tmux gives `_` for every other letter.
    return ["tmux", "-u", *(["-L", conf.tmux_socket] if conf.tmux_socket else [])]


def environment() -> dict[str, str]:
    """Ours without what marks our processes: a server that we start hands its environment to every pane of the user's.

    TMUX would name the server that somebody started us in; PWD is not where the client runs.
    """
    ours = ("CMUX_", "SUPERVISOR_")
    not_theirs = {"TMUX", "TMUX_PANE", "PWD", "OLDPWD"}
    everything = child_environment().items()
    return {name: value for name, value in everything if name not in not_theirs and not name.startswith(ours)}


def checked_id(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not an id of the form {pattern.pattern}")
    return text
