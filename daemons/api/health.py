"""/api/webhooks/health: is everything well? Answered from what is known: never builds, never asks tmux."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response

from daemons import __version__, clock, files, heartbeat, processes
from daemons.api.answers import json_answer
from daemons.api.knowledge import DAEMONS
from daemons.api.state import State
from daemons.files import LockBusy, StorageError
from daemons.loop import Status

# With less than this left nothing can be kept any more: full, where the health checker's `low` is a warning.
_FULL_BYTES = 64 << 10
_WELL = ("healthy", "absent")


def routes(state: State) -> Blueprint:
    calls = Blueprint("health", __name__)

    @calls.get("/api/webhooks/health")
    @calls.get("/health")
    def health() -> Response:
        known = of(state)
        return json_answer(known, 200 if known["status"] == "healthy" else 503)

    return calls


def of(state: State) -> dict[str, Any]:
    """All that is known about the suite's health; `status` is `healthy` only when every part is."""
    daemons = {name: _daemon(state.knowledge.status(name)) for name in DAEMONS}
    daemons["log_watcher"] |= _unexplained(state.knowledge.detail("log_watcher"), daemons["log_watcher"])
    daemons["api"] = {"status": "healthy", "uptime_s": round(clock.monotonic() - state.started_mono, 1)}
    front = frontend(state)
    stores = {
        "alerts": _or_unknown(lambda: _alerts(state)),
        "agents": _or_unknown(lambda: _agents(state)),
        "mailbox": _mailbox(state),
    }
    checker = state.knowledge.detail("health_checker")
    disk = _disk(state, _mapping(checker.get("disk")))
    well = (
        front["status"] in _WELL
        and disk.get("status") != "full"
        and all(each["status"] == "healthy" for each in daemons.values())
        and not any(each and "status" in each for each in stores.values())  # they have one only when not well
    )
    return {
        "status": "healthy" if well else "degraded",
        "api": "healthy",
        "frontend": front,
        "service": "cmux",
        "instance": state.instance,
        "version": __version__,
        "daemons": daemons,
        **stores,
        "tmux": state.knowledge.detail("registry_service").get("tmux"),
        "services": _mapping(checker.get("services")),
        "disk": disk,
        "resources": checker.get("resources"),
    }


def frontend(state: State) -> dict[str, Any]:
    """What the health checker knows of the frontend, unless a look at the disk shows that it is too old."""
    conf = state.conf
    if not conf.frontend_dir.is_dir():
        return {"status": "absent", "index_exists": False, "js_bundle_count": 0, "evidence": f"no {conf.frontend_dir}"}
    known = dict(_mapping(state.knowledge.detail("health_checker").get("frontend")))
    if not known:
        known = {"status": "unknown", "js_bundle_count": 0, "evidence": "the health checker has not looked yet"}
    exists = (conf.dist / "index.html").is_file()
    if not exists and known["status"] in _WELL:
        known |= {"status": "degraded", "evidence": f"{conf.dist / 'index.html'} is not there"}
    return known | {"index_exists": exists}


def _disk(state: State, known: Mapping[str, Any]) -> dict[str, Any]:
    """What the health checker knows of the disk, unless a look now (20 us) shows that it has filled up since."""
    try:
        found = os.statvfs(state.conf.state)
    except OSError as cause:
        return {**known, "status": "unknown", "evidence": f"could not look: {cause.strerror}"}
    free_bytes = found.f_bavail * found.f_frsize
    names_left = found.f_favail if found.f_files else 1
    if free_bytes >= _FULL_BYTES and names_left:
        return dict(known)
    evidence = f"{free_bytes} bytes and {found.f_favail} file names are left where {state.conf.state} lies"
    return {**known, "status": "full", "evidence": evidence}


def _daemon(status: Status | None) -> dict[str, Any]:
    if status is None:
        return {"status": "unknown", "evidence": "it has not completed a cycle yet"}
    told = {
        "pid": status.pid,
        "cycle": status.cycle,
        "completed_at": status.completed_at,
        "age_s": round(status.age_s, 1),
    }
    return {**_verdict(status), **told}


def _unexplained(detail: Mapping[str, Any], so_far: Mapping[str, Any]) -> dict[str, str]:
    """What to say of a log watcher that lives, but can't account for every byte of its logs."""
    missing = _mapping(detail.get("coverage")).get("unexplained_bytes", 0)
    if not missing or so_far["status"] != "healthy":
        return {}
    evidence = f"{missing} bytes of the watched logs are neither examined nor in a known gap; cmux logs --coverage"
    return {"status": "degraded", "evidence": evidence}


def _verdict(status: Status) -> dict[str, str]:
    process = processes.identify(status.pid)
    if process is None or process.started != status.pid_started:
        return {"status": "dead", "evidence": f"pid {status.pid} has ended"}
    if heartbeat.is_overdue(status):
        return {"status": "hanging", "evidence": f"a cycle is due every {status.interval_s:g} s"}
    return {"status": "healthy"}


def _or_unknown(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What *look* finds. A store that cannot be read is one part that is unknown: the others are told all the same."""
    try:
        return look()
    except (StorageError, LockBusy) as cause:
        return {"status": "unknown", "evidence": str(cause)}


def _agents(state: State) -> dict[str, Any]:
    counts = _mapping(state.knowledge.detail("registry_service").get("counts"))
    return {"registered": len(state.agents.listing().ids), **counts}


def _mailbox(state: State) -> dict[str, Any] | None:
    """The registry service's counts; with `status` and `evidence` while messages cannot be sent."""
    counts = state.knowledge.detail("registry_service").get("mailbox")
    evidence = _why_unsendable(state)
    if evidence:
        return {**_mapping(counts), "status": "degraded", "evidence": evidence}
    return counts if isinstance(counts, dict) else None


def _why_unsendable(state: State) -> str | None:
    try:
        files.check_appendable(state.conf.mailbox)
    except StorageError as cause:
        return str(cause)
    waiting = {name: state.knowledge.detail(name).get("alerts_waiting") for name in DAEMONS}
    return next((f"alerts of {name} wait: {why}" for name, why in waiting.items() if why), None)


def _alerts(state: State) -> dict[str, Any]:
    alerts = state.knowledge.open_alerts()
    kinds = sorted({alert.kind for alert in alerts})
    return {
        "open": len(alerts),
        "unacknowledged": sum(alert.state == "open" for alert in alerts),
        "kinds": {kind: sum(alert.kind == kind for alert in alerts) for kind in kinds},
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
