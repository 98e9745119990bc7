"""How much mail waits for each consumer, kept up to date as messages come and cursors move."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from daemons.mailbox.box import Mailbox
from daemons.mailbox.follower import cursor_path
from daemons.mailbox.trail import Position

# Counted exactly up to here: mail that nobody reads must not fill the memory.
MOST = 10_000

Place = tuple[int, int]
"""Number of the file, and offset in it: places in the mailbox, in their order."""


class Unread:
    """Messages that their consumers have not committed, in the file that is current at the first look and after it."""

    def __init__(self, box: Mailbox, cursors: Path) -> None:
        self._box = box
        self._cursors = cursors
        self._at: Position | None = None
        self._waiting: defaultdict[str, deque[Place]] = defaultdict(lambda: deque(maxlen=MOST))
        self._read: dict[str, tuple[object, Place]] = {}

    def counts(self, names: Iterable[str]) -> Mapping[str, int]:
        """By name as given; names without mail are left out. Costs a stat a name, and what came since the last call."""
        self._take_in()
        found = {}
        for name in names:
            whole = self._box.qualified(name)
            waiting = self._waiting.get(whole)
            if waiting:
                read_to = self._read_to(whole)
                while waiting and waiting[0] < read_to:
                    waiting.popleft()
                if waiting:
                    found[name] = len(waiting)
        return found

    def newest(self, name: str) -> str:
        """A word for the newest message that waits for *name*: another one when there is a newer."""
        waiting = self._waiting.get(self._box.qualified(name))
        return "{}.{}".format(*waiting[-1]) if waiting else ""

    def _take_in(self) -> None:
        if self._at is None:
            self._at = Position(0, 0, file=self._box.trail.next_number())
        for mail in self._box.after(self._at):
            if mail.position.file == self._at.file and mail.position.offset < self._at.offset:
                self._waiting.clear()  # it was truncated or replaced, and cursors that stand still say nothing now
                self._read = {name: (seen, (0, 0)) for name, (seen, _) in self._read.items()}
            self._at = mail.end
            if mail.message:
                place = (mail.position.file, mail.position.offset)
                self._waiting[self._box.qualified(mail.message.to)].append(place)

    def _read_to(self, name: str) -> Place:
        path = cursor_path(self._cursors, name)
        try:
            found = os.stat(path)
        except OSError:
            return (0, 0)
        seen = (found.st_ino, found.st_mtime_ns)
        known = self._read.get(name)
        if known is None or known[0] != seen:
            position = self._box.follow(name).position()
            known = self._read[name] = (seen, (position.file, position.offset) if position else (0, 0))
        return known[1]
