"""Waiting for what may never come back: a tmux server that is stopped, a disk that hangs.

Each such thing runs in a thread of its own, which is left behind when its time is over. The threads are daemonic: they
end with the program, whatever they wait for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A call under way in the background, since this was made."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._value: T | None = None
        self._error: BaseException | None = None
        self._finished = False
        threading.Thread(target=self._run, name="bounded", daemon=True).start()

    def result(self, within_s: float) -> T | None:
        """What the call returned, or None when it has not come back *within_s*. Raises what the call raised."""
        if not self._finished:
            try:
                self._done.get(timeout=max(0.0, within_s))
            except queue.Empty:
                return None
            self._finished = True
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        with _Kept(self):
            self._value = self._call()

    def finish(self, error: BaseException | None) -> None:
        self._error = error
        self._done.put(None)


class _Kept:
    """Hands whatever the call raises to the one who waits for it."""

    def __init__(self, background: Background[T]) -> None:
        self._background = background

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._background.finish(error)
        return True
