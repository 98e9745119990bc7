"""What of ours is in tmux: sessions that we opened, windows that we opened elsewhere, panes that registered.

Asked in the background, because a tmux server may be stopped for ever: whoever waits for it waits no longer than he can
afford, and goes on with what the processes themselves prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemons import tmux
from daemons.settings import Settings
from daemons.stop.bounded import Background

if TYPE_CHECKING:
    from daemons.stop.report import Window
    from daemons.tmux import Pane, Seen, Unknown

LOOK_TIMEOUT_S = 3.0
_RELEASE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ours:
    """A session, window or pane that is to end, and the panes that go with it."""

    window: Window
    server: str
    panes: tuple[Pane, ...]


class Windows:
    """One look at tmux, under way since this was made."""

    def __init__(self, conf: Settings, suite_id: str, agents: Mapping[str, Mapping[str, Any]]) -> None:
        self._conf = conf
        self._suite_id = suite_id
        self._agents = agents
        self._look = Background(self._observe) if tmux.may_be_there(conf) else None

    def _observe(self) -> Seen | Unknown:
        return tmux.observe(self._conf, timeout_s=LOOK_TIMEOUT_S)

    def ours(self, within_s: float) -> list[Ours]:
        """What is ours in tmux, as far as it has answered *within_s*."""
        seen = self._look.result(within_s) if self._look else None
        return ours_in(seen.panes, self._suite_id, self._agents) if seen and isinstance(seen, tmux.Seen) else []

    def unknown(self, within_s: float) -> str:
        """Why it is not known what of ours is in tmux; nothing when it is. Without a server nothing can be."""
        if self._look is None:
            return ""
        seen = self._look.result(within_s)
        if seen is None:
            return f"tmux gave no answer in {LOOK_TIMEOUT_S:g} s"
        is_nowhere = (
            isinstance(seen, tmux.Seen) or seen.kind == "absent" or (seen.kind == "no_server" and not seen.lost_server)
        )
        return "" if is_nowhere else seen.reason  # type: ignore[union-attr]  # Seen is nowhere unknown

    def release(self) -> None:
        """Let a server that the suite started go, once nobody needs it. In the background: it may hang."""
        Background(lambda: tmux.release_server(self._conf, self._suite_id)).result(_RELEASE_S)

    def again(self) -> Windows:
        """A new look."""
        return Windows(self._conf, self._suite_id, self._agents)


def ours_in(panes: Iterable[Pane], suite_id: str, agents: Mapping[str, Mapping[str, Any]]) -> list[Ours]:
    """Whole sessions that the suite opened, its windows elsewhere, and panes that agents registered.

    A window that somebody else opened in a session of the suite ends with that, and is named by itself: its user, or
    the agent that opened it, wants to know before and after.
    """
    registered = {
        (str(entry.get("tmux_server")), str(entry.get("pane_id")), entry.get("pid")): agent_id
        for agent_id, entry in agents.items()
    }
    groups: dict[tuple[str, str], list[Pane]] = {}
    for pane in panes:
        if pane.session_suite == suite_id:
            groups.setdefault(("session", pane.session_id), []).append(pane)
            if not pane.agent and (pane.server, pane.pane_id, pane.pid) not in registered:
                groups.setdefault(("guest", pane.window_id), []).append(pane)
        elif pane.suite == suite_id:
            groups.setdefault(("window", pane.window_id), []).append(pane)
        elif (pane.server, pane.pane_id, pane.pid) in registered:
            groups.setdefault(("pane", pane.pane_id), []).append(pane)
    # Guests first: the first reason given for a process stands.
    ordered = sorted(groups.items(), key=lambda group: group[0][0] != "guest")
    return [_ours(kind, found, registered) for (kind, _), found in ordered]


def _ours(kind: str, panes: list[Pane], registered: Mapping[tuple[str, str, Any], str]) -> Ours:
    from daemons.stop.report import Window  # 3 ms before a stop's first signal, and often there is none

    first = panes[0]
    if kind == "session":
        window = Window("session", first.session, first.session_id, "the suite opened it", "")
    elif kind == "guest":
        window = Window("window", f"{first.session}:{first.window}", first.window_id, _GUEST, "")
    elif kind == "window":
        window = Window("window", f"{first.session}:{first.window}", first.window_id, "the suite opened it", "")
    else:
        agent = registered[first.server, first.pane_id, first.pid]
        window = Window("pane", f"{first.session}:{first.window}", first.pane_id, f"registered as agent {agent}", "")
    return Ours(window, first.server, tuple(panes))


def end(conf: Settings, ours: Ours) -> str:
    """End it, on the server where it was seen. Why it could not be ended, or nothing."""
    calls = {"session": tmux.end_session, "window": tmux.end_window, "pane": tmux.end_pane}
    try:
        calls[ours.window.kind](conf, ours.window.id, server=ours.server)
    except tmux.TmuxUnavailable as unavailable:
        # With its last window a server goes, and can't be asked any more.
        return "" if unavailable.unknown.kind == "no_server" else str(unavailable)
    return ""


def why(ours: Ours, pane: Pane) -> str:
    """Why the processes of *pane* are ours."""
    return f"window {pane.session}:{pane.window}, {ours.window.why}"


_GUEST = "somebody else opened it in the suite's session"
