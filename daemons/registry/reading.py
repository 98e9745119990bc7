"""One registry file, read: all of it, in one state, or the reason why not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from daemons import clock, files
from daemons.files import StorageError
from daemons.registry import table
from daemons.registry.table import NoRegistry, Table
from daemons.registry.traces import Content, Identity, identity_of

T = TypeVar("T")

FILE_LIMIT_BYTES = 16 * files.MIB
_READS = 4
_READ_AGAIN_AFTER_S = 0.05


class Version(NamedTuple):
    """What the file held when it was looked at; no identity: there was no file."""

    table: Table
    identity: Identity | None

    @property
    def content(self) -> Content | None:
        return self.identity.content if self.identity else None


NOTHING = Version(Table(), None)


class Twice(NoRegistry):
    """Well-formed but for keys that stand there twice. *version* goes by the last of each."""

    def __init__(self, version: Version, twice: Sequence[str]) -> None:
        shown = ", ".join(map(ascii, twice[:5])) + (" and others" if len(twice) > 5 else "")
        super().__init__(f"keys that stand there twice: {shown}; the last one counts")
        self.version = version


def read(path: Path, known: Table) -> Version:
    """What *path* holds now; what *known* holds is not parsed again.

    NoRegistry when it is none, Twice when it is but for keys that stand there twice, OSError when it cannot be read:
    that is not "nothing there".
    """
    try:
        fd = _opened(path)
    except FileNotFoundError:
        return NOTHING
    try:
        raw, identity = _steadily(fd)
    finally:
        os.close(fd)
    agents, twice = table.parse(raw, known)
    version = Version(agents, identity)
    if twice:
        raise Twice(version, twice)
    return version


def _opened(path: Path) -> int:
    for _ in range(_READS - 1):
        # A writer may have made another file of it since we looked the name up, and be at work on the old one.
        with suppress(BlockingIOError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _steadily(fd: int) -> tuple[bytes, Identity]:
    for _ in range(_READS):
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL, "no regular file")
        if found.st_size > FILE_LIMIT_BYTES:
            raise NoRegistry(f"{found.st_size} bytes; a registry has at most {FILE_LIMIT_BYTES}")
        raw = os.pread(fd, found.st_size + 1, 0)
        if len(raw) == found.st_size and identity_of(os.fstat(fd)).content == identity_of(found).content:
            break  # nobody wrote in place meanwhile
    return raw, identity_of(found)


def patiently(read_once: Callable[[], T]) -> T:
    """What is no registry may be an editor's half-finished work: read it a few times before that is believed."""
    for _ in range(_READS - 1):
        try:
            return read_once()
        except Twice:
            raise
        except NoRegistry:
            clock.pause(_READ_AGAIN_AFTER_S)
    return read_once()


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Every error of the system becomes a StorageError that says what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as cause:
        raise StorageError("read or write", path, cause) from cause
