"""Agents without a window that we know of: one that registered with its `pid` and `pid_started` is seen by its process.

A pid alone proves nothing, it may mean another process by now; with the start time it is an identity. Where it is
what runs in a pane (a shell whose hook registered it), that pane is shown as its window, and no other of that name is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from daemons import processes
from daemons.agents.sighting import Look, Sighting, found_in


def by_its_process(entry: Mapping[str, Any], sighting: Sighting, look: Look) -> Sighting:
    """*sighting*, or what the process says where tmux knows of no window. Two reads of /proc."""
    pid, started = entry.get("pid"), entry.get("pid_started")
    if sighting.state != "unwatched" or not (_is_number(pid) and _is_number(started)):
        return sighting
    process = processes.read(pid)
    if process is not None and process.started == started and not process.ended:
        pane = look.pane_of(pid)
        return found_in(pane) if pane else Sighting("running", f"process {pid} runs; it has no window", pid=pid)
    return Sighting("gone", f"its process {pid} has ended")


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63
