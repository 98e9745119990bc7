"""Requests that need no thread: as right as all others, with every thread taken and whatever happens meanwhile."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import eventually

from daemons import clock
from daemons.api import __main__ as main
from daemons.api import callers, commits
from daemons.api.__main__ import Api
from daemons.clock import Wake
from daemons.registry import Registry
from daemons.settings import Settings

JSON = {"Content-Type": "application/json"}


class Line:
    """One connection that is kept, and whose other end the API knows already."""

    def __init__(self, port: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.get()

    def get(self, path: str = "/api/agents", **headers: str) -> tuple[int, Any, bytes]:
        return self._ask("GET", path, None, {name.replace("_", "-"): value for name, value in headers.items()})

    def register(self, body: object, **headers: str) -> tuple[int, Any, bytes]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", "/api/agents/register", raw, JSON | headers)

    def _ask(self, method: str, path: str, raw: bytes | None, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        self.http.request(method, path, raw, headers)
        answer = self.http.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.fixture
def one_thread(conf: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(main, "TCP_THREADS", 1)
    served = Api(conf, Wake())
    yield served
    served.close()


@pytest.fixture
def line(one_thread: Api, conf: Settings) -> Iterator[Line]:
    kept = Line(conf.port)
    yield kept
    kept.http.close()


@pytest.fixture
def no_thread(line: Line, one_thread: Api, conf: Settings) -> Iterator[None]:
    """The only thread waits for a change that does not come while the test runs."""
    line.register({"agent_id": "a"})
    index = json.loads(line.get()[2])["index"]
    with socket.create_connection(("127.0.0.1", conf.port)) as waiting:
        poll = f"GET /api/agents?index={index}&wait=30 HTTP/1.1\r\nHost: 127.0.0.1:{conf.port}\r\n\r\n"
        waiting.sendall(poll.encode())
        eventually(lambda: one_thread.tick(clock.now())["watchers"] == 1)
        yield


def stopped(line: Line) -> None:
    """Raise TimeoutError when the API needs a thread for what *line* asks."""
    line.http.sock.settimeout(0.3)


@pytest.mark.usefixtures("no_thread")
def test_a_list_that_stands_ready_needs_no_thread(line: Line) -> None:
    status, headers, body = line.get()

    assert (status, [agent["agent_id"] for agent in json.loads(body)["agents"]]) == (200, ["a"])
    assert line.get(If_None_Match=headers["ETag"])[0] == 304
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


@pytest.mark.usefixtures("no_thread")
def test_other_calls_need_one(line: Line) -> None:
    stopped(line)
    with pytest.raises(TimeoutError):
        line.get("/api/agents/nobody")


def test_a_registration_needs_no_thread_and_is_on_the_disk_when_answered(
    line: Line, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> object:
        raise AssertionError("a thread was needed")

    monkeypatch.setattr(commits.Commits, "change", never)
    status, _, body = line.register({"agent_id": "größe", "note": "x"})

    assert (status, json.loads(body)) == (200, {"registered": "größe"})
    assert json.loads(conf.registry.read_bytes())["größe"]["note"] == "x"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        ({}, {}, 400),
        ({"agent_id": "../x"}, {}, 400),
        ({"agent_id": "a", "type": "x" * 70_000}, {}, 413),
        ({"agent_id": "a"}, {"Host": "evil.example"}, 421),
        ({"agent_id": "a"}, {"Origin": "http://evil.example"}, 403),
        ({"agent_id": "a"}, {"Content-Type": "text/plain"}, 415),
    ],
)
def test_what_is_refused_is_refused_on_every_request_of_a_connection(
    line: Line, conf: Settings, body: object, headers: dict[str, str], status: int
) -> None:
    got, answer, _ = line.register(body, **headers)

    assert (got, answer["Content-Type"]) == (status, "application/problem+json")
    assert Registry(conf).snapshot().agents == {}
    assert line.register({"agent_id": "b"})[0] == 200  # the connection goes on


def test_another_users_connection_registers_nothing(
    line: Line, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "caller", lambda *_: "other")
    monkeypatch.setattr("daemons.api.guard.caller", lambda *_: "other")

    assert line.register({"agent_id": "a"})[0] == 403
    assert Registry(conf).snapshot().agents == {}


def test_a_full_disk_is_told_and_the_next_registration_is_made(
    line: Line, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        status, _, body = line.register({"agent_id": "a"})

    assert (status, "disk is full" in json.loads(body)["detail"]) == (507, True)
    assert line.register({"agent_id": "b"})[0] == 200
    assert list(Registry(conf).snapshot().agents) == ["b"]


def test_a_fault_of_ours_is_told_and_the_next_registration_is_made(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise MemoryError("no memory for the next version")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        assert line.register({"agent_id": "a"})[0] == 500

    assert line.register({"agent_id": "b"})[0] == 200


def test_requests_sent_at_once_are_answered_in_their_order(line: Line, conf: Settings) -> None:
    def post(agent_id: str) -> bytes:
        raw = json.dumps({"agent_id": agent_id})
        head = (
            f"POST /api/agents/register HTTP/1.1\r\nHost: 127.0.0.1:{conf.port}\r\nContent-Type: application/json\r\n"
        )
        return f"{head}Content-Length: {len(raw)}\r\n\r\n{raw}".encode()

    get = f"GET /api/agents HTTP/1.1\r\nHost: 127.0.0.1:{conf.port}\r\n".encode()
    assert line.http.sock is not None
    line.http.sock.sendall(
        b"".join([post("a"), get + b"\r\n", post("b"), post("c"), get + b"Connection: close\r\n\r\n"])
    )
    answers = b"".join(iter(lambda: line.http.sock.recv(65_536), b"")).split(b"HTTP/1.1 ")[1:]

    bodies = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    seen = [[agent["agent_id"] for agent in body["agents"]] for body in bodies if "agents" in body]
    assert [body.get("registered") for body in bodies] == ["a", None, "b", "c", None]
    assert seen == [["a"], ["a", "b", "c"]]


def test_many_registrations_at_once_are_each_answered_once_durable(line: Line, conf: Settings) -> None:
    lines = [Line(conf.port) for _ in range(24)]
    for round_ in range(5):
        for number, each in enumerate(lines):
            body = json.dumps({"agent_id": f"agent-{number}", "n": round_})
            each.http.request("POST", "/api/agents/register", body, JSON)
        for number, each in enumerate(lines):
            answer = each.http.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, {"registered": f"agent-{number}"})
            assert json.loads(conf.registry.read_bytes())[f"agent-{number}"]["n"] == round_
    for each in lines:
        each.http.close()


def test_a_client_that_left_before_the_answer_leaves_no_trace_but_its_change(
    line: Line, one_thread: Api, conf: Settings
) -> None:
    for number in range(20):
        leaving = Line(conf.port)
        leaving.http.request("POST", "/api/agents/register", json.dumps({"agent_id": f"agent-{number}"}), JSON)
        leaving.http.close()

    eventually(lambda: len(Registry(conf).snapshot().agents) == 20)
    assert line.register({"agent_id": "last"})[0] == 200
    eventually(lambda: one_thread.tick(clock.now())["connections"] == 1)


def test_a_long_list_arrives_whole_and_shared(line: Line, conf: Settings) -> None:
    registry = Registry(conf)
    for number in range(4):
        registry.register(f"agent-{number}", {"pad": str(number) * 50_000}, clock.now())
    first = line.get()
    second = line.get()

    assert [len(agent["pad"]) for agent in json.loads(first[2])["agents"]] == [50_000] * 4
    assert second[2] == first[2]
    assert line.get(If_None_Match=first[1]["ETag"])[0] == 304


def test_at_the_end_nobody_waits_for_an_answer(line: Line, one_thread: Api, conf: Settings) -> None:
    one_thread._state.commits.close()

    status, headers, _ = line.register({"agent_id": "a"})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert Registry(conf).snapshot().agents == {}
