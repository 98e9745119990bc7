"""Which files a log was and is: the generations that its path named, one after the other, each found by content.

    the path names    [gen 3 ##########]  --rename-->  [gen 4 ###]  --copytruncate-->  [gen 5 #]
    open, the oldest first, each through its own handle and to its own end

The path is only asked which file it names now. After a restart the generations are found again by content, under
whatever name they have now, packed or not, or in what the log keeper held; generations that came and went meanwhile
are told by their place in time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from daemons import log
from daemons.log_watcher import opening, siblings
from daemons.log_watcher.generation import BLOCK_BYTES, ENDED_S, HEAD_BYTES, Generation, Known, new_id
from daemons.log_watcher.keeper import Keeps, Kept
from daemons.log_watcher.marker import Marker
from daemons.log_watcher.opening import Refused, Source

# What stood in a log before it was first looked at: this much of its end is examined, the rest is left alone.
FIRST_LOOK_BYTES = 256 << 10
# A file that lost its name may still be written to: it is kept open until it has been quiet for so long.
DRAIN_S = 60.0
GENERATIONS_HELD = 8
# A generation that isn't found at the start may be on its way to another name: it is looked for this long.
MISSING_S = 10.0
TRUNCATED = "truncated while nobody watched"


class Lineage:
    """The generations of one log that are open. Changes the marker where something is known for good."""

    def __init__(self, path: str, marker: Marker, keeper: Keeps, read_elsewhere: Callable[[Source], bool]) -> None:
        self.path = path
        self.real = path  # what a link leads to
        self.open: list[Generation] = []
        self.current: Generation | None = None
        self.missing: list[Known] = [known for known in marker.open if known.head_bytes or known.inode]
        self.changed = False  # what a marker has to say of them is another than it says
        self._marker = marker
        self._keeper = keeper
        self._read_elsewhere = read_elsewhere
        self._missing_since: float | None = None
        self._kept: list[Kept] = []
        self._copies_found = False
        self._to_let_go: list[tuple[int, int]] = []
        self._to_note: list[tuple[int, int, int]] = []

    # -- the file that the path names ---------------------------------------------------------------------------------

    def names_another(self, found: os.stat_result) -> bool:
        """Whether *found*, which the path names now, is not the file that is followed as such."""
        source = self.current.source if self.current else None
        return source is None or (found.st_ino, found.st_dev) != (source.inode, source.device)

    def is_as_it_was(self) -> bool:
        """Whether there is one file alone, the path names it, and it was read to its end."""
        if len(self.open) != 1 or self.current is None or self.missing or self.current.held:
            return False
        source = self.current.source
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        state = found.st_size, found.st_mtime_ns
        return (found.st_ino, found.st_dev) == (source.inode, source.device) and state == self.current.read_state

    def take_up(self, mono: float, *, first_look: bool) -> None:
        """Follow the file that the path names now. Absent or Refused when it can't be."""
        source = opening.open_log(self.path)
        self.real = os.path.realpath(self.path)
        held = next((one for one in self.open if opening.same_file(one.source, source)), None)
        if held:
            source.close()
            self.current = held  # renamed back
            return
        if self._read_elsewhere(source):
            source.close()
            raise Refused("the same file is read as another watched log")
        generation = self._begin(source, first_look=first_look)
        self.add_unseen(mono, besides=source)  # it may have been renamed since it was opened
        self._add(generation, mono)
        self.current = generation

    def _begin(self, source: Source, *, first_look: bool) -> Generation:
        """The generation in *source*: one that we know (a link that points back, a copy put in place), or a new one."""
        for known in self._marker.finished:
            if known.is_telling and known.is_in(source):
                return Generation(source, replace(known, counted_from=known.offset))
        for known in (one.known() for one in self.open):
            if known.is_telling and known.is_in(source):
                # Both files may grow on, with different lines: under one name, one's would pass for the other's.
                return Generation(source, replace(known, id=new_id(), counted_from=known.offset))
        return self._first(source) if first_look else Generation(source)

    def _first(self, source: Source) -> Generation:
        """A log that was there before us: its newest part counts, and the generations before it are none of ours."""
        size = source.state()[0]
        start = 0 if source.packed else max(0, size - FIRST_LOOK_BYTES)
        newline = source.read(start, BLOCK_BYTES).find(b"\n") if start else -1
        start += newline + 1
        if start:
            self._marker.add_gap("older than the first look", start)
        for sibling in siblings.candidates(siblings.of(self.path), [source]):
            if not sibling.packed:
                self._marker.finish(Generation(sibling, start=sibling.state()[0]).known())
            sibling.close()
        generation = Generation(source, start=start)
        generation.inside_line = start > 0 and newline < 0
        return generation

    def _add(self, generation: Generation, mono: float) -> None:
        generation.grown_at = mono
        self.open.append(generation)
        self._keeper.hold(self.path, generation.source)
        self.changed = True

    # -- generations that lost their name -----------------------------------------------------------------------------

    def find_again(self, mono: float, *, is_barred: bool) -> None:
        """After a start: find by content what was being read when the watcher ended, and what came since.

        *is_barred*: something stands in the way, and what isn't found may be behind that.
        """
        self._kept += self._keeper.given(self.path)
        if not self.missing and not self._kept:
            return
        if self._missing_since is None:
            self._missing_since = mono
        names = [self.path, *(known.name for known in self.missing), *reversed(siblings.of(self.path))]
        free = siblings.candidates(names, self._sources(), self._kept_sources())
        for known in list(self.missing):
            source = siblings.holder_of(known, free, self.path)
            if source:
                free.remove(source)
                self._go_on(known, source, mono)
            elif not known.head_bytes or (mono - self._missing_since > MISSING_S and not is_barred):
                self._give_up(known)
        for source in free:
            source.close()
        self.add_unseen(mono)
        if not self.missing:
            self._release_kept()

    def _go_on(self, known: Known, source: Source, mono: float) -> None:
        self.missing.remove(known)
        self._add(Generation(source, known), mono)
        if source.name == self.path:
            self.current = self.open[-1]

    def _give_up(self, known: Known) -> None:
        """Nothing holds it any more. Of an empty one nothing had been read: what it became is found as unseen."""
        self.missing.remove(known)
        self.changed = True
        if not known.head_bytes:
            return
        kept = next((one for one in self._kept if one.source.inode == known.inode and one.lost_bytes), None)
        reason = TRUNCATED if kept else "gone while nobody watched"
        # Several contents of one file may have been truncated, one after the other: each was read up to its offset.
        read = sum(one.offset for one in [known, *self.missing] if one.inode == known.inode)
        lost = max(0, kept.lost_bytes - read) if kept else 0
        self._marker.add_gap(reason, lost)
        if kept:
            self._note(kept)
        self._marker.finish(known, size_bytes=known.offset - known.counted_from + lost)
        log.warning("log.generation_gone", path=self.path, examined_bytes=known.offset, reason=reason)

    def add_unseen(self, mono: float, *, besides: Source | None = None) -> None:
        """Take up generations that came and lost their name between two looks: not older than what we saw last, and
        of a content that nobody knows."""
        held = self._sources() + ([besides] if besides else [])
        free = siblings.candidates(siblings.of(self.path) if self._marker.mtime_ns else (), held, self._kept_sources())
        for source in sorted(free, key=lambda source: source.state()[1]):
            if not source.state()[0] or self._is_known(source) or self._read_elsewhere(source):
                source.close()
                continue
            log.info("log.generation_found", path=self.path, name=source.name)
            self._copies_found |= source.name != self.path
            self._add(Generation(source), mono)

    def _is_known(self, source: Source) -> bool:
        """Whether *source* holds a generation that was, is or will be read, or one from before our time."""
        if any(_begins_alike(source, one.source) for one in self.open if not one.read_to):
            return True  # packed, and held since before it was
        known = [*self._marker.finished, *self.missing, *(one.known() for one in self.open)]
        if any(opening.same_file(one.source, source) for one in self._kept):
            # It was held since the path named it: a few bytes that are alike make no other file of it.
            return any(one.is_beginning_of(source) and (one.is_telling or one.inode == source.inode) for one in known)
        return source.state()[1] < self._marker.mtime_ns or any(one.is_beginning_of(source) for one in known)

    def replaced_in_place(self, generation: Generation, mono: float, size_seen: int) -> None:
        """The file holds another content: it was truncated, perhaps after it had been copied (copytruncate).

        What stood behind the place that was read up to is in the copy, or it is gone.
        """
        copy = siblings.copy_of(generation, self.path)
        log.info("log.truncated", path=self.path, read_bytes=generation.read_to, copy=copy.name if copy else None)
        if not copy:
            lost = max(0, size_seen - generation.read_to)
            self._marker.add_gap("truncated before it was read", lost)
            self._marker.appended_bytes += lost
        successor = Generation(generation.leave(copy or opening.Nothing(self.path)))
        successor.grown_at = mono
        self.open.insert(self.open.index(generation) + 1, successor)
        self.changed = True
        if copy:
            self._keeper.hold(self.path, copy)
        if generation is self.current:
            self.current = successor
        self.add_unseen(mono)

    def knows(self, source: Source) -> bool:
        """Whether *source* is a file that this log reads, or has read to its end."""
        if any(opening.same_file(source, one.source) for one in self.open):
            return True
        return any(known.is_telling and known.is_in(source) for known in self._marker.finished)

    def _sources(self) -> list[Source]:
        return [one.source for one in self.open]

    # -- letting go ---------------------------------------------------------------------------------------------------

    @property
    def has_nameless(self) -> bool:
        """Whether a file is open that the path names no longer."""
        return len(self.open) > (self.current is not None)

    def finish_quiet(self, mono: float) -> None:
        """Close the files that lost their name and have been quiet for long, or of which there are too many."""
        nameless = [one for one in self.open if one is not self.current]
        too_many = len(self.open) - GENERATIONS_HELD
        for place, one in enumerate(nameless):
            quiet_s = mono - one.grown_at
            if one.held or one.read_state is None or one.read_state != one.source.state():
                continue
            if one.source.packed or quiet_s >= DRAIN_S or (place < too_many and quiet_s >= ENDED_S):
                self._marker.finish(one.known(), size_bytes=one.size_bytes - one.counted_from)
                self.open.remove(one)
                self._to_let_go.append((one.source.device, one.source.inode))
                one.source.close()
                self.changed = True

    def saved(self) -> None:
        """The marker on the disk says so now: what is read to its end need not be kept from the disk."""
        for noted in self._to_note:
            self._keeper.noted(*noted)
        self._to_note = []
        for device, inode in self._to_let_go:
            if not any((one.source.device, one.source.inode) == (device, inode) for one in self.open):
                self._keeper.let_go(device, inode)
        self._to_let_go = []

    def close(self) -> None:
        for one in self.open:
            one.source.close()
        for kept in self._kept:
            kept.source.close()
        self.open, self._kept = [], []

    # -- what the keeper held -----------------------------------------------------------------------------------------

    def _was_read(self, inode: int) -> bool:
        """Whether a file of that inode was followed before: what it lost was copied, or is counted."""
        return any(known.inode == inode for known in self._marker.open)

    def _kept_sources(self) -> list[Source]:
        return [one.source.again() for one in self._kept]

    def _note(self, kept: Kept) -> None:
        self._to_note.append((kept.source.device, kept.source.inode, kept.lost_bytes))
        kept.lost_bytes = 0

    def _release_kept(self) -> None:
        """All that can be found is found: what else was truncated, nobody has read, unless it was copied before."""
        for one in self._kept:
            if one.lost_bytes:
                if not self._copies_found and not self._was_read(one.source.inode):
                    self._marker.add_gap(TRUNCATED, one.lost_bytes)
                    self._marker.appended_bytes += one.lost_bytes
                self._note(one)
            if not any(opening.same_file(one.source, source) for source in self._sources()):
                self._to_let_go.append((one.source.device, one.source.inode))
            one.source.close()
        self._kept, self._copies_found = [], False
        self.changed = True  # so that what is let go is known to be read


def _begins_alike(one: Source, other: Source) -> bool:
    """Whether both hold the same generation, of which nothing was read yet."""
    head = one.read(0, HEAD_BYTES)
    is_telling = len(head) == HEAD_BYTES or one.packed != other.packed
    return bool(head) and is_telling and head == other.read(0, HEAD_BYTES)
