"""The plain page: how the suite is, rendered here, for when there is no frontend, or none that can be served.

Always at /status. It needs no script: one small file refreshes it where scripts run, the browser does where they don't.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from flask import Blueprint, Response, render_template

from daemons import clock, text
from daemons.api import alerts, health, mailbox
from daemons.api.problems import Problem
from daemons.api.state import State
from daemons.files import LockBusy, StorageError

T = TypeVar("T")

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STATIC = Path(__file__).with_name("static")
_FILES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_LOOKED_AFTER = "The health checker looks after it"
_HEALING = {
    "settling": "It is mended in a moment",
    "building": "It is being built",
    "waiting": "Building it failed, and is tried again",
    "cannot": "It can’t be mended without you",
}
_AT_WORK = ("settling", "building")
_MAIL_SHOWN = 12
_AGENTS_SHOWN = 300

_DOING = {"healthy": "good", "absent": "good", "running": "good", "registered": "good", "stopped": "calm"}
_WRONG = {"degraded": "warn", "unknown": "warn", "building": "warn", "exited": "warn", "hanging": "bad"}


def routes(state: State) -> Blueprint:
    calls = Blueprint("page", __name__, template_folder="templates")
    files = {name: (_STATIC / name).read_bytes() for name in _FILES}

    @calls.get("/status")
    def status() -> Response:
        return _page(state, 200)

    @calls.get("/status/<name>")
    def static(name: str) -> Response:
        if name not in files:
            raise Problem(404, f"there is no /status/{name[:80]} here")
        return Response(files[name], content_type=_FILES[name], headers={"Cache-Control": "no-cache"})

    return calls


def instead_of_the_frontend(state: State) -> Response:
    """The plain page at the frontend's address: 200 where there is no frontend, 503 where there should be one."""
    return _page(state, 200 if health.frontend(state)["status"] == "absent" else 503)


def _page(state: State, status: int) -> Response:
    now = clock.now()
    known = health.of(state)
    html = render_template(
        "status.html",
        home=text.safe(str(state.conf.home), one_line=True),
        name=text.safe(state.conf.home.name or str(state.conf.home), one_line=True),
        known=known,
        tone=tone,
        parts=_parts(known),
        agents=_or_none(lambda: _agents(state, now)),
        agents_shown=_AGENTS_SHOWN,
        alerts=_or_none(lambda: [_alert(alerts.told(each), now) for each in state.knowledge.open_alerts()]),
        mail=_or_none(lambda: _mail(state, now)),
        rendered=f"{now:%H:%M:%S} UTC",
        broken=_broken(known["frontend"], now) if status == 503 else None,
    )
    headers = {"Content-Security-Policy": _POLICY}
    return Response(html, status=status, headers=headers, content_type="text/html; charset=utf-8")


def _or_none(rows: Callable[[], Sequence[T]]) -> Sequence[T]:
    """*rows*, none of them when they cannot be read; why not is told by the part of that name."""
    try:
        return rows()
    except (StorageError, LockBusy):
        return ()


def tone(word: object) -> str:
    """How good or bad a state is: the page's colours, and its signs for those who see none."""
    return _DOING.get(str(word)) or _WRONG.get(str(word)) or "bad"


def _broken(frontend: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """What is wrong with the frontend, since when, and what is done about it."""
    healing = str(frontend.get("healing"))
    what = frontend.get("wrong") or frontend.get("evidence") or "its files cannot be served"
    doing = ": ".join(filter(None, (_HEALING.get(healing, _LOOKED_AFTER), str(frontend.get("doing") or ""))))
    return {
        "what": text.safe(str(what), one_line=True),
        "since": _since(str(frontend.get("since") or ""), now),
        "doing": text.safe(doing, one_line=True),
        "tone": "warn" if healing in _AT_WORK else "bad",
    }


def _since(stamp: str, now: datetime) -> str:
    """How long ago, and when, for whoever compares it with a log."""
    try:
        moment = clock.parse_stamp(stamp).astimezone(UTC)
    except ValueError:
        return "just now"
    return f"{_ago(stamp, now)}, at {moment:%H:%M:%S} UTC"


def _parts(known: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every part of the suite with its state and one line about it."""
    rows = [{"name": name, **_part(each)} for name, each in known["daemons"].items()]
    rows.append({"name": "frontend", **_part(known["frontend"])})
    rows += [{"name": f"service {name}", **_part(each)} for name, each in known["services"].items()]
    stores = {name: known[name] for name in ("alerts", "agents", "mailbox")}
    rows += [{"name": name, **_part(each)} for name, each in stores.items() if each and "status" in each]
    tmux = known["tmux"]
    if isinstance(tmux, dict):
        seen = tmux.get("answer") == "seen"
        about = text.safe(f"{tmux.get('panes', 0)} panes" if seen else str(tmux.get("reason", "")), one_line=True)
        rows.append({"name": "tmux", "state": "running" if seen else "unknown", "about": about})
    return rows


def _part(told: object) -> dict[str, str]:
    if not isinstance(told, dict):
        return {"state": str(told), "about": ""}
    about = str(told.get("evidence") or "")
    if not about and "pid" in told:
        about = f"pid {told['pid']}, cycle {told['cycle']}, {told['age_s']:g} s ago"
    if not about and "uptime_s" in told:
        about = f"up for {told['uptime_s']:.0f} s"
    return {"state": str(told.get("status", "unknown")), "about": text.safe(about, one_line=True)}


def _agents(state: State, now: datetime) -> list[dict[str, str]]:
    rows = []
    for agent_id, (entry, seen, beat, _) in list(state.agents.parts().items())[:_AGENTS_SHOWN]:
        heard = f"heard of {_ago(beat['at'], now)}" if beat else ""
        said = " ".join(beat[name] for name in ("state", "note") if beat and name in beat)
        about = " · ".join(filter(None, (said, heard, str(seen.get("evidence", "")))))
        rows.append(
            {
                "id": agent_id,
                "type": str(entry.get("type", "")),
                "state": str(seen.get("state", "unknown")),
                "about": text.safe(about, one_line=True),
            }
        )
    return rows


def _alert(alert: Mapping[str, Any], now: datetime) -> dict[str, str]:
    return {
        "title": text.safe(str(alert["title"]), one_line=True),
        "state": str(alert["state"]),
        "about": f"{alert['count']} × since {_ago(alert['first'], now)}, last {_ago(alert['last'], now)}",
    }


def _mail(state: State, now: datetime) -> list[dict[str, str]]:
    messages, _ = mailbox.latest(state, _MAIL_SHOWN)
    return [
        {name: text.safe(str(each.get(name, "")), one_line=True) for name in ("from", "to", "subject", "body")}
        | {"at": _ago(each["ts"], now)}
        for each in reversed(messages)
        if "problem" not in each
    ]


def _ago(stamp: str, now: datetime) -> str:
    try:
        seconds = (now - clock.parse_stamp(stamp)).total_seconds()
    except ValueError:
        return stamp
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
