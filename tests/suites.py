"""A suite of planted programs: a real supervisord as the launcher makes it, with stand-ins for the daemons."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daemons import files, processes, suite, supervisor
from daemons.settings import Settings
from tests import stand_ins
from tests.conftest import eventually
from tests.plants import PRELUDE, Plants

# As daemons.launcher does: a session of its own, whose leader has left; subreaper; supervisord in the foreground.
LAUNCH = """
from daemons import processes
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
processes.become_subreaper()
os.chdir(sys.argv[2])
os.umask(0o077)
say("supervisord")
os.execv(sys.executable, [sys.executable, "-m", "supervisor.supervisord", "-n", "-s", "-c", sys.argv[3]])
"""


def start(
    conf: Settings,
    plants: Plants,
    environ: Mapping[str, str],
    *,
    cgroup: Path | None = None,
    as_group: bool = True,
    **programs: str,
) -> Settings:
    """Start a suite whose *programs* are bodies for `Plants.python`; its settings. All of them execute on return."""
    files.private_dir(conf.run_dir)
    prelude = f"import sys; sys.argv[1:] = [{str(plants.report)!r}, {str(conf.port)!r}]\n{PRELUDE}"
    bodies = {name: prelude + body for name, body in programs.items()}
    ours = stand_ins.in_place_of_the_daemons(conf, plants.report.parent / "checkout", bodies, as_group=as_group)
    rendered = supervisor.render(ours)
    marked = {**environ, "CMUX_HOME": str(conf.home), "CMUX_SUITE_ID": suite.suite_id(conf)}
    before = len(plants.pids("supervisord"))
    plants.python(LAUNCH, conf.home, rendered, env=marked)
    pid = plants.pid("supervisord", before)
    identity = processes.identify(pid)
    assert identity
    suite.write(suite.record_of(conf, identity, cgroup=cgroup, sid=os.getsid(pid)), conf)
    eventually(lambda: stand_ins.up(ours), within_s=15, but=lambda: stand_ins.states(ours))
    return ours


def members(conf: Settings) -> set[int]:
    """Living processes with the suite's marker, this one excepted; judged without the stop."""
    wanted = f"CMUX_SUITE_ID={suite.known_id(conf)}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if wanted in environ and state not in (b"Z", b"X"):
            found.add(int(folder.name))
    return found - {os.getpid()}
