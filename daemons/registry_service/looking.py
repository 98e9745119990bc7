"""One look at tmux a cycle; more only where something seems to have vanished.

An answer in which an agent is gone is asked for again before it is believed: right after a full answer an empty one may
be a server on its way out, and of eighteen windows that are being closed the first look sees seven.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from daemons import clock, tmux
from daemons.agents import Look, Sighting, by_its_process
from daemons.registry_service.verdicts import Entries
from daemons.settings import Settings
from daemons.tmux import Seen, Unknown

_AGAIN_AFTER_S = 0.2
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Looked:
    """What the cycle goes by: the last observation, and what it says of each agent."""

    observation: Seen | Unknown
    sightings: Mapping[str, Sighting]


class Looker:
    """Looks until two looks agree on who has vanished."""

    def __init__(self, conf: Settings, ended: Callable[[], Collection[int]], give_up: Callable[[], bool]) -> None:
        self._conf = conf
        self._ended = ended
        self._give_up = give_up

    def look(self, entries: Entries) -> Looked:
        """At most *_LOOKS* observations, *_AGAIN_AFTER_S* apart."""
        looked = self._once(entries)
        vanished = self._vanished(entries, looked)
        for _ in range(_LOOKS - 1):
            if self._give_up() or not (vanished or self._contradicts(looked)):
                break
            clock.pause(_AGAIN_AFTER_S)
            looked = self._once(entries)
            before, vanished = vanished, self._vanished(entries, looked)
            if vanished == before and not self._contradicts(looked):
                break
        return looked

    def _once(self, entries: Entries) -> Looked:
        observation = tmux.observe_places(self._conf, give_up=self._give_up)
        look = Look(self._conf, observation)
        sightings = {a: by_its_process(entry, look.at(a, entry), look) for a, entry in entries.items()}
        return Looked(observation, sightings)

    @staticmethod
    def _vanished(entries: Entries, looked: Looked) -> set[str]:
        """Who was there when it was last written down, and isn't now."""
        return {
            agent_id
            for agent_id, sighting in looked.sightings.items()
            if sighting.state in ("gone", "exited") and _was_there(entries[agent_id])
        }

    def _contradicts(self, looked: Looked) -> bool:
        """tmux still shows as running what has ended: it hasn't collected it yet."""
        ended = self._ended()
        return any(
            sighting.state == "running" and sighting.pane is not None and sighting.pane.pid in ended
            for sighting in looked.sightings.values()
        )


def _was_there(entry: Mapping[str, Any]) -> bool:
    is_meant = entry.get("expected") == "stopped"
    return "tmux_server" in entry and "missing_since" not in entry and not is_meant
