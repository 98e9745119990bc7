"""One log, followed over everything that can happen to its file.

    the path names    [gen 3 ##########]  --rename-->  [gen 4 ###]  --copytruncate-->  [gen 5 #]
    open, read in order, the oldest first, each through its own handle and to its own end

The path is only asked which file it names now. A file that lost its name is read on through the handle until it has
been quiet for a while, so late writers are heard. After a restart the generations are found again by content, under
whatever name they have now, packed or not; generations that came and went meanwhile are told by their place in time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from daemons import log
from daemons.log_watcher import marker as markers
from daemons.log_watcher import opening, siblings
from daemons.log_watcher.events import Event
from daemons.log_watcher.generation import ENDED_S, Generation, Known, Replaced, new_id
from daemons.log_watcher.opening import Absent, Refused, Source
from daemons.log_watcher.patterns import Patterns

# What stood in a log before it was first looked at: this much of its end is examined, the rest is left alone.
FIRST_LOOK_BYTES = 256 << 10
# A file that lost its name may still be written to: it is kept open until it has been quiet for so long.
DRAIN_S = 60.0
GENERATIONS_HELD = 8
# Bounds of one turn: other logs get theirs, and what is found in it fits in memory.
TURN_BYTES = 8 << 20
TURN_EVENTS = 1000
TURN_EVENT_BYTES = 4 << 20
# A generation that isn't found at the start may be on its way to another name: it is looked for this long.
MISSING_S = 10.0
# What is found within this time is told together.
GATHER_S = 0.05
GATHER_BACKLOG_S = 0.5
# A marker that moved without anything told is saved now and then: dying before that reads some quiet bytes again.
SAVE_EVERY_S = 1.0


def _nowhere(source: Source) -> bool:  # noqa: ARG001
    return False


class Log:
    """One watched path: `look` which file it names, `read` what is new, and `commit` once that has been told."""

    def __init__(
        self, path: str, folder: Path, *, first_look: bool, read_elsewhere: Callable[[Source], bool] = _nowhere
    ) -> None:
        """Follow *path*, whose marker is in *folder*.

        *first_look*: whatever is there now was there before anybody asked us to watch it. *read_elsewhere*: whether a
        file is, or has been, read as another log under another name.
        """
        self.path = path
        self.real = path  # what a link leads to
        self.refusal: str | None = None
        self.generations: list[Generation] = []
        self.unsaid: list[tuple[Generation, Event]] = []
        self.more = False
        saved = markers.load(folder, path)
        self.marker = saved or markers.Marker(path)
        self._folder = folder
        self._read_elsewhere = read_elsewhere
        self._first_look = first_look and saved is None
        self._current: Generation | None = None
        self._missing: list[Known] = [known for known in self.marker.open if known.head_bytes or known.inode]
        self._missing_since: float | None = None
        self._on_disk = {known.id: known.head_bytes for known in self.marker.open}
        self._changed = saved is None
        self._saved_at = 0.0
        self._unsaid_since: float | None = None
        self._unsaid_bytes = 0

    # -- which file is it now -----------------------------------------------------------------------------------------

    def look(self, mono: float) -> None:
        """See which file the path names, and take up those that it named since the last look."""
        if self._missing:
            self._find_missing(mono)
        refusal = None
        try:
            found = opening.look(self.path)
            current = self._current.source if self._current else None
            if current is None or (found.st_ino, found.st_dev) != (current.inode, current.device):
                self._take_up(mono)
        except Absent:
            self._current = None
        except Refused as refused:
            refusal = str(refused)
        self._say(refusal)
        self._first_look = False

    def _say(self, refusal: str | None) -> None:
        """Once when something stands in the way, once when it no longer does."""
        if refusal and refusal != self.refusal:
            log.warning("log.refused", path=self.path, reason=refusal)
        elif self.refusal and not refusal:
            log.info("log.readable_again", path=self.path)
        self.refusal = refusal

    def _take_up(self, mono: float) -> None:
        """The path names a file that is not the one being followed. Absent or Refused when it can't be."""
        source = opening.open_log(self.path)
        self.real = os.path.realpath(self.path)
        held = next((one for one in self.generations if opening.same_file(one.source, source)), None)
        if held:
            source.close()
            self._current = held  # renamed back
            return
        if self._read_elsewhere(source):
            source.close()
            raise Refused("the same file is read as another watched log")
        generation = self._begin(source)
        self._add_unseen(mono, besides=source)  # it may have been renamed since it was opened
        self._add(generation, mono)
        self._current = generation

    def _begin(self, source: Source) -> Generation:
        """The generation in *source*: one that we know (a link that points back, a copy put in place), or a new one."""
        for known in self.marker.finished:
            if known.is_telling and known.is_in(source):
                return Generation(source, known)
        for known in (one.known() for one in self.generations):
            if known.is_telling and known.is_in(source):
                # Both files may grow on, with different lines: under one name, one's would pass for the other's.
                return Generation(source, replace(known, id=new_id()))
        return self._first(source) if self._first_look else Generation(source)

    def _first(self, source: Source) -> Generation:
        """A log that was there before us: its newest part counts, and the generations before it are none of ours."""
        size = source.state()[0]
        start = 0 if source.packed else max(0, size - FIRST_LOOK_BYTES)
        if start:
            self.marker.add_gap("older than the first look", start)
        for sibling in siblings.candidates(siblings.of(self.path), [source]):
            if not sibling.packed:
                self.marker.finish(Generation(sibling, start=sibling.state()[0]).known())
            sibling.close()
        return Generation(source, start=start)

    def _add(self, generation: Generation, mono: float) -> None:
        generation.grown_at = mono
        self.generations.append(generation)
        self._changed = True

    # -- generations that lost their name -----------------------------------------------------------------------------

    def _find_missing(self, mono: float) -> None:
        """After a start: find by content what was being read when the watcher ended, the oldest first."""
        if self._missing_since is None:
            self._missing_since = mono
        names = [self.path, *(known.name for known in self._missing), *reversed(siblings.of(self.path))]
        free = siblings.candidates(names, [one.source for one in self.generations])
        for known in list(self._missing):
            source = siblings.holder_of(known, free, self.path)
            if source:
                free.remove(source)
                self._go_on(known, source, mono)
            elif not known.head_bytes or (mono - self._missing_since > MISSING_S and not self.refusal):
                self._give_up(known)  # not while something stands in the way: it may be behind that
        for source in free:
            source.close()
        self._add_unseen(mono)

    def _go_on(self, known: Known, source: Source, mono: float) -> None:
        self._missing.remove(known)
        self._add(Generation(source, known), mono)
        if source.name == self.path:
            self._current = self.generations[-1]

    def _give_up(self, known: Known) -> None:
        self._missing.remove(known)
        self._changed = True
        if known.head_bytes:  # of an empty one nothing had been read: what it became is found as unseen
            self.marker.add_gap("gone while nobody watched", 0)
            self.marker.finish(known)
            log.warning("log.generation_gone", path=self.path, examined_bytes=known.offset)

    def _add_unseen(self, mono: float, *, besides: Source | None = None) -> None:
        """Take up generations that came and lost their name between two looks: not older than what we saw last, and
        of a content that nobody knows."""
        if not self.marker.mtime_ns:
            return
        held = [one.source for one in self.generations] + ([besides] if besides else [])
        free = siblings.candidates(siblings.of(self.path), held)
        known = [*self.marker.finished, *self._missing, *(one.known() for one in self.generations)]
        for source in free:
            size, mtime_ns = source.state()
            older = mtime_ns < self.marker.mtime_ns
            if older or not size or any(one.is_beginning_of(source) for one in known) or self._read_elsewhere(source):
                source.close()
                continue
            log.info("log.generation_found", path=self.path, name=source.name)
            self._add(Generation(source), mono)

    def knows(self, source: Source) -> bool:
        """Whether *source* is a file that this log reads, or has read to its end."""
        if any(opening.same_file(source, one.source) for one in self.generations):
            return True
        return any(known.is_telling and known.is_in(source) for known in self.marker.finished)

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
            self._replaced_in_place(generation, mono, size_seen)
            return 1
        if got and is_untouched:
            self._add_unseen(mono)  # of an empty file nothing tells that its content is not the first
        if generation is self._current:
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
        self.unsaid += [(generation, event) for event in found]
        self._unsaid_bytes += sum(len(line) for event in found for line in event.lines)
        self._changed = self._changed or generation.offset != before

    @property
    def _is_full(self) -> bool:
        """Whether what was found has to be told before more is read."""
        return len(self.unsaid) >= TURN_EVENTS or self._unsaid_bytes >= TURN_EVENT_BYTES

    def _end_if_quiet(self, generation: Generation, mono: float) -> None:
        """A generation without a name has ended when it is quiet: then its last line needs no newline."""
        if generation is not self._current and generation.held:
            generation.ended = generation.source.packed or mono - generation.grown_at >= ENDED_S

    def _replaced_in_place(self, generation: Generation, mono: float, size_seen: int) -> None:
        """The file holds another content: it was truncated, perhaps after it had been copied (copytruncate).

        What stood behind the place that was read up to is in the copy, or it is gone.
        """
        copy = siblings.copy_of(generation, self.path)
        log.info("log.truncated", path=self.path, read_bytes=generation.read_to, copy=copy.name if copy else None)
        if not copy:
            self.marker.add_gap("truncated before it was read", max(0, size_seen - generation.read_to))
        successor = Generation(generation.leave(copy or opening.Nothing(self.path)))
        successor.grown_at = mono
        self.generations.insert(self.generations.index(generation) + 1, successor)
        self._changed = True
        if generation is self._current:
            self._current = successor
        self._add_unseen(mono)

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
        tellers = {id(generation): generation for generation, _ in self.unsaid}.values()
        if not all(self._on_disk.get(one.id) for one in tellers):
            self._save(durable=True)

    def commit(self, mono: float) -> None:
        """What was read is told (or was quiet): let the marker move, at once if something was told."""
        if not (self.unsaid or self._changed or len(self.generations) > 1):
            return
        told = len(self.unsaid)
        self.unsaid = []
        self._unsaid_bytes = 0
        self._unsaid_since = None
        self.marker.events += told
        for one in self.generations:
            one.commit()
            self._count(one)
        self._let_go(mono)
        if told or (self._changed and mono - self._saved_at >= SAVE_EVERY_S):
            self._save(durable=bool(told))
            self._changed = False
            self._saved_at = mono

    def _count(self, generation: Generation) -> None:
        self.marker.examined_bytes += generation.examined_bytes
        if generation.left_out_bytes:
            self.marker.add_gap("the rest of a very long line", generation.left_out_bytes)
        generation.examined_bytes = generation.left_out_bytes = 0

    def _let_go(self, mono: float) -> None:
        """Close the files that lost their name and have been quiet for long, or of which there are too many."""
        nameless = [one for one in self.generations if one is not self._current]
        too_many = len(self.generations) - GENERATIONS_HELD
        for place, one in enumerate(nameless):
            quiet_s = mono - one.grown_at
            if one.held or one.read_state is None or one.read_state != one.source.state():
                continue
            if one.source.packed or quiet_s >= DRAIN_S or (place < too_many and quiet_s >= ENDED_S):
                self.marker.finish(one.known())
                self.generations.remove(one)
                one.source.close()
                self._changed = True

    def _save(self, *, durable: bool) -> None:
        self.marker.open = [*self._missing, *(one.remembered() for one in self.generations)]
        markers.save(self._folder, self.marker, durable=durable)
        self._on_disk = {known.id: known.head_bytes for known in self.marker.open}

    def close(self) -> None:
        """Save what is known and let the files go. A disk that says no costs only some reading at the next start."""
        if self._changed and not self.unsaid:
            with suppress(OSError):
                self._save(durable=False)
        for one in self.generations:
            one.source.close()
        self.generations = []

    @property
    def pending_bytes(self) -> int:
        """Bytes that are there and not examined yet."""
        return sum(one.pending_bytes for one in self.generations)
