"""The API beside its limits in the same run: a bare WSGI hello-world on the same server, a bare durable replacement.

python -m tests.bench.http [seconds]
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from daemons import clock, settings
from tests.bench import load
from tests.bench.load import Rate, get, post
from tests.bench.registry import bare, filled, rate

ROUNDS = 5
READ_AIM = 0.7
WRITE_AIMS = {1: 0.5, 64: 2.0}
STOP_AIM_S = 1.0
STREAMS = 50


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(command: list[str], port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(command, env=load.ENVIRONMENT | environment, stderr=subprocess.DEVNULL)
    try:
        if not clock.wait_until(lambda: answers(port), within_s=20):
            raise SystemExit(f"nobody listens on {port}: {command}")
        yield child
    finally:
        child.terminate()
        child.wait(20)


def answers(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def hello(size: int = 5) -> Iterator[int]:
    port = free_port()
    with served([sys.executable, "-m", "tests.bench.http", "hello", str(port), str(size)], port):
        yield port


@contextlib.contextmanager
def api(agents: int) -> Iterator[tuple[int, Path, subprocess.Popen[bytes]]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        (home / ".cmux").mkdir(mode=0o700)
        filled(home / ".cmux", agents)
        with served([sys.executable, "-m", "daemons.api"], port, CMUX_HOME=place, CMUX_PORT=str(port)) as child:
            yield port, home, child


def serve_hello(port: int, size: int) -> None:
    """The limit: the same server, its threads and settings, and nothing in them."""
    from waitress import serve

    from daemons.api.server import TCP_THREADS

    body = b"h" * size

    def app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
        return [body]

    serve(app, host="127.0.0.1", port=port, threads=TCP_THREADS, channel_request_lookahead=1, asyncore_use_poll=True)


def reads(seconds: float) -> None:
    print(f"\n{'GET /api/agents':<34} {'hello/s':>8} {'ours/s':>8} {'ratio':>6}   p50/p99 ms   aim")
    for agents in (10, 10_000):
        with api(agents) as (port, _, _child):
            etag, size = known(port)
            cases = (
                ("304", 5, get(port, "/api/agents", If_None_Match=etag)),
                # Beside a hello of as many bytes: 4 MB take their time from every server.
                (f"200, {size >> 10} KiB", size, get(port, "/api/agents")),
            )
            for what, limit_size, request in cases:
                with hello(limit_size) as plain:
                    for connections in (1, 16):
                        name = f"{agents} agents, {what}, {connections} conn"
                        read_line(name, plain, port, request, connections, seconds)


def read_line(name: str, plain: int, port: int, request: str, connections: int, seconds: float) -> None:
    pairs = []
    for _ in range(ROUNDS):
        limit = load.run(plain, [get(plain, "/")], connections=connections, seconds=seconds / 2)
        pairs.append((limit, load.run(port, [request], connections=connections, seconds=seconds / 2)))
    ratio = statistics.median(ours.per_s / limit.per_s for limit, ours in pairs)
    limit, ours = (median(column) for column in zip(*pairs, strict=True))
    failed = "  FAILED ANSWERS" if ours.failed else "" if ratio >= READ_AIM else "  missed"
    print(
        f"{name:<34} {limit.per_s:>8.0f} {ours.per_s:>8.0f} {ratio:>6.2f}   {ours.p50_ms:.1f}/{ours.p99_ms:.1f}"
        f"   {READ_AIM}{failed}",
        flush=True,
    )


def median(rates: tuple[Rate, ...]) -> Rate:
    return Rate(*(statistics.median(column) for column in zip(*rates, strict=True)))


def known(port: int) -> tuple[str, int]:
    """The list's ETag, and how long it is."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(get(port, "/api/agents", Connection="close").encode())
        head, _, body = b"".join(iter(lambda: line.recv(1 << 20), b"")).partition(b"\r\n\r\n")
    etag = next(row.split(": ", 1)[1] for row in head.decode().split("\r\n") if row.lower().startswith("etag"))
    return etag, len(body)


def writes(seconds: float) -> None:
    print(f"\n{'durable POST register':<28} {'bare/s':>8} {'ours/s':>8} {'ratio':>6}   p50/p99 ms   aim")
    with api(100) as (port, home, _child):
        limit = bare(home, (home / ".cmux" / "agent_registry.json").read_bytes())
        requests = [
            post(port, "/api/agents/register", {"agent_id": f"agent-{number}", "note": load.UNIQUE})
            for number in range(100)
        ]
        for connections in (1, 16, 64):
            pairs = [
                (rate(limit, seconds / 2), load.run(port, requests, connections=connections, seconds=seconds / 2))
                for _ in range(ROUNDS)
            ]
            ratio = statistics.median(ours.per_s / bare_ for bare_, ours in pairs)
            ours = median(tuple(mine for _, mine in pairs))
            aim = WRITE_AIMS.get(connections, 0.0)
            verdict = "  FAILED ANSWERS" if ours.failed else "" if ratio >= aim else "  missed"
            bare_s = statistics.median(each for each, _ in pairs)
            print(
                f"{f'{connections} connections':<28} {bare_s:>8.0f} {ours.per_s:>8.0f} {ratio:>6.2f}"
                f"   {ours.p50_ms:.1f}/{ours.p99_ms:.1f}   {aim or '–'}{verdict}",
                flush=True,
            )


def health(seconds: float) -> None:
    with api(100) as (port, _, _child):
        found = load.run(port, [get(port, "/api/webhooks/health")], connections=1, seconds=seconds)
        # 503 here: no other daemon runs. The work is the same.
        print(f"\nhealth: {found.per_s:.0f}/s, p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms   aim p99 20 ms")


def stop() -> None:
    times = []
    for _ in range(ROUNDS):
        with api(10) as (port, _, child):
            lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(STREAMS)]
            for line in lines:
                line.sendall(get(port, "/api/events").encode())
            for line in lines:
                line.recv(65_536)
            begun = clock.monotonic()
            child.send_signal(signal.SIGTERM)
            child.wait(20)
            times.append(clock.monotonic() - begun)
            for line in lines:
                line.close()
    middle, worst = statistics.median(times), max(times)
    print(f"\nstop with {STREAMS} open streams: median {middle:.2f} s, worst {worst:.2f} s   aim {STOP_AIM_S} s")


def main() -> None:
    if sys.argv[1:2] == ["hello"]:
        serve_hello(int(sys.argv[2]), int(sys.argv[3]))
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; code at {settings.CODE.name}")
    reads(seconds)
    writes(seconds)
    health(seconds)
    stop()


if __name__ == "__main__":
    main()
