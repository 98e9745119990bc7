"""`python -m daemons.log_keeper`: holds the watched logs open while the watcher is dead. See `holding` for how.

The settings, the lock and the sockets cost 8 MB of modules; so they are dealt with here, and then this process becomes
a bare Python (same pid, same lock) that knows nothing but `holding`: 10 MB in all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from daemons import __version__, clock, files, log, loop, processes, settings, supervisor
from daemons.loop import Status
from daemons.settings import Settings, SettingsError

NAME = "log_keeper"
INTERVAL_S = 2.0
# The one before may still be ending.
OTHER_ENDS_WITHIN_S = 3.0


def main() -> int:
    """Become the keeper; it ends with 0. Else 2: wrong settings, or this home has one; one line says which."""
    log.set_daemon(NAME)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is to be held the watcher says; this outlives the exec
    if "SUPERVISOR_ENABLED" in settings.child_environment():
        loop.die_with_parent()
    try:
        conf = settings.load()
        files.private_dir(conf.status_dir)
        socket = supervisor.prepare_socket(conf, f"{NAME}.sock")
        files.private_dir(conf.run_dir)
        lock = files.take_lock(conf.run_dir / f"{NAME}.lock", timeout_s=OTHER_ENDS_WITHIN_S)
    except (SettingsError, files.LockBusy, files.StorageError) as wrong:
        sys.stderr.write(f"{NAME}: {wrong}\n")
        return 2
    return _become(conf, socket, lock)


def _become(conf: Settings, socket: Path, lock: int) -> NoReturn:
    os.set_inheritable(lock, True)
    log.info("daemon.started", pid=os.getpid(), home=str(conf.home), version=__version__)
    holding = Path(__file__).with_name("holding.py")
    told = _told(str(socket), str(conf.run_dir / "followed-logs"), str(loop.status_path(conf, NAME)), _status(conf))
    os.execv(sys.executable, [sys.executable, "-I", "-S", str(holding), str(told)])  # noqa: S606


def _told(*lines: str) -> int:
    """A pipe with *lines*, for who reads it after the exec: on the command line all of it would fill every table."""
    told, telling = os.pipe()
    os.write(telling, os.fsencode("\n".join(lines)))  # far below the 64 KB that a pipe takes at once
    os.close(telling)
    os.set_inheritable(told, True)
    return told


def _status(conf: Settings) -> str:
    """The status as far as it never changes: the keeper puts the rest behind it."""
    myself = processes.read(os.getpid())
    whole = Status(
        daemon=NAME,
        pid=os.getpid(),
        pid_started=myself.started if myself else 0,
        started_at=clock.stamp(clock.now()),
        cycle=0,
        completed_at="",
        completed_mono=0.0,
        interval_s=INTERVAL_S,
        failures=0,
        last_error=None,
        version=__version__,
        code=loop.code_hash(conf.code),
    )
    changes = ("cycle", "completed_at", "completed_mono", "detail")
    return json.dumps({name: value for name, value in asdict(whole).items() if name not in changes})


if __name__ == "__main__":
    raise SystemExit(main())
