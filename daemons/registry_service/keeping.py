"""What a verdict changes in an entry. Nothing, nearly always: a cycle in which nothing happened writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemons import clock, processes
from daemons.agents import fields_of
from daemons.registry_service.verdicts import ABSENT, Entries, Verdict, moment
from daemons.settings import Settings
from daemons.tmux import Pane

Fields = dict[str, Any]

# A clock that was set forward must not remove anybody: we have seen him missing for some time ourselves.
_SEEN_MISSING_S = 60.0
_OVER = ("missing", "exited", "stale")


def changes(entries: Entries, verdicts: Mapping[str, Verdict], now: datetime) -> dict[str, Fields]:
    """What must be set in which entry; None removes a field."""
    found = {agent_id: _fields(entries[agent_id], verdict, now) for agent_id, verdict in verdicts.items()}
    return {agent_id: fields for agent_id, fields in found.items() if fields}


def _fields(entry: Mapping[str, Any], verdict: Verdict, now: datetime) -> Fields:
    if verdict.state in ("running", "registered"):
        wanted = _present(entry, verdict)
    elif verdict.state in (*ABSENT, "stale", "stopped"):
        wanted = _absent(entry, verdict, now)
    else:
        return {}
    return {name: value for name, value in wanted.items() if entry.get(name) != value}


def _present(entry: Mapping[str, Any], verdict: Verdict) -> Fields:
    wanted: Fields = {}
    pane = verdict.pane
    if pane is not None and not _is_known_by_its_process(entry, pane):
        wanted |= fields_of(pane)
        if entry.get("pid") != pane.pid or "pid_started" not in entry:
            identity = processes.identify(pane.pid)
            wanted["pid_started"] = identity.started if identity else None
    if entry.get("missing_since") is not None:
        wanted["missing_since"] = None
    if entry.get("status") in _OVER:
        wanted["status"] = "running" if verdict.state == "running" else None
    return wanted


def _is_known_by_its_process(entry: Mapping[str, Any], pane: Pane) -> bool:
    """Its window is no more than where it runs: other windows are called `bash` too, and are no new life of it."""
    has_place = "pane_id" in entry or "window" in entry
    return not has_place and "pid_started" in entry and entry.get("pid") == pane.pid


def _absent(entry: Mapping[str, Any], verdict: Verdict, now: datetime) -> Fields:
    wanted: Fields = {} if verdict.state == "stopped" else {"status": verdict.state}
    # A frozen agent whose window is there is stale, not missing: nobody may remove it for that.
    is_there = verdict.state == "stale" and verdict.pane is not None
    since = moment(entry.get("missing_since"))
    if not is_there and (since is None or since > now):
        wanted["missing_since"] = clock.stamp(now)
    return wanted


def expired(conf: Settings, entries: Entries, verdicts: Mapping[str, Verdict], now: datetime) -> dict[str, str]:
    """Who is to be removed from the registry, and why."""
    mono = clock.monotonic()
    found = {}
    for agent_id, verdict in verdicts.items():
        entry = entries[agent_id]
        seen_s = mono - verdict.since_mono
        if _was_ended(conf, entry, verdict, seen_s):
            found[agent_id] = "it was ended on purpose; who did so left before it was finished"
        elif _is_over(conf, entry, verdict, now) and seen_s >= min(conf.missing_grace_s, _SEEN_MISSING_S):
            found[agent_id] = f"{verdict.state} since {entry['missing_since']}, longer than {conf.missing_grace_s:g} s"
    return found


def _was_ended(conf: Settings, entry: Mapping[str, Any], verdict: Verdict, seen_s: float) -> bool:
    is_ending = verdict.state == "stopped" and verdict.is_known and entry.get("status") == "ending"
    return is_ending and seen_s > conf.stop_timeout_s + conf.agents_interval_s


def _is_over(conf: Settings, entry: Mapping[str, Any], verdict: Verdict, now: datetime) -> bool:
    since = moment(entry.get("missing_since"))
    if since is None or entry.get("permanent") is True:
        return False
    is_gone = verdict.state in ABSENT and verdict.is_known  # when tmux can't be asked, nobody is removed
    is_absent = is_gone or verdict.state == "stopped" or (verdict.state == "stale" and verdict.pane is None)
    return is_absent and (now - since).total_seconds() > conf.missing_grace_s
