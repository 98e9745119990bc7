"""Clients that cost little: each a process that keeps its connections busy and counts whole answers."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from typing import NamedTuple

from daemons import clock, settings

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(settings.CODE))
UNIQUE = "0123456789ABCDEF"
"""Where this stands in a request, every one of them gets another number: what changes nothing would not be written."""


class Rate(NamedTuple):
    """Whole answers a second, and how long one took, in ms."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


def run(port: int, requests: list[str], *, connections: int, seconds: float) -> Rate:
    """Ask *port* over *connections* at once from a process of its own, with *requests* in turn."""
    order = json.dumps({"port": port, "requests": requests, "connections": connections, "seconds": seconds})
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=order,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    return Rate(*json.loads(done.stdout))


def get(port: int, path: str, **headers: str) -> str:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n"


def post(port: int, path: str, body: object) -> str:
    raw = json.dumps(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n{raw}"
    )


class _Line:
    """One connection: a request is out, its answer is coming."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.seen = b""
        self.missing = -1

    def send(self, raw: bytes) -> None:
        self.seen, self.missing = b"", -1
        self.sent_at = clock.monotonic()
        self.socket.sendall(raw.replace(UNIQUE.encode(), b"%016d" % int(self.sent_at * 1e6)))

    def receive(self) -> bool:
        """Take what is there; whether the answer is whole."""
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("closed by the server")
        if self.missing >= 0:
            self.missing -= len(piece)
            return self.missing <= 0
        self.seen += piece
        head, separator, body = self.seen.partition(b"\r\n\r\n")
        if not separator:
            return False
        lower = head.lower()
        at = lower.find(b"content-length: ")
        length = int(lower[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self.missing = length - len(body)
        return self.missing <= 0

    @property
    def is_good(self) -> bool:
        return self.seen[9:10] in (b"2", b"3")


def main() -> None:
    order = json.loads(sys.stdin.read())
    requests = [request.encode() for request in order["requests"]]
    ready = selectors.DefaultSelector()
    lines = [_Line(order["port"]) for _ in range(order["connections"])]
    sent = 0
    for line in lines:
        ready.register(line.socket, selectors.EVENT_READ, line)
        line.send(requests[sent % len(requests)])
        sent += 1
    times: list[float] = []
    failed = 0
    begun = clock.monotonic()
    until = begun + order["seconds"]
    while (now := clock.monotonic()) < until:
        for key, _ in ready.select(until - now):
            line: _Line = key.data
            if not line.receive():
                continue
            times.append(clock.monotonic() - line.sent_at)
            failed += not line.is_good
            line.send(requests[sent % len(requests)])
            sent += 1
    took = clock.monotonic() - begun
    times.sort()
    at = [times[int(len(times) * part)] * 1000 if times else 0.0 for part in (0.5, 0.99)]
    print(json.dumps([len(times) / took, *at, failed]))


if __name__ == "__main__":
    main()
