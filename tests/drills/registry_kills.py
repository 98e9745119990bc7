"""kill -9 of registry writers at random instants, under load: always a whole file, nothing acknowledged lost.

Each writer owns its ids: it registers, renews and removes them at random, and says so when it was acknowledged. The
last word on an id is what the file must say, unless the kill came between the word and the next change of that id.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from daemons import clock
from daemons.registry import Registry
from tests.drills.homes import conf_of

WRITERS = 3
IDS_A_WRITER = 6
LOOK_EVERY_KILLS = 20
LONGEST_LIFE_S = 0.04

Write = Callable[[str, int | None], None]


def with_the_registry(home: Path) -> Write:
    """Set an agent's number, or remove it, as the suite does."""
    registry = Registry(conf_of(home))

    def write(agent_id: str, number: int | None) -> None:
        if number is None:
            registry.unregister(agent_id)
        else:
            registry.register(agent_id, {"n": number}, clock.now())

    return write


def carelessly(home: Path) -> Write:
    """The control: read, modify, write, as most programs do."""
    path = conf_of(home).registry
    path.parent.mkdir(exist_ok=True)

    def write(agent_id: str, number: int | None) -> None:
        agents = json.loads(path.read_text()) if path.exists() else {}
        agents.pop(agent_id, None)
        if number is not None:
            agents[agent_id] = {"n": number}
        path.write_text(json.dumps(agents))

    return write


@dataclass
class Writer:
    """One child: what it was about to do last, and what it was told is done."""

    tag: str
    pid: int
    said: int
    done: dict[str, int | None] = field(default_factory=dict)
    begun: dict[str, int | None] = field(default_factory=dict)

    def listen(self) -> None:
        """Take in all that the (dead) child said."""
        with os.fdopen(self.said, "rb") as lines:
            for line in lines.read().splitlines():
                word, agent_id, number = json.loads(line)
                (self.begun if word == "begin" else self.done)[agent_id] = number

    def may_be(self, agent_id: str, before: set[int | None]) -> set[int | None]:
        """What the file may say of *agent_id*: the last change begun, and what was certain before that one."""
        certain = {self.done[agent_id]} if agent_id in self.done else before
        return certain | {self.begun[agent_id]}


def kill(home: Path, kills: int, seed: int, make: Callable[[Path], Write]) -> list[str]:
    """Kill *kills* writers of a registry in *home*; what was wrong, one line each."""
    chance = random.Random(seed)
    known: dict[str, set[int | None]] = {}
    wrong: list[str] = []
    writers = [_begin(home, f"w{number}", make, chance) for number in range(WRITERS)]
    for count in range(1, kills + 1):
        clock.pause(chance.random() * LONGEST_LIFE_S)
        victim = chance.choice(writers)
        _end(victim, known)
        if count % LOOK_EVERY_KILLS == 0 or count == kills:
            for other in writers:
                if other is not victim:
                    _end(other, known)
            wrong += _compare(home, known)
            writers = [_begin(home, writer.tag, make, chance) for writer in writers]
        else:
            writers[writers.index(victim)] = _begin(home, victim.tag, make, chance)
    for writer in writers:
        _end(writer, known)
    return wrong + _compare(home, known)


def _begin(home: Path, tag: str, make: Callable[[Path], Write], chance: random.Random) -> Writer:
    read, write = os.pipe()
    seed = chance.getrandbits(32)
    pid = os.fork()
    if pid:
        os.close(write)
        return Writer(tag, pid, read)
    try:
        os.close(read)
        _write_for_ever(make(home), tag, random.Random(seed), write)
    finally:
        os._exit(1)


def _write_for_ever(write: Write, tag: str, chance: random.Random, said: int) -> None:
    while True:
        agent_id = f"{tag}-{chance.randrange(IDS_A_WRITER)}"
        number = None if chance.random() < 0.3 else chance.getrandbits(40)
        os.write(said, json.dumps(["begin", agent_id, number]).encode() + b"\n")
        write(agent_id, number)
        os.write(said, json.dumps(["done", agent_id, number]).encode() + b"\n")


def _end(writer: Writer, known: dict[str, set[int | None]]) -> None:
    os.kill(writer.pid, signal.SIGKILL)
    os.waitpid(writer.pid, 0)
    writer.listen()
    for agent_id in writer.begun:
        known[agent_id] = writer.may_be(agent_id, known.get(agent_id, {None}))


def _compare(home: Path, known: dict[str, set[int | None]]) -> list[str]:
    raw = conf_of(home).registry.read_bytes()
    try:
        agents = json.loads(raw)
    except ValueError:
        return [f"registry is not JSON: {raw[:60]!r}"]
    found = {agent_id: agents[agent_id]["n"] if agent_id in agents else None for agent_id in known}
    wrong = [
        f"{name} is {number}, not one of {known[name]}" for name, number in found.items() if number not in known[name]
    ]
    known.update({name: {number} for name, number in found.items()})
    return wrong
