"""Time: what it is, and waiting for something. The only module that waits.

Everything on disk carries UTC with its offset, so stamps sort across a change to winter time and across machines.
Durations are measured on the monotonic clock: a wall clock that jumps must neither lose nor repeat an alert.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")


def now() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that only goes forward; comparable within one boot, across processes."""
    return time.monotonic()


def monotonic_ns() -> int:
    """The same in nanoseconds: fine enough to tell which of two calls came first, on all processors alike."""
    return time.monotonic_ns()


def stamp(moment: datetime) -> str:
    """*moment* as ISO 8601 with microseconds and offset, e.g. `2026-01-31T18:54:00.000000+00:00`."""
    return moment.isoformat(timespec="microseconds")


def parse_stamp(text: str) -> datetime:
    """The moment that *text* names. ValueError when it is not ISO 8601 or carries no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write it like 2026-01-31T18:54:00+00:00")
    return moment


class Wake:
    """What a daemon's main thread sleeps on: woken by a signal, by another thread, or by the timeout.

    `SimpleQueue.put` is reentrant, so a signal handler may call `set` and `request_stop` while the main
    thread stands inside `wait`; `threading.Event.set` there deadlocks (1 of 240 runs).
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.stop_requested = False

    def set(self, reason: str = "") -> None:
        """Wake the waiter now, or let its next wait return at once."""
        self._queue.put(reason)

    def request_stop(self) -> None:
        """Ask the loop to end after the running cycle."""
        self.stop_requested = True
        self.set("stop")

    def wait(self, timeout_s: float) -> bool:
        """Sleep until woken or *timeout_s* has passed. True when woken; takes all wake-ups that have piled up."""
        if self.stop_requested:
            return True
        try:
            self._queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return False
        while not self._queue.empty():
            self._queue.get_nowait()
        return True


def wait_until(condition: Callable[[], T], *, within_s: float, every_s: float = 0.02) -> T:
    """Ask *condition* every *every_s* until it is true or *within_s* has passed; its last answer either way."""
    deadline = monotonic() + within_s
    while True:
        answer = condition()
        left_s = deadline - monotonic()
        if answer or left_s <= 0:
            return answer
        pause(min(every_s, left_s))


def pause(seconds: float) -> None:
    """Sleep. For waits on things that offer nothing to wait on; everything else has a handle."""
    time.sleep(seconds)
