"""Asking the API: one answer within one deadline, or one line that says why not."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from daemons import asking, clock
from daemons.asking import NoAnswer
from daemons.settings import Settings

Answering = Callable[[bytes], list[bytes]]


@pytest.fixture
def answering(conf: Settings) -> Iterator[Answering]:
    """Answer the next request on the API's port with these bytes; what was asked gathers in the returned list."""
    server = socket.create_server((conf.host, conf.port))
    asked: list[bytes] = []

    def serve(answer: bytes) -> None:
        line, _ = server.accept()
        with line:
            asked.append(line.recv(1 << 16))
            line.sendall(answer)

    def starter(answer: bytes) -> list[bytes]:
        threading.Thread(target=serve, args=[answer], daemon=True).start()
        return asked

    with server:
        yield starter


def test_it_gives_the_code_and_the_object(conf: Settings, answering: Answering) -> None:
    asked = answering(b'HTTP/1.0 503 Service Unavailable\r\nX: y\r\n\r\n{"status": "degraded"}')

    reply = asking.get(conf, "/api/webhooks/health")

    assert (reply.code, reply.body) == (503, {"status": "degraded"})
    assert asked[0].startswith(b"GET /api/webhooks/health HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n" % conf.port)


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail ESMTP\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b"HTTP/1.0 200 OK\r\n\r\n[]", b"\xff\x00"]
)
def test_a_stranger_is_told_from_our_api(conf: Settings, answering: Answering, answer: bytes) -> None:
    answering(answer)

    with pytest.raises(NoAnswer, match="does not answer as our API"):
        asking.get(conf, "/")


def test_nobody_there_is_said(conf: Settings) -> None:
    with pytest.raises(NoAnswer, match=rf"nothing answers on 127\.0\.0\.1:{conf.port}: .*refused"):
        asking.get(conf, "/")


def test_a_server_that_says_nothing_is_given_up_in_time(conf: Settings) -> None:
    with socket.create_server((conf.host, conf.port)):
        began = clock.monotonic()

        with pytest.raises(NoAnswer, match="timed out"):
            asking.get(conf, "/", timeout_s=0.1)

    assert clock.monotonic() - began < 1


def test_ipv6_is_asked_with_its_brackets(conf: Settings) -> None:
    with socket.create_server(("::1", conf.port), family=socket.AF_INET6) as server:
        asked: list[bytes] = []

        def serve() -> None:
            line, _ = server.accept()
            with line:
                asked.append(line.recv(1 << 16))
                line.sendall(b"HTTP/1.0 200 OK\r\n\r\n{}")

        threading.Thread(target=serve, daemon=True).start()

        assert asking.get(dataclasses.replace(conf, host="::1"), "/").code == 200
        assert b"Host: [::1]:" in asked[0]
