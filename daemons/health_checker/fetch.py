"""One HTTP exchange with a server of this machine, within one deadline and one allowance of bytes.

A health check asks addresses that someone wrote into a file, and gets answers from whoever listens there. So: loopback
only, no redirects, and a deadline for the exchange as a whole; a timeout for each read lets a server that drips one
byte a second hold its asker for hours.
"""

from __future__ import annotations

import errno
import http.client
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from daemons import clock

KIB = 1 << 10
ALLOWANCE_BYTES = 64 * KIB
HEAD_BYTES = 64 * KIB

Why = Literal["refused", "frozen", "garbled", "unknown"]


class NoAnswer(Exception):
    """No answer that can be judged. `why` says of which kind, the text what was seen."""

    def __init__(self, why: Why, seen: str) -> None:
        super().__init__(seen)
        self.why = why


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body cut at the allowance."""

    status: int
    content_type: str
    body: bytes
    cut: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask. *host* is a name of the loopback or an address; *path* starts with a slash."""

    host: str
    port: int
    path: str = "/"

    @classmethod
    def parse(cls, url: str, *, allow: str | None = None) -> Target:
        """The target that *url* names. ValueError when that is not this machine's loopback (or the host *allow*)."""
        parts = urlsplit(url)
        host = reachable(parts.hostname or "")
        if parts.scheme != "http" or not (is_loopback(host) or (allow and host == reachable(allow))):
            raise ValueError(f"{url!r} is not an http:// address on this machine; try http://127.0.0.1:8000/health")
        path = parts.path or "/"
        return cls(host, parts.port or 80, f"{path}?{parts.query}" if parts.query else path)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses to try. No resolver is asked: it could answer late, or with another machine."""
        return ("127.0.0.1", "::1") if self.host == "localhost" else (self.host,)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"


def reachable(host: str) -> str:
    """*host* as a client says it: the wildcard that a server binds is reached through the loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # told apart, not bound


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def get(target: Target, *, within_s: float, allowance_bytes: int = ALLOWANCE_BYTES) -> Answer:
    """Ask *target* and read its whole answer. Raises NoAnswer; never takes longer than *within_s*."""
    with _connected(target, within_s, allowance_bytes + HEAD_BYTES) as sock:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = sock
        try:
            connection.request("GET", target.path, headers={"Accept-Encoding": "identity", "User-Agent": "cmux-health"})
            return _read(connection.getresponse(), allowance_bytes)
        except TimeoutError:
            raise NoAnswer("frozen", f"no whole answer within {within_s:g} s") from None
        except _TooMuch:
            raise NoAnswer("garbled", f"headers of more than {HEAD_BYTES // KIB} KiB") from None
        except (http.client.HTTPException, ValueError) as odd:
            raise NoAnswer("garbled", f"what answers does not speak HTTP ({type(odd).__name__})") from None
        except ConnectionError:
            raise NoAnswer("garbled", "closed the connection without a whole answer") from None
        except OSError as cause:
            raise NoAnswer("unknown", f"could not ask: {cause.strerror or cause}") from None


def connect(target: Target, *, within_s: float) -> None:
    """See whether anyone takes connections at *target*. Raises NoAnswer."""
    _connected(target, within_s, 0).close()


def _read(response: http.client.HTTPResponse, allowance_bytes: int) -> Answer:
    body = response.read(allowance_bytes)
    return Answer(
        status=response.status,
        content_type=(response.headers.get("Content-Type") or "").partition(";")[0].strip().lower(),
        body=body,
        cut=len(body) == allowance_bytes and bool(response.read(1)),
    )


# -- a socket with one deadline ---------------------------------------------------------------------------------------


class _TooMuch(Exception):
    """More bytes came than were allowed."""


class _Bounded(socket.socket):
    """A socket all of whose waits share one deadline, and that takes in so many bytes and no more."""

    deadline_mono = 0.0
    allowance_bytes = 0

    def hurry(self) -> None:
        left_s = self.deadline_mono - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.settimeout(left_s)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # what the file object of http.client reads through
        self.hurry()
        got = super().recv_into(*args, **kwargs)
        self.allowance_bytes -= got
        if self.allowance_bytes < 0:
            raise _TooMuch
        return got


def _connected(target: Target, within_s: float, allowance_bytes: int) -> _Bounded:
    deadline_mono = clock.monotonic() + within_s
    refusal = NoAnswer("refused", f"nobody listens at {target.host}:{target.port}")
    for address in target.addresses:
        try:
            sock = _open(address, target.port, deadline_mono)
        except ConnectionRefusedError:
            continue
        except TimeoutError:
            raise NoAnswer("frozen", f"takes no connection within {within_s:g} s") from None
        except OSError as cause:
            if cause.errno == errno.EADDRNOTAVAIL and len(target.addresses) > 1:
                continue  # a machine without IPv6: nobody can listen there either
            raise NoAnswer("unknown", f"could not ask: {cause.strerror or cause}") from None
        sock.allowance_bytes = allowance_bytes
        return sock
    raise refusal


def _open(address: str, port: int, deadline_mono: float) -> _Bounded:
    sock = _Bounded(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.deadline_mono = deadline_mono
    try:
        sock.hurry()
        sock.connect((address, port))
        sock.hurry()
    except OSError:
        sock.close()
        raise
    return sock
