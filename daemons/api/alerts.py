"""/api/alerts: what someone must know of, and that someone does; /api/mutes: of what nobody wants to hear for now."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request

from daemons import alerts, clock
from daemons.alerts import Alert, Mutes
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

    @calls.get("/api/mutes")
    def list_mutes() -> Response:
        return json_answer({"mutes": [mute.to_json() for mute in Mutes(state.conf).all(clock.now())]})

    @calls.post("/api/mutes")
    def mute() -> Response:
        asked = bodies.parsed(request.get_data())
        bodies.only(asked, ("what", "by", "for_s"))
        what = bodies.text(asked, "what", limit=1024, needed=True) or ""
        by = bodies.text(asked, "by", limit=128) or "user"
        now, for_s = clock.now(), _seconds(asked.get("for_s"))
        until = now + timedelta(seconds=for_s) if for_s else None
        return json_answer(alerts.mute(state.conf, what, by, now, until).to_json(), 201)

    @calls.delete("/api/mutes/<path:what>")
    def unmute(what: str) -> Response:
        return json_answer({"unmuted": what, "existed": alerts.unmute(state.conf, what, clock.now())})

    return calls


def _seconds(asked: object) -> float | None:
    if asked is None:
        return None
    if isinstance(asked, int | float) and not isinstance(asked, bool) and 0 < asked < 1e7:
        return asked
    raise Problem(400, "for_s is no positive number of seconds; leave it out to mute until it is taken back")


def id_of(alert: Alert) -> str:
    """A short name for an alert that fits into an address: keys hold whole paths."""
    return hashlib.blake2b(f"{alert.sender}\0{alert.key}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def told(alert: Alert) -> dict[str, Any]:
    """An alert as clients get it."""
    return {"id": id_of(alert), **alert.to_json()}
