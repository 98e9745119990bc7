"""What people are told of eighteen agents on a bad day, and of a tmux that can't be asked: once, and what is so.

    python -m tests.drills agent-truth 1

A real registry service over a real tmux. The bad day: 18 agents vanish together, two of them on purpose, and the others
come back by groups. The faults: tmux killed, wedged, without its socket, replaced, not installed. Each is a home of its
own; what is counted are the lines of the real mailbox.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import agents, clock, loop, mailbox
from daemons.registry import Registry
from tests.drills.homes import TmuxHome, tmux_home
from tests.drills.report import Report

AGENTS = 18
MEANT = 2
GROUPS = (5, 5, 6)
FOREVER = ["sleep", "300"]
SERVICE = "registry_service"
WITHIN_S = 30.0
QUIET_CYCLES = 6
NAMES = tuple(f"w{number:02}" for number in range(AGENTS))


class Day:
    """One home with its tmux server and its service, and what its mailbox says."""

    def __init__(self, home: TmuxHome) -> None:
        self.conf, self.shell = home.conf, home.shell
        self.registry = Registry(home.conf)
        self._home = home
        self._service: subprocess.Popen[bytes] | None = None

    def start(self, **other: str) -> None:
        self._service = self._home.python("-m", f"daemons.{SERVICE}", **other)

    def stop(self) -> None:
        if self._service:
            self._service.terminate()
            self._service.wait()

    def open_again(self, *names: str) -> None:
        """Windows of these names in one call, as a person's script opens them; in a new session if there is none."""
        first, *rest = names
        has_session = "cmux" in self.shell("list-sessions", "-F", "#{session_name}").splitlines()
        place = ("new-window", "-d", "-t", "=cmux:") if has_session else ("new-session", "-d", "-s", "cmux")
        more = [w for name in rest for w in (";", "new-window", "-d", "-t", "=cmux:", "-n", name, *FOREVER)]
        self.shell(*place, "-n", first, *FOREVER, *more)

    def states(self) -> dict[str, str]:
        return {agent_id: str(seen["state"]) for agent_id, seen in agents.last_observed(self.conf).items()}

    def shows(self, state: str, names: tuple[str, ...] = NAMES) -> bool:
        return bool(clock.wait_until(lambda: all(self.states().get(n) == state for n in names), within_s=WITHIN_S))

    def lines(self) -> list[str]:
        return [delivery.message.subject for delivery in mailbox.of(self.conf).after(None) if delivery.message]

    def told_after(self, known: int) -> list[str]:
        """The lines after the first *known*, once there is one and some cycles have added no more."""
        clock.wait_until(lambda: len(self.lines()) > known, within_s=WITHIN_S)
        begin = self._cycle()
        clock.wait_until(lambda: self._cycle() >= begin + QUIET_CYCLES, within_s=WITHIN_S)
        return self.lines()[known:]

    def _cycle(self) -> int:
        status = loop.read_status(self.conf, SERVICE)
        return status.cycle if status else 0


@contextmanager
def day(folder: Path) -> Iterator[Day]:
    """A home with 18 agents in real windows; all that it started is ended."""
    with tmux_home(folder, CMUX_STOP_GRACE="0.3", CMUX_AGENTS_INTERVAL="0.5") as home:
        one = Day(home)
        try:
            for each in NAMES:
                agents.open_agent(one.conf, one.registry, each, command=FOREVER)
            yield one
        finally:
            one.stop()


def bad_day(folder: Path, report: Report) -> None:
    """At most 2 lines for the loss, 1 a group for the return, none for who was stopped on purpose."""
    with day(folder / "bad-day") as one:
        one.start()
        started = one.shows("running")
        meant, lost = NAMES[:MEANT], NAMES[MEANT:]
        one.shell("new-session", "-d", "-s", "notes", *FOREVER)  # so that the server outlives its windows
        for name in meant:
            agents.end_agent(one.conf, one.registry, name, by="drill")
        one.shell(*[word for name in lost for word in (";", "kill-window", "-t", f"=cmux:={name}")][1:])
        loss = one.told_after(0)
        wrong = _wrong_loss(loss, meant) if started else "the agents never ran"
        report.count("bad day: the loss", wrong)
        report.most("bad day: lines for the loss", len(loss))
        begin = 0
        for size in GROUPS:
            known, group = len(one.lines()), lost[begin : begin + size]
            begin += size
            one.open_again(*group)
            told = one.told_after(known)
            right = len(told) == 1 and told[0].startswith("[CLEARED]") and one.shows("running", group)
            report.count("bad day: a group returns", "" if right else f"a return of {size}: {told}")
            report.most("bad day: lines a group", len(told))


def _wrong_loss(lines: list[str], meant: tuple[str, ...]) -> str:
    is_right = 1 <= len(lines) <= 2 and all("missing" in line for line in lines)
    named = [name for name in meant if any(name in line for line in lines)]
    return "" if is_right and not named else f"the loss of {AGENTS - MEANT}: {lines}"


# -- tmux can't be asked ----------------------------------------------------------------------------------------------


def _killed(one: Day) -> None:
    one.shell("kill-server")


def _wedged(one: Day) -> None:
    os.kill(int(one.shell("display-message", "-p", "#{pid}")), signal.SIGSTOP)


def _unlinked(one: Day) -> None:
    Path(one.shell("display-message", "-p", "#{socket_path}")).unlink()


def _replaced(one: Day) -> None:
    one.shell("kill-server")
    clock.wait_until(lambda: one.shell("new-session", "-d", "-P", "-s", "notes", *FOREVER), within_s=5)


def _absent(one: Day) -> None:
    one.stop()
    one.start(PATH=str(one.conf.home))


FAULTS: dict[str, tuple[Callable[[Day], None], str]] = {
    "killed": (_killed, "tmux server gone"),
    "wedged": (_wedged, "tmux server not answering"),
    "unlinked": (_unlinked, "its socket was removed"),
    "replaced": (_replaced, "replaced by another"),
    "absent": (_absent, "tmux not installed"),
}


def fault(folder: Path, name: str, report: Report) -> None:
    """One incident that says what is so; nobody lost, nobody called missing."""
    cause, words = FAULTS[name]
    with day(folder / name) as one:
        server = int(one.shell("display-message", "-p", "#{pid}"))
        one.start()
        started = one.shows("running")
        try:
            cause(one)
            told = one.told_after(0)
            entries = one.registry.snapshot().agents
        finally:
            _recover(one, server, name)
    lost = AGENTS - len(entries)
    false = sum("missing_since" in entry for entry in entries.values())
    says = len(told) == 1 and words in told[0] and f"{AGENTS} agents" in told[0]
    report.add("entries lost", lost)
    report.add("falsely missing", false)
    is_right = started and says and not lost and not false
    report.count(f"tmux {name}", "" if is_right else f"tmux {name}: lost {lost}, falsely missing {false}: {told}")


def _recover(one: Day, server: int, name: str) -> None:
    """So that what is left of the server can be ended by its own command."""
    if name == "wedged":
        os.kill(server, signal.SIGCONT)
    if name == "unlinked":
        os.kill(server, signal.SIGUSR1)
        clock.wait_until(lambda: one.shell("list-sessions"), within_s=5)


def run(rounds: int, folder: Path) -> Report:
    """*rounds* times the bad day, and each fault."""
    report = Report("agent-truth")
    for number in range(rounds):
        here = folder / str(number)
        bad_day(here, report)
        for name in FAULTS:
            fault(here, name, report)
        shutil.rmtree(here, ignore_errors=True)
    return report
