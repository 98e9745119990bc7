"""`cmux drill`: cause faults for real, in a scratch home, and see that nothing is lost. Yours is never touched."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from daemons import clock, settings
from daemons.cli.command import DONE, FAILED, MISSING, USAGE, Refused, count
from daemons.cli.screen import Screen, duration
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux drill", "which there are"),
    ("cmux drill kills 60", "kill mailbox writers and readers 60 times each"),
    ("cmux drill machine 3000", "3,000 steps of registry and mailbox against a model"),
)


@dataclass(frozen=True, slots=True)
class Drill:
    """What `tests.drills` runs under that name; *rounds* by default, each about *round_s* seconds here."""

    rounds: int
    round_s: float
    about: str


DRILLS = {
    "registry-kills": Drill(200, 0.05, "writers of the registry, killed at random instants"),
    "kills": Drill(60, 0.3, "writers and readers of the mailbox, killed at random instants"),
    "alert-kills": Drill(60, 0.5, "alerts, killed at every step"),
    "syscalls": Drill(200, 0.3, "each file system call of the stores: killed, EIO, ENOSPC, EMFILE"),
    "powercut": Drill(20, 0.5, "a file system that loses its power (root)"),
    "fulldisk": Drill(20, 0.5, "a disk that fills up and is freed (root)"),
    "machine": Drill(3000, 0.007, "registry and mailbox against a model, with crashes and clock jumps"),
    "verdicts": Drill(1, 100, "daemons that are stopped, a service that is wronged"),
    "upgrades": Drill(1, 60, "code that changes under a running suite, also for the worse"),
    "starts": Drill(20, 3, "start and stop, something killed in every fourth round"),
    "stops": Drill(1, 150, "every shape that a stop has met, planted for real"),
    "rivals": Drill(1, 400, "the same, ended by us and by what people use instead"),
    "logs": Drill(1, 200, "watched logs: rotated, cut, deleted, packed, with the watcher killed all the time"),
    "bad-day": Drill(1, 100, "five bad minutes of a real application, and what the mailbox says of them"),
    "contents": Drill(1, 60, "everything that can be wrong with a built frontend"),
    "agent-truth": Drill(1, 90, "what is told of 18 agents on a bad day, and of a tmux that is lost"),
    "recover": Drill(3, 5, "permanent agents brought back by a command that is killed half-way"),
    "programs": Drill(1, 40, "a shell, sqlite3 and Claude Code (or node), one killed in its work"),
    "agents": Drill(10, 8, "lives of agents in a real tmux, in any order"),
    "exchanges": Drill(50, 0.3, "page loads while the frontend is exchanged"),
    "builder-kills": Drill(20, 2, "the frontend's healer, killed at every step and at random moments"),
    "vite": Drill(1, 400, "a real Vite project, broken in source, packages and dist, with and without a registry"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="which; without one they are listed")
    parser.add_argument("rounds", nargs="?", type=count, metavar="ROUNDS", help="how many; without, what the list says")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    if options.name is None:
        return _list(screen)
    drill = DRILLS.get(options.name)
    if drill is None:
        raise Refused(f"there is no drill {options.name!r}; allowed: {', '.join(DRILLS)}", USAGE)
    if not (conf.code / "tests" / "drills").is_dir():
        raise Refused(f"{conf.code} has no tests/drills: drills need a checkout, not an installed package", MISSING)
    return _run(options.name, drill, options.rounds or drill.rounds, conf, screen)


def _list(screen: Screen) -> int:
    rows = [(name, str(each.rounds), duration(each.rounds * each.round_s), each.about) for name, each in DRILLS.items()]
    screen.table(("DRILL", "ROUNDS", "ABOUT", "WHAT IS ATTACKED"), rows)
    screen.next_steps(("cmux drill NAME", "run one, in a scratch home"))
    screen.answer({"drills": {name: {"rounds": each.rounds, "about": each.about} for name, each in DRILLS.items()}})
    return DONE


def _run(name: str, drill: Drill, rounds: int, conf: Settings, screen: Screen) -> int:
    about = duration(rounds * drill.round_s)
    screen.note(f"cmux: {name}, {rounds} rounds, about {about}; it runs in a scratch home, with faults for real")
    # Nothing of this home's settings may reach the drill.
    own = {key: value for key, value in settings.child_environment().items() if not key.startswith("CMUX_")}
    environ = {**own, "PYTHONPATH": str(conf.code)}
    command = [sys.executable, "-P", "-m", "tests.drills", name, str(rounds)]
    begun = clock.monotonic()
    done = subprocess.run(command, cwd=conf.code, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == MISSING:
        raise Refused(f"the drill {name} was not run: what it needs stands above", MISSING)
    passed = done.returncode == 0
    took = duration(clock.monotonic() - begun)
    for line in done.stdout.splitlines():
        screen.say(line)
    screen.say(f"{screen.sign('ok' if passed else 'bad')} {name}: {'PASS' if passed else 'FAIL'} after {took}")
    screen.answer({"drill": name, "rounds": rounds, "passed": passed, "lines": done.stdout.splitlines()}, ok=passed)
    return DONE if passed else FAILED
