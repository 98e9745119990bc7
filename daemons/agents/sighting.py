"""What one look at tmux says about one agent. Pure: no file, no process, no clock."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from daemons import tmux
from daemons.settings import Settings
from daemons.tmux import Pane, Seen, Unknown

State = Literal["running", "exited", "gone", "unknown", "unwatched"]
"""`exited`: its command has ended, its window still shows so. `unwatched`: it never had a window that we know of."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is so of one agent, and how that is known. *pane* is where it was found, dead or alive; *pid* what lives."""

    state: State
    evidence: str
    pane: Pane | None = None
    pid: int | None = None


class Look:
    """One observation of tmux, asked about one agent after the other."""

    def __init__(self, conf: Settings, observation: Seen | Unknown) -> None:
        self._conf = conf
        self._observation = observation
        panes = observation.panes if isinstance(observation, Seen) else ()
        self._by_id = {pane.pane_id: pane for pane in panes}
        self._by_name: dict[tuple[str, str], list[Pane]] = defaultdict(list)
        for pane in panes:
            self._by_name[pane.session, pane.window].append(pane)

    def at(self, agent_id: str, entry: Mapping[str, Any]) -> Sighting:
        """What this look says of the agent. A pane is known by its id, else by the name of its window."""
        if isinstance(self._observation, Unknown):
            if not _has_window(entry):
                return Sighting("unwatched", "no window of it is known")
            return Sighting("unknown", self._observation.reason)
        return self._seen(agent_id, entry, self._observation)

    def pane_of(self, pid: int) -> Pane | None:
        """The living pane that was opened with the process *pid*."""
        return next((pane for pane in self._by_id.values() if pane.pid == pid and not pane.dead), None)

    def _seen(self, agent_id: str, entry: Mapping[str, Any], seen: Seen) -> Sighting:
        pane = self._pane_known_by_id(entry, seen)
        if pane is None or pane.dead:
            # A new window of the old name is a new life of it.
            pane = self._living_of_its_name(agent_id, entry) or pane
        if pane is not None:
            return found_in(pane)
        if not _has_window(entry):
            return Sighting("unwatched", "no window of it is known")
        server = entry.get("tmux_server")
        if isinstance(server, str) and server != seen.server:
            return Sighting("unknown", f"its tmux server ({server}) was replaced by another ({seen.server})")
        return Sighting("gone", f"tmux ({seen.server}) has no pane {entry.get('pane_id') or 'of its name'}")

    def _pane_known_by_id(self, entry: Mapping[str, Any], seen: Seen) -> Pane | None:
        pane = self._by_id.get(str(entry.get("pane_id")))
        server = entry.get("tmux_server")
        if pane is None or server == seen.server:
            return pane
        # Without the server's name an id alone proves nothing: ids begin anew with each server.
        is_same_process = server is None and entry.get("pid") == pane.pid
        is_same_window = server is None and entry.get("window") == pane.window
        return pane if is_same_process or is_same_window else None

    def _living_of_its_name(self, agent_id: str, entry: Mapping[str, Any]) -> Pane | None:
        for name in _names(self._conf, agent_id, entry):
            for pane in self._by_name.get(name, ()):
                if not pane.dead and pane.agent in ("", agent_id):
                    return pane
        return None


def _has_window(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("pane_id"), str) or isinstance(entry.get("window"), str)


def _names(conf: Settings, agent_id: str, entry: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    session, window = entry.get("session"), entry.get("window")
    if isinstance(window, str):
        yield (session if isinstance(session, str) else conf.session), window
    try:
        yield tmux.place(conf, agent_id)
    except ValueError:
        return  # an id that cannot name a window


def found_in(pane: Pane) -> Sighting:
    """What is so of the agent that lives, or lived, in *pane*."""
    where = f"{pane.session}:{pane.window} {pane.pane_id}"
    if not pane.dead:
        return Sighting("running", f"window {where}, pid {pane.pid}", pane, pane.pid)
    return Sighting("exited", f"its command ended {how_it_ended(pane)}", pane)


def how_it_ended(pane: Pane) -> str:
    """`with exit status 3`, `by signal 9 (SIGKILL)`."""
    if pane.dead_signal is None:
        return f"with exit status {'unknown' if pane.dead_status is None else pane.dead_status}"
    try:
        return f"by signal {pane.dead_signal} ({signal.Signals(pane.dead_signal).name})"
    except ValueError:
        return f"by signal {pane.dead_signal}"


def fields_of(pane: Pane) -> dict[str, object]:
    """What an entry remembers of the place where its agent lives."""
    return {
        "session": pane.session,
        "window": pane.window,
        "window_id": pane.window_id,
        "pane_id": pane.pane_id,
        "tmux_server": pane.server,
        "pid": pane.pid,
    }
