"""Runs npm: found once, in a clean environment, within a deadline, and with nothing of it left afterwards.

npm ignores SIGTERM for seconds while it fetches, and its children survive its death; so what is left is ended as a
tree, by identity. The environment is an allow-list: a build runs other people's code, which has no business with the
tokens and keys of whoever started the suite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from daemons import clock, processes, settings
from daemons.health_checker.tail import Tail

ATTEMPT = "CMUX_ATTEMPT"
END_WITHIN_S = 5.0
NICENESS = 10

_PASSED_ON = {"HOME", "USER", "LOGNAME", "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS", "NODE_ENV"}
_PASSED_ON |= {"SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NPM_CONFIG_REGISTRY", "NPM_CONFIG_CACHE"}
_PASSED_ON_PREFIXES = ("LC_", "VITE_", "CMUX_SUITE_ID")
_ELSEWHERE = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin", "~/.volta/bin", "~/.local/bin")


@dataclass(frozen=True, slots=True)
class Run:
    """How a run of npm ended: with *code*, or None when it was ended (*why* says which)."""

    code: int | None
    why: Literal["exited", "timed out", "cancelled"]
    output: str

    @property
    def went_well(self) -> bool:
        return self.code == 0


def locate() -> Path | None:
    """npm's full path, or None. Also looked for where nvm and others put it: a daemon's PATH knows nothing of these."""
    own = settings.child_environment().get("PATH", "")
    found = shutil.which("npm", path=own) or shutil.which("npm", path=os.pathsep.join(_other_places()))
    return Path(found) if found else None


def _other_places() -> list[str]:
    nvm = sorted(Path("~/.nvm/versions/node").expanduser().glob("v*/bin"), key=_version, reverse=True)
    return [str(place) for place in nvm] + [os.path.expanduser(place) for place in _ELSEWHERE]


def _version(bin_folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in bin_folder.parent.name[1:].split(".") if part.isdigit())


def advice() -> str:
    """What to install so that there is an npm, as a command where this machine has one."""
    if shutil.which("apt-get"):
        return "install it: sudo apt-get install nodejs npm"
    if shutil.which("brew"):
        return "install it: brew install node"
    return "install Node.js 20 or later (https://nodejs.org)"


def environment(npm: Path, attempt: str) -> dict[str, str]:
    """What npm and all that it runs get to see. Marked, so that whatever survives its builder is found again."""
    own = settings.child_environment()
    passed = {name: value for name, value in own.items() if _is_passed_on(name)}
    path = os.pathsep.join([str(npm.parent), passed.get("PATH", os.defpath), *_other_places()])
    return passed | {"PATH": path, "CI": "1", "NO_COLOR": "1", "TERM": "dumb", "npm_config_update_notifier": "false",
                     ATTEMPT: attempt}  # fmt: skip


def _is_passed_on(name: str) -> bool:
    return name.upper() in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)


def run(npm: Path, *arguments: str, cwd: Path, attempt: str, deadline_mono: float, stop: Callable[[], bool]) -> Run:
    """Run npm with *arguments* in *cwd* until it ends, *deadline_mono* passes or *stop* says so.

    Returns with none of its descendants alive. The caller must be a subreaper, else those that daemonize get away.
    """
    child = subprocess.Popen(
        [npm, *arguments],
        cwd=cwd,
        env=environment(npm, attempt),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o022,  # what is built is served to others, perhaps by a server of another user
    )
    with child:
        _yield_to_others(child.pid)
        output = Tail(cast("IO[bytes]", child.stdout))
        why = _wait(child, output, deadline_mono, stop)
        end_descendants(attempt)
        output.drain()
    return Run(child.returncode if why == "exited" else None, why, output.shown())


def _yield_to_others(pid: int) -> None:
    """A build takes every core that there is; whoever is served meanwhile comes first."""
    with suppress(OSError):  # it has ended already
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


def _wait(
    child: subprocess.Popen[bytes], output: Tail, deadline_mono: float, stop: Callable[[], bool]
) -> Literal["exited", "timed out", "cancelled"]:
    def done() -> bool:
        output.drain()
        return child.poll() is not None or stop()

    clock.wait_until(done, within_s=max(0.0, deadline_mono - clock.monotonic()), every_s=0.03)
    if child.returncode is not None:
        return "exited"
    return "cancelled" if stop() else "timed out"


def end_descendants(attempt: str) -> int:
    """End everything that the attempt left behind, wherever it hangs now: below us, or marked as ours. How many."""

    def leftovers(looked: processes.Table) -> set[int]:
        below = processes.tree({os.getpid()}, looked)
        marked = {pid for pid, seen in looked.items() if processes.environment_value(seen, ATTEMPT) == attempt}
        return {pid for pid in below | marked if pid != os.getpid() and not looked[pid].ended}

    def again(known: Collection[int]) -> list[processes.Handle]:
        return processes.hold_all(leftovers(processes.table()) - set(known), leftovers)

    return len(processes.end(again(()), grace_s=0.0, deadline_s=clock.monotonic() + END_WITHIN_S, again=again))
