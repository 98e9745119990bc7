"""/api/agents/register and heartbeats: agents that come, go and are alive by their own word."""

from __future__ import annotations

from flask import Blueprint, Response, request

from daemons import clock
from daemons.api import bodies
from daemons.api.agents import no_such
from daemons.api.answers import json_answer
from daemons.api.state import State
from daemons.registry import check_id, registration, removal, spelled


def routes(state: State) -> Blueprint:
    calls = Blueprint("membership", __name__)

    @calls.post("/api/agents/register")
    def register() -> Response:
        agent_id, fields = bodies.registered(bodies.parsed(request.get_data()))
        state.change(registration(agent_id, fields, clock.now()))
        return json_answer({"registered": spelled(agent_id, state.registry.snapshot().agents)})

    @calls.delete("/api/agents/register/<path:agent_id>")
    def unregister(agent_id: str) -> Response:
        existed = state.change(removal(agent_id))
        if not existed:
            check_id(agent_id)  # what can be nobody's id is a mistake, not an agent that is gone already
        return json_answer({"unregistered": agent_id, "existed": existed})

    @calls.post("/api/agents/<path:agent_id>/heartbeat")
    def beat(agent_id: str) -> Response:
        asked = bodies.parsed(request.get_data())
        limits = {"state": 64, "note": 1024, "progress": 128}
        bodies.only(asked, limits)
        said = {name: bodies.text(asked, name, limit=limit) for name, limit in limits.items()}
        registered = state.agents.listing().ids
        agent_id = spelled(agent_id, registered)
        if agent_id not in registered:
            raise no_such(agent_id)
        heard = state.beats.beat(agent_id, {name: word for name, word in said.items() if word}, clock.now())
        return json_answer({"agent_id": agent_id, "heartbeat": heard})

    return calls
