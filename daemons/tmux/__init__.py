"""What windows exist, or UNKNOWN; open and end them. The only door to the tmux command.

    observe()      one tmux call for all sessions, windows and panes -> Seen | Unknown
    open_window()  a window of ours: tagged, marked, staying when its command ends so that its exit status can be told
    end_window(), end_pane(), end_session(), release_server()

Three rules, each paid for: targets are ids (or `=name`), because `-t cmux` also matches `cmux-dev`; no text of others
ever becomes a format, because `#(…)` in one runs a command; and "could not look" has a type of its own, because an
empty list in its place once emptied a registry.
"""

from __future__ import annotations

from daemons.tmux.command import Kind, TmuxUnavailable, Unknown
from daemons.tmux.ending import end_pane, end_session, end_window, release_server
from daemons.tmux.look import Pane, Seen, last_lines, observe, observe_places
from daemons.tmux.opening import Command, NameTaken, open_window, place
from daemons.tmux.typing import attach_command, press_enter, send_text

__all__ = [
    "Command",
    "Kind",
    "NameTaken",
    "Pane",
    "Seen",
    "TmuxUnavailable",
    "Unknown",
    "attach_command",
    "end_pane",
    "end_session",
    "end_window",
    "last_lines",
    "observe",
    "observe_places",
    "open_window",
    "place",
    "press_enter",
    "release_server",
    "send_text",
]
