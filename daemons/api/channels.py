"""One connection of waitress's, as a daemon needs it: it knows who asks, never waits for long, and answers at once."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from functools import partial
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented

from daemons import clock, processes
from daemons.api.early import When
from daemons.api.tasks import Refusal, Task

HALF_A_REQUEST_S = 5.0


class Parser(HTTPRequestParser):
    """Requests whose head cannot be read are the client's mistake, and are told so."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except TransferEncodingNotImplemented as unknown:
            raise ParsingError(str(unknown)) from None  # waitress would say 501
        except ValueError as wrong:  # what int() and urlsplit() say of a length of 5,000 digits, or of `http://[bad/`
            raise ParsingError(f"the request's head cannot be read: {str(wrong)[:80]}") from None


class Channel(HTTPChannel):
    """A connection, and what is known of who is at its other end."""

    parser_class = Parser
    error_task_class = Refusal

    linger = False
    """Whether more of a refused request may be on its way: closing now would reset the answer off the wire."""

    _half_since: float | None = None
    _discarding_since: float | None = None
    _uid: int | str | None = "not looked up"

    _has_output = False
    _is_hot = False
    _early: Task | None = None

    def readable(self) -> bool:
        self._has_output = self.total_outbufs_len > 0
        return self._discarding_since is not None or bool(super().readable())

    def writable(self) -> bool:
        # Not readable because of what is to be sent, and sent by `service` the next instant: the loop must look again.
        return self._discarding_since is None and (self._has_output or bool(super().writable()))

    def task_class(self, _channel: Channel, request: Any) -> Task:  # type: ignore[override]  # a way to make one
        task, self._early = self._early, None
        return task or Task(self, request)

    def handle_read(self) -> None:
        super().handle_read()
        while self._is_hot:
            self._is_hot = False
            self._serve_early()

    def is_hot(self) -> bool:
        """Whether the first request may need no thread; then it is looked at as soon as what came is taken in."""
        request: Any = self.requests[0]
        door: Any = self.server
        self._is_hot = (
            not request.error
            and (request.command, request.path) in door.application.hot
            and threading.get_ident() == door.loop_thread
        )
        return self._is_hot

    def _serve_early(self) -> None:
        door: Any = self.server
        request: Any = self.requests[0]
        task = self._early = Task(self, request)
        door.begun.add(self)
        when = door.application.early(task.get_environment(), partial(door.answer, self))
        if when is When.LATER:
            return
        door.begun.discard(self)
        if when is When.NOW:
            self.service()
        else:
            door.task_dispatcher.add_task(self)

    def service(self) -> None:
        """Answer the request in this thread, to the last byte where the client takes it.

        The loop that reads and writes for all connections is only woken when it has something left to do: two changes
        of threads less for every answer.
        """
        _serving.channel = self
        try:
            super().service()
        finally:
            _serving.channel = None

    def send_at_once(self) -> None:
        """Send what is to be sent; what does not go out now, the loop sends."""
        waitress: Any = self
        with waitress.outbuf_lock:
            waitress._flush_exception(waitress._flush_some, do_close=False)

    @property
    def needs_the_loop(self) -> bool:
        return bool(self.total_outbufs_len or self.close_when_flushed or self.will_close or self.requests)

    def handle_close(self) -> None:
        if self.linger and self.connected and self._discarding_since is None and self.socket is not None:
            self._discarding_since = clock.monotonic()
            self.will_close = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()

    def received(self, data: bytes) -> bool:
        if self._discarding_since is not None:
            return False
        taken: bool = super().received(data)
        if self.request is None:
            self._half_since = None
        elif self._half_since is None:
            self._half_since = clock.monotonic()
        return taken

    @property
    def is_stuck(self) -> bool:
        """Whether a request, or what is left of one, has been coming for too long: who drips holds no place."""
        since = self._discarding_since or self._half_since
        return since is not None and clock.monotonic() - since > HALF_A_REQUEST_S

    def flush_every_write(self) -> None:
        """From now on each piece goes out at once; else waitress holds back what is less than a packet."""
        door: Any = self.server
        self.adj = door.unbuffered

    def peer_uid(self) -> int | None:
        """The user at the other end, None when that is not known. Looked up once a connection."""
        if isinstance(self._uid, str):
            self._uid = self._look_up()
        return self._uid

    @property
    def is_peer_known(self) -> bool:
        """Whether `peer_uid` answers at once."""
        return not isinstance(self._uid, str)

    def _look_up(self) -> int | None:
        connection = self.socket
        try:
            if connection is None:
                return None
            if connection.family == socket.AF_UNIX:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                return int(struct.unpack("3i", credentials)[1])
            return processes.peer_uid(connection.getsockname()[:2], connection.getpeername()[:2])
        except OSError:
            return None  # gone meanwhile

    @property
    def local_host(self) -> str:
        """The address that the client connected to."""
        try:
            return str(self.socket.getsockname()[0]) if self.socket else ""
        except (OSError, IndexError):
            return ""


_serving = threading.local()


def serving() -> Channel | None:
    """The connection whose request this thread answers now."""
    return getattr(_serving, "channel", None)
