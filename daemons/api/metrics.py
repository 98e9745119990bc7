"""/metrics: the suite in numbers, as Prometheus reads them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Response

from daemons import __version__, clock, processes
from daemons.api import health
from daemons.api.state import State

Labels = Mapping[str, str]


def routes(state: State) -> Blueprint:
    calls = Blueprint("metrics", __name__)

    @calls.get("/metrics")
    def metrics() -> Response:
        body = "".join(_lines(state))
        return Response(body, content_type="text/plain; version=0.0.4; charset=utf-8")

    return calls


def _lines(state: State) -> Iterator[str]:
    known = health.of(state)
    yield from _metric("cmux_info", "gauge", "What runs.", [({"version": __version__, "instance": state.instance}, 1)])
    yield from _metric("cmux_healthy", "gauge", "1 when every part is.", [({}, int(known["status"] == "healthy"))])
    daemons = known["daemons"].items()
    up = [({"daemon": name}, int(each["status"] == "healthy")) for name, each in daemons]
    yield from _metric("cmux_daemon_healthy", "gauge", "1 for a daemon that lives and completes its cycles.", up)
    ages = [({"daemon": name}, each["age_s"]) for name, each in daemons if "age_s" in each]
    yield from _metric("cmux_daemon_cycle_age_seconds", "gauge", "Since the last completed cycle.", ages)
    yield from _about_agents(state)
    yield from _about_each_agent(state)
    alerts = Counter((alert.kind, alert.state) for alert in state.knowledge.open_alerts())
    open_ = [({"kind": kind, "state": what}, count) for (kind, what), count in sorted(alerts.items())]
    yield from _metric("cmux_alerts_open", "gauge", "Alerts that are not cleared.", open_)
    mail = known["mailbox"] if isinstance(known["mailbox"], dict) else {}
    counts = [({"kind": name}, mail[name]) for name in ("messages", "unparsable", "undelivered") if name in mail]
    yield from _metric("cmux_mailbox_lines", "gauge", "Lines of the current mailbox file.", counts)
    yield from _about_programs(known["resources"] or {})
    yield from _about_the_api(state)


_OF_A_PROGRAM = (
    ("rss_bytes", "cmux_program_resident_memory_bytes", "gauge", "Memory of a program and what it started."),
    ("files", "cmux_program_open_fds", "gauge", "Open files of its process that is nearest to its limit."),
    ("files_limit", "cmux_program_max_fds", "gauge", "What that process may open."),
    ("cpu_s", "cmux_program_cpu_seconds_total", "counter", "CPU time of a program and what it started."),
)


def _about_programs(resources: Mapping[str, Any]) -> Iterator[str]:
    """As the health checker measured them, at most half a minute ago."""
    programs = resources.get("programs", {}).items()
    for field, metric, kind, about in _OF_A_PROGRAM:
        yield from _metric(metric, kind, about, [({"program": name}, used[field]) for name, used in programs])


def _about_agents(state: State) -> Iterator[str]:
    listing = state.agents.listing()
    counts = health.of(state)["agents"]
    yield from _metric("cmux_agents", "gauge", "Registered agents.", [({}, len(listing.ids))])
    states = [({"state": name}, count) for name, count in counts.items() if name != "registered"]
    yield from _metric("cmux_agents_observed", "gauge", "Agents by their observed state.", states)
    yield from _metric("cmux_registry_index", "counter", "Grows with every change.", [({}, listing.index)])


_OF_AN_AGENT = (
    ("rss_bytes", "cmux_agent_resident_memory_bytes", "gauge", "Memory of an agent and what it started."),
    ("cpu_s", "cmux_agent_cpu_seconds_total", "counter", "CPU time of an agent and what it started."),
    ("processes", "cmux_agent_processes", "gauge", "Processes of an agent."),
)


def _about_each_agent(state: State) -> Iterator[str]:
    """As the registry service measured them, at most a quarter of a minute ago."""
    seen = {agent_id: part[1] for agent_id, part in state.agents.parts().items()}
    used = {agent_id: each["usage"] for agent_id, each in seen.items() if "usage" in each}
    for field, metric, kind, about in _OF_AN_AGENT:
        yield from _metric(metric, kind, about, [({"agent": agent_id}, u[field]) for agent_id, u in used.items()])
    began = [({"agent": a}, clock.parse_stamp(u["began"]).timestamp()) for a, u in used.items()]
    yield from _metric("cmux_agent_start_time_seconds", "gauge", "When its first process was started.", began)
    unread = [({"agent": agent_id}, each.get("unread", 0)) for agent_id, each in seen.items()]
    yield from _metric("cmux_agent_unread_messages", "gauge", "Mail that it has not read.", unread)


def _about_the_api(state: State) -> Iterator[str]:
    commits = state.commits
    answers = [({"code": str(code)}, count) for code, count in sorted(state.answers.items())]
    yield from _metric("cmux_http_answers_total", "counter", "Answers by status code.", answers)
    yield from _metric("cmux_http_watchers", "gauge", "Streams and long polls.", [({}, state.changes.watchers)])
    yield from _metric("cmux_registry_edits_total", "counter", "Edits asked for over HTTP.", [({}, commits.edits)])
    yield from _metric(
        "cmux_registry_commits_total", "counter", "Durable publications for them.", [({}, commits.groups)]
    )
    busy_s = round(commits.busy_s, 6)
    yield from _metric("cmux_registry_commit_seconds_total", "counter", "Time spent publishing.", [({}, busy_s)])
    own = processes.usage([os.getpid()])
    yield from _metric("process_resident_memory_bytes", "gauge", "Memory of the API.", [({}, own.rss_bytes)])
    yield from _metric("process_open_fds", "gauge", "Open files of the API.", [({}, own.files)])
    yield from _metric("process_cpu_seconds_total", "counter", "CPU time of the API.", [({}, own.cpu_s)])
    uptime = round(clock.monotonic() - state.started_mono, 3)
    yield from _metric("cmux_api_uptime_seconds", "gauge", "Since the API began to serve.", [({}, uptime)])


def _metric(name: str, kind: str, about: str, samples: Iterable[tuple[Labels, float | int | None]]) -> Iterator[str]:
    yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        if value is not None:
            inside = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels.items())
            yield f"{name}{{{inside}}} {value}\n" if inside else f"{name} {value}\n"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
