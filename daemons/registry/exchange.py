"""One file for another, as a compare-and-swap: after an exchange we hold what was there the instant before.

A rename throws that away, and with it the edit of somebody who doesn't lock. Where a file system cannot exchange
(EINVAL, ENOSYS), a second name for the old file and a rename come close.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from daemons import files
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


def swap(path: str, body: bytes, expected: Content | None, *, mode: int, intend: Callable[[Content], None]) -> Swap:
    """Put *body* at *path* and tell what was there, whether or not it is what was *expected* (None: nothing).

    *intend* is told what is about to be placed. The body is on the disk before it gets the name; the name is not: sync
    the folder. OSError leaves all as it was. Paths are strings here: a Path costs more than the system call it is for.
    """
    aside, placed = _written_aside(path, body, mode)
    intend(placed)
    try:
        return Swap(path, placed, _exchanged(aside, path, expected), aside)
    except OSError:
        files.discard(aside)
        raise


_MARK = secrets.token_hex(6)
_numbers = itertools.count()


def _written_aside(path: str, body: bytes, mode: int) -> tuple[str, Content]:
    # `files.write_beside` with what a registry under load needs: the content's identity, and half its system calls.
    folder, name = os.path.split(path)
    aside = f"{folder}/.{name}.{_MARK}-{os.getpid()}-{next(_numbers)}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if mode != 0o600:
            os.fchmod(fd, mode)
        files.write_all(fd, body)
        files.reached("replace.written")
        os.fsync(fd)
        placed = identity_of(os.fstat(fd)).content
    except OSError:
        files.discard(aside)
        raise
    finally:
        os.close(fd)
    files.reached("replace.prepared")
    return aside, placed


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
