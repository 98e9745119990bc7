"""What happened, append-only, and the bodies that messages point to.

    .cmux/journal/2026-01-31/events.jsonl                        actor, event, reason, evidence: one JSON object a line
    .cmux/journal/2026-01-31/attachments/log-alert-185400-….md   bodies

The day is the UTC day of the event, not of the writing: an entry that is handed in again after a crash is looked for
where it would stand. Whole days are removed, never parts of one: what the journal says of a day, it says whole.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemons import clock, files, lines, text
from daemons.files import StorageError
from daemons.lines import LineFile
from daemons.settings import Settings

TEXT_LIMIT = 8192
_DEPTH_LIMIT = 8
_EVENTS = "events.jsonl"
_REMOVED = ".removed-"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the journal: its date, and how many bytes lie there."""

    name: str
    size: int


class Journal:
    """The journal of one home, as *actor* writes it. Entries are durable on return; LockBusy or StorageError if not."""

    def __init__(self, conf: Settings, actor: str) -> None:
        self._home = conf.home
        self._folder = conf.journal_dir
        self._actor = actor
        self._latest: LineFile | None = None

    # -- events -------------------------------------------------------------------------------------------------------

    def record(self, event: str, *, reason: str | None = None, **evidence: object) -> None:
        """Record that *event* (`thing.past_tense`) happened now. Secrets in *evidence* are masked, long texts cut."""
        now = clock.now()
        self._file(now).append(self._line(secrets.token_hex(8), event, now, reason, evidence))

    def record_once(
        self,
        entry_id: str,
        event: str,
        *,
        at: datetime,
        since: int,
        reason: str | None = None,
        **evidence: object,
    ) -> None:
        """Record *event*, which happened at *at*, unless an entry *entry_id* stands after the offset *since* (`end`).

        For a writer that remembers what it is about to record: handed in again after a crash, it stands there once.
        """
        file = self._file(at)
        with file.locked(5.0):
            if _has_entry(file.path, entry_id, since):
                return
            written = file.write(self._line(entry_id, event, at, reason, evidence))
        file.settle(written)

    def end(self, at: datetime) -> int:
        """Where in the file of the day of *at* the next entry will stand, or shortly before that."""
        with lines.opened(self._file(at).path) as fd:
            return 0 if fd is None else lines.end_of_last(fd)

    def entries(self) -> Iterator[dict[str, object]]:
        """All entries that are kept, oldest first. What is no JSON object (a power cut's) is passed over."""
        for day in sorted(path for path in self._folder.glob("*") if _DAY.fullmatch(path.name)):
            with lines.opened(day / _EVENTS) as fd:
                for line in lines.read(fd, 0, is_final=False) if fd is not None else ():
                    entry = _parsed(line.raw)
                    if entry is not None:
                        yield entry

    # -- days ---------------------------------------------------------------------------------------------------------

    def days(self) -> list[Day]:
        """All days that are kept, oldest first."""
        names = sorted(path.name for path in self._folder.glob("*") if _DAY.fullmatch(path.name))
        return [Day(name, _size_of(self._folder / name)) for name in names]

    def remove(self, day: Day, reason: str) -> None:
        """Remove *day* with its bodies, and record that. LockBusy or StorageError: it is there as it was.

        Recorded first: a day that is missing is accounted for, and one that was recorded and is there after all goes
        the next time. Renamed under the lock, so that nobody is about to write there.
        """
        self.record("journal.day_removed", reason=reason, day=day.name, bytes=day.size)
        with files.lock(self._folder / "lock"):
            try:
                os.rename(self._folder / day.name, self._folder / f"{_REMOVED}{day.name}-{secrets.token_hex(4)}")
            except FileNotFoundError:
                return
            except OSError as cause:
                raise StorageError("remove", self._folder / day.name, cause) from cause
            files.reached("journal.day_renamed")
        for left in self._folder.glob(f"{_REMOVED}*"):  # also what a killed removal left
            shutil.rmtree(left, ignore_errors=True)

    def _file(self, at: datetime) -> LineFile:
        file, path = self._latest, self._day(at) / _EVENTS
        if file is None or file.path != path:
            file = self._latest = LineFile(path, self._folder / "lock")
        return file

    def _day(self, at: datetime) -> Path:
        return self._folder / at.astimezone(UTC).strftime("%Y-%m-%d")

    def _line(self, entry_id: str, event: str, at: datetime, reason: str | None, evidence: dict[str, object]) -> bytes:
        entry = {"id": entry_id, "at": clock.stamp(at), "actor": self._actor, "event": event}
        if reason is not None:
            entry["reason"] = str(_showable(reason))
        # ASCII, so that no stranger's text steers the terminal of who reads it with cat.
        return json.dumps(entry | {"evidence": _showable(evidence)}, default=str).encode() + b"\n"

    # -- bodies -------------------------------------------------------------------------------------------------------

    def attach(self, kind: str, body: str, now: datetime, *, name: str | None = None) -> Path:
        """Keep *body* as a Markdown file, durably; its path relative to home, as messages name it.

        *kind* (such as `log-alert`) begins its name. The rest is unique, unless *name* is given: then the same name
        gives the same file, replaced whole.
        """
        path = self.attachment(kind, now, name or self._unused(kind, now))
        lines.make_folder(path.parent)
        files.replace(path, body.encode("utf-8", "backslashreplace"))
        return path.relative_to(self._home)

    def attachment(self, kind: str, now: datetime, name: str, suffix: str = ".md") -> Path:
        """Where `attach` keeps the body of that *kind*, time and *name*; with another *suffix*, what belongs to it."""
        for word in (kind, name):
            if not _NAME.fullmatch(word):
                raise ValueError(f"{word!r} is no name for a file; write a-z, 0-9 and -, at most 61")
        moment = now.astimezone(UTC)
        return self._day(moment) / "attachments" / f"{kind}-{moment:%H%M%S}-{name}{suffix}"

    def _unused(self, kind: str, now: datetime) -> str:
        name = secrets.token_hex(6)
        while self.attachment(kind, now, name).exists():
            name = secrets.token_hex(6)
        return name


def _has_entry(path: Path, entry_id: str, since: int) -> bool:
    with lines.opened(path) as fd:
        if fd is None:
            return False
        start = since if lines.is_start(fd, since) else 0  # not where it was: someone truncated or edited the file
        # The bytes first: parsing every line of a busy day would cost more than the append.
        wanted = json.dumps(entry_id).encode()
        for line in lines.read(fd, start, is_final=False):
            if wanted in line.raw and (_parsed(line.raw) or {}).get("id") == entry_id:
                lines.make_durable(path, line)
                return True
        return False


def _size_of(folder: Path) -> int:
    """How many bytes lie in *folder* and the folders in it. What goes meanwhile counts nothing."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return size


def _parsed(raw: bytes) -> dict[str, object] | None:
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _showable(value: object, depth: int = 0) -> object:
    """*value* with secrets masked and long texts cut, at any depth."""
    if isinstance(value, str):
        masked = text.mask(value)
        cut = len(masked) - TEXT_LIMIT
        return masked if cut <= 0 else f"{masked[:TEXT_LIMIT]}… ({cut} characters cut)"
    if depth < _DEPTH_LIMIT and isinstance(value, dict):
        return {str(name): _showable(inner, depth + 1) for name, inner in value.items()}
    if depth < _DEPTH_LIMIT and isinstance(value, list | tuple | set | frozenset):
        return [_showable(inner, depth + 1) for inner in value]
    return value if isinstance(value, int | float | None) else _showable(str(value), depth)
