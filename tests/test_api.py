from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Start, eventually, free_port

from daemons import agents, clock, files, loop, mailbox, settings, suite
from daemons.alerts import Alerts, Occurrence
from daemons.api import app, channels, commits, description, inbox
from daemons.api import state as api_state
from daemons.api.__main__ import Api
from daemons.clock import Wake
from daemons.registry import Registry
from daemons.settings import Settings

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks the API of one home over real HTTP."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            line.request(method, path, raw, dict(headers if headers is not None else JSON if raw is not None else {}))
            answer = line.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            line.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: object = None) -> Answer:
        return self.ask("POST", path, {} if body is None else body)

    def delete(self, path: str) -> Answer:
        return self.ask("DELETE", path)

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            line.sendall(request)
            return b"".join(iter(lambda: line.recv(65_536), b""))


@pytest.fixture
def serve(start: Start, conf: Settings, tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    def begin(**extra: str) -> subprocess.Popen[bytes]:
        child = start("api", **extra)
        eventually(lambda: _answers(conf.port), 15, but=(tmp_path / "api.stderr").read_text)
        return child

    return begin


@pytest.fixture
def api(conf: Settings) -> Iterator[Client]:
    """The API in this process, which starts ten times as fast: real sockets, real threads, real HTTP."""
    served = Api(conf, Wake())
    yield Client(conf.port)
    served.close()


def _answers(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def curl(url: str, body: str, *more: str) -> Any:
    command = ["curl", "-sS", *more, "-H", "Content-Type: application/json", "-d", body, url]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def on_disk(conf: Settings) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(conf.registry.read_bytes())
    return found


# -- registering ------------------------------------------------------------------------------------------------------


def test_registering_as_a_shell_script_does_it_is_on_the_disk_when_answered(api: Client, conf: Settings) -> None:
    answer = curl(f"http://127.0.0.1:{conf.port}/api/agents/register", '{"agent_id": "tests", "note": "größer"}')

    assert answer == {"registered": "tests"}
    assert {name: on_disk(conf)["tests"][name] for name in ("type", "created_by", "note")} == {
        "type": "worker",
        "created_by": "system",
        "note": "größer",
    }


def test_registering_again_keeps_the_time(api: Client, conf: Settings) -> None:
    api.post("/api/agents/register", {"agent_id": "tests", "agent_type": "lead", "ttl": 60})
    first = on_disk(conf)["tests"]
    api.post("/api/agents/register", {"agent_id": "tests", "created_by": "me", "registered_at": "forged"})

    assert on_disk(conf)["tests"] == {**first, "created_by": "me"}


@pytest.mark.parametrize(
    "agent_id", ["cmux-2:docs", "feature/login", "größe", "a//b", "a/", "register", "x/heartbeat", "@x"]
)
def test_ids_of_all_kinds_come_and_go(api: Client, agent_id: str) -> None:
    from urllib.parse import quote

    answer = api.post("/api/agents/register", {"agent_id": agent_id})
    if agent_id == "@x":
        assert answer.status == 400
        return

    assert answer.json == {"registered": agent_id}
    assert api.get(f"/api/agents/{quote(agent_id, safe='/:')}").json["agent_id"] == agent_id
    assert api.post(f"/api/agents/{quote(agent_id, safe='')}/heartbeat").status == 200
    assert api.delete(f"/api/agents/register/{quote(agent_id, safe='')}").json == {
        "unregistered": agent_id,
        "existed": True,
    }
    assert api.get(f"/api/agents/{quote(agent_id)}").status == 404


def test_two_spellings_of_an_id_are_one_agent_in_every_call(api: Client, conf: Settings) -> None:
    from urllib.parse import quote

    composed, decomposed = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
    assert api.post("/api/agents/register", {"agent_id": decomposed}).json == {"registered": composed}
    assert list(on_disk(conf)) == [composed]
    assert api.post(f"/api/agents/{quote(decomposed)}/heartbeat", {"state": "busy"}).status == 200
    heard = eventually(lambda: api.get(f"/api/agents/{quote(decomposed)}").json.get("heartbeat"))
    assert heard["state"] == "busy"
    assert api.delete(f"/api/agents/register/{quote(decomposed)}").json["existed"]
    assert not on_disk(conf)


def test_unregistering_is_idempotent(api: Client) -> None:
    assert api.delete("/api/agents/register/nobody").json == {"unregistered": "nobody", "existed": False}


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "agent_id is missing"),
    (b"{", "not JSON"),
    (b"[]", "no JSON object"),
    (b"null", "no JSON object"),
    (b'"x"', "no JSON object"),
    (b'{"agent_id": 1}', "a number"),
    (b'{"agent_id": null}', "null"),
    (b'{"agent_id": ["a"]}', "a list"),
    (b'{"agent_id": ""}', "letters and digits"),
    (b'{"agent_id": "a b"}', "letters and digits"),
    (b'{"agent_id": "a\\nb"}', "letters and digits"),
    (b'{"agent_id": "\\u001b[2J"}', "letters and digits"),
    (b'{"agent_id": "\\ud800"}', "surrogate"),
    (b'{"agent_id": "../../etc/passwd"}', "letters and digits"),
    (b'{"agent_id": "' + b"a" * 129 + b'"}', "letters and digits"),
    (b'{"agent_id": "a", "agent_id": "b"}', "twice"),
    (b'{"agent_id": "a", "n": NaN}', "NaN"),
    (b'{"agent_id": "a", "n": 1e999}', "too large"),
    (b'{"agent_id": "a", "n": ' + b"1" * 5000 + b"}", "5000 digits"),
    (b'{"agent_id": "a", "n": ' + b"[" * 1000 + b"]" * 1000 + b"}", "deeper than"),
    (b'{"agent_id": "a", "n": ' + b"[" * 15 + b"]" * 15 + b"}", "deeper than"),
    (b'{"agent_id": "a", "agent_type": 1}', "type is 1"),
    (b'{"agent_id": "a", "ttl": -1}', "ttl"),
    (b'{"agent_id": "a", "ttl": true}', "ttl"),
    (b"\xff\xfe", "not UTF-8"),
    (b"\x00", "not JSON"),
]


def test_bad_bodies_are_400_with_what_is_allowed_and_change_nothing(api: Client, conf: Settings) -> None:
    for raw, reason in BAD_BODIES:
        answer = api.ask("POST", "/api/agents/register", raw, JSON)

        assert answer.status == 400, raw[:60]
        assert answer.headers["content-type"] == "application/problem+json"
        assert reason in answer.json["detail"], raw[:60]
        assert answer.json["detail"].isprintable()
    assert not conf.registry.exists()


def test_registrations_from_many_clients_all_survive(api: Client, conf: Settings) -> None:
    def work(who: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
        for number in range(25):
            line.request("POST", "/api/agents/register", json.dumps({"agent_id": f"w{who}-{number}"}), JSON)
            answer = line.getresponse()
            answers.append((answer.status, answer.read()))
        line.close()

    answers: list[tuple[int, bytes]] = []
    clients = [threading.Thread(target=work, args=(who,)) for who in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert [status for status, _ in answers] == [200] * 400
    assert len(on_disk(conf)) == 400


def test_what_the_command_registers_beside_the_api_is_seen_at_once(api: Client, conf: Settings) -> None:
    Registry(conf).register("beside", {}, clock.now())

    assert [agent["agent_id"] for agent in api.get("/api/agents").json["agents"]] == ["beside"]


# -- reading ----------------------------------------------------------------------------------------------------------


def test_the_list_has_an_etag_and_says_304_to_who_knows_it(api: Client) -> None:
    api.post("/api/agents/register", {"agent_id": "tests"})
    first = api.get("/api/agents")

    again = api.get("/api/agents", If_None_Match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])

    api.post("/api/agents/register", {"agent_id": "more"})
    changed = api.get("/api/agents", If_None_Match=first.headers["etag"])
    assert changed.status == 200
    assert changed.json["index"] == int(changed.headers["x-registry-index"]) > first.json["index"]


def test_one_agent_has_an_etag_of_its_own(api: Client) -> None:
    api.post("/api/agents/register", {"agent_id": "tests"})
    first = api.get("/api/agents/tests")
    api.post("/api/agents/register", {"agent_id": "other"})

    assert api.get("/api/agents/tests", If_None_Match=first.headers["etag"]).status == 304


def test_entries_come_with_what_was_last_observed(api: Client, conf: Settings) -> None:
    api.post("/api/agents/register", {"agent_id": "tests"})
    assert api.get("/api/agents/tests").json["observed"]["state"] == "unknown"
    publish(conf, "registry_service", agents={"tests": {"state": "running", "evidence": "pane %1", "since": "x"}})

    assert api.get("/api/agents/tests").json["observed"] == {"state": "running", "evidence": "pane %1", "since": "x"}


def test_a_long_poll_answers_when_something_changes(api: Client) -> None:
    index = api.get("/api/agents").json["index"]
    answers: list[Answer] = []
    waiting = threading.Thread(target=lambda: answers.append(api.get(f"/api/agents?index={index}&wait=20")))
    waiting.start()
    eventually(lambda: "cmux_http_watchers 1" in api.get("/metrics").body.decode())

    begun = clock.monotonic()
    api.post("/api/agents/register", {"agent_id": "tests"})
    waiting.join()

    assert clock.monotonic() - begun < 2
    assert [agent["agent_id"] for agent in answers[0].json["agents"]] == ["tests"]


def test_a_long_poll_hears_of_changes_beside_the_api(api: Client, conf: Settings) -> None:
    index = api.get("/api/agents").json["index"]
    answers: list[Answer] = []
    waiting = threading.Thread(target=lambda: answers.append(api.get(f"/api/agents?index={index}&wait=20")))
    waiting.start()
    eventually(lambda: "cmux_http_watchers 1" in api.get("/metrics").body.decode())

    Registry(conf).register("beside", {}, clock.now())
    waiting.join(5)

    assert answers[0].json["agents"][0]["agent_id"] == "beside"


def test_a_long_poll_with_an_old_index_or_after_its_time_answers(api: Client) -> None:
    assert api.get("/api/agents?index=1&wait=20").status == 200
    index = api.get("/api/agents").json["index"]

    assert api.get(f"/api/agents?index={index}&wait=1").json["index"] == index


@pytest.mark.parametrize("query", ["index=x", "index=-1", "wait=1.5", "index=1&delay=3", f"index={'9' * 30}"])
def test_a_wrong_query_is_400(api: Client, query: str) -> None:
    assert api.get(f"/api/agents?{query}").status == 400


def test_a_heartbeat_is_shown_and_kept_beside_the_registry(api: Client, conf: Settings) -> None:
    api.post("/api/agents/register", {"agent_id": "tests"})
    before = conf.registry.read_bytes()

    answer = api.post("/api/agents/tests/heartbeat", {"state": "busy", "note": "parsing"})

    assert answer.json["heartbeat"]["state"] == "busy"
    heard = eventually(lambda: api.get("/api/agents/tests").json.get("heartbeat"))
    assert (heard["state"], heard["note"]) == ("busy", "parsing")
    assert conf.registry.read_bytes() == before
    assert api.post("/api/agents/nobody/heartbeat").status == 404
    assert api.post("/api/agents/tests/heartbeat", {"mood": "good"}).status == 400


def test_how_far_an_agent_is_has_an_age_of_its_own(api: Client) -> None:
    api.post("/api/agents/register", {"agent_id": "tests"})
    said = [{"progress": "1/3"}, {"progress": "1/3", "state": "busy"}, {}, {"progress": "2/3"}]

    beats = [api.post("/api/agents/tests/heartbeat", each).json["heartbeat"] for each in said]

    assert [beat["progress"] for beat in beats] == ["1/3", "1/3", "1/3", "2/3"]
    assert [beat["progress_at"] for beat in beats] == [beats[0]["at"]] * 3 + [beats[3]["at"]]
    assert len({beat["at"] for beat in beats}) == 4
    assert api.post("/api/agents/tests/heartbeat", {"progress": "x" * 129}).status == 400


def test_heartbeats_survive_the_end_of_the_api(serve: Callable[..., subprocess.Popen[bytes]], conf: Settings) -> None:
    child, api = serve(), Client(conf.port)
    api.post("/api/agents/register", {"agent_id": "tests"})
    api.post("/api/agents/tests/heartbeat", {"state": "busy"})
    child.terminate()
    child.wait(5)
    serve()

    assert api.get("/api/agents/tests").json["heartbeat"]["state"] == "busy"


# -- opening and ending -----------------------------------------------------------------------------------------------


def test_opening_makes_the_window_and_the_entry_and_ending_removes_both(api: Client, conf: Settings) -> None:
    answer = api.post("/api/agents", {"name": "test-worker", "command": "exec sleep 1000"})

    assert answer.status == 201, answer.body
    assert answer.json["agent_id"] == "test-worker"
    assert "test-worker" in windows(conf)
    assert "test-worker" in on_disk(conf)
    assert api.post("/api/agents", {"name": "test-worker"}).status == 409

    ended = api.delete("/api/agents/test-worker")
    assert ended.status == 200, ended.body
    assert "test-worker" not in windows(conf)
    assert on_disk(conf) == {}
    assert api.delete("/api/agents/test-worker").status == 404


def windows(conf: Settings) -> list[str]:
    found = subprocess.run(
        ["tmux", "-L", conf.tmux_socket or "", "list-windows", "-a", "-F", "#{window_name}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.split()


def test_the_supervisor_is_not_ended_over_http(api: Client) -> None:
    api.post("/api/agents/register", {"agent_id": "supervisor"})

    assert api.delete("/api/agents/supervisor").status == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a b"},
        {"name": "x", "command": 1},
        {"name": "x", "command": []},
        {"name": "x", "cwd": 1},
        {"name": "x", "environment": {"A": 1}},
        {"name": "x", "permanent": "yes"},
        {"name": "x", "shell": "zsh"},
    ],
)
def test_what_cannot_be_opened_is_400(api: Client, body: object) -> None:
    assert api.post("/api/agents", body).status == 400


# -- who may ------------------------------------------------------------------------------------------------------


def request_with(host: str, extra: str = "", method: str = "GET", path: str = "/api/agents", body: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\n{host}{extra}{length}Connection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "host",
    [
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example:{port}\r\n",
        "Host: 127.0.0.1\r\n",
        "Host: 127.0.0.1:1\r\n",
        "Host: localhost.:{port}\r\n",
        "Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n",
        "Host: \r\n",
        "",
    ],
)
def test_another_host_is_421(api: Client, host: str) -> None:
    answer = api.raw(request_with(host.format(port=api.port)))

    assert answer.startswith((b"HTTP/1.1 421", b"HTTP/1.1 400")), answer[:80]
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_our_own_names_are_taken(api: Client, host: str) -> None:
    assert api.raw(request_with(f"Host: {host}:{api.port}\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://[bad"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": ""}, 415),
    ],
)
def test_pages_of_strangers_change_nothing(api: Client, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port=api.port) for name, value in headers.items()}

    answer = api.ask("POST", "/api/agents/register", b'{"agent_id": "x"}', JSON | given)

    assert answer.status == status
    assert "access-control-allow-origin" not in answer.headers


def test_nothing_is_negotiated_with_other_origins(api: Client) -> None:
    answer = api.ask("OPTIONS", "/api/agents/register", headers={"Origin": "http://evil.example"})

    assert answer.status == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_every_answer_carries_the_headers_and_no_version(api: Client) -> None:
    for method, path in (("GET", "/api/agents"), ("GET", "/nowhere"), ("PUT", "/api/agents"), ("GET", "/status")):
        answer = api.ask(method, path)

        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_too_large_a_body_is_413(api: Client) -> None:
    for size, path in ((70_000, "/api/agents/register"), (1_100_000, "/api/mailbox"), (3_000_000, "/api/mailbox")):
        answer = api.ask("POST", path, b'{"a": "' + b"x" * size + b'"}', JSON)

        assert answer.status == 413
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_another_user_of_the_machine_is_refused_and_the_token_lets_in(api: Client, conf: Settings) -> None:
    token = (conf.run_dir / "token").read_text().strip()
    assert (conf.run_dir / "token").stat().st_mode & 0o777 == 0o600

    def as_nobody(*extra: str, path: str = "/api/agents/register") -> str:
        command = [
            "curl",
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            f"http://127.0.0.1:{conf.port}{path}",
            *extra,
        ]
        return subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    change = ("-H", "Content-Type: application/json", "-d", '{"agent_id": "x"}')
    assert as_nobody(*change) == "403"
    assert as_nobody(*change, "-H", "Authorization: Bearer wrong") == "403"
    assert as_nobody(path="/api/mailbox") == "403"
    assert as_nobody(path="/health") == "503"
    assert as_nobody(*change, "-H", f"Authorization: Bearer {token}") == "200"


def test_the_unix_socket_is_private_and_works(api: Client, conf: Settings) -> None:
    sock = conf.run_dir / "api.sock"
    assert (sock.stat().st_mode & 0o777, sock.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    answer = curl("http://localhost/api/agents/register", '{"agent_id": "x"}', "--unix-socket", str(sock))

    assert answer == {"registered": "x"}


# -- hostile and unlucky ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /%ff%fe HTTP/1.1",
        b"GET /..%2f..%2fetc/passwd HTTP/1.1",
        b"GET /api/agents/%00 HTTP/1.1",
        b"GET /api/agents/%0a%0d HTTP/1.1",
        b"GET //evil.example/ HTTP/1.1",
        b"GET http://evil.example/ HTTP/1.1",
        b"DELETE /api/agents/register/%ff HTTP/1.1",
        b"DELETE /api/agents/register/a%20b HTTP/1.1",
        b"POST /api/alerts/%00/ack HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"BREW /api/agents HTTP/1.1",
        b"GET /api/mailbox?after=%00 HTTP/1.1",
        b"GET /api/mailbox?after=1.1.1.x.y HTTP/1.1",
        b"GET /api/mailbox?to=%0a HTTP/1.1",
        b"GET /status/..%2fpage.css HTTP/1.1",
        b"GET /" + b"a" * 60_000 + b" HTTP/1.1",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        b"GARBAGE",
        b"GET http://[bad/ HTTP/1.1",
        b"GET /api/agents HTTP/1.1\r\nContent-Length: " + b"1" * 5_000,
        b"POST /api/agents HTTP/1.1\r\nTransfer-Encoding: gzip",
    ],
)
def test_hostile_requests_never_cause_a_5xx(api: Client, request_line: bytes) -> None:
    host = f"Host: 127.0.0.1:{api.port}\r\n".encode()
    answer = api.raw(request_line + b"\r\n" + host + b"Content-Type: application/json\r\nConnection: close\r\n\r\n")

    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 2")), answer[:100]
    assert b"Traceback" not in answer
    assert api.get("/api/agents").status == 200


def test_a_path_that_is_none_and_a_method_that_is_none_are_told(api: Client) -> None:
    missing, method = api.get("/api/nowhere"), api.ask("PUT", "/api/agents", b"{}", JSON)

    assert (missing.status, api.post("/api/nowhere").status) == (404, 404)
    assert "openapi" in missing.json["detail"]
    assert (method.status, method.headers["allow"]) == (405, "GET, HEAD, POST")


def test_head_is_get_without_the_body(api: Client) -> None:
    for path in ("/api/agents", "/health", "/status", "/api/events"):
        answer = api.ask("HEAD", path)

        assert (answer.status in (200, 503), answer.body) == (True, b"")


def test_who_drips_a_request_is_let_go(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HALF_A_REQUEST_S", 0.5)
    with socket.create_connection(("127.0.0.1", api.port), timeout=15) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: ")
        begun = clock.monotonic()

        assert line.recv(100) == b""
        assert clock.monotonic() - begun < 9


def test_more_connections_than_there_are_places_are_told_so_and_the_socket_is_free(api: Client, conf: Settings) -> None:
    held = [socket.create_connection(("127.0.0.1", api.port), timeout=10) for _ in range(420)]
    try:
        answers = [line.recv(400) for line in held[-5:]]
        assert all(answer.startswith(b"HTTP/1.1 503") for answer in answers), answers
        sock = str(conf.run_dir / "api.sock")
        curl = ["curl", "-sS", "-m", "3", "--unix-socket", sock, "http://localhost/api/agents"]
        assert subprocess.run(curl, capture_output=True, check=True).stdout
    finally:
        for line in held:
            line.close()

    eventually(lambda: api.get("/api/agents").status == 200)


def test_a_full_disk_is_507_and_it_works_again_afterwards(
    environ: dict[str, str], tmp_path: Path, start: Start
) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", tiny], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs root to mount a tmpfs")
    try:
        environ["CMUX_HOME"] = str(tiny)
        child = start("api")
        api = Client(int(environ["CMUX_PORT"]))
        eventually(lambda: _answers(api.port), 15)
        assert api.post("/api/agents/register", {"agent_id": "a", "pad": "x" * 30_000}).status == 200
        left = os.statvfs(tiny)
        (tiny / "filler").write_bytes(b"x" * (left.f_bavail * left.f_frsize))

        full = api.post("/api/agents/register", {"agent_id": "b"})
        assert (full.status, "disk is full" in full.json["detail"]) == (507, True)
        health = api.get("/health")
        assert (health.status, health.json["disk"]["status"]) == (503, "full")
        assert "0 bytes" in health.json["disk"]["evidence"]
        assert [agent["agent_id"] for agent in api.get("/api/agents").json["agents"]] == ["a"]

        (tiny / "filler").unlink()
        assert api.post("/api/agents/register", {"agent_id": "b"}).status == 200
        assert "status" not in api.get("/health").json["disk"]
        child.terminate()
        child.wait(5)
    finally:
        subprocess.run(["umount", "-l", tiny], check=True)


def test_a_lock_that_stays_busy_is_503_and_names_its_holder(
    api: Client, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "LOCK_WITHIN_S", 0.3)
    api.post("/api/agents/register", {"agent_id": "a"})
    holder = subprocess.Popen(["flock", "--no-fork", f"{conf.registry}.lock", "sleep", "60"])
    eventually(lambda: str(holder.pid) in files.holder(conf.registry.with_name("agent_registry.json.lock")))
    try:
        begun = clock.monotonic()
        busy = api.post("/api/agents/register", {"agent_id": "b"})

        assert (busy.status, busy.headers["retry-after"]) == (503, "1")
        assert f"pid {holder.pid}" in busy.json["detail"]
        assert clock.monotonic() - begun < 10
        assert api.get("/api/agents").status == 200
    finally:
        holder.kill()
        holder.wait()
    assert api.post("/api/agents/register", {"agent_id": "b"}).status == 200


def test_a_broken_registry_is_restored_by_the_first_reader(api: Client, conf: Settings) -> None:
    api.post("/api/agents/register", {"agent_id": "a"})
    conf.registry.write_text("not a registry")

    assert [agent["agent_id"] for agent in api.get("/api/agents").json["agents"]] == ["a"]
    assert list(on_disk(conf)) == ["a"]


# -- starting and ending ----------------------------------------------------------------------------------------------


def test_a_stranger_on_the_port_is_named_in_one_line(environ: dict[str, str], conf: Settings) -> None:
    stranger = subprocess.Popen([sys.executable, "-m", "http.server", str(conf.port), "--bind", "127.0.0.1"])
    eventually(lambda: _answers(conf.port))
    try:
        child = subprocess.run(
            [sys.executable, "-m", "daemons.api"], env=environ, capture_output=True, text=True, timeout=20
        )
    finally:
        stranger.kill()
        stranger.wait()

    assert child.returncode == 2
    assert child.stderr.count("\n") == 1
    assert f"pid {stranger.pid}" in child.stderr
    assert "http.server" in child.stderr


def test_it_ends_within_a_second_though_streams_are_open(
    serve: Callable[..., subprocess.Popen[bytes]], conf: Settings
) -> None:
    child = serve()
    streams = [socket.create_connection(("127.0.0.1", conf.port), timeout=20) for _ in range(50)]
    for stream in streams:
        stream.sendall(f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{conf.port}\r\n\r\n".encode())
    for stream in streams:
        assert b"hello" in read_until(stream, b"hello")

    begun = clock.monotonic()
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0
    assert clock.monotonic() - begun < 2  # 0.2 s on a quiet machine
    for stream in streams:
        stream.close()


def test_a_request_in_flight_is_finished(serve: Callable[..., subprocess.Popen[bytes]], conf: Settings) -> None:
    child = serve()
    api = Client(conf.port)
    api.post("/api/agents/register", {"agent_id": "a"})
    holder = subprocess.Popen(["flock", "--no-fork", f"{conf.registry}.lock", "sleep", "0.4"])
    eventually(lambda: str(holder.pid) in files.holder(conf.registry.with_name("agent_registry.json.lock")))
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(api.post("/api/agents/register", {"agent_id": "b"})))
    asking.start()
    eventually(lambda: b"cmux_registry_edits_total" in api.get("/metrics").body)
    child.send_signal(signal.SIGTERM)
    asking.join()
    holder.wait()

    assert child.wait(10) == 0
    assert answers[0].json == {"registered": "b"}


def read_until(stream: socket.socket, word: bytes) -> bytes:
    seen = b""
    while word not in seen:
        piece = stream.recv(65_536)
        if not piece:
            break
        seen += piece
    return seen


# -- events -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stream(api: Client) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as line:
        line.sendall(f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
        assert b"event: hello" in read_until(line, b"event: hello")
        yield line


def test_events_tell_who_came_and_went(api: Client, stream: socket.socket) -> None:
    api.post("/api/agents/register", {"agent_id": "tests"})
    assert b'"changed": ["tests"], "removed": []' in read_until(stream, b'"changed": ["tests"]')

    api.delete("/api/agents/register/tests")
    assert b'"removed": ["tests"]' in read_until(stream, b'"removed": ["tests"]')


def test_events_tell_of_mail_and_of_alerts(api: Client, stream: socket.socket, conf: Settings) -> None:
    api.post("/api/mailbox", {"to": "supervisor", "subject": "hello -> there"})
    assert b"event: mail" in read_until(stream, b"hello -> there")

    Alerts(conf).raise_([Occurrence("k", "log", "server.log", "evidence")], clock.now())
    assert b"event: alerts" in read_until(stream, b'"server.log"')


def test_streams_take_at_most_half_the_threads(api: Client) -> None:
    lines = []
    answers = []
    for _ in range(70):
        line = socket.create_connection(("127.0.0.1", api.port), timeout=10)
        lines.append(line)
        line.sendall(f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
        answers.append(line.recv(200).split(b"\r\n")[0])

    assert set(answers) == {b"HTTP/1.1 200 OK", b"HTTP/1.1 503 SERVICE UNAVAILABLE"}
    assert api.get("/api/agents").status == 200
    for line in lines:
        line.close()
    eventually(lambda: b"cmux_http_watchers 0" in api.get("/metrics").body)


# -- mail and alerts --------------------------------------------------------------------------------------------------


def test_mail_is_sent_and_read_on_from_where_one_stopped(api: Client, conf: Settings) -> None:
    first = api.post("/api/mailbox", {"from": "tests", "to": "supervisor", "subject": "[DONE] a -> b"})
    assert first.status == 201
    place = api.get("/api/mailbox").json["next"]
    api.post("/api/mailbox", {"to": "tests", "subject": "next", "body": "a\nlong\nbody"})

    assert [each["subject"] for each in api.get("/api/mailbox").json["messages"]] == ["[DONE] a -> b", "next"]
    [message] = api.get(f"/api/mailbox?after={place}").json["messages"]
    assert (message["from"], message["to"]) == ("user", "cmux:tests")
    assert (conf.home / message["body"]).read_text() == "a\nlong\nbody"
    assert [each["subject"] for each in api.get("/api/mailbox?to=supervisor").json["messages"]] == ["[DONE] a -> b"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"to": "x"},
        {"to": "x", "subject": ""},
        {"to": "a b", "subject": "x"},
        {"to": "x", "subject": "two\nlines"},
        {"to": "x", "subject": "x", "from": "x\ny"},
        {"to": "x", "subject": "x", "body": 1},
        {"to": "x", "subject": "x", "body": "a", "body_path": "b"},
        {"to": "x", "subject": "x", "cc": "y"},
    ],
)
def test_mail_that_would_not_read_back_is_400(api: Client, conf: Settings, body: object) -> None:
    assert api.post("/api/mailbox", body).status == 400
    assert not conf.mailbox.exists()


def test_a_line_that_is_no_message_is_shown_as_such(api: Client, conf: Settings) -> None:
    api.post("/api/mailbox", {"to": "x", "subject": "good"})
    with conf.mailbox.open("ab") as box:
        box.write(b"not a \x1b[31mmessage\n")

    answer = api.get("/api/mailbox").json
    assert [each["subject"] for each in answer["messages"]] == ["good"]
    assert answer["unparsable"][0]["line"] == "not a \\x1b[31mmessage"


def test_alerts_are_listed_and_acknowledged(api: Client, conf: Settings) -> None:
    Alerts(conf).raise_([Occurrence("log:/tmp/a.log:1", "log", "/tmp/a.log", "ERROR")], clock.now())

    [alert] = api.get("/api/alerts").json["alerts"]
    assert (alert["state"], alert["subject"]) == ("open", "/tmp/a.log")
    assert api.post(f"/api/alerts/{alert['id']}/ack", {"by": "me"}).status == 200
    assert api.get("/api/alerts").json["alerts"][0]["acknowledged_by"] == "me"
    assert api.post("/api/alerts/nothing/ack").status == 404


def test_an_agent_is_muted_for_a_while_and_unmuted(api: Client, conf: Settings) -> None:
    made = api.post("/api/mutes", {"what": "team/a", "by": "me", "for_s": 60})

    assert (made.status, made.json["what"]) == (201, "team/a")
    assert [mute["by"] for mute in api.get("/api/mutes").json["mutes"]] == ["me"]
    assert api.delete("/api/mutes/team/a").json == {"unmuted": "team/a", "existed": True}
    assert api.delete("/api/mutes/team/a").json["existed"] is False
    assert api.get("/api/mutes").json["mutes"] == []
    assert [api.post("/api/mutes", wrong).status for wrong in ({}, {"what": "a", "for_s": 0}, {"what": ""})] == [
        400
    ] * 3


# -- health -----------------------------------------------------------------------------------------------------------


def publish(conf: Settings, name: str, *, age_s: float = 0.0, interval_s: float = 2.0, **detail: object) -> None:
    """Write the status file of a daemon that this process plays."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    status = loop.Status(
        daemon=name,
        pid=os.getpid(),
        pid_started=started,
        started_at=clock.stamp(clock.now()),
        cycle=3,
        completed_at=clock.stamp(clock.now()),
        completed_mono=clock.monotonic() - age_s,
        interval_s=interval_s,
        failures=0,
        last_error=None,
        version="1",
        code="x",
        detail=detail,
    )
    fields = {name: getattr(status, name) for name in status.__dataclass_fields__}
    files.private_dir(conf.status_dir)
    files.replace(loop.status_path(conf, name), json.dumps(fields).encode(), durable=False)


def publish_all(conf: Settings, **frontend: object) -> None:
    publish(conf, "log_keeper")
    publish(conf, "log_watcher")
    publish(conf, "registry_service", mailbox={"messages": 3, "unparsable": 1, "undelivered": 2})
    publish(conf, "health_checker", frontend={"status": "healthy", "js_bundle_count": 1, **frontend})


def test_health_is_200_only_when_every_part_is_healthy(api: Client, conf: Settings) -> None:
    first = api.get("/api/webhooks/health")
    assert (first.status, first.json["status"], first.json["api"]) == (503, "degraded", "healthy")

    publish_all(conf)
    answer = api.get("/api/webhooks/health")
    assert (answer.status, answer.json["status"]) == (200, "healthy")
    assert answer.json["instance"] == suite.suite_id(conf)
    assert (answer.json["service"], answer.json["frontend"]["status"]) == ("cmux", "absent")
    assert answer.json["mailbox"]["undelivered"] == 2

    publish(conf, "log_watcher", age_s=600)
    assert api.get("/health").json["daemons"]["log_watcher"]["status"] == "hanging"
    assert api.get("/health").status == 503


def test_bytes_of_logs_that_nobody_can_account_for_are_told(api: Client, conf: Settings) -> None:
    publish_all(conf)
    publish(conf, "log_watcher", coverage={"unexplained_bytes": 12})

    answer = api.get("/health")

    assert answer.status == 503
    assert "12 bytes" in answer.json["daemons"]["log_watcher"]["evidence"]


def test_what_programs_use_is_in_health_and_metrics(api: Client, conf: Settings) -> None:
    used = {"rss_bytes": 5, "files": 6, "files_limit": 7, "cpu_s": 0.5}
    publish(conf, "health_checker", resources={"programs": {"api": used}, "inotify": {}})

    assert api.get("/health").json["resources"]["programs"]["api"] == used
    lines = api.get("/metrics").body.decode().splitlines()
    assert 'cmux_program_resident_memory_bytes{program="api"} 5' in lines
    assert 'cmux_program_cpu_seconds_total{program="api"} 0.5' in lines


def test_a_dist_that_is_gone_is_503_before_the_checker_looks(api: Client, conf: Settings) -> None:
    publish_all(conf)
    build(conf)
    assert api.get("/health").status == 200

    (conf.dist / "index.html").unlink()

    answer = api.get("/health")
    assert (answer.status, answer.json["frontend"]["status"]) == (503, "degraded")
    assert answer.json["frontend"]["index_exists"] is False


def test_health_takes_less_than_50_ms(api: Client, conf: Settings) -> None:
    publish_all(conf)
    times = []
    for _ in range(20):
        begun = clock.monotonic()
        api.get("/api/webhooks/health")
        times.append(clock.monotonic() - begun)

    assert sorted(times)[10] < 0.05


def test_what_an_agent_uses_and_has_not_read_is_in_the_list_and_in_metrics(
    api: Client, conf: Settings, start: Start
) -> None:
    agents.open_agent(conf, Registry(conf), "a/b", command=["sleep", "300"])
    mailbox.of(conf).post(mailbox.Message(clock.now(), "cmux:user", "cmux:a/b", "hello"))
    start("registry_service", CMUX_AGENTS_INTERVAL="0.2")

    seen = eventually(lambda: "usage" in (now := api.get("/api/agents/a/b").json["observed"]) and now, 10)
    lines = api.get("/metrics").body.decode().splitlines()

    assert (seen["usage"]["processes"], seen["unread"]) == (1, 1)
    assert clock.parse_stamp(seen["usage"]["began"]) <= clock.now()
    assert 'cmux_agent_processes{agent="a/b"} 1' in lines
    assert f'cmux_agent_resident_memory_bytes{{agent="a/b"}} {seen["usage"]["rss_bytes"]}' in lines
    assert 'cmux_agent_unread_messages{agent="a/b"} 1' in lines


def test_metrics_are_prometheus_text(api: Client) -> None:
    api.post("/api/agents/register", {"agent_id": "a"})

    lines = api.get("/metrics").body.decode().splitlines()

    assert "cmux_agents 1" in lines
    assert all(line.startswith("# ") or len(line.rsplit(" ", 1)) == 2 for line in lines)
    for line in lines:
        if not line.startswith("#"):
            float(line.rsplit(" ", 1)[1])


# -- the inbox of an agent, and its heartbeat by file -----------------------------------------------------------------


def say(conf: Settings, to: str, subject: str) -> None:
    mailbox.of(conf).post(mailbox.Message(clock.now(), "user", to, subject))


def test_an_inbox_gives_what_is_new_until_it_is_said_to_be_read(api: Client, conf: Settings) -> None:
    say(conf, "a", "one")
    say(conf, "b", "not for a")
    say(conf, "a", "two")

    first = api.post("/api/agents/a/inbox", {}).json
    again = api.post("/api/agents/a/inbox", {}).json
    assert (
        [each["subject"] for each in first["messages"]]
        == ["one", "two"]
        == [each["subject"] for each in again["messages"]]
    )

    say(conf, "a", "three")
    after = api.post("/api/agents/a/inbox", {"read_to": first["read_to"]}).json
    assert [each["subject"] for each in after["messages"]] == ["three"]
    assert after["is_all"]
    assert api.post("/api/agents/a/inbox", {"read_to": after["read_to"]}).json["messages"] == []
    assert [mail.message.subject for mail in mailbox.of(conf).inbox("b") if mail.message] == ["not for a"]


def test_what_others_say_to_each_other_is_passed_over_once(
    api: Client, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_SCANNED_AT_ONCE", 30)
    monkeypatch.setattr(inbox, "_WORTH_REMEMBERING", 20)
    for number in range(70):
        say(conf, "b", f"chatter {number}")
    say(conf, "a", "at last")

    answers = [api.post("/api/agents/a/inbox", {}).json for _ in range(3)]

    assert [len(answer["messages"]) for answer in answers] == [0, 0, 1]
    assert [answer["is_all"] for answer in answers] == [False, False, True]


def test_an_inbox_as_text_is_one_safe_line_a_message(api: Client, conf: Settings) -> None:
    line = b"[2026-01-31T18:54:00+05:30] user -> cmux:a: evil \x1b[2J words\n"
    conf.mailbox.write_bytes(line)  # another program's

    answer = api.ask("POST", "/api/agents/a/inbox", b"{}", {**JSON, "Accept": "text/plain"})

    position, about, line = answer.body.decode().splitlines()
    assert mailbox.read_position(position)
    assert about == "New in the mailbox for a, 1:"
    assert line.endswith("user: evil \\x1b[2J words")


@pytest.mark.parametrize("asked", [{"read_to": "nonsense"}, {"read_to": 5}, {"other": 1}])
def test_an_inbox_is_not_moved_by_nonsense(api: Client, conf: Settings, asked: dict[str, object]) -> None:
    say(conf, "a", "one")

    assert api.post("/api/agents/a/inbox", asked).status == 400
    assert len(api.post("/api/agents/a/inbox", {}).json["messages"]) == 1


def test_a_touched_file_is_a_heartbeat(serve: Callable[..., object], conf: Settings) -> None:
    serve()
    api = Client(conf.port)
    api.post("/api/agents/register", {"agent_id": "team/a"})
    folder = files.private_dir(agents.touches_dir(conf))

    (folder / "team%2Fa").write_text("waiting 42/100\n")
    (folder / "nobody").write_text("")

    beat = eventually(lambda: api.get("/api/agents/team/a").json.get("heartbeat"))
    assert (beat["state"], beat["progress"], beat["progress_at"]) == ("waiting", "42/100", beat["at"])


# -- the frontend and the page ------------------------------------------------------------------------------------


def build(conf: Settings, name: str = "index-0A1b2C3d.js") -> None:
    (conf.dist / "assets").mkdir(parents=True, exist_ok=True)
    (conf.dist / "index.html").write_text(f'<!doctype html><script src="/assets/{name}"></script>')
    (conf.dist / "assets" / name).write_bytes(b"console.log(1)\n")


def test_the_frontend_is_served_byte_for_byte(api: Client, conf: Settings) -> None:
    build(conf)

    page, script = api.get("/"), api.get("/assets/index-0A1b2C3d.js")

    assert (page.status, page.body) == (200, (conf.dist / "index.html").read_bytes())
    assert script.body == b"console.log(1)\n"
    assert script.headers["content-type"].startswith("text/javascript")
    assert ("immutable" in script.headers["cache-control"], page.headers["cache-control"]) == (True, "no-cache")
    assert api.get("/", If_None_Match=page.headers["etag"]).status == 304
    assert api.get("/agents/tests", Accept="text/html").body == page.body
    assert api.get("/assets/gone.js", Accept="text/html").status == 404


def test_an_open_page_still_finds_the_assets_of_the_build_before(api: Client, conf: Settings) -> None:
    build(conf)
    kept = conf.state / "frontend-previous" / "20260131T185400" / "assets"
    kept.mkdir(parents=True)
    (kept / "index-old1old2.js").write_bytes(b"old")

    assert api.get("/assets/index-old1old2.js").body == b"old"
    assert api.get("/assets/index-none.js").status == 404


def test_a_damaged_file_is_served_as_it_was_built_while_that_is_kept(api: Client, conf: Settings) -> None:
    build(conf)
    kept = conf.state / "frontend-good" / "files"
    shutil.copytree(conf.dist, kept)
    (conf.dist / "assets" / "index-0A1b2C3d.js").write_bytes(b"consol\0\0\0\0\0\0\0\0\0")
    (conf.dist / "index.html").write_text("<p>a page without a hash in its name may be another now")

    assert api.get("/assets/index-0A1b2C3d.js").body == b"console.log(1)\n"
    assert b"may be another now" in api.get("/").body


def test_names_by_strangers_are_text_on_the_page(api: Client, conf: Settings) -> None:
    conf.frontend_dir.mkdir(parents=True)
    hostile = "<img src=x onerror=alert(1)>\u202egnp.exe\x1b[31m\"'"
    publish_all(conf, status="failed", wrong=hostile, evidence=hostile, healing=hostile, doing=hostile, since=hostile)

    page = api.get("/")

    assert page.status == 503
    text = page.body.decode()
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not {"\u202e", "\x1b"} & set(text)


def test_an_empty_page_is_none(api: Client, conf: Settings) -> None:
    build(conf)
    publish_all(conf, status="degraded", evidence="index.html is empty")

    (conf.dist / "index.html").write_bytes(b" \n\0")

    page = api.get("/")
    assert page.status == 503
    assert b"index.html is empty" in page.body


def test_a_page_whose_script_is_nowhere_would_be_white_and_is_not_served(api: Client, conf: Settings) -> None:
    build(conf, "app.js")
    assert api.get("/").status == 200

    (conf.dist / "assets" / "app.js").unlink()
    assert api.get("/").status == 503

    (conf.dist / "assets" / "app.js").write_bytes(b"")
    assert api.get("/").status == 503

    (conf.dist / "assets" / "app.js").write_text("console.log(2)")
    assert api.get("/").status == 200


OUTSIDE = [
    "/../package.json", "/..%2fpackage.json", "/assets/..%2f..%2fpackage.json", "/assets/./x", "/link.txt",
    "/dirlink/x", "/%2fetc/passwd", "/assets/%00", "/pipe", "/assets", "/assets/",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_but_the_files_of_dist_is_served(api: Client, conf: Settings, path: str) -> None:
    build(conf)
    (conf.frontend_dir / "package.json").write_text("secret")
    (conf.dist / "link.txt").symlink_to("/etc/passwd")
    (conf.dist / "dirlink").symlink_to(conf.frontend_dir)
    os.mkfifo(conf.dist / "pipe")

    answer = api.get(path)

    assert answer.status == 404
    assert b"secret" not in answer.body


def test_without_a_frontend_the_plain_page_is_shown(api: Client, conf: Settings) -> None:
    publish_all(conf)
    api.post("/api/agents/register", {"agent_id": "tests", "agent_type": "lead"})
    api.post("/api/mailbox", {"to": "tests", "subject": "<script>alert(1)</script>"})

    for path in ("/", "/status"):
        page = api.get(path)
        text = page.body.decode()
        assert page.status == 200
        assert all(word in text for word in ("tests", "lead", "log_watcher", "&lt;script&gt;alert(1)"))
        assert "<script>alert" not in text
        assert "style-src 'self'" in page.headers["content-security-policy"]
    for name in ("page.css", "page.js"):
        assert f"/status/{name}" in text
        assert api.get(f"/status/{name}").status == 200


def test_a_frontend_that_cannot_be_served_is_503_with_what_is_wrong(api: Client, conf: Settings) -> None:
    conf.frontend_dir.mkdir(parents=True)
    since = clock.stamp(datetime.now(UTC) - timedelta(minutes=5))
    told = {"wrong": "index.html is missing", "healing": "building", "doing": "at step install"}
    publish_all(conf, status="building", evidence="all of it", since=since, **told)

    page = api.get("/")

    assert page.status == 503
    words = ("index.html is missing", "5 min ago", "It is being built: at step install", "makes room for the frontend")
    assert all(word in page.body.decode() for word in words)
    assert api.get("/status").status == 200


# -- the description --------------------------------------------------------------------------------------------------


def test_every_route_is_described_and_every_description_is_a_route(conf: Settings) -> None:
    files.private_dir(conf.run_dir)
    shared = api_state.of(conf)
    try:
        rules = list(app.flask_app(shared).url_map.iter_rules())
    finally:
        shared.changes.end()
        shared.close()
    described = json.loads(description.FILE.read_text())["paths"]

    routes = {
        (rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}"), method.lower())
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {(path, method) for path, calls in described.items() for method in calls if method != "parameters"}


def test_every_reference_of_the_description_leads_somewhere() -> None:
    described = json.loads(description.FILE.read_text())

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for reference in set(references(described)):
        at = described
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_a_host_that_is_none_is_a_wrong_setting(environ: dict[str, str]) -> None:
    environ |= {"CMUX_HOST": "no-such-host.invalid", "CMUX_PORT": str(free_port())}
    settings.load(environ)

    child = subprocess.run(
        [sys.executable, "-m", "daemons.api"], env=environ, capture_output=True, text=True, timeout=20
    )

    assert (child.returncode, child.stderr.count("\n")) == (2, 1)
