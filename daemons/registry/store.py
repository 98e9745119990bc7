"""The locked store.

    change:  lock -> look (a stat) -> read what others changed -> edit -> publish -> note it -> unlock
    publish: write aside, fsync -> exchange with the file -> is what came out what we read? -> fsync of the folder
                     ^---------------- no: an editor without the lock; merge, once more ----'

The lock is a file of its own, so shell scripts can take it. Readers need none: they see the old file or the new one,
and pay a stat as long as nothing changed. Editors that don't lock are met halfway: the exchange hands us whatever was
there the instant before (`jq | mv` lost 23 of 75 edits against a plain rename, none against this), and a stale copy
that lands on top of the last seconds' changes gets them again.

Beside the file lies `.registry-last-good.json`: what came out of the last exchange. It is no second name of the file,
because nano and `echo >` write in place; what the last change added to it is in `traces`.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from daemons import clock, files, log
from daemons.files import StorageError
from daemons.registry import reading, table
from daemons.registry.drafts import Batch
from daemons.registry.edits import Edit, registration, removal, restoration, update
from daemons.registry.exchange import Burst, KeptFolder, Swap, content_of, swap
from daemons.registry.ids import InvalidAgent
from daemons.registry.quarantine import Kind, Quarantine, Trouble
from daemons.registry.reading import FILE_LIMIT_BYTES, NOTHING, Twice, Version, patiently, storage_errors
from daemons.registry.table import Changes, Entry, NoRegistry, Row, Table
from daemons.registry.traces import Content, Identity, Publication, Recent, fingerprint, identity_of
from daemons.settings import Settings

T = TypeVar("T")

_EXCHANGES = 20
_MASK = 2**64 - 1


@dataclass(frozen=True)
class Snapshot:
    """The registry at one moment. Shared by all readers: look, don't change.

    *index* grows with each change that this process sees, across restarts too as long as the clock isn't set back;
    compare it with `!=` only.
    """

    table: Table
    index: int
    identity: Identity | None

    @property
    def agents(self) -> Mapping[str, Entry]:
        return self.table.entries

    @cached_property
    def etag(self) -> str:
        """Differs whenever the file does."""
        return '"' + "-".join(f"{number & _MASK:x}" for number in self.identity) + '"' if self.identity else '"none"'

    @cached_property
    def body(self) -> bytes:
        """The whole file as it would be written."""
        return self.table.body()


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one edit among several: its value, or what it raised."""

    value: T | None = None
    error: Exception | None = None


class _Start(NamedTuple):
    """Where a change starts: the version to replace, and what must be written even if the edit changes nothing."""

    version: Version
    amends: Changes = MappingProxyType({})
    trouble: Trouble | None = None


class Registry:
    """The registry of one home. One object serves all threads of a process.

    *told* hears of every Trouble that this object met; each is on disk too (`troubles()`), for whoever raises alerts.
    Methods raise StorageError (the file is as it was, and all works again once the cause is gone), LockBusy after
    *timeout_s*, InvalidAgent for what cannot be registered.
    """

    def __init__(self, where: Settings | Path, *, told: Callable[[Trouble], None] | None = None) -> None:
        self.path = where.registry if isinstance(where, Settings) else where
        folder = self.path.parent
        self._name = os.fspath(self.path)
        self._folder = KeptFolder()
        self._burst = Burst()
        self._lock = self.path.with_name(f"{self.path.name}.lock")
        self._good = folder / ".registry-last-good.json"
        self._good_name = os.fspath(self._good)
        self._recent = Recent(folder / ".registry-recent.jsonl")
        self._quarantine = Quarantine(folder / ".quarantine", self.path.name)
        self._told = told
        self._gate = threading.Lock()
        self._current = NOTHING
        self._settled: Identity | None = None  # the state that was published or accepted under the lock
        self._snapshot = Snapshot(Table(), 0, None)
        self._swept = False

    # -- reading ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The agents now. Takes no lock and costs one stat when nothing changed since the last call.

        A file that is none, or is gone although there was one, is quarantined and restored by this, under the lock.
        """
        seen = self._look()
        if seen is not None and seen == self._current.identity:
            return self._snapshot
        try:
            with self._gate, storage_errors(self.path):
                version = reading.read(self.path, self._current.table)
                if version.identity is not None or not self._good.exists():
                    return self._adopt(version)
        except NoRegistry:
            pass  # an editor is at work, or it is broken: find out which, under the lock
        self.settle()
        return self._snapshot

    def known(self) -> Snapshot | None:
        """What `snapshot` gave last when the file is still that one; else None. Never more than a stat."""
        seen = self._look()
        return self._snapshot if seen is not None and seen == self._current.identity else None

    def last_good(self) -> Mapping[str, Entry]:
        """The agents as they were last published, as far as the files beside the registry know them."""
        return self._best_known().entries

    def troubles(self) -> list[Trouble]:
        """What went wrong with the file so far, oldest first, whichever process met it."""
        return self._quarantine.troubles()

    # -- changing -----------------------------------------------------------------------------------------------------

    def change(self, edit: Edit[T], *, timeout_s: float = 5.0) -> T:
        """Run *edit* on the agents and make the result durable; what *edit* returns.

        *edit* works on a Draft: like a dict of dicts. It may be slow only at everybody's expense, and must not call
        this registry. What it raises comes through, and nothing has changed.
        """
        [outcome] = self.change_many([edit], timeout_s=timeout_s)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value  # type: ignore[return-value]  # without an error it is what the edit returned

    def change_many(self, edits: Sequence[Edit[Any]], *, timeout_s: float = 5.0) -> list[Outcome[Any]]:
        """Several edits, one after the other, under one lock and with one durable publication: an Outcome each."""
        held = self._take_lock(timeout_s)
        try:
            return self._change_locked(edits)
        except StorageError:
            raise
        except OSError as cause:
            raise StorageError("read or write", self.path, cause) from cause
        finally:
            os.close(held)

    def _change_locked(self, edits: Sequence[Edit[Any]]) -> list[Outcome[Any]]:
        start = self._load()
        batch = Batch(start.version.table)
        batch.changes.update(start.amends)
        outcomes = [_attempt(batch, edit) for edit in edits]
        if batch.changes or start.trouble:
            self._publish(start, batch.changes)
        if start.trouble:
            self._tell(start.trouble)
        return outcomes

    def settle(self, *, timeout_s: float = 5.0) -> bool:
        """Look after the file: restore it, give it back what a stale copy undid, accept what others wrote.

        Whoever runs for long calls this every few seconds; it costs a stat when nobody but us wrote. False then.
        """
        self._burst.end()
        seen = self._look()
        if seen == self._settled and (seen is not None or not self._good.exists()):
            return False
        self.change_many([], timeout_s=timeout_s)
        return True

    def register(self, agent_id: str, fields: Mapping[str, object], now: datetime) -> Entry:
        """Add an agent, or renew one; see `registration`. The entry as it stands now."""
        return self.change(registration(agent_id, fields, now))

    def unregister(self, agent_id: str) -> bool:
        """Remove an agent. False when there was none."""
        return self.change(removal(agent_id))

    def update(self, agent_id: str, fields: Mapping[str, object]) -> Entry | None:
        """Set some fields of an agent, None removes one; the entry as it stands now, or None when there is no such."""
        return self.change(update(agent_id, fields))

    def restore(self, kept: Path) -> list[str]:
        """Bring back the agents of the file *kept*, a quarantined one say, that are not registered now: their ids.

        NoRegistry when *kept* is none.
        """
        raw = files.read(kept, limit_bytes=FILE_LIMIT_BYTES) or b""
        return self.change(restoration(table.parse(raw, Table()).table.entries))

    # -- the state of the file ----------------------------------------------------------------------------------------

    def _look(self) -> Identity | None:
        try:
            return identity_of(os.stat(self._name))
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise StorageError("look at", self.path, cause) from cause

    def _adopt(self, version: Version) -> Snapshot:
        """Make *version* what readers get. Call it holding the gate."""
        if version.identity != self._current.identity or self._snapshot.index == 0:
            index = self._snapshot.index
            if index == 0 or version.table.lines != self._current.table.lines:
                index = max(index + 1, int(clock.now().timestamp() * 1000))
            self._current = version
            self._snapshot = Snapshot(version.table, index, version.identity)
        return self._snapshot

    def _take(self, version: Version) -> None:
        with self._gate:
            self._adopt(version)
        self._settled = version.identity

    def _take_lock(self, timeout_s: float) -> int:
        try:
            return files.take_lock(self._lock, timeout_s=timeout_s)
        except StorageError as cause:
            if cause.errno != errno.ENOENT:
                raise
            files.private_dir(self.path.parent)  # the first of all changes, or somebody removed `.cmux`
            return files.take_lock(self._lock, timeout_s=timeout_s)

    # -- under the lock: where a change starts ------------------------------------------------------------------------

    def _load(self) -> _Start:
        if not self._swept:
            self._sweep()
        seen = self._look()
        if seen is not None and seen == self._settled and seen == self._current.identity:
            return _Start(self._current)
        try:
            version = patiently(lambda: reading.read(self.path, self._current.table))
        except Twice as twice:
            return _Start(twice.version, trouble=self._trouble("twice", str(twice), self.path, twice.version.table))
        except NoRegistry as wrong:
            return self._restored("quarantined", str(wrong), seen)
        if version.identity is None and self._good.exists():
            return self._restored("missing", "the file is gone", None)
        return self._accepted(version) if version.identity else _Start(version)

    def _accepted(self, version: Version) -> _Start:
        """Take over what another process published, or what an editor put there."""
        last = self._recent.last()
        if last is None or last.published != version.content:
            killed = self._recent.intended()  # whoever was killed before noting this; it stood there all the same
            is_ours = killed is not None and killed.content == version.content
            amends = {} if is_ours else self._undone_by(version.table, last)
            if amends:
                log.warning("registry.stale_copy_amended", agents=sorted(amends)[:20], count=len(amends))
                return _Start(version, amends)
            self._copy_and_note(version.content, version.table.body(), {})
        self._take(version)
        return _Start(version)

    def _undone_by(self, theirs: Table, last: Publication | None) -> dict[str, Row | None]:
        """What a copy from before the last seconds' changes undid: those changes again.

        An agent is undone when *theirs* shows for it exactly what a change of the last seconds replaced.
        """
        replaced = self._recent.replaced() if last and last.is_recent else {}
        published = self._as_published(last) if last and replaced else None
        if published is None:
            return {}
        # What a killed writer was about to say may have been seen, and carried on by the editor.
        killed = self._recent.intended()
        excused = killed.becomes if killed else {}
        undone: dict[str, Row | None] = {}
        for agent_id, was in replaced.items():
            now, ours = theirs.row(agent_id), published.row(agent_id)
            says = fingerprint(now)
            if says in was and says not in {fingerprint(ours), excused.get(agent_id)}:
                undone[agent_id] = ours
        return undone

    def _restored(self, kind: Kind, reason: str, broken: Identity | None) -> _Start:
        """Start from the last good copy; the broken file stays until that is published, and in quarantine for good."""
        best = self._best_known()
        kept = self.path if kind == "quarantined" else None
        return _Start(Version(best, broken), trouble=self._trouble(kind, reason, kept, best))

    def _as_published(self, last: Publication) -> Table | None:
        """The agents as *last* made them, from memory or from the last good copy; None when neither knows."""
        if self._current.content == last.published:
            return self._current.table
        good = self._read_good()
        if good is None:
            return None
        if good.content == last.copy:
            rows = {name: None if entry is None else table.row(name, entry) for name, entry in last.rows.items()}
            return good.table.with_changes(rows)
        return good.table if good.content == last.published else None

    def _best_known(self) -> Table:
        last = self._recent.last()
        published = self._as_published(last) if last else None
        if published is not None:
            return published
        good = self._read_good()
        return good.table if good else self._current.table

    def _read_good(self) -> Version | None:
        try:
            good = reading.read(self._good, self._current.table)
        except (OSError, NoRegistry) as cause:
            log.warning("registry.copy_not_read", reason=str(cause))
            return None
        return good if good.identity else None

    def _trouble(self, kind: Kind, reason: str, file: Path | None, agents: Table) -> Trouble:
        at = clock.stamp(clock.now())
        kept = str(self._quarantine.keep(file, at)) if file else None
        return Trouble(kind, at, reason, kept, len(agents.entries))

    def _tell(self, trouble: Trouble) -> None:
        log.error(f"registry.{trouble.kind}", reason=trouble.reason, kept=trouble.kept, agents=trouble.agents)
        self._quarantine.note(trouble)
        if self._told:
            self._told(trouble)

    # -- under the lock: publishing -----------------------------------------------------------------------------------

    def _publish(self, start: _Start, changes: Changes) -> None:
        """Make the version to start from with *changes* the file, durably, merged with what an editor did meanwhile.

        1. Write aside, fsync.  2. Exchange.  3. What came out was not that version: merge, again from 1.  4. fsync of
        the folder; when that fails, exchange back and fail.  5. Note it; when that fails it is logged only.
        """
        base = start.version
        edited = {agent_id: base.table.row(agent_id) for agent_id in changes if agent_id not in start.amends}
        published, body, done, overtaken = self._exchange(base, changes)
        is_merged = overtaken is not None
        # Before the sync, so that one flush covers both names; a failed one takes both back.
        copied = (
            not is_merged
            and start.trouble is None
            and done.came_out is not None
            and self._burst.keep_copy(done, self._good_name)
        )
        try:
            self._folder.sync(os.path.dirname(done.path))
        except StorageError:
            self._take_back(done, base, copied=copied)
            raise
        if copied:
            self._burst.settled()
            self._recent.record(done.placed, done.came_out, changes, edited)
        else:
            files.discard(done.aside)
            self._copy_and_note(done.placed, body, {**(overtaken or {}), **edited})
        self._take(Version(published, done.identity()))

    def _take_back(self, done: Swap, base: Version, *, copied: bool) -> None:
        """Undo a publication that is not durable: who is told of a failure must not find the change later."""
        if copied and not self._burst.take_copy_back(done, self._good_name):
            self._copy_and_note(None, base.table.body(), {})
        done.undo()

    def _exchange(self, base: Version, changes: Changes) -> tuple[Table, bytes, Swap, dict[str, Row | None] | None]:
        """Exchange until nobody came between. What is published, and where that took a merge, what it replaced of the
        versions that stood there for an instant: an editor may have read one, and its copy must not undo the merge.
        """
        path, mode = self._target()
        agents, expected = base.table.with_changes(changes), base.content
        before: Swap | None = None
        overtaken: dict[str, Row | None] | None = None
        for _ in range(_EXCHANGES):
            body = _within_limit(agents.body())
            try:
                intend = partial(self._recent.intend, rows=changes)
                done = swap(path, body, expected, mode=mode, intend=intend, spare=self._burst.take())
            except OSError:
                if before:
                    before.undo()
                raise
            if before:
                files.discard(before.aside)
            if done.came_out == expected:
                break
            before, expected = done, done.placed
            merged = self._merged(base.table, changes, done.aside, agents, overtaken or {}) or agents
            overtaken = {**agents.differing(merged), **(overtaken or {})}
            agents = merged
        return agents, body, done, overtaken

    def _target(self) -> tuple[str, int]:
        """Where to publish, and with which mode. A rename would replace a symbolic link by a file: follow it."""
        try:
            found = os.lstat(self._name)
        except FileNotFoundError:
            return self._name, 0o600
        if not stat.S_ISLNK(found.st_mode):
            return self._name, stat.S_IMODE(found.st_mode)
        real = os.path.realpath(self._name)
        return real, stat.S_IMODE(os.stat(real).st_mode) if os.path.exists(real) else 0o600

    def _merged(
        self, base: Table, changes: Changes, aside: str, ours: Table, overtaken: Mapping[str, Row | None]
    ) -> Table | None:
        """What an editor put there (it is in *aside* now) with our changes; None when it is no registry.

        *ours* is what we had there before, *overtaken* what that replaced a moment ago: the editor may have read it.
        """
        theirs = self._theirs(Path(aside))
        if theirs is None:
            return None
        amends = self._undone_by(theirs, self._recent.last())
        amends |= {name: ours.row(name) for name, row in overtaken.items() if theirs.row(name) == row}
        log.info("registry.edit_merged", agents=len(theirs.entries), amended=len(amends))
        theirs = theirs.with_changes(amends)
        return theirs.with_changes(table.rebase(changes, base, theirs))

    def _theirs(self, aside: Path) -> Table | None:
        try:
            return patiently(lambda: reading.read(aside, self._current.table)).table
        except Twice as twice:
            self._tell(self._trouble("twice", str(twice), aside, twice.version.table))
            return twice.version.table
        except NoRegistry as wrong:
            self._tell(self._trouble("quarantined", str(wrong), aside, self._current.table))
            return None

    def _copy_and_note(self, published: Content | None, body: bytes, replaced: Mapping[str, Row | None]) -> None:
        copy = None
        try:
            files.replace(self._good, body, durable=False)
            copy = content_of(self._good)
        except OSError as cause:
            log.warning("registry.not_copied", reason=str(cause))
        if published:
            self._recent.record(published, copy, {}, replaced)

    def _sweep(self) -> None:
        """Clear away what killed publications left. What is neither file nor copy may be an editor's work: kept."""
        known = {files.read(self.path), files.read(self._good)}
        ours = self._recent.published()
        for stray in Path(self._target()[0]).parent.glob(f".{self.path.name}.*.tmp"):
            raw = files.read(stray)
            if raw and raw not in known and content_of(stray) not in ours and _is_registry(raw):
                self._quarantine.keep_stray(stray, clock.stamp(clock.now()))
            else:
                files.discard(stray)
        self._swept = True


def _attempt(batch: Batch, edit: Edit[Any]) -> Outcome[Any]:
    try:
        return Outcome(value=batch.apply(edit))
    except Exception as error:  # noqa: BLE001 - a fault in one edit must not fail the 63 others of its batch
        return Outcome(error=error)


def _within_limit(body: bytes) -> bytes:
    if len(body) > FILE_LIMIT_BYTES:
        raise InvalidAgent(
            f"the registry would have {len(body)} bytes; at most {FILE_LIMIT_BYTES}: unregister agents that are gone"
        )
    return body


def _is_registry(raw: bytes) -> bool:
    try:
        table.parse(raw, Table())
    except NoRegistry:
        return False
    return True
