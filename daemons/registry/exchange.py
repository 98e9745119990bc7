"""One file for another, as a compare-and-swap: after an exchange we hold what was there the instant before.

A rename throws that away, and with it the edit of somebody who doesn't lock. Where a file system cannot exchange
(EINVAL, ENOSYS), a second name for the old file and a rename come close.

In a burst the same three files go round: what is published now, the last good copy, and the one from before that,
which is written anew. To overwrite costs the disk two thirds of what a new file does.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import secrets
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from daemons import clock, files
from daemons.files import StorageError, StrPath
from daemons.registry.traces import Content, Identity, identity_of


class Swap(NamedTuple):
    """One exchange: *placed* is what *path* holds now; what *came_out* (None: nothing was there) lies *aside*."""

    path: str
    placed: Content
    came_out: Content | None
    aside: str

    def undo(self) -> None:
        """Put back what came out: who was told of a failure must not find the change later."""
        with suppress(OSError):
            if self.came_out is None:
                files.discard(self.path)
            elif not files.exchange(self.aside, self.path):
                os.replace(self.aside, self.path)
            files.discard(self.aside)
            files.sync_dir(os.path.dirname(self.path))

    def identity(self) -> Identity:
        """The identity of *path* while it holds what was placed; else one that no file has, so that it is read anew."""
        with suppress(OSError):
            found = identity_of(os.stat(self.path))
            if found.content == self.placed:
                return found
        return Identity(*self.placed, ctime_ns=-1)


class KeptFolder:
    """The folder of a file that is published again and again, kept open: a sync is then one system call and a look."""

    def __init__(self) -> None:
        self._fd = -1
        self._is = (0, 0)

    def sync(self, path: str) -> None:
        """Make the names in *path* durable, whichever folder it is by now. StorageError when the disk says no."""
        try:
            found = os.stat(path)
            if self._is != (found.st_dev, found.st_ino):
                self._open(path)
            os.fsync(self._fd)
        except OSError as cause:
            raise StorageError("sync the folder", path, cause) from cause

    def _open(self, path: str) -> None:
        self._close()
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        found = os.fstat(self._fd)
        self._is = (found.st_dev, found.st_ino)

    def _close(self, close: Callable[[int], None] = os.close) -> None:
        fd, self._fd, self._is = self._fd, -1, (0, 0)
        if fd >= 0:
            close(fd)

    def __del__(self) -> None:
        self._close()


class Spare(NamedTuple):
    """A file that was published once, and its content then. Nothing on the disk gives it another name."""

    path: str
    content: Content


class Burst:
    """What came out of this process's publications in a row: the last good copy, and the spare that it displaces.

    Alone, or after a second without any, there is no spare, so a command that makes one change leaves nothing behind.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._placed: list[Content] = []  # by us, one after the other, nobody in between: the last two
        self._until = 0.0
        self._displaced: Spare | None = None
        self._spares: list[Spare] = []  # at most one; popped, so that of two threads one gets it

    def take(self) -> Spare | None:
        """The spare, for who asks first: write it or discard it."""
        try:
            return self._spares.pop() if self._pid == os.getpid() else None
        except IndexError:
            return None

    def keep_copy(self, done: Swap, good: str) -> bool:
        """Make what *done* brought out the last good copy; False, and nothing changed, where that cannot be."""
        goes_on = done.came_out in self._placed[-1:] and clock.monotonic() < self._until
        self._displaced = None
        if goes_on and len(self._placed) == 2 and os.path.dirname(good) == os.path.dirname(done.path):
            with suppress(StorageError):
                if files.exchange(done.aside, good):
                    self._displaced = Spare(done.aside, self._placed[0])
        if not goes_on:
            self._placed.clear()
        self._placed = [*self._placed[-1:], done.placed]
        return self._displaced is not None or moved(done.aside, good)

    def take_copy_back(self, done: Swap, good: str) -> bool:
        """Undo `keep_copy`; False when what was the copy before is lost."""
        self._placed.clear()
        displaced, self._displaced = self._displaced, None
        if displaced is None:
            moved(good, done.aside)
            return False
        with suppress(StorageError):
            return files.exchange(done.aside, good)
        return False

    def settled(self) -> None:
        """All names are on the disk: what was displaced may be written anew."""
        if self._displaced is not None:
            self._spares.append(self._displaced)
            self._displaced = None
        self._until = clock.monotonic() + _BURST_S

    def end(self) -> None:
        """Discard the spare, unless the last publication was a moment ago."""
        if clock.monotonic() >= self._until and (spare := self.take()):
            files.discard(spare.path)

    def __del__(self, discard: Callable[[StrPath], None] = files.discard) -> None:
        if spare := self.take():
            discard(spare.path)


_BURST_S = 1.0


def moved(file: StrPath, name: StrPath) -> bool:
    """Give *file* another name, in place of what has that; False when that lies on another file system."""
    try:
        os.rename(file, name)
    except OSError:
        return False
    return True


def swap(
    path: str,
    body: bytes,
    expected: Content | None,
    *,
    mode: int,
    intend: Callable[[Content], None],
    spare: Spare | None = None,
) -> Swap:
    """Put *body* at *path* and tell what was there, whether or not it is what was *expected* (None: nothing).

    *intend* is told what is about to be placed. The body is on the disk before it gets the name; the name is not: sync
    the folder. A *spare* is used up. OSError leaves all as it was. Paths are strings here: a Path costs more than the
    system call it is for.
    """
    aside, placed = _written_aside(path, body, mode, spare)
    intend(placed)
    try:
        return Swap(path, placed, _exchanged(aside, path, expected), aside)
    except OSError:
        files.discard(aside)
        raise


_MARK = secrets.token_hex(6)
_numbers = itertools.count()


def _written_aside(path: str, body: bytes, mode: int, spare: Spare | None) -> tuple[str, Content]:
    # `files.write_beside` with what a registry under load needs: the content's identity, and half its system calls.
    aside, fd, has_mode, size = (spare and _reopened(spare)) or _opened(path)
    try:
        if mode != has_mode:
            os.fchmod(fd, mode)
        files.write_all(fd, body)
        if size > len(body):
            os.ftruncate(fd, len(body))
        files.reached("replace.written")
        os.fdatasync(fd)
        placed = identity_of(os.fstat(fd)).content
    except OSError:
        files.discard(aside)
        raise
    finally:
        os.close(fd)
    files.reached("replace.prepared")
    return aside, placed


class _Open(NamedTuple):
    path: str
    fd: int
    mode: int
    size: int


def _opened(path: str) -> _Open:
    folder, name = os.path.split(path)
    aside = f"{folder}/.{name}.{_MARK}-{os.getpid()}-{next(_numbers)}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return _Open(aside, fd, 0o600, 0)


def _reopened(spare: Spare) -> _Open | None:
    """The spare, open for writing; None, and it is gone, when it is another file by now or somebody has it open.

    The kernel gives a lease for writing only on a file that nobody else has open, and until we close it lets nobody
    open it: who began to read when it was the registry reads on in peace.
    """
    try:
        fd = os.open(spare.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        files.discard(spare.path)
        return None
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # who comes meanwhile is announced; the default would end us
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        found = os.fstat(fd)
        if identity_of(found).content == spare.content and found.st_nlink == 1:
            return _Open(spare.path, fd, stat.S_IMODE(found.st_mode), found.st_size)
    os.close(fd)
    files.discard(spare.path)
    return None


def _exchanged(aside: str, path: str, expected: Content | None) -> Content | None:
    """Exchange, or link where nothing is expected: what came out, None when there was nothing."""
    if expected is None and _linked(aside, path):
        return None
    try:
        if files.exchange(aside, path):
            return content_of(aside)
        return _replaced(aside, path)
    except StorageError as cause:
        if cause.errno == errno.ENOENT and _linked(aside, path):
            return None  # removed the instant before
        raise


def _linked(aside: str, path: str) -> bool:
    """Give *aside* the name *path* too, unless that is taken."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError:
        if os.path.exists(path):
            return False
        os.rename(aside, path)  # a file system without links
    return True


def _replaced(aside: str, path: str) -> Content:
    came_out = content_of(path)
    old = f"{aside.removesuffix('.tmp')}-old.tmp"
    with suppress(OSError):
        os.link(path, old)
        came_out = content_of(old)
    os.rename(aside, path)
    with suppress(OSError):
        os.rename(old, aside)
    return came_out


def content_of(path: StrPath) -> Content:
    """Which content *path* has now. OSError when it is not there."""
    return identity_of(os.stat(path)).content
