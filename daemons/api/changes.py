"""What changes while someone waits: long polls and event streams hear of it, and all end when the API does.

Our own commits tell at once. What others write (the command, an editor, the other daemons) is found by a look at the
files a few times a second, and only while somebody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemons import log
from daemons.api.problems import busy
from daemons.clock import Wake
from daemons.files import StorageError

WATCHERS_LIMIT = 64
"""Half the threads: the other half answers."""

_LOOK_EVERY_S = 0.1
_LOOK_IDLE_S = 2.0


class Changes:
    """A bell. *look* is called from a thread of its own while somebody waits; it returns whether something changed."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._bell = threading.Condition()
        self._rung = 0
        self._watchers = 0
        self._wake = Wake()
        self.ending = False
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    @property
    def watchers(self) -> int:
        return self._watchers

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A place among those who wait. Problem 503 when all are taken."""
        with self._bell:
            if self._watchers >= WATCHERS_LIMIT:
                raise busy(
                    f"{WATCHERS_LIMIT} clients wait for changes already; poll without `wait`, or ask again later"
                )
            self._watchers += 1
        self._wake.set()
        try:
            yield
        finally:
            with self._bell:
                self._watchers -= 1

    def ring(self) -> None:
        """Tell all who wait to look."""
        with self._bell:
            self._rung += 1
            self._bell.notify_all()

    @property
    def rung(self) -> int:
        return self._rung

    def wait(self, since: int, timeout_s: float) -> int:
        """Wait until the bell was rung after *since*, the API ends, or *timeout_s* is over; what `rung` is then."""
        with self._bell:
            self._bell.wait_for(lambda: self.ending or self._rung != since, timeout_s)
            return self._rung

    def end(self) -> None:
        """Nobody waits any longer."""
        self.ending = True
        self._wake.request_stop()
        self.ring()

    def _watch(self) -> None:
        while not self.ending:
            try:
                changed = self._look() if self._watchers else False
            except (StorageError, OSError, ValueError) as trouble:
                log.warning("changes.not_seen", reason=str(trouble))
                changed = False
            if changed:
                self.ring()
            self._wake.wait(_LOOK_EVERY_S if self._watchers else _LOOK_IDLE_S)
