"""Agents whose windows a stop ends: read from the registry, and marked there as stopped on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daemons import files
from daemons.files import LockBusy, StorageError
from daemons.settings import Settings

if TYPE_CHECKING:
    from daemons.tmux import Pane

Entries = Mapping[str, Mapping[str, Any]]

_LOCK_S = 0.5


def registered(conf: Settings) -> Entries:
    """The registry's entries; none when it can't be read.

    From the file itself: the registry would mend a broken one, and looking must not change anything. Clients may give
    an entry any field, so one that says where it runs counts only if it could have been ours.
    """
    try:
        told = json.loads(files.read(conf.registry) or b"{}")
    except (StorageError, ValueError):
        return {}
    entries = told.items() if isinstance(told, dict) else ()
    return {name: _without_nonsense(entry) for name, entry in entries if isinstance(entry, dict)}


_PLACES = {"tmux_server": str, "pane_id": str, "pid": int}


def _without_nonsense(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if isinstance(value, _PLACES.get(name, object))}


def expects_windows(agents: Entries) -> bool:
    """Whether some agent should be in a window now."""
    return any("pane_id" in entry and entry.get("expected") != "stopped" for entry in agents.values())


def ending(agents: Entries, panes: Iterable[Pane]) -> list[str]:
    """The agents that live in *panes* and are not marked as stopped yet."""
    places = {(pane.server, pane.pane_id) for pane in panes}
    return [
        agent_id
        for agent_id, entry in agents.items()
        if (entry.get("tmux_server"), entry.get("pane_id")) in places and entry.get("expected") != "stopped"
    ]


def mark(conf: Settings, agent_ids: Sequence[str]) -> str:
    """Write down that these were stopped on purpose. Why that could not be, or nothing."""
    from daemons.registry import NoRegistry, Registry, update

    meant = {"expected": "stopped", "status": "stopped", "ended_by": "cmux stop"}
    try:
        Registry(conf).change_many([update(agent_id, meant) for agent_id in agent_ids], timeout_s=_LOCK_S)
    except (StorageError, LockBusy, NoRegistry) as problem:
        return str(problem)
    return ""
