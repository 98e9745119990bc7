"""/api/agents: who there is; opening an agent, and ending one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from daemons import agents, clock
from daemons.api import bodies
from daemons.api.answers import json_answer, tagged_json
from daemons.api.listing import Listing
from daemons.api.problems import Problem
from daemons.api.state import State
from daemons.processes import Ended
from daemons.registry import check_id

WAIT_LIMIT_S = 60
_LOOK_WHETHER_CLIENT_LEFT_S = 1.0


def routes(state: State) -> Blueprint:
    calls = Blueprint("agents", __name__)

    @calls.get("/api/agents")
    def list_agents() -> Response:
        bodies.only(request.args, ("index", "wait"))
        index = bodies.number(request.args.get("index"), "index", least=0, most=1 << 62, default=0)
        wait_s = bodies.number(request.args.get("wait"), "wait", least=0, most=WAIT_LIMIT_S, default=0)
        listing = _changed_since(state, index, wait_s) if index and wait_s else state.agents.listing()
        return tagged_json(listing.body, listing.etag, {"X-Registry-Index": str(listing.index)})

    @calls.get("/api/agents/<path:agent_id>")
    def get_agent(agent_id: str) -> Response:
        found = state.agents.one(agent_id)
        if found is None:
            raise no_such(agent_id)
        line, etag = found
        return tagged_json(line + b"\n", etag)

    @calls.post("/api/agents")
    def open_agent() -> Response:
        entry = _opened(state, bodies.parsed(request.get_data()))
        return json_answer(entry, 201)

    @calls.delete("/api/agents/<path:agent_id>")
    def end_agent(agent_id: str) -> Response:
        try:
            report = agents.end_agent(state.conf, state.registry, agent_id, by="user")
        finally:
            state.changes.ring()
        if report.left:
            raise Problem(409, f"{agent_id} could not be ended, and stays registered: {'; '.join(report.left)}")
        return json_answer(
            {
                "ended": report.agent_id,
                "window_ended": report.window_ended,
                "processes": [_ended(each) for each in report.ended],
            }
        )

    return calls


def _changed_since(state: State, index: int, wait_s: float) -> Listing:
    """The list as soon as its index is another one than *index*, or as it is after *wait_s*, or when we end."""
    deadline = clock.monotonic() + wait_s
    has_left = request.environ.get("waitress.client_disconnected", lambda: False)
    with state.changes.watching():
        while True:
            rung = state.changes.rung
            listing = state.agents.listing()
            left_s = deadline - clock.monotonic()
            if listing.index != index or left_s <= 0 or state.changes.ending or has_left():
                return listing
            state.changes.wait(rung, min(left_s, _LOOK_WHETHER_CLIENT_LEFT_S))


def _opened(state: State, asked: dict[str, Any]) -> dict[str, Any]:
    bodies.only(asked, ("name", "command", "cwd", "created_by", "agent_type", "permanent", "environment"))
    name = bodies.text(asked, "name", limit=128, needed=True) or ""
    try:
        entry = agents.open_agent(
            state.conf,
            state.registry,
            check_id(name),
            command=_command(asked.get("command")),
            cwd=bodies.text(asked, "cwd", limit=4096),
            created_by=bodies.text(asked, "created_by", limit=128) or "system",
            agent_type=bodies.text(asked, "agent_type", limit=128) or "worker",
            environment=_environment(asked.get("environment")),
            permanent=_yes_no(asked.get("permanent")),
        )
    finally:
        state.changes.ring()
    return {"agent_id": name.removeprefix(f"{state.conf.session}:"), **entry}


def _command(asked: object) -> str | list[str] | None:
    if asked is None or (isinstance(asked, str) and len(asked) <= 32_768):
        return asked
    if isinstance(asked, list) and asked and all(isinstance(word, str) for word in asked):
        return asked
    raise Problem(400, "command is neither a string nor a list of strings; leave it out for a shell")


def _environment(asked: object) -> dict[str, str] | None:
    if asked is None:
        return None
    if isinstance(asked, dict) and all(isinstance(value, str) for value in asked.values()):
        return asked
    raise Problem(400, 'environment is no object of strings; send one such as {"LANG": "C.UTF-8"}')


def _yes_no(asked: object) -> bool:
    if asked is None or isinstance(asked, bool):
        return bool(asked)
    raise Problem(400, "permanent is neither true nor false")


def _ended(each: Ended) -> dict[str, Any]:
    return {
        "pid": each.pid,
        "signals": list(each.signals),
        "after_s": None if each.after_s is None else round(each.after_s, 3),
        "left": each.left or None,
    }


def no_such(agent_id: str) -> Problem:
    """404: nobody of that id is registered."""
    return Problem(404, f"no agent {agent_id[:128]!r} is registered; GET /api/agents lists those who are")
