"""Saying in an agent's own pane that mail waits for it. Off unless CMUX_DELIVER (or the entry's `deliver`) says yes.

    mail that was not announced -> quiet, at a prompt that we recognise -> one bracketed paste
    -> the prompt shows exactly that -> Enter -> the prompt is empty again -> written down as announced

What is typed is one sentence of ours, never a message's own words. Whatever does not look as it must (a person who
types, another program, copy mode) leaves the announcement waiting; Enter is only pressed on what was seen to be ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from daemons import clock, files, log, tmux
from daemons.files import LockBusy, StorageError
from daemons.journal import Journal
from daemons.registry_service.mail import MailState
from daemons.registry_service.verdicts import Entries, Verdict
from daemons.settings import Settings
from daemons.tmux import Pane, TmuxUnavailable, Unknown

QUIET_S = 2.0
AGAIN_AFTER_S = 30.0
_SHOWN_WITHIN_S = 1.0
_LINES = 12
_LINE_LIMIT = 400


class Delivery:
    """At most one announcement a cycle; `announce` returns within some 2 s."""

    def __init__(self, conf: Settings, journal: Journal) -> None:
        self._conf = conf
        self._journal = journal
        self._prompts = [re.compile(pattern) for pattern in conf.prompts]
        self._path = conf.state / "announced.json"
        self._announced: dict[str, str] = _load(conf)
        self._not_before: dict[str, float] = {}

    def announce(
        self, entries: Entries, verdicts: Mapping[str, Verdict], mail: MailState | None, now: datetime
    ) -> None:
        """Tell one agent whose pane is ready that it has mail, if there is one."""
        for agent_id in self._waiting(entries, verdicts, mail):
            pane = verdicts[agent_id].pane
            if mail is None or pane is None or now.timestamp() - pane.activity < QUIET_S:
                continue
            if clock.monotonic() < self._not_before.get(agent_id, 0.0):
                continue
            self._not_before[agent_id] = clock.monotonic() + AGAIN_AFTER_S
            if self._told(agent_id, pane, mail.unread[agent_id]):
                self._remember(agent_id, mail.newest[agent_id])
                return

    def _waiting(self, entries: Entries, verdicts: Mapping[str, Verdict], mail: MailState | None) -> Iterator[str]:
        for agent_id, newest in (mail.newest if mail else {}).items():
            wanted = entries.get(agent_id, {}).get("deliver", self._conf.deliver)
            verdict = verdicts.get(agent_id)
            is_there = verdict is not None and verdict.state in ("running", "stale") and verdict.pane is not None
            if wanted is True and is_there and self._announced.get(agent_id) != newest:
                yield agent_id

    def _told(self, agent_id: str, pane: Pane, unread: int) -> bool:
        sentence = words(unread)
        try:
            with files.lock(self._conf.run_dir / f"pane-{pane.pane_id[1:]}.lock", timeout_s=0.0):
                return self._typed(agent_id, pane, sentence)
        except (LockBusy, TmuxUnavailable, StorageError) as hindrance:
            log.info("mail.not_announced", agent=agent_id, reason=str(hindrance))
            return False

    def _typed(self, agent_id: str, pane: Pane, sentence: str) -> bool:
        if self._prompt(pane) != "":
            return False
        tmux.send_text(self._conf, pane.pane_id, sentence, server=pane.server, enter=False)
        if not clock.wait_until(lambda: self._prompt(pane) == sentence, within_s=_SHOWN_WITHIN_S, every_s=0.1):
            log.warning("mail.not_announced", agent=agent_id, reason="its prompt does not show what was pasted")
            return True  # not again: half of it may stand there
        tmux.press_enter(self._conf, pane.pane_id, server=pane.server)
        taken = clock.wait_until(lambda: self._prompt(pane) != sentence, within_s=_SHOWN_WITHIN_S, every_s=0.1)
        self._journal.record("mail.announced", agent=agent_id, pane=pane.pane_id, taken=bool(taken))
        return True

    def _prompt(self, pane: Pane) -> str | None:
        """What stands at the agent's prompt, an empty word for nothing; None when none is seen."""
        shown = tmux.last_lines(self._conf, pane, lines=0)
        if isinstance(shown, Unknown):
            return None
        for line in reversed(shown.splitlines()[-_LINES:]):
            for pattern in self._prompts:
                if found := pattern.fullmatch(line[:_LINE_LIMIT]):
                    return found["typed"].strip()
        return None

    def _remember(self, agent_id: str, newest: str) -> None:
        self._announced[agent_id] = newest
        try:
            files.replace(self._path, json.dumps(self._announced).encode() + b"\n")
        except StorageError as full:
            log.warning("announced.not_written", reason=str(full))


def words(unread: int) -> str:
    """The one sentence that is typed."""
    return f"You have {unread} new {'message' if unread == 1 else 'messages'} in the mailbox: run `cmux mail read`."


def _load(conf: Settings) -> dict[str, str]:
    try:
        told = json.loads(files.read(conf.state / "announced.json") or b"{}")
        return {str(agent): str(newest) for agent, newest in told.items()}
    except (ValueError, AttributeError, StorageError):
        return {}
