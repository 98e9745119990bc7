"""When agents were heard of last, as the API keeps it beside the registry: a beat is no change of the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from daemons import agents, files
from daemons.registry_service.verdicts import moment
from daemons.settings import Settings


def heard(conf: Settings) -> Mapping[str, datetime]:
    """The last heartbeat of each agent that ever sent one. What makes no sense counts as none."""
    try:
        raw = files.read(agents.heartbeats_path(conf))
        told = json.loads(raw) if raw else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    beats = {agent_id: moment(beat.get("at")) for agent_id, beat in told.items() if isinstance(beat, dict)}
    return {agent_id: at for agent_id, at in beats.items() if at is not None}
