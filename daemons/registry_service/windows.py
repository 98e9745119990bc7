"""Windows whose command has ended: shown for a while, so that a person can look, then closed. Only our own."""

from __future__ import annotations

from datetime import datetime

from daemons import log, suite, tmux
from daemons.journal import Journal
from daemons.settings import Settings
from daemons.text import safe
from daemons.tmux import Pane, Seen, TmuxUnavailable, Unknown

KEPT_S = 300.0


class EndedWindows:
    """Closes our ended windows once they have been shown for *kept_s*."""

    def __init__(self, conf: Settings, journal: Journal, kept_s: float = KEPT_S) -> None:
        self._conf = conf
        self._journal = journal
        self._kept_s = kept_s

    def close_old(self, observation: Seen | Unknown, now: datetime) -> None:
        """Close those of *observation* that ended long enough ago. The pane alone: a user may sit in another beside."""
        ended = [pane for pane in observation.panes if pane.dead] if isinstance(observation, Seen) else []
        suite_id = suite.known_id(self._conf) if ended else None
        for pane in ended:
            is_ours = bool(pane.agent) and suite_id is not None and pane.suite == suite_id
            if is_ours and pane.dead_at is not None and now.timestamp() - pane.dead_at > self._kept_s:
                self._close(pane)

    def _close(self, pane: Pane) -> None:
        try:
            closed = tmux.end_pane(self._conf, pane.pane_id, server=pane.server)
        except TmuxUnavailable as unavailable:
            log.warning("window.not_closed", window=pane.window_id, reason=str(unavailable))
            return
        if closed:
            window = safe(f"{pane.session}:{pane.window}", one_line=True)
            self._journal.record("window.closed", reason="its command ended", agent=pane.agent, window=window)


def last_words(conf: Settings, pane: Pane | None) -> str:
    """What a pane whose command has ended showed last; nothing when it can't be had."""
    lines = tmux.last_lines(conf, pane, lines=60) if pane else ""
    return "" if isinstance(lines, Unknown) else lines
