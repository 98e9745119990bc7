"""Sending what the outbox holds: body, mailbox line, journal entries. Each step may be done twice and stands once.

A process that is killed anywhere in here leaves the outbox as it was; the next one begins again, finds what is there
already, and goes on.
"""

from __future__ import annotations

from typing import Any

from daemons import clock, files, lines
from daemons.alerts import words
from daemons.alerts.held import HeldFiles
from daemons.alerts.model import Held
from daemons.alerts.state import Outgoing
from daemons.journal import Journal
from daemons.mailbox import Mailbox, digest_of

LOCK_TIMEOUT_S = 1.0


class Sender:
    """Sends the messages of one sender's outbox."""

    def __init__(self, mailbox: Mailbox, journal: Journal, held: HeldFiles) -> None:
        self._mailbox = mailbox
        self._journal = journal
        self._held = held

    def send(self, outgoing: Outgoing) -> None:
        """Send *outgoing*, once however often this is called. LockBusy or StorageError: call it again later.

        1. the body, under a name that is always the same; 2. the line, unless it stands in the mailbox after `since`;
        3. a journal entry for each event, with the line's position, unless one of that id is there.
        """
        if outgoing.body_kind is not None:
            self._write_body(outgoing, outgoing.body_kind)
            files.reached("outbox.body_written")
        evidence: dict[str, Any] = {"title": outgoing.title, "message": outgoing.id}
        if outgoing.line is not None:
            evidence |= self._post(outgoing.line.encode(), outgoing)
            files.reached("outbox.posted")
        for event, told in outgoing.events.items():
            self._record(outgoing, event, evidence | told)
            files.reached("outbox.recorded")

    def _write_body(self, outgoing: Outgoing, kind: str) -> None:
        def keep(number: int, held: Held) -> str | None:
            path = self._journal.attachment(kind, outgoing.at, f"{outgoing.id}-{number}", ".jsonl")
            lines.make_folder(path.parent)
            return path.name if self._held.keep(held, path) else None

        body = words.body_of(outgoing.title, clock.stamp(outgoing.at), outgoing.sections, self._held.read, keep)
        self._journal.attach(kind, body, outgoing.at, name=outgoing.id)

    def _post(self, line: bytes, outgoing: Outgoing) -> dict[str, object]:
        position = self._mailbox.post_once(line, since=outgoing.since, timeout_s=LOCK_TIMEOUT_S)
        return {"mailbox": position.to_json(), "line": digest_of(line)}

    def _record(self, outgoing: Outgoing, event: str, evidence: dict[str, Any]) -> None:
        entry_id = f"{outgoing.id}/{event}"
        self._journal.record_once(entry_id, event, at=outgoing.at, since=outgoing.journal_since, **evidence)
