"""Waking the service the moment an agent's process ends: a pidfd each, one thread that waits on all of them.

The kernel tells within a millisecond, whatever hooks the user's tmux has. It is a hint: the next look at tmux counts.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Collection

from daemons import log
from daemons.clock import Wake
from daemons.processes import Handle, wait_any


class Deaths:
    """Wakes *wake* when one of the followed processes ends."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._held: dict[int, Handle] = {}
        self._epoll = select.epoll()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._end, select.EPOLLIN)
        self._thread = threading.Thread(target=self._wait, name="deaths", daemon=True)
        self._thread.start()

    def follow(self, pids: Collection[int]) -> None:
        """Follow these processes from now on, and no others."""
        for pid in self._held.keys() - set(pids):
            self._held.pop(pid).close()  # leaves the epoll by itself
        for pid in set(pids) - self._held.keys():
            self._hold(pid)

    def _hold(self, pid: int) -> None:
        try:
            handle = Handle.open(pid)
        except OSError as cause:
            log.warning("agent.not_followed", pid=pid, reason=str(cause))
            return
        if handle is None:
            return
        self._held[pid] = handle
        if handle.fileno() >= 0:
            self._epoll.register(handle.fileno(), select.EPOLLIN | select.EPOLLONESHOT)

    def ended(self) -> set[int]:
        """Those of the followed that have ended."""
        return {handle.pid for handle in wait_any(list(self._held.values()), 0.0)}

    def _wait(self) -> None:
        while True:
            events = self._epoll.poll()
            if any(fd == self._end for fd, _ in events):
                return
            self._wake.set("an agent's process has ended")

    def close(self) -> None:
        os.eventfd_write(self._end, 1)
        self._thread.join(timeout=1.0)
        self.follow(())
        self._epoll.close()
        os.close(self._end)
