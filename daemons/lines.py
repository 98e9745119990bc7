"""Files of lines to which many processes append at once: each line whole or not there, durable when `append` returns.

    lock -> cut off what a killed writer left half written -> note what comes -> one write -> unlock -> sync

A kill can tear even a line of 300 bytes, and half a message may read as a message. The note (`<file>.writing`, where
the last append began and how long it was to be) tells such a half from a line that a stranger left without its
newline: ours is cut off, nobody was told that it is there; a stranger's is ended. Synced after the unlock, many
writers share one flush of the disk (`flushes`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from daemons import clock, files, log, text
from daemons.files import Idle, Kept, LockBusy, LockFile, StorageError
from daemons.flushes import SharedFlush

LINE_LIMIT_BYTES = 16 << 20
_KEPT_OF_A_LONG_LINE_BYTES = 1024
_BLOCK_BYTES = 256 << 10
_KEPT_BEFORE_BYTES = 256
# Who had to wait for the lock has company, and shares flushes for so many lines; who is alone flushes for himself.
_CROWD = 64


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One line: where it starts and ends, and its bytes. Of one beyond LINE_LIMIT_BYTES only the start is kept."""

    start: int
    end: int
    raw: bytes


def read(fd: int, offset: int, *, is_final: bool) -> Iterator[Line]:
    """The lines of *fd* from *offset* on, with their newlines, in bounded memory.

    A last line without its newline is waited for, unless the file is never written to again (*is_final*).
    """
    start, pending = offset, b""
    while block := os.pread(fd, _BLOCK_BYTES, start + len(pending)):
        *whole, pending = (pending + block).split(b"\n")
        for piece in whole:
            yield Line(start, start + len(piece) + 1, piece + b"\n")
            start += len(piece) + 1
        if len(pending) > LINE_LIMIT_BYTES:
            end = _end_of_line(fd, start + len(pending))
            if end is None and not is_final:
                return
            end = end or os.fstat(fd).st_size
            yield Line(start, end, pending[:_KEPT_OF_A_LONG_LINE_BYTES])
            start, pending = end, b""
    if pending and is_final:
        yield Line(start, start + len(pending), pending)


def _end_of_line(fd: int, offset: int) -> int | None:
    while block := os.pread(fd, _BLOCK_BYTES, offset):
        at = block.find(b"\n")
        if at >= 0:
            return offset + at + 1
        offset += len(block)
    return None


def count(fd: int, end: int) -> int:
    """How many lines end before the offset *end*."""
    found = offset = 0
    while offset < end and (block := os.pread(fd, min(_BLOCK_BYTES, end - offset), offset)):
        found += block.count(b"\n")
        offset += len(block)
    return found


def end_of_last(fd: int) -> int:
    """Where the last whole line of *fd* ends."""
    start = os.fstat(fd).st_size
    while start > 0:
        end, start = start, max(0, start - 4096)
        at = os.pread(fd, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
    return 0


def is_start(fd: int, offset: int) -> bool:
    """Whether a line may start at *offset*: the start of the file, or right after a newline."""
    return offset == 0 or os.pread(fd, 1, offset - 1) == b"\n"


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """The regular file *path* open for reading, or None when there is none.

    StorageError when it cannot be opened or is something else: a folder, a FIFO (never waited on), a symbolic link.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    except OSError as cause:
        raise StorageError("read", path, cause) from cause
    try:
        _refuse_what_is_no_file(path, os.fstat(fd))
        yield fd
    finally:
        os.close(fd)


def _refuse_what_is_no_file(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    numbers = {stat.S_IFDIR: errno.EISDIR, stat.S_IFLNK: errno.ELOOP}
    number = numbers.get(stat.S_IFMT(found.st_mode), errno.EINVAL)
    raise StorageError("use", path, OSError(number, "no regular file"))


# -- appending --------------------------------------------------------------------------------------------------------


class Written:
    """A line that was appended and is not durable yet: `settle` it after the unlock.

    *before* is what the line stands behind: up to 256 bytes.
    """

    __slots__ = ("before", "begun_ns", "done_ns", "kept", "line", "offset")

    def __init__(self, kept: Kept, offset: int, line: bytes, before: bytes, begun_ns: int) -> None:
        self.kept = kept
        self.begun_ns = begun_ns
        self.done_ns = clock.monotonic_ns()
        self.offset = offset
        self.line = line
        self.before = before


class _Locked:
    """The lock of a LineFile, for a `with`."""

    __slots__ = ("_file", "_held", "_timeout_s")

    def __init__(self, file: LineFile, timeout_s: float) -> None:
        self._file = file
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        self._held = self._file.take(self._timeout_s)

    def __exit__(self, *_: object) -> None:
        self._file.lock.release(self._held)


class LineFile:
    """One file of lines, and the lock file that its writers take. Made with its folder when missing.

    Descriptors stay open from one line to the next; a file that was moved, removed or replaced is opened anew.
    """

    def __init__(self, path: Path, lock: Path) -> None:
        self.path = path
        self.lock = LockFile(lock)
        self._name = os.fspath(path)
        self._idle = Idle()
        self._note_path = path.with_name(f"{path.name}.writing")
        self._note: Kept | None = None
        self._flushes = SharedFlush(path.with_name(f"{path.name}.flushed"))
        self._crowd = 0  # for how many lines more flushes are shared

    def locked(self, timeout_s: float) -> _Locked:
        """Hold the lock; other programs take it with `flock`. LockBusy, naming the holder, after *timeout_s*."""
        return _Locked(self, timeout_s)

    def take(self, timeout_s: float) -> Kept:
        """As `locked`, without the `with`."""
        self._look_after_the_note()
        try:
            held = self.lock.take(timeout_s)
        except StorageError as cause:
            if cause.errno != errno.ENOENT:
                raise
            make_folder(self.lock.path.parent)
            held = self.lock.take(timeout_s)
        if held.was_busy:
            self._crowd = _CROWD
        return held

    def append(self, line: bytes, *, timeout_s: float = 5.0) -> int:
        """Append *line*, which ends with its only newline; the offset at which it starts. Durable on return.

        LockBusy or StorageError: the line is not there. A crash before the return leaves it there whole, or not at all
        once the next append has looked.
        """
        with self.locked(timeout_s):
            written = self.write(line)
        self.settle(written, timeout_s=timeout_s)
        return written.offset

    def write(self, line: bytes) -> Written:
        """Append *line*; the caller holds the lock, releases it, and then calls `settle`."""
        try:
            kept, size = self._current()
            before = _end_of(kept.fd, size)
            if not before.endswith(b"\n"):
                size = self._start(kept, size)
                before = _end_of(kept.fd, size)
            _take_note(self._note_fd(), kept.inode, size, len(line))
            begun_ns = clock.monotonic_ns()
            _write_whole(kept.fd, size, line)
        except OSError as cause:
            raise cause if isinstance(cause, StorageError) else StorageError("append to", self.path, cause) from cause
        return Written(kept, size, line, before, begun_ns)

    def _start(self, kept: Kept, size: int) -> int:
        """Where to begin in a file of *size* that does not end with a whole line."""
        if size > 0:
            size = _mended(kept, size, self._note_fd(), self.path)
        if size == 0:
            files.sync_dir(self.path.parent)  # first the name, then what it names
        return size

    def settle(self, written: Written, *, timeout_s: float = 5.0) -> None:
        """Make *written* durable, outside the lock. StorageError: it is not; gone, if still last."""
        # Each writer syncs by a descriptor that nobody else uses until then: a failed flush is told once to each.
        try:
            self._sync(written)
        except StorageError as failed:
            self._write_again(written, failed, timeout_s)
        else:
            self._idle.push(written.kept)

    def _sync(self, written: Written) -> None:
        if self._crowd <= 0:
            files.sync_data(written.kept.fd, self.path)
            return
        self._crowd -= 1
        try:
            self._flushes.sync(written.kept, written.begun_ns, written.done_ns)
        except OSError as cause:
            raise StorageError("sync", self.path, cause) from cause
        files.reached("append.synced")

    def mend(self) -> None:
        """Cut off what a killed writer left half written, and end what a stranger left without its newline.

        The caller holds the lock; the file exists.
        """
        try:
            kept, size = self._current()
            if not _end_of(kept.fd, size).endswith(b"\n"):
                _mended(kept, size, self._note_fd(), self.path)
        except OSError as cause:
            raise cause if isinstance(cause, StorageError) else StorageError("mend", self.path, cause) from cause

    def _current(self) -> tuple[Kept, int]:
        """The file that has the name now, open, and its size."""
        kept = self._idle.pop()
        if kept is not None:
            try:
                found = os.stat(self._name, follow_symlinks=False)
                if kept.leads_to(found):
                    return kept, found.st_size
            except FileNotFoundError:
                pass
            self._idle.clear()
            self._note = None  # with its folder, it may have moved too
        kept = self._open(self.path, os.O_APPEND)
        found = os.fstat(kept.fd)
        _refuse_what_is_no_file(self.path, found)
        return kept, found.st_size

    def _open(self, path: Path, flags: int) -> Kept:
        flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                return Kept(os.open(path, flags, 0o600))
            except FileNotFoundError:
                make_folder(path.parent)
                return Kept(os.open(path, flags, 0o600))
        except StorageError:
            raise
        except OSError as cause:
            raise StorageError("append to", path, cause) from cause

    def _look_after_the_note(self) -> None:
        """Have the note open before the lock is held. One without a name was deleted: the next writer has another."""
        if self._note is not None and os.fstat(self._note.fd).st_nlink == 0:
            self._note = None
        self._note_fd()

    def _note_fd(self) -> int:
        """The note, kept open: opening it for each line would cost as much as writing the line."""
        if self._note is None:
            self._note = self._open(self._note_path, 0)
        return self._note.fd

    # -- after a failed sync ------------------------------------------------------------------------------------------

    def _write_again(self, written: Written, failed: StorageError, timeout_s: float) -> None:
        """The disk dropped what we wrote, and its next sync would say OK without it: write the same bytes again.

        Fails with StorageError; then the line was taken out if nobody wrote behind it.
        """
        try:
            with self.locked(timeout_s):
                # Not the append descriptor: with O_APPEND, Linux ignores the offset of pwrite.
                again = os.open(f"/proc/self/fd/{written.kept.fd}", os.O_RDWR | os.O_CLOEXEC)
                try:
                    self._rewrite_or_remove(again, written)
                finally:
                    os.close(again)
        except (LockBusy, OSError) as cause:
            raise failed from cause

    def _rewrite_or_remove(self, fd: int, written: Written) -> None:
        try:
            rewrite(fd, written.offset, written.line, self.path)
        except StorageError:
            if os.fstat(fd).st_size == written.offset + len(written.line):
                os.ftruncate(fd, written.offset)
                # Else what a stranger writes there next would look like half of our line.
                _take_note(self._note_fd(), 0, 0, 0)
            raise


# -- the tail ---------------------------------------------------------------------------------------------------------


def _write_whole(fd: int, size: int, line: bytes) -> None:
    files.reached("lines.noted")
    try:
        files.write_all(fd, line)
    except OSError:
        with suppress(OSError):
            os.ftruncate(fd, size)
        raise
    files.reached("lines.written")


def _mended(kept: Kept, size: int, note: int, path: Path) -> int:
    """Make *kept* end with a whole line: cut half a line of ours, end a stranger's. Its size then."""
    start = _start_of_half_a_line(kept, size, note)
    if start is None:
        files.write_all(kept.fd, b"\n")
        return size + 1
    _cut(kept.fd, start, size, note, path)
    return start


def _end_of(fd: int, size: int) -> bytes:
    start = max(0, size - _KEPT_BEFORE_BYTES)
    return os.pread(fd, size - start, start)


def _start_of_half_a_line(kept: Kept, size: int, note: int) -> int | None:
    """Where the line began that its killed writer left unfinished; None when the tail is a stranger's."""
    inode, start, length = _read_note(note)
    if inode != kept.inode or not start < size < start + length:
        return None
    # With a newline in it, a stranger wrote behind it: his line is not ours to cut.
    return None if b"\n" in os.pread(kept.fd, size - start, start) else start


def _cut(fd: int, start: int, size: int, note: int, path: Path) -> None:
    shown = text.mask(text.decode(os.pread(fd, min(200, size - start), start)))
    os.ftruncate(fd, start)
    _take_note(note, 0, 0, 0)
    log.warning("lines.torn_tail_cut", file=str(path), bytes=size - start, starts_with=shown)
    files.reached("lines.cut")


def _take_note(note: int, inode: int, start: int, length: int) -> None:
    # Fixed width, so that it is overwritten in place and a full disk has no part in it.
    os.pwrite(note, b"%20d %20d %20d\n" % (inode, start, length), 0)


def _read_note(note: int) -> tuple[int, int, int]:
    numbers = [int(word) for word in os.pread(note, 64, 0).split() if word.isdigit()]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else (0, 0, 0)


def rewrite(fd: int, offset: int, line: bytes, path: Path) -> None:
    """Write *line*, which already stands at *offset*, once more and make it durable. StorageError if it cannot be."""
    try:
        if os.pread(fd, len(line), offset) != line:
            raise OSError(errno.EIO, "the line is no longer where it was written")
        os.pwrite(fd, line, offset)
    except OSError as cause:
        raise StorageError("sync", path, cause) from cause
    files.sync_data(fd, path)


def make_durable(path: Path, line: Line) -> None:
    """Make *line*, found in *path*, durable; the caller holds the lock.

    Its writer may have died before the sync, or have been told that it failed: then a sync alone may say OK falsely.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as cause:
        raise StorageError("sync", path, cause) from cause
    try:
        rewrite(fd, line.start, line.raw, path)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make *path* a private folder if it is missing, with a durable name."""
    # Only when missing: a mailbox may lie in a folder of the user's, whose mode is none of our business.
    if not path.is_dir():
        files.private_dir(path)
        files.sync_dir(path.parent)
