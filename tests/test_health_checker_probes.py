"""Verdicts on real servers: right ones, strangers, frozen ones, none at all, and those that answer anything."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from daemons import clock, processes
from daemons.health_checker import fetch, probes
from daemons.health_checker.fetch import NoAnswer, Target
from daemons.health_checker.steadiness import Verdict
from tests.conftest import eventually, free_port

INSTANCE = "0b6f2a9e-0000-4000-8000-000000000000"
OURS = frozenset({os.getpid()})
HEALTHY = {"service": "cmux", "instance": INSTANCE, "api": "healthy", "status": "healthy"}


def answer(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    head = b"\r\n".join([b"HTTP/1.1 %d Said" % status, b"Content-Length: %d" % len(body), *headers])
    return head + b"\r\n\r\n" + body


def health(code: int = 200, **told: object) -> bytes:
    return answer(json.dumps(HEALTHY | told).encode(), code)


Say = Callable[[bytes], Target]


@pytest.fixture
def server() -> Iterator[Say]:
    """A server in this process that says the same bytes to everybody, and closes."""
    lines: list[socket.socket] = []

    def starter(words: bytes) -> Target:
        line = socket.create_server(("127.0.0.1", 0))
        lines.append(line)
        threading.Thread(target=talk, args=(line, words), daemon=True).start()
        return Target("127.0.0.1", line.getsockname()[1], "/health")

    yield starter
    for line in lines:
        line.close()


def talk(line: socket.socket, words: bytes) -> None:
    while True:
        try:
            client, _ = line.accept()
        except OSError:
            return
        with closing(client):
            try:
                client.recv(65536)
                client.sendall(words)
            except OSError:
                continue


OTHER = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[str], tuple[Target, subprocess.Popen[bytes]]]]:
    """A server in a process of its own: a stranger, unless one says that it is ours."""
    (tmp_path / "stranger.py").write_text(OTHER)
    running: list[subprocess.Popen[bytes]] = []

    def starter(body: str) -> tuple[Target, subprocess.Popen[bytes]]:
        port = free_port()
        child = subprocess.Popen([sys.executable, str(tmp_path / "stranger.py"), str(port), body])
        running.append(child)
        eventually(lambda: _listens(port))
        return Target("127.0.0.1", port, "/health"), child

    yield starter
    for child in running:
        child.kill()
        child.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(target: Target, ours: frozenset[int] | None = OURS) -> Verdict:
    return probes.http(target, ours, probes.api_judge(INSTANCE), within_s=0.5)


# -- the API ----------------------------------------------------------------------------------------------------------


def test_our_process_with_the_right_answer_is_healthy(server: Say) -> None:
    assert ask(server(health())).kind == "healthy"


def test_a_suite_that_is_degraded_for_another_reason_has_a_healthy_api(server: Say) -> None:
    assert ask(server(health(503, status="degraded", frontend={"status": "failed"}))).kind == "healthy"


@pytest.mark.parametrize(
    "words",
    [
        health(500),
        health(api="degraded"),
        answer(b"", 302, b"Location: http://127.0.0.1:1/"),
        answer(b"<html>hello</html>"),
        answer(b"[" * 60_000),
        answer(b'"cmux"'),
        answer(b"x" * 200_000),
        answer(b"", 404),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"y" * 60_000) * 4,
        b"",
    ],
)
def test_our_process_with_another_answer_is_degraded(server: Say, words: bytes) -> None:
    assert ask(server(words)).kind == "degraded"


def test_a_stranger_that_answers_200_is_foreign_and_named(
    other: Callable[[str], tuple[Target, subprocess.Popen[bytes]]],
) -> None:
    target, stranger = other("hello")

    verdict = ask(target)

    assert verdict.kind == "foreign"
    assert f"pid {stranger.pid} " in verdict.evidence


def test_a_stranger_that_repeats_our_health_is_foreign(
    other: Callable[[str], tuple[Target, subprocess.Popen[bytes]]],
) -> None:
    target, _ = other(json.dumps(HEALTHY))

    assert ask(target).kind == "foreign"


def test_a_process_that_is_ours_is_not_foreign(other: Callable[[str], tuple[Target, subprocess.Popen[bytes]]]) -> None:
    target, child = other(json.dumps(HEALTHY))

    assert ask(target, frozenset({child.pid})).kind == "healthy"


def test_when_nobody_knows_who_should_listen_a_right_answer_proves_nothing(server: Say) -> None:
    assert ask(server(health()), ours=None).kind == "unknown"


def test_another_suites_api_is_foreign_even_then(server: Say) -> None:
    verdict = ask(server(health(instance="another")), ours=None)

    assert verdict.kind == "foreign"
    assert "another" in verdict.evidence


def test_a_frozen_server_is_frozen_within_the_deadline(
    other: Callable[[str], tuple[Target, subprocess.Popen[bytes]]],
) -> None:
    target, child = other(json.dumps(HEALTHY))
    child.send_signal(signal.SIGSTOP)

    began = clock.monotonic()
    verdict = ask(target, frozenset({child.pid}))

    assert verdict.kind == "frozen"
    assert clock.monotonic() - began < 1.0


def test_a_server_that_takes_no_more_connections_is_frozen() -> None:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        line.listen(0)
        target = Target("127.0.0.1", line.getsockname()[1])
        waiting = [socket.socket() for _ in range(4)]
        try:
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", target.port))

            assert ask(target).kind == "frozen"
        finally:
            for client in waiting:
                client.close()


def test_a_server_that_drips_is_frozen_at_the_one_deadline() -> None:
    done = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as line:

        def drip() -> None:
            client, _ = line.accept()
            with closing(client):
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
                while not done.acquire(timeout=0.05):
                    try:
                        client.sendall(b"x")
                    except OSError:
                        return

        dripper = threading.Thread(target=drip)
        dripper.start()
        began = clock.monotonic()
        verdict = ask(Target("127.0.0.1", line.getsockname()[1]))
        took_s = clock.monotonic() - began
        done.release()
        dripper.join()

    assert verdict.kind == "frozen"
    assert took_s < 1.0


def test_nobody_there_is_refused() -> None:
    assert ask(Target("127.0.0.1", free_port())).kind == "refused"


def test_no_more_descriptors_is_unknown(server: Say) -> None:
    import resource

    target = server(health())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        verdict = ask(target)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert verdict.kind == "unknown"


def test_terminal_escapes_of_a_stranger_do_not_reach_the_evidence(server: Say) -> None:
    assert "\x1b" not in ask(server(answer(b"\x1b[2Jgone\n", 500))).evidence


# -- services ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "kind"), [(200, "healthy"), (204, "healthy"), (301, "degraded"), (500, "degraded")])
def test_a_service_is_healthy_when_it_answers_2xx(server: Say, status: int, kind: str) -> None:
    assert probes.http(server(answer(b"", status)), OURS, probes.service_judge).kind == kind


def test_a_port_alone_is_asked_for_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as line:
        target = Target("localhost", line.getsockname()[1])

        assert probes.tcp(target, OURS).kind == "healthy"
        assert probes.tcp(target, frozenset({1})).kind == "foreign"

    assert probes.tcp(target, OURS).kind == "refused"


def test_localhost_is_asked_over_ipv6_too() -> None:
    try:
        line = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with line:
        assert probes.tcp(Target("localhost", line.getsockname()[1]), OURS).kind == "healthy"


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "https://127.0.0.1/",
        "http://example.com/",
        "http://127.0.0.1.evil.com/",
        "http://10.0.0.1/",
        "http:///x",
    ],
)
def test_nothing_but_this_machine_is_asked(url: str) -> None:
    with pytest.raises(ValueError, match="not an http:// address on this machine"):
        Target.parse(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "/"),
        ("http://localhost/health?full=1", "localhost", 80, "/health?full=1"),
        ("http://[::1]:9000/x", "::1", 9000, "/x"),
        ("http://0.0.0.0:8000/", "127.0.0.1", 8000, "/"),
    ],
)
def test_an_address_on_this_machine_is_understood(url: str, host: str, port: int, path: str) -> None:
    assert Target.parse(url) == Target(host, port, path)


def test_a_redirect_is_an_answer_and_is_not_followed(server: Say) -> None:
    target = server(answer(b"", 302, b"Location: http://127.0.0.1:1/"))

    assert fetch.get(target, within_s=1).status == 302


def test_no_answer_says_what_was_seen() -> None:
    with pytest.raises(NoAnswer, match="nobody listens at"):
        fetch.get(Target("127.0.0.1", free_port()), within_s=1)


# -- a service's own check --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "kind", "said"),
    [
        ("exit 0", "healthy", "ends with 0"),
        ("echo no primary; exit 3", "degraded", "ends with 3 and says 'no primary'"),
        ("kill -9 $$", "degraded", "ends with -9"),
        ("printf '\\033]0;evil\\007'; exit 1", "degraded", "\\x1b"),
        ("exec yes", "frozen", "has not ended within 0.5 s"),
    ],
)
def test_a_check_is_worth_what_it_ends_with(tmp_path: Path, shell: str, kind: str, said: str) -> None:
    verdict = probes.command(["/bin/sh", "-c", shell], tmp_path, within_s=0.5)

    assert verdict.kind == kind
    assert said in verdict.evidence
    assert len(verdict.evidence) < 300


def test_nothing_of_a_check_that_hangs_is_left(tmp_path: Path) -> None:
    (tmp_path / "check").write_text("#!/bin/sh\necho $$ > leader\nsetsid sleep 61 &\necho $! > child\nsleep 62\n")
    (tmp_path / "check").chmod(0o700)

    assert probes.command(["./check"], tmp_path, within_s=0.5).kind == "frozen"

    pids = [int((tmp_path / name).read_text()) for name in ("leader", "child")]
    eventually(lambda: not any(processes.read(pid) for pid in pids))


def test_a_check_that_cannot_be_run_says_nothing_about_the_service(tmp_path: Path) -> None:
    verdict = probes.command(["./none"], tmp_path)

    assert (verdict.kind, verdict.evidence) == (
        "unknown",
        "its check ./none could not be run: No such file or directory",
    )
