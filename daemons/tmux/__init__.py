"""What windows exist, or UNKNOWN; open and end them. The only door to the tmux command.

    observe()      one tmux call for all sessions, windows and panes -> Seen | Unknown
    open_window()  a window of ours: tagged, marked, staying when its command ends so that its exit status can be told
    end_window(), end_pane(), end_session(), release_server()

Three rules, each paid for: targets are ids (or `=name`), because `-t cmux` also matches `cmux-dev`; no text of others
ever becomes a format, because `#(…)` in one runs a command; and "could not look" has a type of its own, because an
empty list in its place once emptied a registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemons import later
from daemons.tmux.presence import may_be_there

if TYPE_CHECKING:
    from daemons.tmux.command import Kind, TmuxUnavailable, Unknown
    from daemons.tmux.ending import end_pane, end_session, end_window, release_server
    from daemons.tmux.look import Pane, Seen, last_lines, observe, observe_places
    from daemons.tmux.opening import Command, NameTaken, open_window, place
    from daemons.tmux.typing import attach_command, press_enter, send_text
else:  # 8 ms that come before a stop's first signal, and often no server is there
    __getattr__ = later.names(
        __name__,
        {
            "daemons.tmux.command": ("Kind", "TmuxUnavailable", "Unknown"),
            "daemons.tmux.ending": ("end_pane", "end_session", "end_window", "release_server"),
            "daemons.tmux.look": ("Pane", "Seen", "last_lines", "observe", "observe_places"),
            "daemons.tmux.opening": ("Command", "NameTaken", "open_window", "place"),
            "daemons.tmux.typing": ("attach_command", "press_enter", "send_text"),
        },
    )

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
    "may_be_there",
    "observe",
    "observe_places",
    "open_window",
    "place",
    "press_enter",
    "release_server",
    "send_text",
]
