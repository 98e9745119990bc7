"""When agents were heard of last: over HTTP, as the API keeps it beside the registry, or by the touch of a file."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from datetime import datetime

from daemons import agents, files
from daemons.agents import Touches
from daemons.registry import spelled
from daemons.registry_service.verdicts import moment
from daemons.settings import Settings


class Beats:
    """The last heartbeat of each agent that ever sent one."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._touches = Touches(conf)

    def heard(self, registered: Container[str]) -> Mapping[str, datetime]:
        """When that was, by agent as *registered*."""
        heard = dict(_over_http(self._conf))
        for name, touch in self._touches.read().items():
            agent_id = spelled(name, registered)
            heard[agent_id] = max(touch.at, heard.get(agent_id, touch.at))
        return heard


def _over_http(conf: Settings) -> Mapping[str, datetime]:
    """As the API wrote it down. What makes no sense counts as none."""
    try:
        raw = files.read(agents.heartbeats_path(conf))
        told = json.loads(raw) if raw else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    beats = {agent_id: moment(beat.get("at")) for agent_id, beat in told.items() if isinstance(beat, dict)}
    return {agent_id: at for agent_id, at in beats.items() if at is not None}
