"""The drills on registry, mailbox, journal and alerts.

syscalls ROUNDS: every file system call of every operation, killed and failed; about ROUNDS of them.
powercut ROUNDS: an ext4 and an XFS that loses its power, ROUNDS times for each store.
fulldisk ROUNDS: bytes and inodes used up and freed.
registry-kills KILLS: writers of the registry killed at random instants.
machine STEPS: registry and mailbox against a model, with crashes, rotation and clock jumps.
kills ROUNDS: mailbox writers and readers killed at random instants, ROUNDS times each.
alert-kills ROUNDS: alerts killed at every step once, and ROUNDS stories at random.
agent-truth ROUNDS: 18 agents on a bad day, and five ways in which tmux can't be asked.
recover ROUNDS: tmux is lost, and `cmux recover --apply` killed while it brings eight agents back.
programs ROUNDS: three real programs registered by their hooks, one of them killed in the middle of its work.
contents ROUNDS: everything that can be wrong with a dist, ROUNDS times each.
upgrades ROUNDS: the code changes under a running suite.
verdicts ROUNDS: SIGSTOP of each daemon, and a service that hangs, refuses or is replaced, ROUNDS times each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drills import (
    agent_truth,
    alert_kills,
    contents,
    fulldisk,
    kills,
    powercut,
    programs,
    recover,
    registry_kills,
    syscalls,
    upgrades,
    verdicts,
)
from tests.drills.operations import CARELESS, OPERATIONS
from tests.drills.report import Report

STEPS_AN_EXAMPLE = 50


@dataclass(frozen=True)
class Drill:
    """*run(rounds, folder)* gives the report; one that *mounts* needs root and a mount namespace of its own."""

    run: Callable[[int, Path], Report]
    mounts: bool = False


def run_syscalls(rounds: int, folder: Path) -> Report:
    """About *rounds* faults over all operations; the careless control must lose something."""
    report = Report("syscalls")
    share = max(1, rounds // (len(OPERATIONS) + 1))
    for operation in OPERATIONS:
        for name, wrong in syscalls.enumerate_faults(operation, folder / operation.name, syscalls.FAULTS, share):
            report.count(operation.name, f"{name}: {wrong}" if wrong else "")
    for name, wrong in syscalls.enumerate_faults(CARELESS, folder / "careless", syscalls.FAULTS, share):
        report.count_control("careless", f"{name}: {wrong}" if wrong else "")
    return report


def run_powercut(rounds: int, folder: Path) -> Report:
    """*rounds* cuts for each store and file system; the careless control must lose something on each."""
    report = Report("powercut")
    for kind in powercut.KINDS:
        disk = powercut.Disk(folder, kind)
        try:
            _cut_on(disk, kind, rounds, report)
        finally:
            disk.discard()
    return report


def _cut_on(disk: powercut.Disk, kind: str, rounds: int, report: Report) -> None:
    for store in (powercut.REGISTRY, powercut.MAILBOX):
        for acknowledged, wrong in powercut.cut(store, disk, rounds, seed=rounds):
            if acknowledged:  # else the power went before the first write was done: that shows nothing
                report.count(f"{store.name} on {kind}", wrong)
                report.add(f"{store.name} on {kind}: acknowledged", acknowledged)
    for _, wrong in powercut.cut(powercut.CARELESS, disk, min(rounds, 20), seed=rounds):
        report.count_control(f"careless on {kind}", wrong)


def run_fulldisk(rounds: int, folder: Path) -> Report:
    """*rounds* fillings and freeings, bytes and inodes in turn."""
    return fulldisk.fill_and_free(folder / "disk", rounds)


def run_machine(steps: int, _folder: Path) -> Report:
    """About *steps* steps of the state machine, 50 an example; what it finds is raised with the steps to it."""
    from hypothesis import HealthCheck, settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.drills.machine import Stores

    report = Report("machine")
    examples = max(1, steps // STEPS_AN_EXAMPLE)
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS_AN_EXAMPLE,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    report.count("stores", "")
    report.add("examples", examples)
    return report


def run_registry_kills(kills: int, folder: Path) -> Report:
    """*kills* kills of registry writers; the careless control must lose something."""
    report = Report("registry-kills")
    wrong = registry_kills.kill(folder / "home", kills, kills, registry_kills.with_the_registry)
    for number in range(kills):
        report.count("registry", wrong[number] if number < len(wrong) else "")
    lost = registry_kills.kill(folder / "careless", min(kills, 60), kills, registry_kills.carelessly)
    report.count_control("careless", lost[0] if lost else "")
    return report


DRILLS = {
    "registry-kills": Drill(run_registry_kills),
    "syscalls": Drill(run_syscalls),
    "powercut": Drill(run_powercut, mounts=True),
    "fulldisk": Drill(run_fulldisk, mounts=True),
    "machine": Drill(run_machine),
    "kills": Drill(kills.run),
    "alert-kills": Drill(alert_kills.run),
    "agent-truth": Drill(agent_truth.run),
    "recover": Drill(recover.run),
    "programs": Drill(programs.run),
    "verdicts": Drill(verdicts.run),
    "contents": Drill(contents.run),
    "upgrades": Drill(upgrades.run),
}

# No name of ours: the tests take every CMUX_* out of their own environment, and what is not inside goes in for ever.
_INSIDE = "DRILL_IS_INSIDE"


def is_inside() -> bool:
    """Whether this process is in a mount namespace of its own already."""
    return _INSIDE in os.environ


def again_in_a_mount_namespace(drill: str, rounds: int) -> int:
    """Run *drill* where its mounts concern nobody else. Its exit code."""
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-m", "tests.drills", drill, str(rounds)]
    return subprocess.run(command, env={**os.environ, _INSIDE: "1"}, check=False).returncode
