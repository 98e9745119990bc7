"""Ending an agent: all of it, on purpose, so that nobody is alarmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemons import clock, processes, suite, tmux
from daemons.agents import environments
from daemons.agents.sighting import Look, Sighting
from daemons.agents.trace import trace
from daemons.processes import Ended, Identity, Table
from daemons.registry import Registry, spelled
from daemons.settings import Settings
from daemons.tmux import Pane, Seen, TmuxUnavailable, Unknown

AGENT_MARKER = "CMUX_AGENT_ID"
# Without a server there is no window; what else keeps tmux from answering says nothing about one.
_NO_WINDOW = ("no_server", "absent")


class NoSuchAgent(LookupError):
    """No agent of that id is registered."""


class Protected(Exception):
    """The agent may not be ended this way."""


@dataclass(frozen=True, slots=True)
class EndReport:
    """What became of an agent. *left* names, a line each, what could not be ended; then the entry stays too."""

    agent_id: str
    ended: tuple[Ended, ...]
    window_ended: bool
    left: tuple[str, ...]


def end_agent(conf: Settings, registry: Registry, agent_id: str, *, by: str = "system") -> EndReport:
    """End the agent's process tree and its window, and unregister it.

    1. `expected: stopped` is made durable: whatever happens from here on, nobody is told that it is missing.
    2. Its processes: SIGTERM, SIGHUP to its shell, up to the grace time, SIGKILL; those that left for a session of
       their own are found by their marker.  3. The window, where we opened it; else its pane.  4. The entry.

    Dying in between leaves an entry that is meant to be stopped; calling again, or the registry service, finishes it.
    Raises NoSuchAgent, Protected, TmuxUnavailable (its processes are ended, its window is not), StorageError, LockBusy.
    """
    _refuse_the_supervisor(conf, agent_id)
    agent_id = spelled(agent_id, registry.snapshot().agents)
    entry = registry.update(agent_id, {"expected": "stopped", "status": "ending", "ended_by": by})
    if entry is None:
        raise NoSuchAgent(f"no agent {agent_id!r} is registered; `cmux agents` lists them")
    observation = tmux.observe(conf)
    sighting = Look(conf, observation).at(agent_id, entry)
    panes = _panes_of(agent_id, sighting, observation)
    ended = processes.end_tree(
        [identity for pane in panes if (identity := _identity(pane))],
        grace_s=conf.stop_grace_s,
        deadline_s=clock.monotonic() + conf.stop_timeout_s,
        also=_Marked(conf, agent_id),
    )
    left = tuple(f"{processes.describe(each.pid)}: {each.left}" for each in ended if not each.gone)
    window_ended = _end_window(conf, agent_id, sighting, observation, entry)
    if not left:
        registry.unregister(agent_id)
        environments.forget(conf, agent_id)
    signals = {each.pid: each.signals for each in ended}
    trace(conf, by, "agent.ended", agent=agent_id, entry=entry, processes=signals, window=window_ended, left=left)
    return EndReport(agent_id, ended, window_ended, left)


def _refuse_the_supervisor(conf: Settings, agent_id: str) -> None:
    if agent_id in ("supervisor", f"{conf.session}:supervisor"):
        raise Protected("the supervisor is whom all others report to; end it in its own window")


def _panes_of(agent_id: str, sighting: Sighting, observation: Seen | Unknown) -> list[Pane]:
    """Where its processes hang: the panes of a window that we opened for it, or the one pane where it was found."""
    found = sighting.pane
    if found is None or not isinstance(observation, Seen):
        return []
    if found.agent != agent_id:
        return [found]
    return [pane for pane in observation.panes if pane.window_id == found.window_id]


def _identity(pane: Pane) -> Identity | None:
    """The process of *pane*, if the pid still means a child of that tmux server."""
    process, identity = processes.read(pane.pid), processes.identify(pane.pid)
    if pane.dead or process is None or identity is None or process.started != identity.started:
        return None
    return identity if str(process.ppid) == pane.server.partition("@")[0] else None


class _Marked:
    """The processes that were started as this agent of this suite, wherever they went."""

    def __init__(self, conf: Settings, agent_id: str) -> None:
        self._agent_id = agent_id
        self._suite_id = suite.known_id(conf)
        self._running = suite.running(conf)

    def __call__(self, looked: Table) -> set[int]:
        if self._suite_id is None:
            return set()
        # An agent that ran `cmux start` is no reason to take the suite for a part of it.
        daemons = processes.tree({self._running.supervisord.pid}, looked) if self._running else set()
        carriers = processes.marked(self._suite_id, looked) - daemons
        return {pid for pid in carriers if processes.environment_value(looked[pid], AGENT_MARKER) == self._agent_id}


def _end_window(
    conf: Settings, agent_id: str, sighting: Sighting, observation: Seen | Unknown, entry: Mapping[str, Any]
) -> bool:
    if isinstance(observation, Unknown):
        if observation.kind not in _NO_WINDOW and "pane_id" in entry:
            raise TmuxUnavailable(observation)
        return False
    pane = sighting.pane
    if pane is None:
        return False
    try:
        if pane.agent == agent_id:
            return tmux.end_window(conf, pane.window_id, server=pane.server)
        return tmux.end_pane(conf, pane.pane_id, server=pane.server)
    except TmuxUnavailable as unavailable:
        # The window went with its process, and was the last that its server had.
        if unavailable.unknown.kind == "no_server":
            return True
        raise
