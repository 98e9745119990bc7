"""The edits that everybody makes: each is a function of a Draft, for `Registry.change` or a group commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from daemons import clock
from daemons.registry.drafts import Draft
from daemons.registry.ids import check_id, spelled
from daemons.registry.table import Entry

T = TypeVar("T")
Edit = Callable[[Draft], T]


def registration(agent_id: object, fields: Mapping[str, object], now: datetime) -> Edit[Entry]:
    """The edit that adds an agent or renews it: `registered_at` stays, *fields* count, all others stay as they were.

    Who registers is alive: that it was missing, or meant to be stopped, is over. InvalidAgent for a wrong id at once.
    """
    checked = check_id(agent_id)
    given = {name: value for name, value in fields.items() if name != "registered_at"}

    def edit(agents: Draft) -> Entry:
        name = spelled(checked, agents)
        entry = agents.get(name) or {"registered_at": clock.stamp(now), "type": "worker", "created_by": "system"}
        if entry.pop("missing_since", None) or entry.get("status") == "missing":
            entry.pop("status", None)
        if entry.get("expected") == "stopped":
            entry["expected"] = "running"
        entry.update(given)
        agents[name] = entry
        return dict(entry)

    return edit


def removal(agent_id: str) -> Edit[bool]:
    """The edit that removes an agent; it tells whether there was one."""

    def edit(agents: Draft) -> bool:
        return agents.discard(spelled(agent_id, agents))

    return edit


def update(agent_id: str, fields: Mapping[str, object]) -> Edit[Entry | None]:
    """The edit that sets some fields of an agent (None removes one); the entry, or None when there is no such."""

    def edit(agents: Draft) -> Entry | None:
        entry = agents.get(spelled(agent_id, agents))
        if entry is None:
            return None
        entry.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del entry[name]
        return dict(entry)

    return edit


def restoration(entries: Mapping[str, Entry]) -> Edit[list[str]]:
    """The edit that brings back those of *entries* that are not registered now; it tells their ids."""

    def edit(agents: Draft) -> list[str]:
        lost = [agent_id for agent_id in entries if agent_id not in agents]
        for agent_id in lost:
            agents.put_back(agent_id, dict(entries[agent_id]))
        return lost

    return edit
