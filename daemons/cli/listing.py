"""The table of `cmux agents`: what everybody asks of each; columns in which nothing stands are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from daemons import clock
from daemons.cli.screen import Screen, Sign, duration, shown, size

Agent = Mapping[str, Any]
Cell = Callable[[Agent, datetime], str]

SIGNS: Mapping[str, Sign] = {
    "running": "ok",
    "registered": "off",
    "stopped": "off",
    "exited": "degraded",
    "settling": "busy",
    "stale": "degraded",
    "missing": "bad",
    "unknown": "unknown",
}
NOTHING = "–"


def show(found: Sequence[Agent], screen: Screen) -> None:
    """One row an agent."""
    now = clock.now()
    signs = [screen.sign(SIGNS.get(agent["observed"]["state"], "unknown")) for agent in found]
    columns = [(title, [cell(agent, now) for agent in found]) for title, cell in _COLUMNS.items()]
    kept = [(title, cells) for title, cells in columns if title not in _OPTIONAL or set(cells) - {NOTHING}]
    rows = list(zip(signs, *(cells for _, cells in kept), strict=True))
    screen.table(["", *(title for title, _ in kept)], rows)


def _type(agent: Agent, _now: datetime) -> str:
    return shown(agent.get("type", "worker")) if agent.get("type", "worker") != "worker" else NOTHING


def _age(agent: Agent, _now: datetime) -> str:
    age_s = agent["observed"].get("age_s")
    return NOTHING if age_s is None else duration(age_s)


def _quiet(agent: Agent, now: datetime) -> str:
    return _since(agent["observed"].get("last_output"), now)


def _heard(agent: Agent, now: datetime) -> str:
    return _since(agent.get("heartbeat", {}).get("at"), now)


def _progress(agent: Agent, now: datetime) -> str:
    """How far it is, and since when."""
    beat = agent.get("heartbeat", {})
    return f"{shown(beat['progress'])}, {_since(beat.get('progress_at'), now)}" if "progress" in beat else NOTHING


def _cpu(agent: Agent, _now: datetime) -> str:
    usage = agent["observed"].get("usage")
    return f"{100 * usage['cores']:.0f} %" if usage else NOTHING


def _memory(agent: Agent, _now: datetime) -> str:
    usage = agent["observed"].get("usage")
    return size(usage["rss_bytes"]) if usage else NOTHING


def _mail(agent: Agent, _now: datetime) -> str:
    return str(agent["observed"].get("unread") or NOTHING)


def _runs(agent: Agent, _now: datetime) -> str:
    """What runs in its window; of those that are not well, why."""
    seen = agent["observed"]
    is_well = seen["state"] in ("running", "registered")
    return shown(seen.get("running") or NOTHING) if is_well else shown(seen["evidence"])


def _since(stamp: object, now: datetime) -> str:
    try:
        return duration((now - clock.parse_stamp(str(stamp))).total_seconds())
    except ValueError:
        return NOTHING


_COLUMNS: Mapping[str, Cell] = {
    "AGENT": lambda agent, _: shown(agent["agent_id"]),
    "STATE": lambda agent, _: str(agent["observed"]["state"]),
    "TYPE": _type,
    "WINDOW": lambda agent, _: str(agent["observed"].get("window", NOTHING)),
    "PID": lambda agent, _: str(agent["observed"].get("pid", NOTHING)),
    "AGE": _age,
    "QUIET": _quiet,
    "HEARD": _heard,
    "PROGRESS": _progress,
    "CPU": _cpu,
    "MEM": _memory,
    "MAIL": _mail,
    "RUNS": _runs,
}
_OPTIONAL = {"TYPE", "HEARD", "PROGRESS", "MAIL"}
