"""What all calls share: one object for the life of the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from daemons import agents, clock, mailbox, suite
from daemons.api.beats import Beats
from daemons.api.changes import Changes
from daemons.api.commits import Commits, Wanted
from daemons.api.knowledge import Knowledge
from daemons.api.listing import Agents
from daemons.files import LockBusy, StorageError
from daemons.mailbox import Mailbox
from daemons.registry import Edit, Registry
from daemons.settings import Settings

T = TypeVar("T")


@dataclass
class State:
    """The stores, what was read from them, and who waits for them to change."""

    conf: Settings
    instance: str
    registry: Registry
    commits: Commits
    beats: Beats
    agents: Agents
    mailbox: Mailbox
    knowledge: Knowledge
    changes: Changes
    started_mono: float = field(default_factory=clock.monotonic)
    answers: Counter[int] = field(default_factory=Counter)

    def change(self, edit: Edit[T]) -> T:
        """Change the registry durably, together with whoever else is about to; then tell who waits."""
        try:
            return self.commits.change(edit)
        finally:
            self.changes.ring()

    def begin_change(self, edit: Edit[T], done: Callable[[], object]) -> Wanted[T] | None:
        """Like `change`, for who must not wait: see `Commits.begin`."""

        def ring_and_tell() -> None:
            self.changes.ring()
            done()

        return self.commits.begin(edit, ring_and_tell)

    def close(self) -> None:
        """Make the changes that wait, and keep the heartbeats."""
        self.commits.close()
        with suppress(StorageError, LockBusy):
            self.beats.keep(self.agents.listing().ids, now_or_never=True)


def of(conf: Settings) -> State:
    """The state of the API of this home. StorageError when the suite has no id and none can be made."""
    registry = Registry(conf)
    beats = Beats(agents.heartbeats_path(conf))
    listed = Agents(conf, registry, beats)
    known = Knowledge(conf)
    box = mailbox.of(conf)

    seen: list[object] = [None]

    def look() -> bool:
        now = (listed.listing().index, known.stamp())
        changed = now != seen[0] and seen[0] is not None
        seen[0] = now
        return changed

    return State(
        conf=conf,
        instance=suite.suite_id(conf),
        registry=registry,
        commits=Commits(registry),
        beats=beats,
        agents=listed,
        mailbox=box,
        knowledge=known,
        changes=Changes(look),
    )
