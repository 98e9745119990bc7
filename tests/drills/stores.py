"""The drills on registry, mailbox, journal and alerts that are made of several parts; `table` names all there are.

syscalls ROUNDS: every file system call of every operation, killed and failed; about ROUNDS of them.
powercut ROUNDS: an ext4 and an XFS that loses its power, ROUNDS times for each store.
fulldisk ROUNDS: bytes and inodes used up and freed.
registry-kills KILLS: writers of the registry killed at random instants.
machine STEPS: registry and mailbox against a model, with crashes, rotation and clock jumps.
"""

from __future__ import annotations

from pathlib import Path

from tests.drills import fulldisk, powercut, registry_kills, syscalls
from tests.drills.operations import CARELESS, OPERATIONS
from tests.drills.report import Report

STEPS_AN_EXAMPLE = 50


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
    for store in (powercut.REGISTRY, powercut.BURST, powercut.MAILBOX):
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
