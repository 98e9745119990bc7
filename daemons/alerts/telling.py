"""What is to be told now, and in how few messages: alike alerts in one, a storm in one.

The result is put into the outbox; sending is another part's work.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from daemons import clock
from daemons.alerts import words
from daemons.alerts.model import LOG, Alert, Held, What
from daemons.alerts.mutes import Mutes
from daemons.alerts.state import Outgoing, Section, SenderState
from daemons.alerts.words import Due
from daemons.journal import Journal
from daemons.mailbox import Mailbox, Message, Position
from daemons.settings import Settings

MESSAGES_A_MINUTE = 10
_MINUTE = timedelta(minutes=1)
_EVENTS: dict[What, str] = {
    "raised": "alert.raised",
    "updated": "alert.updated",
    "cleared": "alert.cleared",
    "retold": "alert.retold",
}


class Teller:
    """Writes the messages of one sender."""

    def __init__(self, conf: Settings, sender: str, mailbox: Mailbox, journal: Journal) -> None:
        self._conf = conf
        self._sender = sender
        self._to = f"{conf.session}:supervisor"
        self._cooldown = timedelta(seconds=conf.alert_cooldown_s)
        self._retell = None if conf.alert_retell_s is None else timedelta(seconds=conf.alert_retell_s)
        self._mutes = Mutes(conf)
        self._mailbox = mailbox
        self._journal = journal

    def enqueue_due(self, state: SenderState, now: datetime) -> bool:
        """Put all that is due into the outbox, as far as the storm cap allows. True when there was something.

        More groups than messages left: they become one message that counts them all, as soon as one is allowed.
        """
        due = self._due(state, now)
        state.sent = [moment for moment in state.sent if now - moment < _MINUTE]
        left = MESSAGES_A_MINUTE - len(state.sent)
        if not due or left <= 0:
            return False
        groups = _groups(due)
        since = self._end_of_mailbox()
        if len(groups) > left:
            groups = [due]
        for group in groups:
            subject = words.subject_of(group) if len(_groups(group)) == 1 else words.rollup_of(group)
            self._enqueue(state, subject, group, since, now)
        return True

    def next_due(self, state: SenderState, now: datetime) -> datetime | None:
        """When there will be something to tell or to forget; *now* if there is already. None: nothing is waiting."""
        if self._due(state, now):
            return now
        ends = [
            alert.told_at + self._cooldown
            for alert in state.alerts.values()
            if alert.told_at is not None and (alert.untold or not alert.is_open)
        ]
        ends += [at for alert in state.alerts.values() if (at := alert.retold_at(self._retell))]
        ends += [mute.until for mute in self._mutes.all(now) if mute.until]
        return min((at for at in ends if at > now), default=None)

    def forget_what_was_muted(self, state: SenderState, now: datetime) -> None:
        """What came to its end while it was muted: the journal says so, no message will."""
        for alert in state.alerts.values():
            muted = self._mutes.of(alert, now)
            if muted and not alert.is_open and (alert.told != "cleared" or alert.untold):
                evidence = {"key": alert.key, "count": alert.count, "why": alert.reason, "muted_by": muted.by}
                self.note_quietly(state, "alert.muted", evidence, now)
                alert.told, alert.untold, alert.held, alert.headline = "cleared", 0, Held(), None

    def changes(self) -> object:
        """Something that differs once there may be something to tell although nothing happened."""
        return self._mutes.signature()

    def forget_what_is_over(self, state: SenderState, now: datetime) -> bool:
        over = [key for key, alert in state.alerts.items() if alert.is_over(now, self._cooldown)]
        for key in over:
            del state.alerts[key]
        return bool(over)

    def note_quietly(self, state: SenderState, event: str, evidence: Mapping[str, Any], now: datetime) -> None:
        """Put a journal entry without a message into the outbox."""
        events = {event: dict(evidence)}
        since = self._end_of_journal(now)
        state.outbox.append(Outgoing(secrets.token_hex(8), now, None, event, None, [], events, None, since))

    # -- one message --------------------------------------------------------------------------------------------------

    def _due(self, state: SenderState, now: datetime) -> list[Due]:
        heard = (alert for alert in state.alerts.values() if not self._mutes.of(alert, now))
        found = ((self._due_of(alert, now), alert) for alert in heard)
        return [(what, alert) for what, alert in found if what is not None]

    def _due_of(self, alert: Alert, now: datetime) -> What | None:
        again = alert.retold_at(self._retell)
        return alert.due(now, self._cooldown) or ("retold" if again is not None and again <= now else None)

    def _enqueue(
        self, state: SenderState, subject: str, group: Sequence[Due], since: Position | None, now: datetime
    ) -> None:
        name = secrets.token_hex(8)
        kind = "log-alert" if all(alert.kind == LOG for _, alert in group) else "alert"
        body_kind = kind if any(alert.held.has_any for _, alert in group) else None
        at = now
        while (line := self._line(name, subject, body_kind, at)) in {outgoing.line for outgoing in state.outbox}:
            at += timedelta(microseconds=1)  # two equal lines could not be told apart after a crash
        outgoing = Outgoing(
            id=name,
            at=at,
            line=line,
            title=subject,
            body_kind=body_kind,
            sections=[_section(what, alert) for what, alert in group] if body_kind else [],
            events=_events(group),
            since=since,
            journal_since=self._end_of_journal(at),
        )
        state.outbox.append(outgoing)
        state.sent.append(now)
        for what, alert in group:
            _mark_told(what, alert, now)

    def _line(self, name: str, subject: str, body_kind: str | None, at: datetime) -> str:
        body = None
        if body_kind is not None:
            body = str(self._journal.attachment(body_kind, at, name).relative_to(self._conf.home))
        ident = name if self._conf.mailbox_format == "jsonl" else None
        return self._mailbox.line_of(Message(at, self._sender, self._to, subject, body, ident)).decode()

    def _end_of_mailbox(self) -> Position | None:
        try:
            return self._mailbox.end()
        except OSError:
            return None  # not to be read now: then all of it is searched before the message is sent

    def _end_of_journal(self, at: datetime) -> int:
        try:
            return self._journal.end(at)
        except OSError:
            return 0


def _groups(due: Sequence[Due]) -> list[list[Due]]:
    groups: dict[tuple[str, str], list[Due]] = {}
    for what, alert in due:
        groups.setdefault(words.group_of(what, alert), []).append((what, alert))
    return list(groups.values())


def _section(what: What, alert: Alert) -> Section:
    first, last = clock.stamp(alert.first), clock.stamp(alert.last)
    return Section(
        words.title_of(what, alert),
        alert.untold,
        first,
        last,
        replace(alert.held),
        words.brief_of(what, alert),
        alert.variety.top(),
    )


def _events(group: Sequence[Due]) -> dict[str, dict[str, Any]]:
    """One journal entry for each of raised, updated and cleared that the message tells of."""
    events: dict[str, dict[str, Any]] = {}
    for what, alert in group:
        told = {"key": alert.key, "count": alert.count, "told": alert.untold, "state": alert.state}
        entry = events.setdefault(_EVENTS[what], {"alerts": []})
        entry["alerts"].append(told | ({"reason": alert.reason} if alert.reason else {}))
    return events


def _mark_told(what: What, alert: Alert, now: datetime) -> None:
    # A message that only clears starts no cooldown: the next raise is measured from the last time it was raised.
    if what != "cleared" or alert.told_at is None:
        alert.told_at = now
    alert.retold = alert.retold + 1 if what == "retold" else 0
    alert.told = "open" if alert.is_open else "cleared"
    alert.untold = 0
    alert.headline = None
    alert.held = Held()
