"""All that is known of each agent, for people: what tmux shows now, and beside it what the daemons keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemons import clock, files, loop, processes, strict_json
from daemons.agents.touches import Touches
from daemons.agents.view import heartbeats_path, view
from daemons.registry import Snapshot
from daemons.settings import Settings
from daemons.strict_json import BadJson
from daemons.tmux import Seen, Unknown

# What the registry service measured is old once it has missed some cycles.
_FRESH_S = 60.0
_MEASURED = ("usage", "unread")


def known(conf: Settings, snapshot: Snapshot, observation: Seen | Unknown) -> list[dict[str, Any]]:
    """`view`, with `usage`, `unread` and `age_s` in `observed`, and the last `heartbeat`, as far as they are known."""
    measured, beats = _measured(conf), _heartbeats(conf)
    found = view(conf, snapshot, observation)
    for agent in found:
        agent_id, seen = agent["agent_id"], agent["observed"]
        told = measured.get(agent_id, {})
        seen |= {name: value for name, value in told.items() if name in _MEASURED}
        if told.get("state") == "stale" and seen["state"] in ("running", "registered"):
            seen |= {"state": "stale", "evidence": told.get("evidence", "")}  # only who watches it all the time knows
        age_s = _age_s(seen.get("pid") or agent.get("pid"), agent.get("pid_started"))
        if age_s is not None:
            seen["age_s"] = round(age_s, 1)
        if agent_id in beats:
            agent["heartbeat"] = beats[agent_id]
    return found


def _measured(conf: Settings) -> Mapping[str, Mapping[str, Any]]:
    status = loop.read_status(conf, "registry_service")
    if status is None or status.age_s > _FRESH_S:
        return {}
    found = status.detail.get("agents")
    return found if isinstance(found, dict) else {}


def _heartbeats(conf: Settings) -> Mapping[str, Mapping[str, Any]]:
    """As the API wrote them down a few seconds ago; and by file, also while it is down."""
    try:
        found = strict_json.loads(files.read(heartbeats_path(conf)) or b"{}")
    except (BadJson, OSError):
        found = {}
    kept = found.items() if isinstance(found, dict) else ()
    beats = {agent_id: beat for agent_id, beat in kept if isinstance(beat, dict) and isinstance(beat.get("at"), str)}
    for agent_id, touch in Touches(conf).read().items():
        at = clock.stamp(touch.at)
        if agent_id not in beats or beats[agent_id]["at"] < at:
            beats[agent_id] = {**beats.get(agent_id, {}), "at": at, "state": touch.state}
    return beats


def _age_s(pid: object, started: object) -> float | None:
    process = processes.read(pid) if isinstance(pid, int) else None
    return process.age_s if process and process.started == started else None
