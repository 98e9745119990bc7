"""Registry and mailbox against a model: a hypothesis state machine with crashes, rotation and clock jumps as steps.

The model is a dict and a list. A step that is killed at a random fault point may have happened or not, nothing else:
the model takes over whichever it was. Editors with and without the lock, garbage in the file and a deleted file are
steps too; whatever they do, what was acknowledged stays.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemons import clock, files, mailbox
from daemons.mailbox import Follower, Mailbox, Message
from daemons.registry import Registry
from tests.drills.homes import conf_of

NAMES = st.sampled_from(["a", "b", "c", "dev:d", "x/y", "ünï"])
FIELDS = st.dictionaries(
    st.sampled_from(["type", "note", "window"]),
    st.one_of(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), st.integers(-5, 5), st.booleans()),
    max_size=2,
)
STEPS = st.integers(1, 12)
CRASHED = -signal.SIGKILL


def in_a_child(act: Callable[[], object], dies_at: int) -> bool:
    """Run *act* in a child that is killed at the *dies_at*-th fault point it reaches. True when it survived."""
    pid = os.fork()
    if pid == 0:
        _arm(dies_at)
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != CRASHED


def _arm(dies_at: int) -> None:
    left = dies_at

    def reached(_step: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    files.reached = reached


class Stores(RuleBasedStateMachine):
    """One home; *agents* and *mail* are what must be there, *unread* what the consumer must still be given."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cmux-machine-"))
        self.conf = conf_of(self.folder)
        files.private_dir(self.conf.state)
        self.offset = timedelta()
        self.real_now = clock.now
        clock.now = lambda: datetime.now(UTC) + self.offset
        self.agents: dict[str, dict[str, Any]] = {}
        self.posted: list[str] = []
        self.maybe: set[str] = set()
        self.handled: list[str] = []
        self.reopen()

    def teardown(self) -> None:
        clock.now = self.real_now
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule()
    def reopen(self) -> None:
        """Another process takes over: nothing lives on but the files."""
        self.registry = Registry(self.conf)
        self.box: Mailbox = mailbox.of(self.conf)
        self.consumer: Follower = self.box.follow("reader")

    @rule(seconds=st.sampled_from([-90_000, -1, 1, 3600, 5_000_000]))
    def clock_jumps(self, seconds: int) -> None:
        self.offset += timedelta(seconds=seconds)

    # -- registry -----------------------------------------------------------------------------------------------------

    @rule(name=NAMES, fields=FIELDS)
    def register(self, name: str, fields: dict[str, Any]) -> None:
        self.agents[name] = dict(self.registry.register(name, fields, clock.now()))

    @rule(name=NAMES)
    def unregister(self, name: str) -> None:
        assert self.registry.unregister(name) == (name in self.agents)
        self.agents.pop(name, None)

    @rule(name=NAMES, fields=FIELDS, dies_at=STEPS)
    def register_and_die(self, name: str, fields: dict[str, Any], dies_at: int) -> None:
        before = dict(self.agents)
        survived = in_a_child(lambda: Registry(self.conf).register(name, fields, clock.now()), dies_at)
        now = _plain(self.registry.snapshot().agents)
        others = {other: entry for other, entry in now.items() if other != name}
        assert others == {other: entry for other, entry in before.items() if other != name}
        assert name in now or not survived
        if "registered_at" in before.get(name, {}):
            assert now[name]["registered_at"] == before[name]["registered_at"]
        self.agents = now

    @rule(name=NAMES, dies_at=STEPS)
    def unregister_and_die(self, name: str, dies_at: int) -> None:
        before = dict(self.agents)
        survived = in_a_child(lambda: Registry(self.conf).unregister(name), dies_at)
        now = _plain(self.registry.snapshot().agents)
        without = {other: entry for other, entry in before.items() if other != name}
        assert now == without or (now == before and not survived)
        self.agents = now

    @rule(name=NAMES)
    def edit_by_hand(self, name: str) -> None:
        """`jq '.x = …' f > tmp && mv tmp f`, from the file as it is now.

        The value is a new one: an edit that brings back exactly what stood there a second ago can't be told from a
        stale copy, and is undone (the registry says so in its log).
        """
        self.agents[name] = {**self.agents.get(name, {}), "by_hand": secrets.token_hex(4)}
        _move_into_place(self.conf.registry, json.dumps(self.agents).encode())

    @precondition(lambda self: self.conf.registry.exists())
    @rule(garbage=st.sampled_from([b"", b"{", b"[]", b"null", b"\xff\x00", b'{"a": 1}', b'{"a": {}} x', b"{" * 2000]))
    def garbage(self, garbage: bytes) -> None:
        self.registry.settle()
        self.conf.registry.write_bytes(garbage)

    @precondition(lambda self: self.conf.registry.exists())
    @rule()
    def deleted(self) -> None:
        self.registry.settle()
        self.conf.registry.unlink()

    @invariant()
    def registry_holds_what_was_acknowledged(self) -> None:
        assert _plain(self.registry.snapshot().agents) == self.agents
        if self.conf.registry.exists():
            assert json.loads(self.conf.registry.read_bytes()) == self.agents

    # -- mailbox ------------------------------------------------------------------------------------------------------

    def _message(self, size: int) -> Message:
        return Message(clock.now(), "cmux:a", "cmux:reader", f"{secrets.token_hex(6)} {'x' * size}")

    @rule(size=st.sampled_from([0, 300, 70_000]))
    def post(self, size: int) -> None:
        message = self._message(size)
        self.box.post(message)
        self.posted.append(message.subject)

    @rule(size=st.sampled_from([0, 300, 70_000]), dies_at=STEPS)
    def post_and_die(self, size: int, dies_at: int) -> None:
        message = self._message(size)
        survived = in_a_child(lambda: mailbox.of(self.conf).post(message), dies_at)
        (self.posted.append if survived else self.maybe.add)(message.subject)

    @rule()
    def rotate(self) -> None:
        self.box.rotate()

    @rule(dies_at=STEPS)
    def rotate_and_die(self, dies_at: int) -> None:
        in_a_child(lambda: mailbox.of(self.conf).rotate(), dies_at)

    @rule(commits=st.booleans())
    def read(self, commits: bool) -> None:
        """Handle what is new; without the commit the reader died after handling, and gets it again."""
        new = self.consumer.new()
        self.handled += [mail.message.subject for mail in new if mail.message]
        if new and commits:
            self.consumer.commit(new[-1])

    @rule(line=st.sampled_from([b"no message\n", b"[2026 -> x\n", b"{}\n", b"\xff\xfe\n"]))
    def a_stranger_writes(self, line: bytes) -> None:
        with files.lock(self.conf.mailbox.with_name("mailbox.lock")):
            files.append(self.conf.mailbox, line)

    @invariant()
    def every_message_reaches_the_reader_in_order(self) -> None:
        unread = [mail.message.subject for mail in self.consumer.new() if mail.message]
        seen = list(dict.fromkeys([*self.handled, *unread]))
        assert [subject for subject in seen if subject not in self.maybe] == self.posted
        assert set(seen) <= set(self.posted) | self.maybe
        assert len(unread) == len(set(unread))


def _plain(agents: Any) -> dict[str, dict[str, Any]]:
    return {name: dict(entry) for name, entry in agents.items()}


def _move_into_place(path: Path, content: bytes) -> None:
    beside = path.with_name("edited")
    beside.write_bytes(content)
    beside.replace(path)
