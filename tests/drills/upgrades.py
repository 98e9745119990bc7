"""The code on the disk changes under a running suite: each program runs the new one soon, and none runs broken code.

A copy of this checkout is what runs, so nothing of it is touched. ROUNDS times: a harmless change, which all five
programs take up one after the other; then a change that cannot be imported, which none of them does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from daemons import clock, settings
from tests.conftest import free_port
from tests.drills.report import Report

LOOK_EVERY_S = 3.0
TAKEN_UP_WITHIN_S = 90.0
_LEFT_ALONE_FOR_S = 4 * LOOK_EVERY_S
_COPIED = ("daemons", "conf", "scripts")


def run(rounds: int, folder: Path) -> Report:
    """See above."""
    report = Report("upgrades")
    checkout, home = folder / "checkout", folder / "home"
    home.mkdir(parents=True)
    _copy(checkout)
    suite = _Suite(checkout, home)
    if problem := suite.command("start"):
        report.count("start", problem)
        return report
    try:
        for number in range(rounds):
            report.count("a change", _changed(suite, number, report))
            report.count("a broken change", _broken(suite))
    finally:
        report.count("stop", suite.command("stop"))
    return report


def _copy(checkout: Path) -> None:
    """This checkout's programs, less patient; they run in its virtual environment."""
    for name in _COPIED:
        shutil.copytree(settings.CODE / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / ".venv").symlink_to(sys.prefix)
    patient = checkout / "daemons" / "listener" / "outdated.py"
    written = patient.read_text(encoding="utf-8")
    patient.write_text(written.replace("LOOK_EVERY_S = 60.0", f"LOOK_EVERY_S = {LOOK_EVERY_S}"), encoding="utf-8")


class _Suite:
    """The suite of *home*, run from *checkout*, asked from outside."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self.checkout = checkout
        self._status_dir = home / ".cmux" / "status"
        self._home = home
        own = {"CMUX_HOME": str(home), "CMUX_PORT": str(free_port()), "CMUX_TMUX_SOCKET": f"cmux-drill-{os.getpid()}"}
        own["CMUX_ALERT_COOLDOWN"] = "0"  # each round is told
        self._environ = {**os.environ, **own, "PYTHONPATH": str(checkout)}

    def command(self, *words: str) -> str:
        """Run `cmux` with *words*; what was wrong with that, or nothing."""
        argv = [sys.executable, "-P", "-m", "daemons.cli", *words]
        done = subprocess.run(argv, env=self._environ, cwd=self._home, capture_output=True, text=True, check=False)
        return f"cmux {' '.join(words)}: {done.stdout}{done.stderr}" if done.returncode else ""

    def running(self) -> dict[str, tuple[int, str]]:
        """Pid and code of each program that has completed a cycle."""
        told = [json.loads(path.read_bytes()) for path in self._status_dir.glob("*.json")]
        return {each["daemon"]: (each["pid"], each["code"]) for each in told if each["cycle"]}

    def spawned(self) -> int:
        """How many processes supervisord has started by now."""
        return (self._home / ".cmux" / "logs" / "supervisord.log").read_text(encoding="utf-8").count(" spawned: ")

    def mail(self) -> str:
        mailbox = self._home / ".cmux" / "mailbox"
        return mailbox.read_text(encoding="utf-8") if mailbox.exists() else ""


def _changed(suite: _Suite, number: int, report: Report) -> str:
    before, spawned = suite.running(), suite.spawned()
    with (suite.checkout / "daemons" / "clock.py").open("a", encoding="utf-8") as source:
        source.write(f"# change {number}\n")
    begun = clock.monotonic()

    def done() -> bool:
        now = suite.running()
        return len({code for _, code in now.values()}) == 1 and all(now[name][0] != before[name][0] for name in before)

    clock.wait_until(done, within_s=TAKEN_UP_WITHIN_S)
    report.most("most seconds until all run the new code", round(clock.monotonic() - begun, 1))
    if not done():
        return f"not all of {before} were restarted: {suite.running()}"
    if (told := suite.mail().count("the suite's code has changed")) != number + 1:
        return f"told {told} times after {number + 1} changes"
    is_over = clock.wait_until(lambda: suite.mail().count("[ALERT]") == suite.mail().count("[CLEARED]"), within_s=30)
    if not is_over:
        return f"not cleared: {suite.mail()}"
    starts = suite.spawned() - spawned
    return "" if starts == len(before) else f"{starts} starts of {len(before)} programs"


def _broken(suite: _Suite) -> str:
    before = suite.running()
    source = suite.checkout / "daemons" / "text.py"
    good = source.read_text(encoding="utf-8")
    told = suite.mail().count("cannot be started")
    source.write_text(good + "\n<<<<<<< half a merge\n", encoding="utf-8")
    try:
        clock.wait_until(lambda: suite.mail().count("cannot be started") > told, within_s=TAKEN_UP_WITHIN_S)
        if suite.mail().count("cannot be started") != told + 1:
            return "broken code was not told"
        clock.pause(_LEFT_ALONE_FOR_S)
        return "" if suite.running() == before else f"was {before}, is {suite.running()}"
    finally:
        source.write_text(good, encoding="utf-8")
