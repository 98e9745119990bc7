"""Opening a log without being caught: no waiting on a FIFO, no endless device, no folder, no loop of links.

A log is a regular file; so is what a rotation left of it, packed or not. Both are read by position, and a file that was
opened is read on through its handle, whatever happens to its name.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import stat
from collections.abc import Callable
from io import BufferedIOBase
from typing import IO, Protocol

PACKED: dict[str, Callable[[IO[bytes]], BufferedIOBase]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".bz2": lambda raw: bz2.BZ2File(raw),
    ".xz": lambda raw: lzma.LZMAFile(raw),  # noqa: SIM115  # closed by PackedFile
}

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "its symbolic links form a loop",
    errno.EMFILE: "too many open files in this process",
    errno.ENFILE: "too many open files on this machine",
    errno.ENAMETOOLONG: "its name is too long",
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class Absent(Exception):
    """There is no file of that name now."""


class Refused(Exception):
    """Something is there that cannot be read as a log. The text says what."""


class Source(Protocol):
    """The bytes of one file."""

    name: str
    device: int
    inode: int
    packed: bool

    def read(self, offset: int, length: int) -> bytes: ...

    def state(self) -> tuple[int, int]:
        """(size, mtime in ns): while they stay the same there is nothing new to read."""

    def close(self) -> None: ...


def look(path: str) -> os.stat_result:
    """What *path* names now, links followed, without opening it. Absent or Refused when that is no regular file."""
    try:
        found = os.stat(path)
    except OSError as cause:
        raise _told(cause) from cause
    if not stat.S_ISREG(found.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(found.st_mode)), "nothing that is known")
        raise Refused(f"it is {kind}, no file")
    return found


def open_log(path: str) -> Source:
    """Open the regular file *path*, packed or not. Absent or Refused when it is none, or may not be read."""
    look(path)
    try:
        # What it names can have changed since the look: O_NONBLOCK keeps a FIFO from stopping us here.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as cause:
        raise _told(cause) from cause
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused("it is no regular file")
    suffix = os.path.splitext(path)[1]
    return PackedFile(path, fd, suffix) if suffix in PACKED else PlainFile(path, fd)


def _told(cause: OSError) -> Exception:
    if cause.errno in _ABSENT:
        return Absent()
    return Refused(_REASONS.get(cause.errno or 0, os.strerror(cause.errno or errno.EIO)))


class PlainFile:
    """A regular file, read by position."""

    packed = False

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        found = os.fstat(fd)
        self.device, self.inode = found.st_dev, found.st_ino

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def state(self) -> tuple[int, int]:
        found = os.fstat(self._fd)
        return found.st_size, found.st_mtime_ns

    def fileno(self) -> int:
        return self._fd

    def again(self) -> PlainFile:
        """The same file once more, closed apart."""
        return PlainFile(self.name, os.dup(self._fd))

    def close(self) -> None:
        os.close(self._fd)


class PackedFile:
    """What a rotation packed. Read from front to back; a step back unpacks it from its start again."""

    packed = True

    def __init__(self, name: str, fd: int, suffix: str) -> None:
        self.name = name
        found = os.fstat(fd)
        self.device, self.inode = found.st_dev, found.st_ino
        self._state = (found.st_size, found.st_mtime_ns)
        self._raw = os.fdopen(fd, "rb")
        self._unpacked = PACKED[suffix](self._raw)

    def read(self, offset: int, length: int) -> bytes:
        """As much of *length* as there is. A file that is cut off or damaged ends where it cannot be unpacked."""
        try:
            if self._unpacked.tell() != offset:
                self._unpacked.seek(offset)
            return self._unpacked.read(length)
        except (EOFError, OSError, lzma.LZMAError):
            return b""

    def state(self) -> tuple[int, int]:
        return self._state

    def close(self) -> None:
        self._unpacked.close()
        self._raw.close()


class Nothing:
    """In place of a file whose content was destroyed: nothing more comes."""

    packed = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.device = self.inode = -1

    def read(self, offset: int, length: int) -> bytes:  # noqa: ARG002  # a Source like the others
        return b""

    def state(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        """Holds nothing."""


def same_file(one: Source, other: Source) -> bool:
    """Whether both are the same file now. True answers are sure: an inode that is held open is not given again."""
    return (one.inode, one.device) == (other.inode, other.device)
