"""What the mailbox holds that someone should know of: lines that are no messages, messages that nobody gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from daemons import clock, log, mailbox
from daemons.files import StorageError
from daemons.mailbox import Unread
from daemons.settings import Settings

_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class MailState:
    """Counts of the current mailbox file, number *file*; *unparsable*: the first line numbers. None: not readable."""

    file: int
    messages: int
    unparsable_total: int
    unparsable: tuple[int, ...]
    undelivered: int
    unread: Mapping[str, int]
    newest: Mapping[str, str]


class MailWatch:
    """Counts what came since the last look, every few seconds."""

    def __init__(self, conf: Settings) -> None:
        self._box = mailbox.of(conf)
        self._unread = Unread(self._box, conf.cursors_dir)
        self._state: MailState | None = None
        self._next_mono = 0.0

    def look(self, served: Collection[str]) -> MailState | None:
        """The state as it was at most a few seconds ago; None when the mailbox cannot be read."""
        if clock.monotonic() >= self._next_mono:
            self._next_mono = clock.monotonic() + _EVERY_S
            self._state = self._count(served)
        return self._state

    def _count(self, served: Collection[str]) -> MailState | None:
        try:
            undelivered = self._box.undelivered_count(served)
            counts = self._box.counts()
            file = self._box.end().file
            unread = self._unread.counts(served)
            newest = {name: self._unread.newest(name) for name in unread}
        except StorageError as cause:
            log.warning("mailbox.not_counted", reason=str(cause))
            return None
        shown = tuple(counts.unparsable)
        return MailState(file, counts.messages, counts.unparsable_total, shown, undelivered, unread, newest)
