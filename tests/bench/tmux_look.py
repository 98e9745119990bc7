"""One look at tmux beside libtmux and beside the barest list call, in the same run; and the registry service's load.

    python -m tests.bench.tmux_look [windows …]        100 and 300 by default

The calls alternate, because the machine changes from second to second. "tmux" is the processor time of the tmux server
for one look; the service's share counts itself, its tmux clients and the server.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import libtmux

from daemons import agents, clock, loop, settings, tmux
from daemons.registry import Registry
from daemons.settings import Settings

ROUNDS = 40
WATCHED_S = 20.0
AIM_MS = 15.0
AIM_SHARE = 0.01
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def fill(conf: Settings, windows: int) -> int:
    """Open and register that many agents in one session; the server's pid."""
    registry = Registry(conf)
    for number in range(windows):
        agents.open_agent(conf, registry, f"worker-{number}", command=["sleep", "300"])
    seen = tmux.observe(conf)
    assert isinstance(seen, tmux.Seen)
    assert len(seen.panes) == windows
    return seen.server_pid


def used_s(pid: int, *, with_children: bool = False) -> float:
    """Processor seconds of a process so far, and of those children of it that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11 : 15 if with_children else 13]) / TICKS_PER_S


def calls(conf: Settings) -> Mapping[str, Callable[[], object]]:
    bare = ["tmux", "-L", str(conf.tmux_socket), "list-panes", "-a", "-F", "#{pane_id}"]
    return {
        "bare list": lambda: subprocess.run(bare, capture_output=True, check=True),
        "observe": lambda: tmux.observe_places(conf),
        "libtmux": lambda: list(libtmux.Server(socket_name=conf.tmux_socket).panes),
    }


def medians_ms(conf: Settings) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in calls(conf)}
    for _ in range(ROUNDS):
        for name, call in calls(conf).items():
            before = time.perf_counter()
            call()
            took[name].append((time.perf_counter() - before) * 1000)
    return {name: statistics.median(each) for name, each in took.items()}


def server_ms(conf: Settings, server: int) -> float:
    before = used_s(server)
    for _ in range(5 * ROUNDS):
        tmux.observe_places(conf)
    return (used_s(server) - before) * 1000 / (5 * ROUNDS)


def service_share(conf: Settings, environment: Mapping[str, str], server: int) -> float:
    """The share of one core that the registry service takes at its usual cycle."""
    service = subprocess.Popen([sys.executable, "-m", "daemons.registry_service"], env=environment)
    try:
        clock.wait_until(lambda: (loop.read_status(conf, "registry_service") or conf) is not conf, within_s=10)
        begin = (clock.monotonic(), used_s(service.pid, with_children=True) + used_s(server))
        clock.pause(WATCHED_S)
        end = (clock.monotonic(), used_s(service.pid, with_children=True) + used_s(server))
    finally:
        service.terminate()
        service.wait()
    return (end[1] - begin[1]) / (end[0] - begin[0])


def measure(windows: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        name = f"cmux-bench-{os.getpid()}-{windows}"
        own = {"CMUX_HOME": home, "CMUX_TMUX_SOCKET": name, "PYTHONPATH": str(settings.CODE)}
        conf = settings.load(own)
        try:
            server = fill(conf, windows)
            took, server_took = medians_ms(conf), server_ms(conf, server)
            share = service_share(conf, os.environ | own, server)
        finally:
            subprocess.run(["tmux", "-L", name, "kill-server"], capture_output=True, check=False)
    print(
        f"{windows:>8} {took['bare list']:>10.1f} {took['observe']:>8.1f} {server_took:>6.1f} {took['libtmux']:>8.1f} "
        f"{took['libtmux'] / took['observe']:>6.1f} {share:>9.2%}"
    )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that it ends its servers, too
    print(
        f"{'windows':>8} {'bare ms':>10} {'look ms':>8} {'tmux':>6} {'libtmux':>8} {'ratio':>6} {'service':>9}", end=""
    )
    print(f"   (aim at 300: look {AIM_MS:g} ms, service {AIM_SHARE:.0%} of a core)")
    for windows in [int(word) for word in sys.argv[1:] if word != "1"] or [100, 300]:
        measure(windows)


if __name__ == "__main__":
    main()
