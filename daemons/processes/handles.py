"""Holding on to a process, so that a signal can't hit another one that got its pid.

    open the pidfd -> read the evidence again -> still running? -> only then signal, through the pidfd

While the pidfd's process has not been reaped, nobody else gets its pid: what is read about the pid in between is about
this process. Kernels without pidfds (before 5.3) get the start time compared right before each signal.
"""

from __future__ import annotations

import errno
import functools
import math
import os
import resource
import select
import signal
from collections.abc import Callable, Collection, Iterable, Sequence

from daemons import clock
from daemons.processes import proc
from daemons.processes.identity import Identity, boot_id
from daemons.processes.proc import Process, Table

_NO_PIDFD = {errno.ENOSYS, errno.EPERM}
_WITHOUT_PIDFD_EVERY_S = 0.01
# Others fork too: on a machine at work the last few are theirs.
_NEWEST = 24


class Handle:
    """One process, held. *process* is what was read after it was held. Close it, or leak a descriptor."""

    def __init__(self, process: Process, fd: int | None) -> None:
        self.process = process
        self.pid = process.pid
        self._fd = fd
        self._seen_ended = False
        self.frozen = False  # by us, before anybody asked it to end: it would be gone else

    @classmethod
    def open(cls, whom: int | Identity, still: Callable[[Process], bool] = lambda _: True) -> Handle | None:
        """Hold the process *whom*, if there is one and *still* says yes to what is read of it once it is held.

        A pid means whoever has it now; an Identity means that very process and no other.
        """
        pid = whom if isinstance(whom, int) else whom.pid
        try:
            fd = _pidfd(pid)
        except ProcessLookupError:
            return None
        process = proc.read(pid)
        held = cls(process, fd) if process else None
        if held and held._is(whom) and still(held.process) and held._there():
            return held
        if fd is not None:
            os.close(fd)
        return None

    def _is(self, whom: int | Identity) -> bool:
        if isinstance(whom, int):
            return True
        inode = self.inode
        same_handle = whom.handle is None or inode is None or inode == whom.handle
        return whom.boot == boot_id() and whom.started == self.process.started and same_handle

    def _there(self) -> bool:
        """It has not been reaped, so nobody else can have had the pid meanwhile."""
        if self._fd is None:
            return _started(self.pid) == self.process.started
        try:
            signal.pidfd_send_signal(self._fd, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def inode(self) -> int | None:
        """What names the process for good within this boot, or None where the kernel has no such thing."""
        return os.fstat(self._fd).st_ino if self._fd is not None and _inodes_are_unique() else None

    @property
    def identity(self) -> Identity:
        """What to write down about it."""
        return Identity(self.pid, self.process.started, self.inode, boot_id())

    def signal(self, number: signal.Signals) -> bool:
        """Send *number* to this very process. False when it has ended. PermissionError when it isn't ours to signal."""
        try:
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, number)
            elif self.ended():
                return False
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def ended(self) -> bool:
        """Whether all its threads have ended. A zombie has, whoever fails to reap it."""
        if not self._seen_ended:
            self._seen_ended = self._poll() if self._fd is not None else self._gone()
        return self._seen_ended

    def _poll(self) -> bool:
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(0))

    def _gone(self) -> bool:
        now = proc.read(self.pid)
        return now is None or now.started != self.process.started or now.ended

    def fileno(self) -> int:
        """For `select`: readable once the process has ended. -1 where the kernel has no pidfds."""
        return -1 if self._fd is None else self._fd

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _pidfd(pid: int) -> int | None:
    """The pidfd of *pid*; None where the kernel has none. ProcessLookupError when there is no such process."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError as cause:
        if cause.errno == errno.EMFILE and _raise_file_limit():
            return _pidfd(pid)
        if cause.errno in _NO_PIDFD:
            return None
        if cause.errno in (errno.EINVAL, errno.ENOENT):  # a thread's number, no process
            raise ProcessLookupError(cause.errno, os.strerror(cause.errno)) from None
        raise


def _raise_file_limit() -> bool:
    """One descriptor a process: a suite of two thousand needs more than the usual 1,024. False: no more to be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return True


@functools.cache
def _inodes_are_unique() -> bool:
    """Since Linux 6.9 pidfds live in a file system of their own; before, all shared the inode of eventfds."""
    own, other = os.pidfd_open(os.getpid()), os.eventfd(0)
    try:
        return os.fstat(own).st_dev != os.fstat(other).st_dev
    finally:
        os.close(own)
        os.close(other)


def _started(pid: int) -> int | None:
    process = proc.read(pid)
    return process.started if process else None


# -- identities -------------------------------------------------------------------------------------------------------


def identify(pid: int) -> Identity | None:
    """The identity of the process that *pid* means now, or None when there is none (a zombie still has one)."""
    held = Handle.open(pid)
    if held is None:
        return None
    try:
        return held.identity
    finally:
        held.close()


def is_alive(identity: Identity) -> bool:
    """Whether that very process still runs. A zombie doesn't."""
    held = Handle.open(identity)
    if held is None:
        return False
    try:
        return not held.ended()
    finally:
        held.close()


# -- many at once -----------------------------------------------------------------------------------------------------


def hold_all(pids: Iterable[int], evidence: Callable[[Table], Collection[int]]) -> list[Handle]:
    """Hold those of *pids* that *evidence* still counts when it is read again with all of them held.

    *evidence* gets a fresh table of these pids and all above them. What has ended meanwhile is left out.
    """
    held = [handle for pid in pids if (handle := Handle.open(pid))]
    counted = evidence(proc.table(handle.pid for handle in held)) if held else ()
    kept = {handle for handle in held if handle.pid in counted and handle._there()}
    for handle in held:
        if handle not in kept:
            handle.close()
    return [handle for handle in held if handle in kept]


def freeze_newest(evidence: Callable[[Table], Collection[int]], *, spare: Collection[int] = ()) -> Handle | None:
    """Stop (SIGSTOP) the newest process that *evidence* counts, if it is among the last few that were started.

    Not those of *spare*: who is held already, and may be at work on its SIGTERM, is none that gets away. For one that
    forks on and leaves faster than a look at all processes takes: 0.1 ms from its number to the signal.
    """
    newest = proc.newest_pid()
    for pid in range(newest, max(1, newest - _NEWEST), -1):
        if pid in spare:
            continue
        held = Handle.open(pid, lambda process: process.pid in evidence(proc.table([process.pid])))
        if held is None:
            continue
        try:
            if not held.ended() and held.signal(signal.SIGSTOP):
                held.frozen = True
                return held
        except PermissionError:
            pass
        held.close()
    return None


def wait_any(held: Sequence[Handle], timeout_s: float) -> list[Handle]:
    """Those of *held* that have ended, as soon as one has, or after *timeout_s*. Without a pidfd: polled."""
    if all(handle.fileno() >= 0 for handle in held):
        return _poll_all(held, timeout_s)
    deadline = clock.monotonic() + timeout_s
    while not (ended := [handle for handle in held if handle.ended()]):
        left_s = deadline - clock.monotonic()
        if left_s <= 0:
            break
        clock.pause(min(left_s, _WITHOUT_PIDFD_EVERY_S))
    return ended


def _poll_all(held: Sequence[Handle], timeout_s: float) -> list[Handle]:
    poll = select.poll()
    by_fd = {handle.fileno(): handle for handle in held}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    whole_ms = max(0, math.ceil(timeout_s * 1000))  # rounding down would spin through the last millisecond
    return [by_fd[fd] for fd, _ in poll.poll(whole_ms)]
