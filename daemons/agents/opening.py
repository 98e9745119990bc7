"""Opening an agent: a window that runs its command, and an entry that remembers where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from daemons import clock, processes, suite, tmux
from daemons.agents import environments
from daemons.agents.sighting import Look, fields_of
from daemons.agents.trace import trace
from daemons.registry import Draft, Entry, Registry, check_id, registration, spelled
from daemons.settings import Settings
from daemons.tmux import NameTaken, Pane, Seen, TmuxUnavailable, Unknown


def open_agent(
    conf: Settings,
    registry: Registry,
    name: str,
    *,
    command: str | Sequence[str] | None = None,
    cwd: str | Path | None = None,
    created_by: str = "system",
    environment: Mapping[str, str] | None = None,
    permanent: bool = False,
    agent_type: str = "worker",
) -> Entry:
    """Open a window for the agent *name* and register it; its entry. On failure neither is left.

    *cwd* counts from the home. An id is taken until its agent is proven gone; then this is its next life. Of a
    permanent one the *environment* is kept, to bring it back as it was.
    Raises InvalidAgent, ValueError, NameTaken, TmuxUnavailable, StorageError, LockBusy.
    """
    agent_id = spelled(own_name(conf, name), registry.snapshot().agents)
    tmux.place(conf, agent_id)
    observation = tmux.observe(conf)
    _refuse_if_taken(conf, agent_id, registry, observation)
    argv = command if command is None or isinstance(command, str) else tuple(command)
    folder = conf.home / Path(cwd or ".").expanduser()
    given = environments.checked(environment or {})
    suite_id = suite.suite_id(conf)
    pane = tmux.open_window(conf, agent_id, command=argv, cwd=folder, environment=given, suite=suite_id)
    fields: dict[str, object] = {
        **_life(pane),
        "type": agent_type,
        "created_by": created_by,
        "cwd": str(folder),
        "command": list(argv) if isinstance(argv, tuple) else argv,
        "permanent": permanent,
    }
    registered = False
    try:
        environments.keep(conf, agent_id, given if permanent else {})
        # The agent's own hook may have registered it by now: that is the same agent, so this adds to it.
        entry = registry.change(_new_life(agent_id, fields))
        registered = True
    finally:
        if not registered:
            tmux.end_window(conf, pane.window_id, server=pane.server)
    trace(conf, created_by, "agent.opened", agent=agent_id, entry=entry)
    return entry


def adopt_agent(
    conf: Settings, registry: Registry, window: str, *, name: str | None = None, created_by: str = "system"
) -> Entry:
    """Register the living pane *window* (`%5`, or `session:window`) as an agent, by default under its window's name.

    Nothing about the window changes: ending the agent later ends that pane and what runs in it, no more.
    Raises NoSuchWindow, NameTaken, InvalidAgent, TmuxUnavailable, StorageError, LockBusy.
    """
    observation = tmux.observe(conf)
    if isinstance(observation, Unknown):
        raise TmuxUnavailable(observation)
    pane = _pane_called(window, observation)
    default = pane.window if pane.session == conf.session else f"{pane.session}:{pane.window}"
    agent_id = spelled(own_name(conf, name or default), registry.snapshot().agents)
    _refuse_if_taken(conf, agent_id, registry, observation)
    entry = registry.change(_new_life(agent_id, {**_life(pane), "created_by": created_by, "adopted": True}))
    trace(conf, created_by, "agent.adopted", agent=agent_id, entry=entry)
    return entry


class NoSuchWindow(LookupError):
    """No living pane is called so, or more than one."""


def _pane_called(window: str, seen: Seen) -> Pane:
    living = [pane for pane in seen.panes if not pane.dead]
    found = [pane for pane in living if window in (pane.pane_id, f"{pane.session}:{pane.window}")]
    if len(found) != 1:
        count = "no pane" if not found else f"{len(found)} panes"
        raise NoSuchWindow(f"{count} in tmux called {window!r}; name one as session:window, or as a pane id like %3")
    return found[0]


def _life(pane: Pane) -> dict[str, object]:
    identity = processes.identify(pane.pid)
    started = identity.started if identity else None
    return {**fields_of(pane), "pid_started": started, "expected": "running", "status": "running", "ended_by": None}


def _new_life(agent_id: str, fields: Mapping[str, object]) -> Callable[[Draft], Entry]:
    register = registration(agent_id, fields, clock.now())

    def edit(agents: Draft) -> Entry:
        entry = register(agents)
        agents[agent_id] = {name: value for name, value in entry.items() if value is not None}
        return agents[agent_id]

    return edit


def own_name(conf: Settings, name: str) -> str:
    """The id of an agent: in the main session its window's name alone."""
    return check_id(check_id(name).removeprefix(f"{conf.session}:"))


def _refuse_if_taken(conf: Settings, agent_id: str, registry: Registry, observation: Seen | Unknown) -> None:
    entry = registry.snapshot().agents.get(agent_id)
    if entry is None:
        return
    sighting = Look(conf, observation).at(agent_id, entry)
    if sighting.state not in ("gone", "exited") and not _server_is_new(sighting.state, observation):
        raise NameTaken(f"agent {agent_id!r} is registered ({sighting.state}: {sighting.evidence}); end it first")


def _server_is_new(state: str, observation: Seen | Unknown) -> bool:
    # After a reboot or a lost server the agent's old window can't come back: whoever opens it again means just that.
    return state == "unknown" and (isinstance(observation, Seen) or observation.kind == "no_server")
