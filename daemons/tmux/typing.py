"""Putting text into a pane, and the command with which a person attaches."""

from __future__ import annotations

import secrets

from daemons.settings import Settings
from daemons.text import safe
from daemons.tmux.command import ANOTHER_SERVER, PANE_ID, TmuxUnavailable, Unknown, checked_id, client, on_server, run


def send_text(conf: Settings, pane_id: str, text: str, *, server: str | None = None, enter: bool = True) -> None:
    """Put *text* into a pane as it is, as one paste, then Enter. Raises TmuxUnavailable; ValueError for escapes.

    Whether the program there waits for input is the caller's to know.
    """
    if safe(text) != text:
        raise ValueError("the text holds control or invisible characters; a terminal would obey them")
    target, buffer = checked_id(PANE_ID, pane_id), f"cmux-{secrets.token_hex(8)}"
    loaded = run(conf, ("load-buffer", "-b", buffer, "-"), stdin=text.encode())
    pasted = f"paste-buffer -d -p -b {buffer} -t {target}" + (f" ; send-keys -t {target} Enter" if enter else "")
    for answer in (loaded, on_server(conf, server, pasted)):
        if isinstance(answer, Unknown):
            raise TmuxUnavailable(answer)
        if answer.code != 0 or ANOTHER_SERVER in answer.out:
            raise TmuxUnavailable(answer.unknown())


def press_enter(conf: Settings, pane_id: str, *, server: str | None = None) -> None:
    """Press Enter in a pane. Raises TmuxUnavailable."""
    answer = on_server(conf, server, f"send-keys -t {checked_id(PANE_ID, pane_id)} Enter")
    if isinstance(answer, Unknown):
        raise TmuxUnavailable(answer)
    if answer.code != 0 or ANOTHER_SERVER in answer.out:
        raise TmuxUnavailable(answer.unknown())


def attach_command(conf: Settings) -> list[str]:
    """The command with which a person looks at the main session."""
    return [*client(conf), "attach-session", "-t", f"={conf.session}:"]
