"""Small programs in the place of the daemons, run by a real supervisord from the product's own configuration."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from daemons import settings, supervisor
from daemons.settings import Settings
from daemons.supervisor import Rpc, SupervisorDown

WAITS = "import signal; signal.pause()"

_PROGRAM = """
[program:{name}]
command=%(here)s/../.venv/bin/python {code}
directory=%(here)s/..
autorestart=true
startsecs={up_after_s}
startretries={retries}
stopasgroup={as_group}
killasgroup={as_group}
stopwaitsecs=5
redirect_stderr=true
stdout_logfile=%(here)s/../.cmux/logs/{name}.log
"""


def in_place_of_the_daemons(
    conf: Settings,
    checkout: Path,
    programs: Mapping[str, str],
    *,
    listener: str | None = None,
    retries: int = 10,
    up_after_s: int = 1,
    as_group: bool = True,
) -> Settings:
    """The settings with a checkout whose supervisord.conf is the real one, but for *programs*: name to Python code.

    *listener* is code too, run by the real block of the listener.
    """
    real = (settings.CODE / "conf" / "supervisord.conf").read_text(encoding="utf-8")
    told = {"retries": retries, "up_after_s": up_after_s, "as_group": as_group}
    blocks = [
        _PROGRAM.format(name=name, code=_written(checkout, name, code), **told) for name, code in programs.items()
    ]
    if listener:
        block = real[real.index("[eventlistener:") :]
        blocks.append(block.replace("-P -m daemons.listener", str(_written(checkout, "listener", listener))))
    (checkout / "conf").mkdir(parents=True, exist_ok=True)
    text = real.partition("[program:")[0] + "".join(blocks)
    (checkout / "conf" / "supervisord.conf").write_text(text, encoding="utf-8")
    return dataclasses.replace(conf, code=checkout)


def _written(checkout: Path, name: str, code: str) -> Path:
    source = checkout / "stand_ins" / f"{name}.py"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(code, encoding="utf-8")
    return source


def run_supervisord(
    conf: Settings, rendered: Path | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A real supervisord on the configuration of these settings, in the foreground."""
    rendered = rendered or supervisor.render(conf)
    argv = [sys.executable, "-m", "supervisor.supervisord", "-n", "-s", "-c", str(rendered)]
    # The umask is the launcher's part: in the foreground supervisord gives its own to the programs only.
    return subprocess.Popen(argv, cwd=conf.home, umask=0o077, env=environ)


def states(conf: Settings) -> dict[str, str]:
    """The state of each program; empty while nobody answers. Asking wakes supervisord out of its one-second sleep."""
    try:
        return {program.name: program.state for program in Rpc(conf).processes()}
    except SupervisorDown:
        return {}


def pids(conf: Settings) -> dict[str, int]:
    """The pid of each program that has one."""
    try:
        return {program.name: program.pid for program in Rpc(conf).processes() if program.pid}
    except SupervisorDown:
        return {}


def up(conf: Settings) -> bool:
    """Whether there are programs, and every one of them executes."""
    found = states(conf)
    return bool(found) and set(found.values()) <= {"STARTING", "RUNNING"}
