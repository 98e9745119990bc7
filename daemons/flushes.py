"""One flush of the disk for all who wait for it: many writers of a file, one of them syncs.

    write -> has a flush covered it that began since? done
      -> nobody flushes now? lead: flush, tell what that covers, wake those it covers and one to do the next
      -> sleep until woken, and look again

With 16 writers on two cores, syncing each for itself cost three sleeps and three disk requests a line: 240 us of
processor, where it is 150 now.

What a leader says (`<file>.flushed`) is true by itself, whoever else says what, and whoever is killed when: "all that
was written to this inode between the opening of my descriptor and the start of my flush is on the disk". Both ends
matter. A flush covers what was written before it *began*. And Linux tells a failed write-back once to each descriptor
that was open then, so a good answer proves nothing of what was written before the descriptor was opened: another may
have been told. Times are of the monotonic clock, which is one for all processes of a boot and a time namespace; the
record names both. A leader that fails says nothing, and then each writer syncs for itself and is told for itself.

So leading needs no care of its own: two leaders at once, a dead one, or none, cost time only. Who has waited for
50 ms syncs for himself.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from daemons import clock
from daemons.files import Kept

# A flush that takes longer may have lost its leader: who waits for it tries to lead.
OVERDUE_NS = 10_000_000
WAIT_AT_MOST_NS = 50_000_000
ALONE_FOR_NS = 1_000_000_000

# Number of the last flush, doubled, and 1 more while it is under way; twice, since two crowds sleep on it. Of the last
# that was done: epoch, device, inode, descriptor opened at, begun at. When the one under way began. The checksum.
_RECORD = struct.Struct("=IIQQQQQQ")
_SUM = struct.Struct("=I")
_WHOLE = _RECORD.size + _SUM.size
_NOTHING = [0, 0, 0, 0, 0]
_SIZE = 64


class SharedFlush:
    """The flushes of one file, told in the file *path*. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._board: _Board | None = None
        self._alone_until_ns = 0

    def sync(self, kept: Kept, begun_ns: int, done_ns: int) -> None:
        """Return when what was written to *kept* between the two times (`clock.monotonic_ns`) is on the disk.

        OSError when the disk says no. *kept* must not have been told of an error before. What goes wrong with the
        record itself costs no more than a flush of one's own.
        """
        if done_ns >= self._alone_until_ns:
            board = self._board
            if board is None or board.pid != os.getpid():  # a lock that came with a fork is the parent's
                board = self._board = _opened(self._path)
            if board is not None and board.serves(kept, begun_ns, done_ns):
                return
            # Removed, cut, its leader sleeps, or the disk is slow: looked at anew, but not for each line.
            self._board = None
            self._alone_until_ns = clock.monotonic_ns() + ALONE_FOR_NS
        os.fdatasync(kept.fd)


class _Board:
    """The open record. Nothing here raises but `fdatasync`."""

    def __init__(self, file: Kept, epoch: int) -> None:
        self.pid = file.pid
        self._file = file
        self._epoch = epoch
        self._gate = _thread.allocate_lock()
        # Mapped for the sleepers only. Read and written by calls: of a file that was cut, a mapping would kill us.
        self._map = mmap.mmap(file.fd, _SIZE)
        self._words = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def serves(self, kept: Kept, begun_ns: int, done_ns: int) -> bool:
        """Whether the line is on the disk, by somebody's flush or by ours; False: there is nobody to wait for."""
        is_overdue = False
        while True:
            record = self._read()
            number, _, epoch, device, inode, opened_ns, started_ns, current_ns = _RECORD.unpack_from(record)
            # The sum last: it is the dearest, and what was read half of one and half of another is rare.
            if (
                opened_ns < begun_ns
                and done_ns < started_ns
                and (inode, device, epoch) == (kept.inode, kept.device, self._epoch)
                and _is_whole(record)
            ):
                return True
            is_under_way = bool(number & 1) and epoch == self._epoch
            if (is_overdue or not is_under_way) and self._lead():
                self._flush(kept)
                return True
            if clock.monotonic_ns() - done_ns > WAIT_AT_MOST_NS:
                return False
            is_late = is_under_way and current_ns <= done_ns  # then the next flush is ours, not this one
            woken = _sleep(self._word((number >> 1) + is_late), number)
            if woken is None:
                return False
            is_overdue = not woken

    def _word(self, flush: int) -> int:
        """Where those sleep who wait for that flush: who waits for this one and who for the next wake apart."""
        return self._words + 4 * (flush & 1)

    def _read(self) -> bytes:
        try:
            record = os.pread(self._file.fd, _WHOLE, 0)
        except OSError:
            return bytes(_WHOLE)
        return record if len(record) == _WHOLE else bytes(_WHOLE)

    def _lead(self) -> bool:
        if not self._gate.acquire(blocking=False):
            return False
        try:
            fcntl.flock(self._file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._gate.release()
            return False
        return True

    def _flush(self, kept: Kept) -> None:
        """Flush for all, as the leader, and be it no longer."""
        is_done, number, result, was_left = False, 1, _NOTHING, 0
        try:
            before = self._read()
            number, _, *result = _RECORD.unpack_from(before)[:7] if _is_whole(before) else (0, 0, *_NOTHING)
            if result[0] != self._epoch:  # of another boot, or the first of all
                result = [self._epoch, *_NOTHING[1:]]
            was_left = number & 1  # by a leader that was killed
            number = (number | 1) + 2 * was_left
            started_ns = clock.monotonic_ns()
            self._tell(number, result, started_ns)
            os.fdatasync(kept.fd)
            result = [self._epoch, kept.device, kept.inode, kept.opened_ns, started_ns]
            is_done = True
        finally:
            # Free before it is told: who reads that nobody leads finds it so.
            with suppress(OSError):
                fcntl.flock(self._file.fd, fcntl.LOCK_UN)
            self._gate.release()
            self._tell(number + 1, result, 0)
            flush = number >> 1
            _wake(self._word(flush), _EVERYBODY)
            _wake(self._word(flush + 1), 1 if is_done and not was_left else _EVERYBODY)  # one, to do the next

    def _tell(self, number: int, result: Sequence[int], current_ns: int) -> None:
        number &= 0xFFFFFFFF
        record = _RECORD.pack(number, number, *result, current_ns)
        with suppress(OSError):
            os.pwrite(self._file.fd, record + _sum_of(record), 0)


def _is_whole(record: bytes) -> bool:
    return record[_RECORD.size :] == _sum_of(record[: _RECORD.size])


def _sum_of(record: bytes) -> bytes:
    return _SUM.pack(zlib.crc32(record))


def _opened(path: Path) -> _Board | None:
    if _FUTEX is None:
        return None
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = Kept(os.open(path, flags, 0o600))
        found = os.fstat(file.fd)
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size < _SIZE:
            os.pwrite(file.fd, bytes(_SIZE), 0)
        return _Board(file, _epoch())
    except (OSError, ValueError):  # mmap's, when it was cut meanwhile
        return None


def _epoch() -> int:
    """What names the clock that our times are of."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    clock_of = os.readlink("/proc/self/ns/time")
    return int.from_bytes(hashlib.blake2b(boot + clock_of.encode(), digest_size=8).digest(), "little")


# -- sleeping -----------------------------------------------------------------------------------------------------

_WAIT, _WAKE = 0, 1
_EVERYBODY = 0x7FFFFFFF
_ON_64_BIT = ctypes.sizeof(ctypes.c_void_p) == 8
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(os.uname().machine) if _ON_64_BIT else None
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = [
    ctypes.c_long,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_uint32,
]
_syscall.restype = ctypes.c_long


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_OVERDUE = _Timespec(0, OVERDUE_NS)
_OVERDUE_AT = ctypes.addressof(_OVERDUE)


def _sleep(word: int, number: int) -> bool | None:
    """Sleep until woken, unless *word* is not *number* any more. False: overdue. None: sleeping is not possible."""
    if _syscall(_FUTEX, word, _WAIT, number, _OVERDUE_AT, None, 0) == 0:
        return True
    reason = ctypes.get_errno()
    return True if reason in (errno.EAGAIN, errno.EINTR) else False if reason == errno.ETIMEDOUT else None


def _wake(word: int, most: int) -> None:
    _syscall(_FUTEX, word, _WAKE, most, None, None, 0)
