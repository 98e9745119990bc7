"""What the machine should have, and the command that installs it. Without them everything else still works."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from daemons.settings import Settings

OLDEST_NODE = 18
OLDEST_TMUX = (3, 2)
_ANSWER_WITHIN_S = 3.0
_PACKAGE_MANAGERS = {
    "apt-get": "apt-get install",
    "dnf": "dnf install",
    "apk": "apk add",
    "pacman": "pacman -S",
    "brew": "brew install",
}


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing or too old: *so* says what that means, *how* is the command that installs it."""

    program: str
    found: str
    so: str
    how: str


def lacks(conf: Settings) -> Iterator[Lack]:
    """What is missing here, for this home. Looks at PATH only: costs nothing, so every status tells it."""
    if not shutil.which("tmux"):
        yield Lack("tmux", "not installed", "agents are followed by heartbeat only", install("tmux"))
    if (conf.frontend_dir / "package.json").is_file():
        for program, package in (("node", "nodejs"), ("npm", "npm")):
            if not shutil.which(program):
                so = "the frontend can't be built; a plain page is served in its place"
                yield Lack(program, "not installed", so, install(package))


def outdated(conf: Settings) -> Iterator[Lack]:
    """What is there but too old. Runs the programs: a tenth of a second."""
    node = version_of("node", "--version")
    if node and node < (OLDEST_NODE,) and (conf.frontend_dir / "package.json").is_file():
        so = f"the frontend may not build: it needs {OLDEST_NODE} or newer"
        yield Lack("node", ".".join(map(str, node)), so, install("nodejs"))
    tmux = version_of("tmux", "-V")
    if tmux and tmux < OLDEST_TMUX:
        so = f"agents can't be watched: it needs {'.'.join(map(str, OLDEST_TMUX))} or newer"
        yield Lack("tmux", ".".join(map(str, tmux)), so, install("tmux"))


def version_of(program: str, flag: str) -> tuple[int, ...]:
    """The version that *program* prints, `()` when it is missing or prints none."""
    numbers = re.search(r"\d+(\.\d+)*", told_version(program, flag))
    return tuple(map(int, numbers.group().split("."))) if numbers else ()


def told_version(program: str, flag: str) -> str:
    """The version of *program* in its own words, nothing when it is missing or doesn't say."""
    try:
        said = subprocess.run([program, flag], capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip().removeprefix(program).strip()


def install(package: str) -> str:
    """The command that installs *package* on this machine."""
    found = next((how for manager, how in _PACKAGE_MANAGERS.items() if shutil.which(manager)), None)
    return f"{found} {package}" if found else f"install {package} with the system's package manager"
