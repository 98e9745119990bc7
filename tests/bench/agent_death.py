"""How long until a killed agent is told of: from SIGKILL of its pane's process to the line in the mailbox.

    python -m tests.bench.agent_death [1: 200 deaths among 20 agents; less for a quick look]

At the usual cycle of 2 s: what is faster than that was woken by the death. The cap of ten messages a minute and the
pause between two on the same agent are taken out, so that every death has a line of its own. Beside it, in the same
run: until tmux itself lists the pane as dead, asked without a pause by the barest list call.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from daemons import agents, alerts, clock, loop, settings
from daemons.registry import Registry
from daemons.settings import Settings

AIM_S = 1.0
AGENTS = 20
DEATHS = 200
SAID_EVERY = 20
FOREVER = ["sleep", "300"]
SERVICE = """
from daemons.alerts import telling
telling.MESSAGES_A_MINUTE = 10**9
from daemons.registry_service.__main__ import main
raise SystemExit(main())
"""


@contextmanager
def service(home: str) -> Iterator[Settings]:
    """A home with its registry service; that and its tmux server end in any case."""
    socket = f"cmux-bench-{os.getpid()}"
    own = {"CMUX_HOME": home, "CMUX_TMUX_SOCKET": socket, "CMUX_ALERT_COOLDOWN": "0"}
    conf = settings.load(own)
    child = subprocess.Popen([sys.executable, "-c", SERVICE], env=os.environ | own, stderr=subprocess.DEVNULL)
    try:
        clock.wait_until(lambda: loop.read_status(conf, "registry_service"), within_s=30)
        yield conf
    finally:
        child.terminate()
        child.wait()
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True, check=False)


def told_since(conf: Settings, offset: int, words: str) -> bool:
    with conf.mailbox.open("rb") as lines:
        lines.seek(offset)
        return words.encode() in lines.read()


def runs(conf: Settings, name: str) -> bool:
    """Whether its last death is over and it is followed again."""
    is_told = any(alert.key == f"agent-missing:{name}" for alert in alerts.all_open(conf))
    return not is_told and agents.last_observed(conf).get(name, {}).get("state") == "running"


def death_s(conf: Settings, registry: Registry, name: str) -> float:
    """Kill the agent *name*, wait until that is told, open it again; how long the telling took."""
    waited = clock.wait_until(lambda: runs(conf, name), within_s=30)
    pid, end = registry.snapshot().agents[name]["pid"], conf.mailbox.stat().st_size
    begin = clock.monotonic()
    os.kill(pid, signal.SIGKILL)
    told = clock.wait_until(lambda: told_since(conf, end, f"'{name}' missing"), within_s=30, every_s=0.005)
    took = clock.monotonic() - begin
    if not (waited and told):
        raise SystemExit(f"{name} was never told of")
    agents.open_agent(conf, registry, name, command=FOREVER)
    return took


def bare_s(conf: Settings) -> float:
    """From SIGKILL of a pane's process until tmux lists it as dead."""
    tmux = ["tmux", "-L", str(conf.tmux_socket)]
    opening = [*tmux, "new-window", "-d", "-P", "-F", "#{pane_id} #{pane_pid}", "-t", "=cmux:", *FOREVER]
    pane, pid = subprocess.run(opening, capture_output=True, check=True, text=True).stdout.split()
    listing = [*tmux, "list-panes", "-a", "-F", "#{pane_id}"]
    begin = clock.monotonic()
    os.kill(int(pid), signal.SIGKILL)
    while pane in subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split():
        pass
    return clock.monotonic() - begin


def measured(conf: Settings, deaths: int) -> Iterator[float]:
    registry = Registry(conf)
    names = [f"worker-{number}" for number in range(AGENTS)]
    for name in names:
        agents.open_agent(conf, registry, name, command=FOREVER)
    conf.mailbox.touch(0o600)
    clock.wait_until(lambda: len(agents.last_observed(conf)) == AGENTS, within_s=30)
    print(said("tmux itself", [bare_s(conf) for _ in range(SAID_EVERY)]), flush=True)
    for number in range(deaths):
        yield death_s(conf, registry, names[number % AGENTS])


def said(what: str, took: list[float]) -> str:
    took = sorted(took)
    p99 = took[min(len(took) - 1, round(0.99 * len(took)))]
    return (
        f"{what:12} {len(took):>4} deaths: median {statistics.median(took):.3f} s, p99 {p99:.3f} s, "
        f"longest {took[-1]:.3f} s"
    )


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    deaths = round(DEATHS * float(sys.argv[1] if len(sys.argv) > 1 else 1))
    took: list[float] = []
    with tempfile.TemporaryDirectory() as home, service(home) as conf:
        for one in measured(conf, deaths):
            took.append(one)
            if len(took) % SAID_EVERY == 0:
                print(said("told", took), flush=True)
    print(f"{said('told', took)}   (aim: p99 {AIM_S:g} s)")


if __name__ == "__main__":
    main()
