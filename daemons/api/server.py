"""waitress, as a daemon needs it: two front doors (TCP and a unix socket), an end within a second, nobody who blocks.

Each door has its own threads, so whoever fills the port leaves the socket free. waitress itself knows no orderly end:
here the listening socket closes first, requests in flight are finished, and whoever streams is told to stop by `app`.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.server import TcpWSGIServer, UnixWSGIServer
from waitress.task import ThreadedTaskDispatcher

from daemons import clock, log, processes
from daemons.api.early import EarlyWsgi, When
from daemons.api.problems import busy
from daemons.api.tasks import Refusal, Task, head_of
from daemons.settings import Settings, SettingsError

TCP_THREADS = 128
UNIX_THREADS = 16
CONNECTIONS = 400
BODY_LIMIT_BYTES = 2 << 20
IDLE_S = 30
HALF_A_REQUEST_S = 5.0

_MIB = 1 << 20


# -- connections ------------------------------------------------------------------------------------------------------


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
        channel: Channel | None = getattr(_serving, "channel", None)
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


# -- sockets ----------------------------------------------------------------------------------------------------------


def listen_tcp(conf: Settings) -> socket.socket:
    """Listen on the settings' host and port. SettingsError, naming who has the port, when that cannot be."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            conf.host, conf.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as cause:
        raise SettingsError(f"CMUX_HOST={conf.host!r} is no address of this machine ({cause}); try 127.0.0.1") from None
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as cause:
        listening.close()
        raise SettingsError(f"CMUX_PORT={conf.port} cannot be had: {_who_has(conf, cause)}") from None
    return listening


def _who_has(conf: Settings, cause: OSError) -> str:
    inodes = [each.inode for each in processes.listeners(conf.port)]
    pids = sorted({pid for pids in processes.holders(inodes).values() for pid in pids})
    if not pids:
        return f"{os.strerror(cause.errno or 0)} on {conf.host}; choose another port or host"
    return f"{', '.join(map(processes.describe, pids))} listens there; end it, or choose another CMUX_PORT"


def listen_unix(path: Path) -> socket.socket:
    """Listen on *path*, for nobody but this user. What an earlier API left there is removed: one lives per home."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        listening.listen(256)
    except OSError as cause:
        listening.close()
        raise SettingsError(f"the API's socket {path} cannot be made: {cause.strerror}") from None
    finally:
        os.umask(before)
    return listening


# -- the process ------------------------------------------------------------------------------------------------------


def allow_many_files() -> None:
    """Let this process hold all connections that it takes, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(4 * CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
