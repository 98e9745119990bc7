"""waitress, as a daemon needs it: two front doors (TCP and a unix socket), an end within a second, nobody who blocks.

Each door has its own threads, so whoever fills the port leaves the socket free. waitress itself knows no orderly end:
here the listening socket closes first, requests in flight are finished, and whoever streams is told to stop by `app`.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer, UnixWSGIServer
from waitress.task import ThreadedTaskDispatcher

from daemons import clock, log
from daemons.api.channels import Channel, serving
from daemons.api.early import EarlyWsgi
from daemons.api.problems import busy
from daemons.api.tasks import head_of

TCP_THREADS = 128
UNIX_THREADS = 16
CONNECTIONS = 400
BODY_LIMIT_BYTES = 2 << 20
IDLE_S = 30

_MIB = 1 << 20


# -- doors ------------------------------------------------------------------------------------------------------------


class _Door:
    """What both servers share: own channels, a limit that answers, patience that ends, an orderly end."""

    channel_class = Channel
    active_channels: dict[int, Channel]
    task_dispatcher: ThreadedTaskDispatcher
    trigger: Any
    adj: Adjustments
    unbuffered: Adjustments
    loop_thread = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        self.begun: set[Channel] = set()
        self._to_answer: deque[Channel] = deque()
        super().__init__(*args, **more)

    def answer(self, channel: Channel) -> None:
        """Have *channel* answer what was begun: here when it is the only one, in the loop when there are many.

        Two threads that answer and read at the same time spend more on taking turns than on both.
        """
        if len(self.begun) == 1:
            self.begun.discard(channel)
            channel.service()
            return
        self._to_answer.append(channel)
        if len(self._to_answer) == 1:
            self.trigger.pull_trigger(self._answer_all)

    def _answer_all(self) -> None:
        while self._to_answer:
            channel = self._to_answer.popleft()
            self.begun.discard(channel)
            channel.service()

    def maintenance(self, now: float) -> None:
        super().maintenance(now)  # type: ignore[misc]  # of the server that this is mixed into
        for channel in list(self.active_channels.values()):
            if channel.is_stuck:
                channel.linger = False
                channel.handle_close()

    def add_task(self, channel: Channel) -> None:
        if not channel.is_hot():
            super().add_task(channel)  # type: ignore[misc]

    def pull_trigger(self) -> None:
        channel = serving()
        if channel is None or channel.needs_the_loop:
            super().pull_trigger()  # type: ignore[misc]

    def handle_accept(self) -> None:
        if len(self.active_channels) < CONNECTIONS:
            super().handle_accept()  # type: ignore[misc]
            return
        try:
            connection, _ = self.accept()  # type: ignore[attr-defined]
        except (OSError, TypeError):
            return
        _turn_away(connection)


def _turn_away(connection: socket.socket) -> None:
    problem = busy(f"{CONNECTIONS} connections are open; ask again in a second, or over the unix socket")
    body = problem.body()
    try:
        connection.setblocking(False)
        connection.send(head_of(problem, body) + body)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)  # what is left unread would turn the answer into a reset
    except OSError:
        pass
    finally:
        connection.close()


class _TcpDoor(_Door, TcpWSGIServer):  # type: ignore[misc]
    pass


class _UnixDoor(_Door, UnixWSGIServer):  # type: ignore[misc]
    def fix_addr(self, addr: object) -> Any:
        del addr  # a unix client has none
        return ("unix", 0)


class Server:
    """Serves *app* on *listening* with *threads* of its own, from `start` to `close`."""

    def __init__(self, app: EarlyWsgi, listening: socket.socket, *, threads: int) -> None:
        self._map: dict[int, Any] = {}
        adjustments = _adjustments(threads)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(threads)
        door = _UnixDoor if listening.family == socket.AF_UNIX else _TcpDoor
        self._door: Any = door(
            app,
            self._map,
            _sock=listening,
            dispatcher=dispatcher,
            adj=adjustments,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            bind_socket=False,
        )
        self._door.unbuffered = _adjustments(threads)
        self._door.unbuffered.send_bytes = 1
        self._accepting = True
        self._ended_by: float | None = None
        self._thread = threading.Thread(target=self._run, name="serve", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def connections(self) -> int:
        return len(self._door.active_channels)

    def end(self, *, within_s: float) -> None:
        """Take no more connections, and finish the requests in flight; `join` waits for that."""
        self._ended_by = clock.monotonic() + within_s
        self._door.pull_trigger()

    def join(self) -> None:
        """Wait until all is finished, or the time for that is over; then let go of everything."""
        self._thread.join(timeout=max(0.0, (self._ended_by or 0.0) - clock.monotonic()) + 0.2)
        self._door.task_dispatcher.shutdown(timeout=0.05)
        if not self._thread.is_alive():
            wasyncore.close_all(self._map, ignore_all=True)

    def _run(self) -> None:
        self._door.loop_thread = threading.get_ident()
        while self._ended_by is None:
            wasyncore.loop(timeout=1, use_poll=True, map=self._map, count=1)
        wasyncore.dispatcher.close(self._door)  # not the door's own close, which stops the trigger too
        while self._is_busy() and clock.monotonic() < self._ended_by:
            wasyncore.loop(timeout=0.02, use_poll=True, map=self._map, count=1)

    def _is_busy(self) -> bool:
        channels = list(self._door.active_channels.values())
        return any(channel.requests or channel.total_outbufs_len for channel in channels)


def _adjustments(threads: int) -> Adjustments:
    return Adjustments(
        threads=threads,
        ident=None,
        clear_untrusted_proxy_headers=False,  # nobody here reads any
        channel_request_lookahead=1,  # or a client that left is only noticed at the next write
        connection_limit=1 << 20,  # ours is below, and answers
        backlog=1024,
        channel_timeout=IDLE_S,
        cleanup_interval=1,
        max_request_header_size=64 << 10,
        max_request_body_size=BODY_LIMIT_BYTES,
        inbuf_overflow=4 * _MIB,  # bodies in memory: a full /tmp is no reason to refuse a message
        outbuf_overflow=64 * _MIB,
        asyncore_use_poll=True,
        log_socket_errors=False,
    )


# -- what it has to say -----------------------------------------------------------------------------------------------


class _ToOurLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write = log.error if record.levelno >= logging.ERROR else log.warning
        error = (
            f"{record.exc_info[0].__name__}: {record.exc_info[1]}" if record.exc_info and record.exc_info[0] else None
        )
        write("http.trouble", message=record.getMessage(), error=error)


def log_like_the_others() -> None:
    """What waitress and Flask have to say goes into the daemon's own log."""
    for name in ("waitress", "werkzeug", "flask", "daemons.api"):
        logger = logging.getLogger(name)
        logger.handlers = [_ToOurLog()]
        logger.propagate = False
    logging.getLogger("waitress.queue").setLevel(logging.CRITICAL)  # 64 threads are busy: the metrics say so too
