"""Files that survive: replaced whole, appended whole, locked. The only door to portalocker.

    replace:  temporary file beside it -> write -> fsync -> rename -> fsync of the folder
    append:   (under the caller's lock) mend the tail -> one write -> fdatasync

Without the last fsync of `replace` a power cut leaves the old content although the change was acknowledged; without
the first it leaves an empty file (98 of 100 on XFS). With both: 0 of 1,320. Every error of the disk becomes a
StorageError that says what to do, and leaves the file as it was.
"""

from __future__ import annotations

import _thread
import errno
import fcntl
import functools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import clock

if TYPE_CHECKING:
    import ctypes

MIB = 1 << 20
StrPath = str | os.PathLike[str]
_TEMPORARY = ".tmp"

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, it works again by itself",
    errno.EDQUOT: "the disk quota is used up: free some space, it works again by itself",
    errno.EFBIG: "the file size limit is reached: raise `ulimit -f`",
    errno.EROFS: "the file system is read-only: mount it writable",
    errno.EIO: "the disk reports an error: check it",
    errno.EMFILE: "too many open files in this process: raise `ulimit -n`",
    errno.ENFILE: "too many open files on this machine: end some programs",
    errno.EACCES: "permission denied: check the owner and mode of the file and its folder",
    errno.EPERM: "not permitted: check the owner, and `lsattr` for an immutable file",
    errno.ENOENT: "its folder is gone: make it again",
    errno.ENOTDIR: "a part of its path is no folder: move that file away",
    errno.EISDIR: "there is a folder of that name: move it away",
    errno.ELOOP: "it is a symbolic link where none may be: remove the link",
}
_NO_REGULAR_FILE = "no regular file"  # what we say ourselves; the system's EINVAL can mean other things


class StorageError(OSError):
    """A file could not be kept. `errno` is the system's; the text says what happened, why, and what to do."""

    def __init__(self, what: str, path: StrPath, cause: OSError) -> None:
        number = cause.errno or errno.EIO
        advice = _ADVICE.get(number, os.strerror(number))
        if number == errno.EINVAL and cause.strerror == _NO_REGULAR_FILE:
            advice = f"{_NO_REGULAR_FILE}: move it away"
        super().__init__(number, f"cannot {what} {os.fspath(path)}: {advice}")

    def __str__(self) -> str:
        return str(self.args[1])


class LockBusy(Exception):
    """A lock stayed taken for as long as we were ready to wait. Says who holds it."""

    def __init__(self, path: Path, holder: str, waited_s: float) -> None:
        super().__init__(f"{path} is locked by {holder} since more than {waited_s:g} s; end it, or try again later")
        self.path = path
        self.holder = holder
        self.waited_s = waited_s


def reached(step: str) -> None:
    """A fault point: does nothing. Drills put a killer in its place (`files.reached = …`) to die at *step*."""


# -- folders ----------------------------------------------------------------------------------------------------------


def private_dir(path: Path) -> Path:
    """Make *path*, and each folder above it that is missing, with mode 0700. StorageError when that cannot be."""
    try:
        for folder in [*(above for above in reversed(path.parents) if not above.exists()), path]:
            folder.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would make those above with the umask's mode
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as cause:
        raise StorageError("make the folder", path, cause) from cause
    return path


def sync_dir(path: StrPath) -> None:
    """Make names in the folder *path* durable. StorageError when the disk says no."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as cause:
        raise StorageError("sync the folder", path, cause) from cause


# -- whole files ------------------------------------------------------------------------------------------------------


def read(path: Path, *, limit_bytes: int = 16 * MIB) -> bytes | None:
    """The bytes of the regular file *path*, or None when there is none.

    Never blocks on a FIFO or a device. StorageError when it cannot be read, is no regular file, or is larger than
    *limit_bytes*: "could not look" is never the same as "nothing there".
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise StorageError("read", path, cause) from cause
    try:
        found = os.fstat(fd)
        _check_regular(found)
        if found.st_size > limit_bytes:
            raise OSError(errno.EFBIG, "too large")
        return _read_all(fd, limit_bytes)
    except OSError as cause:
        raise StorageError("read", path, cause) from cause
    finally:
        os.close(fd)


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL, _NO_REGULAR_FILE)


def _read_all(fd: int, limit_bytes: int) -> bytes:
    pieces = []
    left = limit_bytes
    while left > 0 and (piece := os.read(fd, min(left, MIB))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def replace(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Make *data* the whole content of *path*, in one step for every reader and over every crash.

    An existing file keeps its mode. *path* itself must not be a symbolic link: resolve it first. With *durable* it is
    on the disk when this returns. On StorageError the old content stands; a crash leaves at most a hidden `*.tmp`.
    """
    temporary = write_beside(path, data, durable=durable, mode=mode)
    try:
        os.rename(temporary, path)
    except OSError as cause:
        discard(temporary)
        raise StorageError("replace", path, cause) from cause
    reached("replace.renamed")
    if durable:
        sync_dir(path.parent)
        reached("replace.synced")


def write_beside(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> Path:
    """Write *data* to a new hidden file in the folder of *path*, with the mode of *path* where that exists.

    The first half of a replacement; rename or exchange it, or `discard` it. StorageError leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}{_TEMPORARY}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, _mode_of(path, mode))
            write_all(fd, data)
            reached("replace.written")
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as cause:
        discard(temporary)
        raise StorageError("write", path, cause) from cause
    reached("replace.prepared")
    return temporary


def discard(path: StrPath) -> None:
    """Remove *path* if it is there; a stray temporary file is no reason to fail."""
    with suppress(OSError):
        os.unlink(path)


def discard_temporaries(path: Path) -> int:
    """Remove what killed replacements of *path* left beside it. Call it under the lock of *path*. How many."""
    strays = list(path.parent.glob(f".{path.name}.*{_TEMPORARY}"))
    for stray in strays:
        discard(stray)
    return len(strays)


def _mode_of(path: Path, default: int) -> int:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return default


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data*. A full disk shows as a short write first: the next one raises the OSError."""
    written = os.write(fd, data)
    if written < len(data):
        view = memoryview(data)[written:]
        while view:
            view = view[os.write(fd, view) :]


_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_NOT_HERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(a: StrPath, b: StrPath) -> bool:
    """Swap what *a* and *b* name (files or folders) in one step (Linux `renameat2(RENAME_EXCHANGE)`).

    False where the system or this file system cannot; then nothing has changed. StorageError for every other reason.
    """
    import ctypes  # 2 ms, for those alone who exchange

    libc = _libc()
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        reached("exchange.done")
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise StorageError("exchange", a, OSError(number, os.strerror(number)))


@functools.cache
def _libc() -> ctypes.CDLL:
    """Opened once: opening it anew costs as much as the exchange itself."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


# -- appending --------------------------------------------------------------------------------------------------------


def append(path: Path, data: bytes, *, durable: bool = True) -> int:
    """Append *data* (whole lines) to *path*; the offset at which it starts. The caller holds the file's lock.

    Opens the file anew each time, so one that was deleted or rotated meanwhile is made again. A tail that a killed
    writer left without its newline is ended first: else our line would be glued to it and lost with it. On
    StorageError the file is as it was. With *durable*, it is on the disk on return.
    """
    fd, offset = append_open(path, data)
    try:
        if durable:
            sync_data(fd, path)
    finally:
        os.close(fd)
    return offset


def check_appendable(path: Path) -> None:
    """StorageError when *path* is there, but is no regular file or may not be written by us. Opens nothing."""
    try:
        _check_regular(os.stat(path))
        if not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError:
        return
    except OSError as cause:
        raise StorageError("append to", path, cause) from cause


def append_open(path: Path, data: bytes) -> tuple[int, int]:
    """Append without syncing: the open descriptor and the offset at which *data* starts.

    For writers that release the lock before `sync_data` (several then share one flush: 13.6 k/s against 4.8 k).
    The caller closes the descriptor. A file that this made is durable as a name already.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as cause:
        raise StorageError("append to", path, cause) from cause
    try:
        found = os.fstat(fd)
        _check_regular(found)
        end = found.st_size
        offset = _append_whole(fd, end, data)
        if end == 0:
            sync_dir(path.parent)
    except OSError as cause:
        os.close(fd)
        raise cause if isinstance(cause, StorageError) else StorageError("append to", path, cause) from cause
    return fd, offset


def _append_whole(fd: int, end: int, data: bytes) -> int:
    torn = end > 0 and os.pread(fd, 1, end - 1) != b"\n"
    try:
        write_all(fd, b"\n" + data if torn else data)
    except OSError:
        with suppress(OSError):
            os.ftruncate(fd, end)
        raise
    reached("append.written")
    return end + torn


def sync_data(fd: int, path: Path) -> None:
    """Make what was written to *fd* durable. StorageError when the disk says no; *path* only names it there."""
    try:
        os.fdatasync(fd)
    except OSError as cause:
        raise StorageError("sync", path, cause) from cause
    reached("append.synced")


# -- open files that are kept ------------------------------------------------------------------------------------------


class Kept:
    """An open descriptor and what it leads to; closed with the last use of it. OSError when it cannot be looked at."""

    __slots__ = ("device", "fd", "inode", "opened_ns", "pid", "was_busy")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.was_busy = False
        self.opened_ns = clock.monotonic_ns()
        self.pid = os.getpid()
        found = os.fstat(fd)
        self.device, self.inode = found.st_dev, found.st_ino

    def leads_to(self, found: os.stat_result) -> bool:
        """Whether *found* is this file: as long as it is open, its inode is given to no other."""
        return found.st_ino == self.inode and found.st_dev == self.device

    def is_named(self, name: str) -> bool:
        """Whether *name* leads here now."""
        try:
            return self.leads_to(os.stat(name, follow_symlinks=False))
        except OSError:
            return False

    def detached(self) -> int:
        """The descriptor, which somebody else closes from now on."""
        fd, self.fd = self.fd, -1
        return fd

    def close(self, close: Callable[[int], None] = os.close) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            close(fd)

    __del__ = close  # `os.close` handed in: at the end of the program, `os` may be gone before us


class Idle:
    """Descriptors of one file that nobody uses at the moment: each has one user at a time, and is opened once."""

    # As many as writers wait for the disk at once in one process; more are opened and closed.
    _MOST = 4

    def __init__(self) -> None:
        self._kept: list[Kept] = []

    def pop(self) -> Kept | None:
        """One that this process opened; None: open one. What a fork brought here is the parent's, and is closed."""
        try:
            while (kept := self._kept.pop()).pid != os.getpid():
                kept.close()
        except IndexError:
            return None
        return kept

    def push(self, kept: Kept) -> None:
        if len(self._kept) < self._MOST:
            self._kept.append(kept)

    def clear(self) -> None:
        self._kept.clear()


# -- locks ------------------------------------------------------------------------------------------------------------


@contextmanager
def lock(path: Path, *, timeout_s: float = 5.0) -> Iterator[None]:
    """Hold the lock file *path* (`flock`, so that shell scripts can take it too).

    It is made when missing and never removed: a second holder would lock another file of the same name. LockBusy,
    naming the holder, after *timeout_s*; StorageError when it cannot be opened. Ends with the process, however it
    ends. Not reentrant: a thread that takes it twice waits for itself.
    """
    held = take_lock(path, timeout_s=timeout_s)
    try:
        yield
    finally:
        os.close(held)


def take_lock(path: Path, *, timeout_s: float) -> int:
    """Like `lock`, for a lock that is held for life: the open descriptor. Closing it releases the lock."""
    return LockFile(path).take(timeout_s).detached()


class LockFile:
    """The lock file *path* for who takes it again and again: left open in between, that costs half of `lock`.

    Threads may share it: who holds the lock has a descriptor of his own. So has a forked child, or its lock would be
    its parent's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = os.fspath(path)
        self._idle = Idle()

    def take(self, timeout_s: float) -> Kept:
        """Take the lock; hand what this gives to `release`. LockBusy and StorageError as from `lock`."""
        kept = self._idle.pop() or self._open()
        # Looked at first, so that the lock is held for shorter; who waited for it looks again.
        if kept.is_named(self._name) and _flock_at_once(self.path, kept):
            kept.was_busy = False
            return kept
        kept.was_busy = True
        begun = clock.monotonic()
        left_s = timeout_s
        while True:
            if not _flock_within(self.path, kept, left_s):
                raise LockBusy(self.path, holder(self.path), timeout_s)
            if kept.is_named(self._name):
                return kept
            kept.close()  # someone removed or replaced the lock file while we waited: the new one counts
            kept = self._open()
            kept.was_busy = True
            left_s = max(0.0, begun + timeout_s - clock.monotonic())

    def release(self, kept: Kept) -> None:
        try:
            fcntl.flock(kept.fd, fcntl.LOCK_UN)
        except OSError:
            kept.close()  # that releases it too
        else:
            self._idle.push(kept)

    def _open(self) -> Kept:
        try:
            return Kept(
                os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            )
        except OSError as cause:
            raise StorageError("lock", self.path, cause) from cause


def _flock_within(path: Path, kept: Kept, timeout_s: float) -> bool:
    """Take the flock on *kept*; False, and *kept* closed, when it stayed busy.

    Free: one system call. Busy: a few tries more, because most holders need it for some 50 us; then a thread waits
    inside the kernel's queue, which is fair; polling alone starves (1 against 737 updates a process). Given up, the
    thread closes the descriptor the moment that it gets the lock.
    """
    tries = _TRIES if timeout_s > 0 else 1
    for number in range(tries):
        if _flock_at_once(path, kept):
            return True
        if number >= _TRIES_AT_ONCE:
            os.sched_yield()
    if timeout_s > 0 and _wait_in_queue(kept.fd, timeout_s):
        return True
    if timeout_s > 0:
        kept.detached()  # it is the waiting thread's now
    kept.close()
    return False


# The first ones at once: on two cores the other one holds it, and is done in some 20 us. With 16 writers that gave 1.1
# times as many durable appends as yielding each time.
_TRIES = 16
_TRIES_AT_ONCE = 8


def _flock_at_once(path: Path, kept: Kept) -> bool:
    try:
        fcntl.flock(kept.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # what portalocker calls, without its 15 us of checks
    except BlockingIOError:
        return False
    except OSError as cause:
        raise StorageError("lock", path, cause) from cause
    return True


class _Waiter:
    """A thread that waits in the kernel's queue on behalf of another, and is kept for the next time.

    A new thread for every wait cost three times as much processor as the whole durable append that waited.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._asked, self._answered, self._gate = (_thread.allocate_lock() for _ in range(3))
        self._asked.acquire()
        self._answered.acquire()
        self._fd = -1
        self._is_over = self._has_it = self._is_given_up = False
        _thread.start_new_thread(self._run, ())

    def wait(self, fd: int, timeout_s: float) -> bool:
        """Take the flock on *fd*; False, and *fd* closed, when it stayed busy. Then this waiter ends by itself."""
        self._fd = fd
        self._is_over = self._has_it = False
        self._asked.release()
        if not self._answered.acquire(timeout=timeout_s):
            with self._gate:
                self._is_given_up = not self._is_over
            if self._is_given_up:
                return False
            self._answered.acquire()
        return self._has_it

    def end(self) -> None:
        self._fd = -1
        self._asked.release()

    def _run(self) -> None:
        while self._asked.acquire() and (fd := self._fd) >= 0:
            has_it = _flock_in_queue(fd)
            with self._gate:
                self._is_over, self._has_it = True, has_it
                is_given_up = self._is_given_up
            if is_given_up or not has_it:
                os.close(fd)
            if is_given_up:
                return
            self._answered.release()


def _flock_in_queue(fd: int) -> bool:
    import portalocker  # only who waits pays its 40 ms of imports: every command reads these files

    try:
        portalocker.lock(fd, portalocker.LockFlags.EXCLUSIVE)
    except portalocker.LockException:
        return False
    return True


class _KeptWaiter:
    """A waiter that ends with its owner's thread."""

    def __init__(self) -> None:
        self.waiter = _Waiter()

    def __del__(self) -> None:
        self.waiter.end()


_of_this_thread = threading.local()


def _wait_in_queue(fd: int, timeout_s: float) -> bool:
    kept: _KeptWaiter | None = getattr(_of_this_thread, "kept", None)
    if kept is None or kept.waiter.pid != os.getpid():  # threads are not inherited by a fork
        kept = _of_this_thread.kept = _KeptWaiter()
    got = kept.waiter.wait(fd, timeout_s)
    if not got:
        del _of_this_thread.kept
    return got


def holder(path: Path) -> str:
    """Who holds the lock file *path* now, for an error message: `pid 12 (npm)`, or `somebody`. Linux only."""
    try:
        inode = os.stat(path).st_ino
        rows = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "somebody"
    for row in rows:
        fields = row.split()
        # `12: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF`; a waiter's row has `->` after the number.
        if "->" not in fields and len(fields) > 5 and fields[5].endswith(f":{inode}"):
            return _named(fields[4])
    return "somebody"


def _named(pid: str) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"pid {pid} (already gone; a child of it may hold the file open)"
    return f"pid {pid} ({name})"
