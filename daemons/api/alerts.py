"""/api/alerts: what someone must know of, and that someone does."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Blueprint, Response, request

from daemons import alerts, clock
from daemons.alerts import Alert
from daemons.api import bodies
from daemons.api.answers import json_answer
from daemons.api.problems import Problem
from daemons.api.state import State


def routes(state: State) -> Blueprint:
    calls = Blueprint("alerts", __name__)

    @calls.get("/api/alerts")
    def list_alerts() -> Response:
        return json_answer({"alerts": [told(alert) for alert in state.knowledge.open_alerts()]})

    @calls.post("/api/alerts/<path:alert_id>/ack")
    def acknowledge(alert_id: str) -> Response:
        asked = bodies.parsed(request.get_data())
        bodies.only(asked, ("by",))
        by = bodies.text(asked, "by", limit=128) or "user"
        alert = next((each for each in state.knowledge.open_alerts() if alert_id in (id_of(each), each.key)), None)
        if alert is None or not alerts.acknowledge(state.conf, alert.key, by, clock.now()):
            raise Problem(404, f"no alert {alert_id[:128]!r} is open; GET /api/alerts lists those that are")
        state.changes.ring()
        return json_answer({"acknowledged": id_of(alert), "key": alert.key, "by": by})

    return calls


def id_of(alert: Alert) -> str:
    """A short name for an alert that fits into an address: keys hold whole paths."""
    return hashlib.blake2b(f"{alert.sender}\0{alert.key}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def told(alert: Alert) -> dict[str, Any]:
    """An alert as clients get it."""
    return {"id": id_of(alert), **alert.to_json()}
