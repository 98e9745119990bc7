"""Asking this home's API over HTTP. `http.client` costs every command 25 ms of imports; this asks by socket."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

from daemons import clock
from daemons.settings import Settings

LIMIT_BYTES = 8 << 20


class NoAnswer(Exception):
    """The API could not be asked: one line that says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. *body* is parsed JSON, an object in all that we ask."""

    code: int
    body: dict[str, Any]
    took_s: float


def get(conf: Settings, path: str, *, timeout_s: float = 3.0) -> Reply:
    """GET *path*, all of it within *timeout_s*. NoAnswer when nobody answers, or not as our API does."""
    began = clock.monotonic()
    try:
        raw = _exchange(conf, path, began + timeout_s)
    except OSError as reason:
        raise NoAnswer(f"nothing answers on {conf.host}:{conf.port}: {reason}") from None
    head, _, body = raw.partition(b"\r\n\r\n")
    try:
        code = int(head.split(b" ", 2)[1])
        parsed = json.loads(body)
    except (ValueError, IndexError):
        raise NoAnswer(f"what listens on {conf.host}:{conf.port} does not answer as our API: {head[:60]!r}") from None
    if not isinstance(parsed, dict):
        raise NoAnswer(f"what listens on {conf.host}:{conf.port} does not answer as our API")
    return Reply(code, parsed, clock.monotonic() - began)


def _exchange(conf: Settings, path: str, deadline: float) -> bytes:
    pieces: list[bytes] = []
    with socket.create_connection((conf.host, conf.port), timeout=_left(deadline)) as line:
        line.sendall(_request(conf, path))
        while sum(map(len, pieces)) < LIMIT_BYTES:
            line.settimeout(_left(deadline))
            piece = line.recv(1 << 16)
            if not piece:
                break
            pieces.append(piece)
    return b"".join(pieces)


def _left(deadline: float) -> float:
    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _request(conf: Settings, path: str) -> bytes:
    host = f"[{conf.host}]" if ":" in conf.host else conf.host
    # 1.0, so that the answer ends with the connection and never comes in chunks.
    return f"GET {path} HTTP/1.0\r\nHost: {host}:{conf.port}\r\nAccept: application/json\r\n\r\n".encode()
