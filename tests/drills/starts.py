"""Start and stop, over and over, with something killed at a random moment in every fourth round.

    python -m tests.drills.starts [rounds] [seed]        200 by default; exit code 1 if anything was wrong

Judged from outside after each round: one suite after the start, healthy, nothing doubled; nothing left after the stop,
the port free. What is killed: supervisord, a program, or the one who starts, in the middle of it.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from daemons import clock, processes, settings, start, stop, suite, supervisor
from daemons.settings import Settings
from daemons.supervisor import Rpc, SupervisorDown
from tests.conftest import free_port
from tests.drills.report import Report

KILL_EVERY = 4
STARTER = "from daemons import settings, start; start.start(settings.load())"


def members(conf: Settings) -> set[int]:
    """All living processes that carry this suite's marker, and were not started for it to be asked something."""
    looked = processes.table()
    found = processes.marked(suite.suite_id(conf), looked)
    return {pid for pid in found if not looked[pid].ended}


def kill_the_starter(conf: Settings, chance: random.Random) -> str:
    """Someone else starts, and dies in the middle."""
    starter = subprocess.Popen([sys.executable, "-c", STARTER])
    after_s = chance.uniform(0.05, 1.5)
    clock.pause(after_s)
    starter.kill()
    starter.wait()
    return f"the starter after {after_s:.2f} s"


def kill_one(conf: Settings, chance: random.Random) -> str:
    """A start is under way; supervisord or a program dies in the middle of it, or shortly after."""
    starting = threading.Thread(target=start.start, args=[conf])
    starting.start()
    after_s = chance.uniform(0.05, 2.0)
    clock.pause(after_s)
    name = chance.choice(["supervisord", *supervisor.PROGRAMS])
    pid = pids(conf).get(name, 0)
    if pid:
        os.kill(pid, signal.SIGKILL)
    starting.join()
    return f"{name} (pid {pid}) after {after_s:.2f} s"


def pids(conf: Settings) -> dict[str, int]:
    record = suite.running(conf)
    own = {"supervisord": record.supervisord.pid} if record else {}
    try:
        return own | {program.name: program.pid for program in Rpc(conf).processes() if program.pid}
    except SupervisorDown:
        return own


def round_of(conf: Settings, number: int, chance: random.Random) -> list[str]:
    """What was wrong in this round."""
    wrong = []
    killed = ""
    if number % KILL_EVERY == 0:
        killed = chance.choice([kill_the_starter, kill_one])(conf, chance)
    report = start.start(conf)
    if not report.healthy:
        wrong.append(f"not healthy: {report.problem}")
    # One that was killed a moment ago may be on its way back; one that is doubled stays.
    if not clock.wait_until(lambda: members(conf) == set(pids(conf).values()), within_s=3):
        extra = [processes.describe(pid) for pid in members(conf) ^ set(pids(conf).values())]
        wrong.append(f"doubled, or not ours: {extra}")
    ended = stop.stop(conf)
    if not ended.proven:
        wrong.append(f"stop not proven: {ended.problem}")
    if left := members(conf):
        wrong.append(f"left: {[processes.describe(pid) for pid in left]}")
    if not processes.can_bind(conf.host, conf.port):
        wrong.append("the port is not free")
    if sockets := [*conf.run_dir.glob("*.sock"), *supervisor.socket_path(conf).parent.glob("*.sock")]:
        wrong.append(f"sockets left: {sockets}")
    return [f"round {number}{f', killed {killed}' if killed else ''}: {each}" for each in wrong]


def run(rounds: int, folder: Path, seed: int | None = None) -> Report:
    """*rounds* starts and stops of a home in *folder*, with something killed in every fourth."""
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    print(f"starts: seed {seed}", flush=True)
    os.environ.update(CMUX_HOME=str(folder), CMUX_PORT=str(free_port()), CMUX_TMUX_SOCKET=folder.name)
    os.environ.setdefault("PYTHONPATH", str(settings.CODE))
    conf = settings.load()
    chance = random.Random(seed)
    began = clock.monotonic()
    report = Report("starts")
    # Told to end, it ends its suite too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for number in range(1, rounds + 1):
            found = round_of(conf, number, chance)
            print(*found, sep="\n", end="\n" if found else "", flush=True)
            report.count("start and stop", "; ".join(found))
    finally:
        if report.wrong or members(conf):
            stop.stop(conf)
        subprocess.run(["tmux", "-L", folder.name, "kill-server"], capture_output=True, check=False)
    report.add("with a kill", rounds // KILL_EVERY)
    report.add("seconds a round", round((clock.monotonic() - began) / rounds, 1))
    return report


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    home = Path(tempfile.mkdtemp(prefix="cmux-drill-"))
    report = run(rounds, home, int(sys.argv[2]) if len(sys.argv) > 2 else None)
    shutil.rmtree(home, ignore_errors=report.passed)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
