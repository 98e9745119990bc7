"""Programs that must not be taken for the suite's, and adopting those that are.

A tmux server that one of our daemons starts would be adopted by supervisord, a subreaper, and with it everything that
its user ever leaves running in a window. Started apart, it adopts its own orphans, and hangs on none of our evidence.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Mapping, Sequence

from daemons.processes import cgroups

_PR_SET_CHILD_SUBREAPER = 36

# Runs in between, because only a process itself can become a subreaper; the attribute outlives exec, not fork.
_SHIM = f"""
import ctypes, os, sys
if os.fork():
    os._exit(0)
os.setsid()
ctypes.CDLL(None).prctl({_PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0)
try:
    with open(sys.argv[1], "w") as procs:
        procs.write("0")
except OSError:
    pass
os.execvp(sys.argv[2], sys.argv[2:])
"""


def become_subreaper() -> None:
    """Let this process adopt every descendant whose parent dies. Kept across exec, lost across fork. Linux only."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def start_apart(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start *command* in a session of its own, as a subreaper, outside the suite's cgroup; silent, child of nobody.

    It has to stay in the foreground (`tmux -D`): forking itself away would lose the adoption. Returns when it has been
    started, not when it is ready. OSError when Python cannot be run; a wrong *command* ends silently.
    """
    shim = [sys.executable, "-I", "-S", "-c", _SHIM, cgroups.outside() or "/dev/null", *command]
    quiet = subprocess.DEVNULL
    subprocess.run(shim, env=dict(environment), stdin=quiet, stdout=quiet, stderr=quiet, check=False, timeout=10)
