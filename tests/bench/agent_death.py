"""How long until a killed agent is known as missing: from SIGKILL of its pane's process to the alert on disk.

    python -m tests.bench.agent_death [deaths] [agents]        200 deaths among 20 agents by default

At the usual cycle of 2 s: what is faster than that was woken by the death. When the line is sent is the alerts' matter:
more than ten a minute become one.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile

from daemons import agents, alerts, clock, loop, settings
from daemons.registry import Registry
from daemons.settings import Settings

AIM_S = 1.0
FOREVER = ["sleep", "100000"]


def told(conf: Settings, name: str) -> bool:
    return any(alert.key == f"agent-missing:{name}" for alert in alerts.all_open(conf))


def death_s(conf: Settings, registry: Registry, name: str) -> float:
    """Kill the agent *name*, wait until that is known, open it again; how long it took to be known."""
    pid = registry.snapshot().agents[name]["pid"]
    begin = clock.monotonic()
    os.kill(pid, signal.SIGKILL)
    known = clock.wait_until(lambda: told(conf, name), within_s=30, every_s=0.005)
    took = clock.monotonic() - begin
    assert known, f"{name} was never told"
    agents.open_agent(conf, registry, name, command=FOREVER)
    assert clock.wait_until(lambda: not told(conf, name), within_s=30, every_s=0.02)
    return took


def measure(conf: Settings, deaths: int, count: int) -> list[float]:
    registry = Registry(conf)
    names = [f"worker-{number}" for number in range(count)]
    for name in names:
        agents.open_agent(conf, registry, name, command=FOREVER)
    clock.wait_until(lambda: len(agents.last_observed(conf)) == count, within_s=30)
    return [death_s(conf, registry, names[number % count]) for number in range(deaths)]


def main() -> None:
    deaths, count = (int(word) for word in (*sys.argv[1:], *("200", "20")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as home:
        name = f"cmux-bench-{os.getpid()}"
        own = {"CMUX_HOME": home, "CMUX_TMUX_SOCKET": name, "PYTHONPATH": str(settings.CODE)}
        conf = settings.load(own)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [sys.executable, "-m", "daemons.registry_service"]
        service = subprocess.Popen(command, env=os.environ | own, **quiet)
        try:
            clock.wait_until(lambda: loop.read_status(conf, "registry_service"), within_s=30)
            took = sorted(measure(conf, deaths, count))
        finally:
            service.terminate()
            service.wait()
            subprocess.run(["tmux", "-L", name, "kill-server"], capture_output=True, check=False)
    p99 = took[min(len(took) - 1, round(0.99 * len(took)))]
    print(f"{deaths} deaths: median {statistics.median(took):.2f} s, p99 {p99:.2f} s, longest {took[-1]:.2f} s", end="")
    print(f"   (aim: p99 {AIM_S:g} s)")


if __name__ == "__main__":
    main()
