"""Holds files open. Runs alone in a bare Python (10 MB), so it imports nothing of ours, and parses nothing.

    followed-logs --> [open what each path names] --> held --(socket, descriptor by descriptor)--> the watcher

While the watcher lives, it hands over every file that it reads, and says when one was read to its end. While it is
dead, the paths that it followed last are looked at fifty times a second: a file that comes and is gone again is held.
What nobody can read any more (truncated while the watcher was dead, let go for want of room) is at least counted.

One message a packet:
    to the watcher    b"DEVICE INODE SIZE LOST PATH" with the descriptor; b"lost BYTES PATH"; b"." ends the list
    from the watcher  b"+PATH" with the descriptor: hold it; b"-DEVICE INODE": read to its end; b"=": the list, please;
                      b"~DEVICE INODE BYTES": so many of the lost ones stand in the ledger
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
from contextlib import suppress

# How often the paths are looked at, by how long the watcher has been gone; seldom while it lives.
LOOK_ALIVE_S = 2.0
LOOKS_DEAD_S = ((10.0, 0.02), (60.0, 0.1), (float("inf"), 0.25))
STATUS_EVERY_S = 2.0
# What is held has bounds: files, and bytes of files without a name, which fill the disk unseen.
FILES_LIMIT = 1024
NAMELESS_LIMIT_BYTES = 1 << 30
NAMELESS_SHARE_OF_FREE = 0.5
PACKET_BYTES = 8192
ANSWER_WITHIN_S = 2.0


class Held:
    """One open file, and the path that named it."""

    __slots__ = ("fd", "lost", "nameless_bytes", "path", "size")

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd = fd
        self.path = path
        self.size = 0
        self.lost = 0  # bytes that were there when it was truncated, read by the watcher or not
        self.nameless_bytes = -1  # what it keeps from the disk; -1 while a folder names it
        self.look()

    def look(self, *, is_watched: bool = False) -> None:
        found = os.fstat(self.fd)
        if found.st_size < self.size and not is_watched:
            self.lost += self.size
        self.size = found.st_size
        self.nameless_bytes = -1 if found.st_nlink else found.st_blocks * 512


class Keeper:
    """All that is held."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], Held] = {}  # by device and inode, the oldest first
        self.paths: list[bytes] = []
        self.lost: dict[bytes, int] = {}  # path -> bytes that had to be let go unread

    def look(self, *, is_watched: bool = False) -> None:
        """Hold what the paths name now, and see what was truncated (while somebody watches, that is his business)."""
        for one in self.held.values():
            one.look(is_watched=is_watched)
        for path in self.paths:
            with suppress(OSError):
                found = os.stat(path)
                if (found.st_dev, found.st_ino) not in self.held and stat.S_ISREG(found.st_mode) and self._has_room():
                    self.hold(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), path)
        self._keep_bounds()

    def hold(self, fd: int, path: bytes) -> None:
        """Take over *fd*, unless its file is held already, is no regular one, or there is no room."""
        found = os.fstat(fd)
        key = (found.st_dev, found.st_ino)
        if key in self.held or not stat.S_ISREG(found.st_mode) or not self._has_room():
            os.close(fd)
            return
        self.held[key] = Held(fd, path)

    def let_go(self, device: int, inode: int) -> None:
        one = self.held.pop((device, inode), None)
        if one:
            os.close(one.fd)

    def noted(self, device: int, inode: int, size: int) -> None:
        """The watcher has *size* of the lost bytes in its ledger."""
        one = self.held.get((device, inode))
        if one:
            one.lost -= size

    def nameless(self) -> dict[tuple[int, int], int]:
        """The files that no folder names any more, the oldest first, and the bytes that they keep from the disk."""
        return {key: one.nameless_bytes for key, one in self.held.items() if one.nameless_bytes >= 0}

    def _has_room(self) -> bool:
        """Whether one more may be held; an old one without a name makes room for it."""
        if len(self.held) >= FILES_LIMIT:
            for key in list(self.nameless())[:1]:
                self._give_up(key)
        return len(self.held) < FILES_LIMIT

    def _keep_bounds(self) -> None:
        nameless = self.nameless()
        total = sum(nameless.values())
        for key, size in nameless.items():
            if total <= NAMELESS_LIMIT_BYTES and not self._crowds(key, total):
                break
            total -= size
            self._give_up(key)

    def _crowds(self, key: tuple[int, int], total: int) -> bool:
        """Whether what is kept from the disk is much of what would be free there."""
        disk = os.fstatvfs(self.held[key].fd)
        return total > NAMELESS_SHARE_OF_FREE * (disk.f_bavail * disk.f_frsize + total)

    def _give_up(self, key: tuple[int, int]) -> None:
        one = self.held[key]
        self.lost[one.path] = self.lost.get(one.path, 0) + one.size
        self.let_go(*key)


class Server:
    """The keeper, its one client, and its heartbeat."""

    def __init__(self, socket_path: str, list_path: str, status_path: str, status: str) -> None:
        self._keeper = Keeper()
        self._list_path = list_path
        self._list_seen: tuple[int, int] | None = None
        self._status_path = status_path
        self._status = status[:-1].encode()
        self._cycle = 0
        self._listening = _listen(socket_path)
        self._client: socket.socket | None = None
        self._gone_at = time.monotonic()
        self._ready = select.poll()
        self._ready.register(self._listening, select.POLLIN)

    def run(self) -> None:
        status_at, told = 0.0, ""
        while True:
            self._read_list()
            self._keeper.look(is_watched=self._client is not None)
            detail = self._detail()
            if detail != told or time.monotonic() >= status_at:
                status_at, told = time.monotonic() + STATUS_EVERY_S, detail
                self._publish(detail)
            for fd, _ in self._ready.poll(1000 * self._pause_s()):
                if fd == self._listening.fileno():
                    self._accept()
                elif self._client:
                    self._serve(self._client)

    def _pause_s(self) -> float:
        if self._client:
            return LOOK_ALIVE_S
        gone_s = time.monotonic() - self._gone_at
        return next(pause_s for until_s, pause_s in LOOKS_DEAD_S if gone_s < until_s)

    def _read_list(self) -> None:
        """The paths that the watcher follows, one after the other, each ended by a NUL."""
        with suppress(OSError):
            found = os.stat(self._list_path)
            seen = (found.st_ino, found.st_mtime_ns)
            if seen != self._list_seen:
                with open(self._list_path, "rb") as file:
                    self._keeper.paths = file.read().split(b"\0")[:-1]
                self._list_seen = seen

    def _accept(self) -> None:
        """The newest client counts: it is the watcher that lives. Others than our own user are turned away."""
        client, _ = self._listening.accept()
        _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid():
            client.close()
            return
        self._part()
        client.settimeout(ANSWER_WITHIN_S)
        self._client = client
        self._ready.register(client, select.POLLIN)

    def _serve(self, client: socket.socket) -> None:
        """One message of the watcher's. One that is dead, or does not take what it asked for, is parted from."""
        try:
            said, fds, _, _ = socket.recv_fds(client, PACKET_BYTES, 1)
            if said == b"=":
                self._tell(client)
            elif said[:1] == b"+" and fds:
                os.set_inheritable(fds[0], False)
                self._keeper.hold(fds.pop(), said[1:])
            elif said[:1] == b"-":
                device, inode = said[1:].split()
                self._keeper.let_go(int(device), int(inode))
            elif said[:1] == b"~":
                device, inode, size = said[1:].split()
                self._keeper.noted(int(device), int(inode), int(size))
            for fd in fds:
                os.close(fd)
            if not said:
                self._part()
        except (OSError, ValueError):
            self._part()

    def _tell(self, client: socket.socket) -> None:
        self._keeper.look()
        for (device, inode), one in self._keeper.held.items():
            about = b"%d %d %d %d %s" % (device, inode, one.size, one.lost, one.path)
            socket.send_fds(client, [about], [one.fd])
        for path, size in self._keeper.lost.items():
            client.sendall(b"lost %d %s" % (size, path))
        self._keeper.lost.clear()
        client.sendall(b".")

    def _part(self) -> None:
        if self._client:
            self._ready.unregister(self._client)
            self._client.close()
            self._client = None
            self._gone_at = time.monotonic()

    def _detail(self) -> str:
        nameless = self._keeper.nameless()
        lost = sum(self._keeper.lost.values()) + sum(one.lost for one in self._keeper.held.values())
        return (
            f'{{"held": {len(self._keeper.held)}, "nameless": {len(nameless)}, '
            f'"nameless_bytes": {sum(nameless.values())}, "lost_bytes": {lost}, '
            f'"watcher_lives": {"true" if self._client else "false"}}}'
        )

    def _publish(self, detail: str) -> None:
        """The heartbeat, replaced whole. A disk that says no costs a heartbeat, not what is held."""
        self._cycle += 1
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}+00:00"
        rest = (
            f', "cycle": {self._cycle}, "completed_at": "{stamp}", "completed_mono": {time.monotonic()!r}, '
            f'"detail": {detail}}}\n'
        )
        temporary = f"{self._status_path}.{os.getpid()}.tmp"
        with suppress(OSError):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(fd, self._status + rest.encode())
            finally:
                os.close(fd)
            os.rename(temporary, self._status_path)


def _listen(path: str) -> socket.socket:
    os.umask(0o077)
    with suppress(FileNotFoundError):
        os.unlink(path)  # of one that was killed: the lock says that no other lives
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(path)
    listening.listen(4)
    return listening


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main(told: int) -> None:
    """Serve as the pipe *told* says: the paths of socket, list and status, and the status's beginning, a line each."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open(told, "rb") as lines:
        socket_path, list_path, status_path, status = os.fsdecode(lines.read()).split("\n")
    Server(socket_path, list_path, status_path, status).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
