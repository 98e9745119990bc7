"""supervisord's event protocol, spoken by a thread, so that supervisord never waits for what an event leads to.

    we: READY\n        it: ver:3.0 … eventname:PROCESS_STATE_EXITED len:71\n + 71 bytes        we: RESULT 2\nOK

Every event is answered at once and taken up by the next cycle. One that is lost with a killed listener is one exit less
on record; whatever needs doing is seen in the state of the programs as well.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from daemons import log
from daemons.clock import Wake


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a program: *kind* is `EXITED`, `BACKOFF`, …; *fields* are supervisord's."""

    kind: str
    fields: Mapping[str, str]

    @property
    def program(self) -> str:
        return self.fields.get("processname", "")


class Events:
    """What supervisord tells, gathered until it is taken. *asks* and *answers* are file descriptors: our 0 and 1.

    No buffered files: a thread that waits inside one keeps Python from ending (it aborts).
    """

    def __init__(self, asks: int, answers: int) -> None:
        self._asks = asks
        self._answers = answers
        self._read = b""
        self._gathered: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._parent = os.getppid()
        self._has_hung_up = False
        self.count = 0

    def listen(self, wake: Wake) -> None:
        """Begin, unless it has begun: the daemon is made anew when its settings are read again, the pipe is not."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._converse, args=[wake], name="events", daemon=True)
            self._thread.start()

    def take(self) -> list[Event]:
        """What happened to programs since the last call."""
        taken = []
        while not self._gathered.empty():
            taken.append(self._gathered.get())
        return taken

    @property
    def supervisord_is_gone(self) -> bool:
        """Whether the supervisord that started us lives no more: when it ends as it should, it waits for us."""
        return self._has_hung_up or os.getppid() != self._parent

    def _converse(self, wake: Wake) -> None:
        try:
            while event := self._next():
                self.count += 1
                if event.program:
                    self._gathered.put(event)
                wake.set(event.kind)
        except (OSError, ValueError, KeyError) as broken:
            log.error("events.broken", reason=f"{type(broken).__name__}: {broken}")
        # Nobody talks to us any more: supervisord has ended, or starts a fresh one of us.
        wake.request_stop()

    def _next(self) -> Event | None:
        """The next event, answered; None when there will be no more."""
        os.write(self._answers, b"READY\n")
        while b"\n" not in self._read:
            if not self._more():
                return None
        head, _, self._read = self._read.partition(b"\n")
        fields = _fields(head)
        length = int(fields["len"])
        while len(self._read) < length:
            if not self._more():
                return None
        payload, self._read = self._read[:length], self._read[length:]
        os.write(self._answers, b"RESULT 2\nOK")
        return _event(fields["eventname"], payload)

    def _more(self) -> bool:
        piece = os.read(self._asks, 1 << 16)
        self._read += piece
        # Its end closes the pipe a moment before we get another parent.
        self._has_hung_up = not piece
        return bool(piece)


def _event(name: str, payload: bytes) -> Event:
    kind = name.removeprefix("PROCESS_STATE_")
    return Event(kind, _fields(payload) if kind != name else {})


def _fields(line: bytes) -> dict[str, str]:
    """`a:1 b:two` as a mapping. supervisord lets no space, colon or slash into a program's name."""
    return dict(word.split(":", 1) for word in line.decode().split())
