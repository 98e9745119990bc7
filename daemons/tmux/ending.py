"""Ending windows, sessions and the server that the suite started: by id, and only on the server that was meant."""

from __future__ import annotations

import re
import shlex

from daemons.settings import Settings
from daemons.tmux.command import (
    ANOTHER_SERVER,
    LEAVING,
    PANE_ID,
    SESSION_ID,
    WINDOW_ID,
    TmuxUnavailable,
    Unknown,
    checked_id,
    on_server,
    run,
)


def end_window(conf: Settings, window_id: str, *, server: str | None = None) -> bool:
    """End the window *window_id*. False when it is not there, or *server* (see Seen) is not the one that answers.

    Its processes get SIGHUP from tmux; those that ignore it live on, so end the process tree first.
    """
    return _end(conf, server, f"kill-window -t {checked_id(WINDOW_ID, window_id)}")


def end_pane(conf: Settings, pane_id: str, *, server: str | None = None) -> bool:
    """End the pane *pane_id*, and its window when it is the only one there; else like `end_window`."""
    return _end(conf, server, f"kill-pane -t {checked_id(PANE_ID, pane_id)}")


def end_session(conf: Settings, session_id: str, *, server: str | None = None) -> bool:
    """End the session *session_id* with all its windows; else like `end_window`. Then see `release_server`."""
    return _end(conf, server, f"kill-session -t {shlex.quote(checked_id(SESSION_ID, session_id))}")


def release_server(conf: Settings, suite: str) -> None:
    """Let the server that *suite* started end by itself when its last session has gone: at once when it has none.

    Another server, and one that does not answer, is left alone.
    """
    mine = f"#{{==:#{{@cmux_server}},{checked_id(re.compile('[0-9A-Za-z-]+'), suite)}}}"
    run(conf, ("if-shell", "-F", mine, "set-option -s -u @cmux_server ; set-option -s exit-empty on"))


def _end(conf: Settings, server: str | None, command: str) -> bool:
    answer = on_server(conf, server, command)
    if isinstance(answer, Unknown):
        # With the last window the server may go before it has answered.
        if LEAVING.match(answer.reason):
            return True
        raise TmuxUnavailable(answer)
    if answer.code == 0:
        return ANOTHER_SERVER not in answer.out
    if answer.error.startswith("can't find"):
        return False
    raise TmuxUnavailable(answer.unknown())
