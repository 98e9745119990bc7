"""The log keeper, as the watcher sees it: gives what was held while nobody watched, takes what is read now.

It is a help and no need: without it, or while it is stuck, all goes on, and only what is deleted while the watcher is
dead is lost. So nothing here waits for long, and nothing here fails. The messages stand in `log_keeper/holding.py`.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from daemons import clock, files, log, supervisor
from daemons.log_watcher.opening import PlainFile, Source
from daemons.settings import Settings

TRY_EVERY_S = 1.0
TRY_STUCK_EVERY_S = 30.0
ANSWER_WITHIN_S = 0.5
PACKET_BYTES = 8192
FOLLOWED = "followed-logs"


@dataclass(slots=True)
class Kept:
    """A file that was held for a path. *lost_bytes* were in it when it was truncated while nobody watched."""

    source: PlainFile
    lost_bytes: int = 0


class Keeps(Protocol):
    """What a followed log needs of the keeper."""

    def given(self, path: str) -> list[Kept]:
        """What was held for *path* when the watcher began, the oldest first. Each belongs to the caller, once."""

    def lost_bytes(self, path: str) -> int:
        """How many bytes of *path* the keeper had to let go before anybody read them; told once."""

    def hold(self, path: str, source: Source) -> None:
        """Have *source* held until `let_go`."""

    def let_go(self, device: int, inode: int) -> None:
        """That file is read to its end, and the marker says so."""

    def noted(self, device: int, inode: int, lost_bytes: int) -> None:
        """What that file lost stands in the marker."""


class NoKeeper:
    """Nobody holds anything."""

    def given(self, path: str) -> list[Kept]:  # noqa: ARG002
        return []

    def lost_bytes(self, path: str) -> int:  # noqa: ARG002
        return 0

    def hold(self, path: str, source: Source) -> None:
        """Nobody does."""

    def let_go(self, device: int, inode: int) -> None:
        """Nobody holds it."""

    def noted(self, device: int, inode: int, lost_bytes: int) -> None:
        """Nobody counted it."""


class Keeper:
    """The keeper of this home. `tick` now and then: it may come and go."""

    def __init__(self, conf: Settings) -> None:
        self._path = supervisor.socket_path(conf, "log_keeper.sock")
        self._list = conf.run_dir / FOLLOWED
        self._listed: list[str] | None = None
        self._line: socket.socket | None = None
        self._try_at = 0.0
        self._given: dict[str, list[Kept]] = {}
        self._lost: dict[str, int] = {}
        self._held: dict[tuple[int, int], tuple[str, Source]] = {}
        self._connect()
        self._receive()

    @property
    def is_there(self) -> bool:
        return self._line is not None

    def follow(self, paths: Iterable[str]) -> None:
        """Tell which *paths* are followed now, also to a keeper that is started later."""
        listed = sorted(paths)
        if listed == self._listed:
            return
        try:
            files.private_dir(self._list.parent)
            files.replace(self._list, b"".join(os.fsencode(path) + b"\0" for path in listed), durable=False)
            self._listed = listed
        except files.StorageError as full:
            log.warning("keeper.not_told", reason=str(full))

    def tick(self, mono: float) -> None:
        """Find the keeper again when it was started anew."""
        if self._line is not None and self._is_gone(self._line):
            self._part()
        if self._line is None and mono >= self._try_at:
            self._try_at = mono + TRY_EVERY_S
            self._connect()
            for path, source in self._held.values():
                self._send_file(path, source)

    def given(self, path: str) -> list[Kept]:
        return self._given.pop(path, [])

    def forget_given(self) -> None:
        """No log took these: what they were held for is followed no longer."""
        for path in list(self._given):
            for one in self.given(path):
                self.let_go(one.source.device, one.source.inode)
                one.source.close()

    def lost_bytes(self, path: str) -> int:
        return self._lost.pop(path, 0)

    def hold(self, path: str, source: Source) -> None:
        if not source.packed:
            self._held[source.device, source.inode] = path, source
            self._send_file(path, source)

    def let_go(self, device: int, inode: int) -> None:
        self._held.pop((device, inode), None)
        self._send(b"-%d %d" % (device, inode))

    def noted(self, device: int, inode: int, lost_bytes: int) -> None:
        self._send(b"~%d %d %d" % (device, inode, lost_bytes))

    def close(self) -> None:
        self.forget_given()
        self._part()

    # -- the line -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.settimeout(ANSWER_WITHIN_S)
        try:
            line.connect(str(self._path))
            _, uid, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid != os.getuid():
                raise PermissionError("another user's")
        except OSError:
            line.close()
            return
        self._line = line

    def _receive(self) -> None:
        """Ask for all that is held, and take it."""
        self._send(b"=")
        while self._line is not None:
            try:
                said, fds, _, _ = socket.recv_fds(self._line, PACKET_BYTES, 1)
            except OSError:
                self._part(stuck=True)
                return
            if said in (b".", b""):
                return
            self._take(said, fds)

    def _take(self, said: bytes, fds: list[int]) -> None:
        with suppress(ValueError):
            if said.startswith(b"lost "):
                _, size, path = said.split(b" ", 2)
                self._lost[os.fsdecode(path)] = int(size)
            elif fds and stat.S_ISREG(os.fstat(fds[0]).st_mode):
                *_, lost, path = said.split(b" ", 4)
                os.set_inheritable(fds[0], False)
                name = os.fsdecode(path)
                self._given.setdefault(name, []).append(Kept(PlainFile(name, fds.pop()), int(lost)))
        for fd in fds:
            os.close(fd)

    def _send_file(self, path: str, source: Source) -> None:
        if self._line is None or not isinstance(source, PlainFile):
            return
        try:
            self._line.settimeout(ANSWER_WITHIN_S)
            socket.send_fds(self._line, [b"+" + os.fsencode(path)], [source.fileno()])
        except OSError:
            self._part(stuck=True)

    def _send(self, said: bytes) -> None:
        if self._line is not None:
            try:
                self._line.settimeout(ANSWER_WITHIN_S)
                self._line.sendall(said)
            except OSError:
                self._part(stuck=True)

    def _is_gone(self, line: socket.socket) -> bool:
        try:
            line.setblocking(False)
            return not line.recv(PACKET_BYTES)  # it says nothing unasked
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _part(self, *, stuck: bool = False) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
            if stuck:
                self._try_at = max(self._try_at, clock.monotonic() + TRY_STUCK_EVERY_S)
