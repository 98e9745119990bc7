"""Every drill by its name: what `python -m tests.drills NAME ROUNDS` and `cmux drill NAME ROUNDS` start.

One shape for all: `run(rounds, folder)` gives a Report. A few modules are programs too, for a closer look: `stops`,
`rivals` (words choose shapes), `starts` (a seed) and `logs` (modes, rates).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drills import (
    agent_life,
    agent_truth,
    alert_kills,
    bad_day,
    contents,
    frontend,
    kills,
    logs,
    programs,
    recover,
    rivals,
    starts,
    stops,
    stores,
    upgrades,
    verdicts,
    vite,
)
from tests.drills.report import Report

MISSING = 5
"""The exit code for: cannot be done here, and nothing is shown by it."""

_LOGS_ROUND_S = 20


@dataclass(frozen=True)
class Drill:
    """*run(rounds, folder)* gives the report. One that *mounts* needs root and a mount namespace of its own."""

    run: Callable[[int, Path], Report]
    mounts: bool = False
    needs: tuple[str, ...] = ()

    def lacks(self) -> str:
        """What is missing here to run it, and what to do; empty when nothing is."""
        for program in self.needs:
            if shutil.which(program) is None:
                return f"needs {program}: apt-get install {program}"
        return _lacks_mounts() if self.mounts else ""


def _lacks_mounts() -> str:
    if os.geteuid() != 0:
        return "needs root, because it mounts file systems of its own: run it with sudo"
    tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"needs a mount namespace of its own: {tried.stderr.strip()}"


def run_logs(rounds: int, folder: Path) -> Report:
    """Each way of rotating a log for *rounds* times 20 s, the watcher killed every three."""
    seed = random.randrange(1 << 30)
    print(f"logs: seed {seed}")
    modes = list(logs.MODES)
    return logs.drill(modes, folder, seconds=_LOGS_ROUND_S * rounds, rate=300, kill_every_s=3, seed=seed, at_once=2)


DRILLS = {
    "registry-kills": Drill(stores.run_registry_kills),
    "kills": Drill(kills.run),
    "alert-kills": Drill(alert_kills.run),
    "syscalls": Drill(stores.run_syscalls, needs=("strace",)),
    "powercut": Drill(stores.run_powercut, mounts=True, needs=("mkfs.ext4",)),
    "fulldisk": Drill(stores.run_fulldisk, mounts=True),
    "machine": Drill(stores.run_machine),
    "starts": Drill(starts.run, needs=("tmux",)),
    "stops": Drill(stops.every_shape, needs=("tmux",)),
    "rivals": Drill(rivals.run, needs=("tmux",)),
    "verdicts": Drill(verdicts.run),
    "upgrades": Drill(upgrades.run),
    "logs": Drill(run_logs),
    "bad-day": Drill(bad_day.run),
    "agent-truth": Drill(agent_truth.run, needs=("tmux",)),
    "agents": Drill(agent_life.run, needs=("tmux",)),
    "recover": Drill(recover.run, needs=("tmux",)),
    "programs": Drill(programs.run, needs=("tmux", "sqlite3")),
    "contents": Drill(contents.run, needs=("npm",)),
    "exchanges": Drill(frontend.exchanges, needs=("npm",)),
    "builder-kills": Drill(frontend.kills, needs=("npm",)),
    "vite": Drill(vite.run, needs=("npm",)),
}

_UNSHARE = ("unshare", "-m", "--propagation", "private")
# No name of ours: the tests take every CMUX_* out of their own environment, and what is not inside goes in for ever.
_INSIDE = "DRILL_IS_INSIDE"


def is_inside() -> bool:
    """Whether this process is in a mount namespace of its own already."""
    return _INSIDE in os.environ


def again_in_a_mount_namespace(drill: str, rounds: int) -> int:
    """Run *drill* where its mounts concern nobody else. Its exit code."""
    command = [*_UNSHARE, sys.executable, "-m", "tests.drills", drill, str(rounds)]
    return subprocess.run(command, env={**os.environ, _INSIDE: "1"}, check=False).returncode
