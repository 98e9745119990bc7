"""Telling an agent at its prompt that mail waits: a real tmux, and programs that are ready, busy, or typed to."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemons import agents, clock, tmux
from daemons.journal import Journal
from daemons.mailbox import Message
from daemons.registry import Registry
from daemons.registry_service import delivery
from daemons.registry_service.delivery import Delivery, words
from daemons.registry_service.mail import MailState
from daemons.registry_service.verdicts import Verdict
from daemons.settings import Settings
from tests.conftest import eventually

# A prompt in a box, as coding agents draw it: what is typed stands in it, Enter takes it.
AGENT = """
import os, sys, termios, tty
busy = len(sys.argv) > 2
old = termios.tcgetattr(0)
tty.setcbreak(0)
typed = ""
def draw():
    sys.stdout.write("\\r\\x1b[K" + ("working" if busy else "│ > " + typed + " │"))
    sys.stdout.flush()
sys.stdout.write("\\x1b[?2004h")
draw()
while True:
    got = os.read(0, 4096).decode()
    for mark in ("\\x1b[200~", "\\x1b[201~"):
        got = got.replace(mark, "")
    if "\\r" in got or "\\n" in got:
        with open(sys.argv[1], "a") as taken:
            taken.write(typed + got.strip("\\r\\n") + "\\n")
        typed = ""
    else:
        typed += got
    draw()
"""

Told = Callable[..., list[str]]


class Pane:
    """An agent in a window, and what was announced to it."""

    def __init__(self, conf: Settings, tmp_path: Path) -> None:
        self.conf = dataclasses.replace(conf, deliver=True)
        self.taken = tmp_path / "taken"
        self._registry = Registry(conf)
        self._program = tmp_path / "agent.py"
        self._program.write_text(AGENT)
        self._delivery = Delivery(self.conf, Journal(conf, "test"))

    def open(self, *busy: str) -> None:
        command = [sys.executable, str(self._program), str(self.taken), *busy]
        agents.open_agent(self.conf, self._registry, "worker-a", command=command)
        eventually(lambda: ("working" if busy else "│ >") in self.shown())

    def shown(self) -> str:
        return str(tmux.last_lines(self.conf, self.pane(), lines=0))

    def pane(self) -> tmux.Pane:
        seen = tmux.observe(self.conf)
        assert isinstance(seen, tmux.Seen)
        return next(pane for pane in seen.panes if pane.agent == "worker-a")

    def announce(self, *, newest: str = "1.0", unread: int = 1, **entry: object) -> None:
        """One cycle with that mail; the pane counts as quiet."""
        pane = dataclasses.replace(self.pane(), activity=0)
        verdict = Verdict("running", "", pane, 0.0, clock.now())
        mail = MailState(1, 1, 0, (), 0, {"worker-a": unread}, {"worker-a": newest})
        self._delivery.announce({"worker-a": entry}, {"worker-a": verdict}, mail, clock.now())

    def got(self) -> list[str]:
        return self.taken.read_text().splitlines() if self.taken.exists() else []


@pytest.fixture
def pane(conf: Settings, tmp_path: Path) -> Pane:
    return Pane(conf, tmp_path)


def test_an_agent_that_waits_is_told_once_in_one_sentence(pane: Pane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "AGAIN_AFTER_S", 0.0)
    pane.open()

    pane.announce(unread=2)
    pane.announce(unread=2)

    assert eventually(pane.got) == [words(2)]
    pane.announce(newest="1.90", unread=3)
    eventually(lambda: pane.got() == [words(2), words(3)], but=pane.got)


def test_one_that_works_is_not_disturbed(pane: Pane) -> None:
    pane.open("busy")

    pane.announce()

    assert "You have" not in pane.shown()
    assert pane.got() == []


def test_what_a_person_types_is_not_sent_along(pane: Pane) -> None:
    pane.open()
    tmux.send_text(pane.conf, pane.pane().pane_id, "rm -rf", enter=False)
    eventually(lambda: "rm -rf" in pane.shown())

    pane.announce()

    assert pane.got() == []
    assert "You have" not in pane.shown()


@pytest.mark.parametrize("entry", [{"deliver": False}, {"deliver": "yes"}])
def test_only_who_is_wanted_to_is_told(pane: Pane, entry: dict[str, Any]) -> None:
    pane.open()

    pane.announce(**entry)

    assert "You have" not in pane.shown()


def test_what_was_announced_is_remembered_over_a_restart(pane: Pane) -> None:
    pane.open()
    pane.announce()
    eventually(pane.got)

    again = Pane(pane.conf, pane.taken.parent)
    again.announce()

    assert pane.got() == [words(1)]
    assert "You have" not in pane.shown()


def test_a_message_never_speaks_at_the_prompt() -> None:
    assert Message(clock.now(), "a", "b", "rm -rf /").subject not in words(1)
