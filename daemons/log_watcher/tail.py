"""One log, followed over everything that can happen to its file: looked at, read on, and its marker moved.

Which files those are says `lineage`; what is read is found by each `generation`. A file that lost its name is read on
through the handle until it has been quiet for a while, so late writers are heard.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import chain, repeat
from operator import attrgetter
from pathlib import Path

from daemons import log
from daemons.log_watcher import marker as markers
from daemons.log_watcher import opening
from daemons.log_watcher.events import Event
from daemons.log_watcher.generation import ENDED_S, Generation, Replaced
from daemons.log_watcher.keeper import Keeps, NoKeeper
from daemons.log_watcher.ledger import Ledger
from daemons.log_watcher.lineage import Lineage
from daemons.log_watcher.opening import Absent, Refused, Source
from daemons.log_watcher.patterns import Patterns

# Bounds of one turn: other logs get theirs, and what is found in it fits in memory.
TURN_BYTES = 8 << 20
TURN_EVENTS = 2000
TURN_EVENT_BYTES = 4 << 20
# What is found within this time is told together.
GATHER_S = 0.05
GATHER_BACKLOG_S = 0.5
# A marker that moved without anything told is saved now and then: dying before that reads some quiet bytes again.
SAVE_EVERY_S = 1.0
_LINES = attrgetter("lines")


def _nowhere(source: Source) -> bool:  # noqa: ARG001
    return False


class Log:
    """One watched path: `look` which file it names, `read` what is new, and `commit` once that has been told."""

    def __init__(
        self,
        path: str,
        folder: Path,
        *,
        first_look: bool,
        read_elsewhere: Callable[[Source], bool] = _nowhere,
        keeper: Keeps | None = None,
    ) -> None:
        """Follow *path*, whose marker is in *folder*.

        *first_look*: whatever is there now was there before anybody asked us to watch it. *read_elsewhere*: whether a
        file is, or has been, read as another log under another name. *keeper* holds what is read, over our death.
        """
        self.path = path
        self.refusal: str | None = None
        self.unsaid: list[tuple[Generation, Event]] = []
        self.more = False
        saved = markers.load(folder, path)
        self.marker = saved or markers.Marker(path)
        self._folder = folder
        self._keeper = keeper or NoKeeper()
        self._lineage = Lineage(path, self.marker, self._keeper, read_elsewhere)
        self._first_look = first_look and saved is None
        self._on_disk = {known.id: known.head_bytes for known in self.marker.open}
        self._changed = saved is None
        self._saved_at = 0.0
        self._unsaid_since: float | None = None
        self._unsaid_bytes = 0

    @property
    def real(self) -> str:
        """What a link leads to."""
        return self._lineage.real

    @property
    def generations(self) -> list[Generation]:
        """What is open, the oldest first."""
        return self._lineage.open

    def knows(self, source: Source) -> bool:
        """Whether *source* is a file that this log reads, or has read to its end."""
        return self._lineage.knows(source)

    # -- which file is it now -----------------------------------------------------------------------------------------

    def look(self, mono: float) -> None:
        """See which file the path names, and take up those that it named since the last look."""
        self._lineage.find_again(mono, is_barred=self.refusal is not None)
        self._count_lost()
        refusal = None
        try:
            if self._lineage.names_another(opening.look(self.path)):
                self._lineage.take_up(mono, first_look=self._first_look)
        except Absent:
            self._lineage.current = None
        except Refused as refused:
            refusal = str(refused)
        self._say(refusal)
        self._first_look = False

    def is_as_it_was(self) -> bool:
        """Whether nothing waits, and the path names a file that was read to its end: one system call says so."""
        if self.refusal or self.unsaid or self._has_changed or self._first_look:
            return False
        return self._lineage.is_as_it_was()

    def _count_lost(self) -> None:
        lost = self._keeper.lost_bytes(self.path)
        if lost:
            self.marker.add_gap("let go unread, for want of room, while nobody watched", lost)
            self.marker.appended_bytes += lost
            self._changed = True

    def _say(self, refusal: str | None) -> None:
        """Once when something stands in the way, once when it no longer does."""
        if refusal and refusal != self.refusal:
            log.warning("log.refused", path=self.path, reason=refusal)
        elif self.refusal and not refusal:
            log.info("log.readable_again", path=self.path)
        self.refusal = refusal

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, patterns: Patterns, mono: float, *, anyway: bool = False) -> bool:
        """Read and examine what is new, the oldest generation first, up to the bounds of one turn. False: nothing came.

        What was found is in `unsaid`; `more` says that there is more to read at once. *anyway*: also where size and
        time of change are as before (network file systems tell late).
        """
        before = len(self.generations)
        left_bytes = TURN_BYTES
        self.more = False
        for generation in list(self.generations):
            got = 1
            while got:
                if left_bytes <= 0 or self._is_full:
                    self.more = True
                    return True
                got = self._read_block(generation, patterns, mono, anyway=anyway)
                left_bytes -= got
        self.more = len(self.generations) > before
        return left_bytes < TURN_BYTES

    def _read_block(self, generation: Generation, patterns: Patterns, mono: float, *, anyway: bool) -> int:
        """How many bytes came. Examines them, or what is held when that is due."""
        state = generation.source.state()
        size_seen, generation.size_seen = generation.size_seen, state[0]
        is_untouched = generation.read_to == 0
        try:
            got = generation.fill(mono) if anyway or state != generation.read_state else 0
        except Replaced:
            self._lineage.replaced_in_place(generation, mono, size_seen)
            return 1
        if got and is_untouched:
            self._lineage.add_unseen(mono)  # of an empty file nothing tells that its content is not the first
        if generation is self._lineage.current:
            self.marker.mtime_ns = max(self.marker.mtime_ns, state[1])
        if not got:
            generation.read_state = state
            self._end_if_quiet(generation, mono)
        due_at = generation.due_at()
        if got or generation.ended or (due_at is not None and mono >= due_at):
            self._examine(generation, patterns, mono)
        return got

    def _examine(self, generation: Generation, patterns: Patterns, mono: float) -> None:
        before = generation.offset
        found = generation.examine(patterns, mono)
        self.unsaid += zip(repeat(generation), found)
        self._unsaid_bytes += sum(map(len, chain.from_iterable(map(_LINES, found))))
        self._changed = self._changed or generation.offset != before

    @property
    def _is_full(self) -> bool:
        """Whether what was found has to be told before more is read."""
        return len(self.unsaid) >= TURN_EVENTS or self._unsaid_bytes >= TURN_EVENT_BYTES

    def _end_if_quiet(self, generation: Generation, mono: float) -> None:
        """A generation without a name has ended when it is quiet: then its last line needs no newline."""
        if generation is not self._lineage.current and generation.held:
            generation.ended = generation.source.packed or mono - generation.grown_at >= ENDED_S

    # -- remembering --------------------------------------------------------------------------------------------------

    def due_at(self) -> float | None:
        """When, on the monotonic clock, there is something to do though nothing comes; None: never."""
        if self.more:
            return 0.0
        moments = [due for due in (one.due_at() for one in self.generations) if due is not None]
        if self._unsaid_since is not None:
            moments.append(self._unsaid_since + GATHER_S)
        return min(moments, default=None)

    def gets_more_in_a_moment(self, mono: float) -> bool:
        """Whether it pays to tell a moment later: one more event is about to be complete, for the same message."""
        if not self.unsaid:
            return False
        if self._unsaid_since is None:
            self._unsaid_since = mono
        waited_s = mono - self._unsaid_since
        if self.more:
            return waited_s < GATHER_BACKLOG_S and not self._is_full
        return waited_s < GATHER_S and any(one.waiting == "event" and one.held for one in self.generations)

    def is_due(self, mono: float) -> bool:
        due = self.due_at()
        return due is not None and due <= mono

    def identify(self) -> None:
        """Make sure that the marker on the disk knows the generations of what is about to be told.

        Else a watcher that dies after telling would read them again under new names, and tell them twice.
        """
        tellers = {generation for generation, _ in self.unsaid}
        if not all(self._on_disk.get(one.id) for one in tellers):
            self._save(durable=True)

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell or to remember."""
        return bool(self.unsaid) or self._has_changed or self._lineage.has_nameless

    def commit(self, mono: float) -> None:
        """What was read is told (or was quiet): let the marker move, at once if something was told."""
        if not self.has_news:
            return
        told = len(self.unsaid)
        self.unsaid = []
        self._unsaid_bytes = 0
        self._unsaid_since = None
        self.marker.events += told
        for one in self.generations:
            one.commit()
            self._count(one)
        self._lineage.finish_quiet(mono)
        if told or (self._has_changed and mono - self._saved_at >= SAVE_EVERY_S):
            self._save(durable=bool(told))
            self._saved_at = mono

    def _count(self, generation: Generation) -> None:
        self.marker.examined_bytes += generation.examined_bytes
        if generation.left_out_bytes:
            self.marker.add_gap("the rest of a very long line", generation.left_out_bytes)
        generation.examined_bytes = generation.left_out_bytes = 0

    def _save(self, *, durable: bool) -> None:
        self.marker.open = [*self._lineage.missing, *(one.remembered() for one in self.generations)]
        markers.save(self._folder, self.marker, durable=durable)
        self._on_disk = {known.id: known.head_bytes for known in self.marker.open}
        self._changed = self._lineage.changed = False
        self._lineage.saved()

    @property
    def _has_changed(self) -> bool:
        return self._changed or self._lineage.changed

    def close(self) -> None:
        """Save what is known and let the files go. A disk that says no costs only some reading at the next start."""
        if self._has_changed and not self.unsaid:
            with suppress(OSError):
                self._save(durable=False)
        self._lineage.close()

    def account(self, ledger: Ledger) -> Ledger:
        """Add to *ledger* what became of every byte that this log got; the same again."""
        ledger.add(self.marker, self.generations, self._lineage.missing)
        return ledger
