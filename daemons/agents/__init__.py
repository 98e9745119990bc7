"""Agents: open one, end one with its whole tree, and what is so of each against what is wanted.

    registry entry ──┐
                     ├──▶ Look.at() -> Sighting: running, exited, gone, unknown, unwatched, each with its evidence
    tmux.observe() ──┘          └─ without a window: by_its_process()

An entry remembers which pane of which tmux server the agent lives in, so a window that was renamed or moved is still
the same agent, and the same ids on a later server are not. "Gone" is only ever said by the server that would know.
"""

from __future__ import annotations

from daemons.agents.alone import by_its_process
from daemons.agents.ending import EndReport, NoSuchAgent, Protected, end_agent
from daemons.agents.known import known
from daemons.agents.opening import NoSuchWindow, adopt_agent, open_agent
from daemons.agents.recovery import Done, Step, plan, recover
from daemons.agents.sighting import Look, Sighting, State, fields_of
from daemons.agents.touches import Touch, Touches, touches_dir
from daemons.agents.view import heartbeats_path, last_observed, view

__all__ = [
    "Done",
    "EndReport",
    "Look",
    "NoSuchAgent",
    "NoSuchWindow",
    "Protected",
    "Sighting",
    "State",
    "Step",
    "Touch",
    "Touches",
    "adopt_agent",
    "by_its_process",
    "end_agent",
    "fields_of",
    "heartbeats_path",
    "known",
    "last_observed",
    "open_agent",
    "plan",
    "recover",
    "touches_dir",
    "view",
]
