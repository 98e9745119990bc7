"""/api/events: server-sent events of all that changes. Who reads them needs no polling; who can't, polls with ETags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Response, request

from daemons import clock, strict_json
from daemons.api import alerts, health, mailbox
from daemons.api.state import State
from daemons.files import LockBusy, StorageError

_PING_EVERY_S = 15.0
_LOOK_WHETHER_CLIENT_LEFT_S = 1.0
_MAIL_AT_ONCE = 100
_TYPE = "text/event-stream; charset=utf-8"


def routes(state: State) -> Blueprint:
    calls = Blueprint("events", __name__)

    @calls.get("/api/events")
    def stream() -> Response:
        if request.method == "HEAD":
            return Response(content_type=_TYPE)
        place = ExitStack()
        place.enter_context(state.changes.watching())  # here, so that "all places taken" is a Problem and no stream
        request.environ["cmux.channel"].flush_every_write()
        has_left = request.environ.get("waitress.client_disconnected", lambda: False)
        response = Response(_Stream(state, has_left, place), content_type=_TYPE)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return calls


class _Stream:
    """The events of one client, from now on until it leaves or the API ends. `close` gives its place back."""

    def __init__(self, state: State, has_left: Any, place: ExitStack) -> None:
        self._state = state
        self._has_left = has_left
        self._place = place
        self._events = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        self._place.close()

    def _run(self) -> Iterator[bytes]:
        seen = _Seen(self._state)
        yield b"retry: 1000\n\n" + seen.first()
        next_ping = clock.monotonic() + _PING_EVERY_S
        rung = -1
        while not self._state.changes.ending and not self._has_left():
            rung = self._state.changes.wait(rung, _LOOK_WHETHER_CLIENT_LEFT_S)
            news = seen.news()
            if news or clock.monotonic() >= next_ping:
                next_ping = clock.monotonic() + _PING_EVERY_S
                yield news or b": still here\n\n"


class _Seen:
    """What one client knows, and what is news to it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lines = state.agents.listing().lines
        self._index = state.agents.listing().index
        self._alerts = _alerts(state)
        self._mail = state.mailbox.end()
        self._health = _health(state)

    def first(self) -> bytes:
        return event("hello", {"index": self._index, "mail": str(self._mail), **self._health}, self._index)

    def news(self) -> bytes:
        """All events since the last call. What cannot be read now is news later."""
        try:
            return b"".join((*self._about_agents(), *self._about_alerts(), *self._about_mail(), *self._about_health()))
        except (StorageError, LockBusy):
            return b""

    def _about_agents(self) -> Iterator[bytes]:
        listing = self._state.agents.listing()
        if listing.index == self._index:
            return
        before, self._lines, self._index = self._lines, listing.lines, listing.index
        changed = [agent_id for agent_id, line in listing.lines.items() if before.get(agent_id) != line]
        removed = [agent_id for agent_id in before if agent_id not in listing.lines]
        if changed or removed:
            yield event("agents", {"index": listing.index, "changed": changed, "removed": removed}, listing.index)

    def _about_alerts(self) -> Iterator[bytes]:
        now = _alerts(self._state)
        if now != self._alerts:
            self._alerts = now
            yield event("alerts", {"open": list(now.values())}, self._index)

    def _about_mail(self) -> Iterator[bytes]:
        if self._state.mailbox.end() == self._mail:
            return
        messages, self._mail = mailbox.after(self._state, self._mail, _MAIL_AT_ONCE)
        for message in messages:
            yield event("mail", {**message, "next": str(self._mail)}, self._index)

    def _about_health(self) -> Iterator[bytes]:
        now = _health(self._state)
        if now != self._health:
            self._health = now
            yield event("health", now, self._index)


def event(kind: str, data: Mapping[str, Any], index: int) -> bytes:
    """One event. Its data is one line: JSON escapes every newline."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (index, kind.encode(), strict_json.dumps(data))


def _alerts(state: State) -> dict[str, dict[str, Any]]:
    return {alerts.id_of(alert): alerts.told(alert) for alert in state.knowledge.open_alerts()}


def _health(state: State) -> dict[str, Any]:
    known = health.of(state)
    daemons = {name: each["status"] for name, each in known["daemons"].items()}
    return {"status": known["status"], "frontend": known["frontend"]["status"], "daemons": daemons}
