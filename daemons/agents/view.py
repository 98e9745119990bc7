"""Agents as readers get them: the entry as it is, and beside it what was observed. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemons import clock, loop
from daemons.agents.alone import by_its_process
from daemons.agents.sighting import Look, Sighting
from daemons.registry import Snapshot
from daemons.settings import Settings
from daemons.text import safe
from daemons.tmux import Pane, Seen, Unknown


def view(conf: Settings, snapshot: Snapshot, observation: Seen | Unknown) -> list[dict[str, Any]]:
    """Every agent's entry with `agent_id` and `observed`: its state, the evidence, and what its pane shows."""
    look = Look(conf, observation)
    sightings = {a: by_its_process(entry, look.at(a, entry), look) for a, entry in snapshot.agents.items()}
    return [
        {**entry, "agent_id": agent_id, "observed": _observed(entry, sightings[agent_id])}
        for agent_id, entry in snapshot.agents.items()
    ]


def _observed(entry: Mapping[str, Any], sighting: Sighting) -> dict[str, object]:
    state = told_state(entry, sighting)
    was_gone = sighting.state == "unknown" and state != "unknown"
    evidence = f"gone since {entry['missing_since']}" if was_gone else sighting.evidence
    return {
        "state": state,
        "evidence": safe(evidence, one_line=True),
        **(_shown(sighting.pane) if sighting.pane else {}),
    }


def told_state(entry: Mapping[str, Any], sighting: Sighting) -> str:
    """`running`, `exited`, `missing`, `stopped` (gone, and meant to be), `unknown`, or `registered` (no window)."""
    if sighting.state in ("gone", "exited") and entry.get("expected") == "stopped":
        return "stopped"
    if sighting.state == "unknown" and "missing_since" in entry and entry.get("status") in ("missing", "exited"):
        return str(entry["status"])  # it was proven before: nothing that tmux could say now brings that life back
    return {"gone": "missing", "unwatched": "registered"}.get(sighting.state, sighting.state)


def _shown(pane: Pane) -> dict[str, object]:
    return {
        "window": safe(f"{pane.session}:{pane.window}", one_line=True),
        "pane_id": pane.pane_id,
        "pid": pane.pid,
        "running": safe(pane.command, one_line=True),
        "title": safe(pane.title, one_line=True),
        "last_output": clock.stamp(datetime.fromtimestamp(pane.activity, UTC)),
        "exit_status": pane.dead_status,
        "exit_signal": pane.dead_signal,
    }


def last_observed(conf: Settings) -> Mapping[str, Mapping[str, Any]]:
    """What the registry service observed of each agent in its last cycle: `state`, `evidence`, `since`.

    Costs one small file, never a call of tmux. Empty when the service has not run.
    """
    status = loop.read_status(conf, "registry_service")
    found = status.detail.get("agents") if status else None
    return found if isinstance(found, dict) else {}


def heartbeats_path(conf: Settings) -> Path:
    """Where the API keeps when each agent was heard of last: `{id: {"at": stamp, …}}`."""
    return conf.state / "agent_heartbeats.json"
