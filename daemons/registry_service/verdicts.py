"""From what was seen to what is held to be so. Pure but for its memory of how long something has been seen.

    sighting  running      exited      gone          unknown      unwatched
    verdict   running      exited ──── missing       unknown      registered
              stale        stopped (meant)  settling              stale

A registration may come shortly before its window: what never had one is given time before it counts as missing. A
clock that jumps must not make anyone stale: that is only believed after some time on the clock that cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from daemons import clock
from daemons.agents import Sighting
from daemons.settings import Settings
from daemons.tmux import Pane

State = Literal["running", "exited", "missing", "stopped", "settling", "unknown", "registered", "stale"]
ABSENT: tuple[State, ...] = ("missing", "exited")
"""Should run, and provably doesn't."""

# After a suspend everybody is silent for as long as it took: one more chance to be heard. And the API writes beats down
# every 5 seconds, so that what is read here may be that much behind.
STALE_BELIEVED_AFTER_S = 30.0
BEATS_BEHIND_S = 6.0

Entries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is held to be so of one agent, why, since when (monotonic and wall), and where it was seen.

    *is_known*: tmux could be asked about it.
    """

    state: State
    evidence: str
    pane: Pane | None
    since_mono: float
    since: datetime
    is_known: bool = True
    pid: int | None = None


class Judge:
    """Turns sightings into verdicts, cycle after cycle."""

    def __init__(self, conf: Settings) -> None:
        self._settle_s = conf.agent_settle_s
        self._before: dict[str, Verdict] = {}
        self._silent_since: dict[str, float] = {}

    def judge(
        self, entries: Entries, sightings: Mapping[str, Sighting], beats: Mapping[str, datetime], now: datetime
    ) -> dict[str, Verdict]:
        """A verdict for each of *entries*. *beats*: when each agent was heard of last."""
        mono = clock.monotonic()
        verdicts = {}
        for agent_id, entry in entries.items():
            sighting = sightings[agent_id]
            state, evidence = self._state(agent_id, entry, sighting, beats.get(agent_id), now, mono)
            before = self._before.get(agent_id)
            lasts = before is not None and before.state == state
            since_mono, since = (before.since_mono, before.since) if before and lasts else (mono, now)
            is_known = sighting.state != "unknown"
            verdicts[agent_id] = Verdict(state, evidence, sighting.pane, since_mono, since, is_known, sighting.pid)
        self._before = verdicts
        self._silent_since = {key: since for key, since in self._silent_since.items() if key in verdicts}
        return verdicts

    def _state(
        self,
        agent_id: str,
        entry: Mapping[str, Any],
        sighting: Sighting,
        beat: datetime | None,
        now: datetime,
        mono: float,
    ) -> tuple[State, str]:
        if sighting.state not in ("running", "unwatched"):
            if entry.get("expected") == "stopped":
                return "stopped", f"meant to be stopped; {sighting.evidence}"
            if sighting.state == "gone":
                return self._gone(agent_id, entry, sighting, mono)
            if sighting.state == "unknown":
                return _unknown(entry, sighting)
            return "exited", sighting.evidence
        silence = self._silence(agent_id, entry, sighting, beat, now, mono)
        if silence:
            return "stale", silence
        return ("running" if sighting.state == "running" else "registered"), sighting.evidence

    def _gone(self, agent_id: str, entry: Mapping[str, Any], sighting: Sighting, mono: float) -> tuple[State, str]:
        before = self._before.get(agent_id)
        if before is None:
            # Since the last start of this service: what was written down counts.
            may_come = "tmux_server" not in entry and "missing_since" not in entry
        else:
            may_come = before.state in ("settling", "stopped", "registered", "stale")
        since = before.since_mono if before and before.state == "settling" else mono
        if not may_come or mono - since >= self._settle_s:
            return "missing", sighting.evidence
        return "settling", "it was registered a moment ago; its window may still come"

    def _silence(
        self,
        agent_id: str,
        entry: Mapping[str, Any],
        sighting: Sighting,
        beat: datetime | None,
        now: datetime,
        mono: float,
    ) -> str | None:
        """Why the agent counts as stale: neither a heartbeat nor output for as long as its `ttl` allows."""
        ttl_s = entry.get("ttl")
        if not isinstance(ttl_s, int | float) or isinstance(ttl_s, bool) or ttl_s <= 0:
            return None
        output = datetime.fromtimestamp(sighting.pane.activity, UTC) if sighting.pane else None
        heard = max(filter(None, (beat, output, moment(entry.get("registered_at")))), default=now)
        if (now - heard).total_seconds() <= ttl_s:
            self._silent_since.pop(agent_id, None)
            return None
        silent_since = self._silent_since.setdefault(agent_id, mono)
        if mono - silent_since < max(BEATS_BEHIND_S, min(float(ttl_s), STALE_BELIEVED_AFTER_S)):
            return None
        return f"neither heartbeat nor output since {clock.stamp(heard)}; its ttl is {ttl_s:g} s"


def _unknown(entry: Mapping[str, Any], sighting: Sighting) -> tuple[State, str]:
    """Who was proven gone before stays so: nothing that tmux could say now would bring that life back."""
    status = entry.get("status")
    if "missing_since" in entry and status in ABSENT:
        return ("exited" if status == "exited" else "missing"), f"gone since {entry['missing_since']}"
    return "unknown", sighting.evidence


def moment(value: object) -> datetime | None:
    """A stamp that anybody may have written, as a moment, or None when it is none."""
    try:
        return clock.parse_stamp(value) if isinstance(value, str) else None
    except ValueError:
        return None
