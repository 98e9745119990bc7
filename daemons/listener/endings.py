"""How often each program ended though nobody wanted it, and which ones we owe a start. Kept on disk.

    up to 3 in ten minutes     supervisord starts it again at once, nobody is told
    more                       it is held back for 1, 2, 4 … 60 s, and somebody is told

A debt is written down before the program is held back: who dies in between pays it after the next start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from daemons import clock, files, log

WINDOW = timedelta(minutes=10)
AT_ONCE = 3
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one program. *owed* is when it has to be started again, None when nothing is owed."""

    ended: tuple[datetime, ...] = ()
    owed: datetime | None = None


class Endings:
    """The records of all programs, in the file *path*. One process writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records = _load(path)

    def add(self, name: str, now: datetime) -> None:
        """*name* has ended though nobody wanted it."""
        record = self._of(name)
        self._keep(name, replace(record, ended=(*_recent(record, now), now)))

    def count(self, name: str, now: datetime) -> int:
        """How often it did within the last ten minutes."""
        return len(_recent(self._of(name), now))

    def is_too_often(self, name: str, now: datetime) -> bool:
        return self.count(name, now) > AT_ONCE

    def pause_s(self, name: str, now: datetime) -> float:
        """How long its next start has to wait: 1 s for the first that is too many, then twice as long each time."""
        too_many = max(1, self.count(name, now) - AT_ONCE)
        return float(min(LONGEST_PAUSE_S, 2 ** min(too_many - 1, 30)))

    def owe(self, name: str, now: datetime) -> datetime:
        """Write down that *name* has to be started after its pause. When that is."""
        due = now + timedelta(seconds=self.pause_s(name, now))
        self._keep(name, replace(self._of(name), owed=due))
        return due

    def paid(self, name: str) -> None:
        """Nothing is owed to *name* any more."""
        self._keep(name, replace(self._of(name), owed=None))

    def is_owed(self, name: str) -> bool:
        return self._of(name).owed is not None

    def due(self, now: datetime) -> list[str]:
        """Who has waited long enough. A clock that was set back makes nobody wait longer than the longest pause."""
        latest = now + timedelta(seconds=LONGEST_PAUSE_S)
        return [name for name, owed in self._debts().items() if owed <= now or owed > latest]

    def next_due(self) -> datetime | None:
        """When the next debt has to be paid."""
        return min(self._debts().values(), default=None)

    def _debts(self) -> Mapping[str, datetime]:
        return {name: record.owed for name, record in self._records.items() if record.owed}

    def _of(self, name: str) -> Record:
        return self._records.get(name, Record())

    def _keep(self, name: str, record: Record) -> None:
        if record == self._of(name):
            return
        self._records[name] = record
        content = {name: _to_json(record) for name, record in self._records.items()}
        try:
            files.replace(self._path, json.dumps(content, indent=1).encode() + b"\n", durable=False)
        except files.StorageError as full:
            # Known in memory at least: a full disk keeps no program from being restarted.
            log.error("endings.not_written", reason=str(full))


def _recent(record: Record, now: datetime) -> tuple[datetime, ...]:
    # Those of a clock that has been set back since count as just now.
    return tuple(min(moment, now) for moment in record.ended if now - moment < WINDOW)


def _to_json(record: Record) -> dict[str, object]:
    owed = clock.stamp(record.owed) if record.owed else None
    return {"ended": [clock.stamp(moment) for moment in record.ended], "owed": owed}


def _load(path: Path) -> dict[str, Record]:
    try:
        raw = files.read(path)
        return {name: _parsed(told) for name, told in json.loads(raw).items()} if raw else {}
    except (ValueError, TypeError, KeyError, AttributeError) as odd:
        log.warning("endings.unreadable", path=str(path), reason=str(odd), kept="none")
        return {}


def _parsed(told: Mapping[str, object]) -> Record:
    ended, owed = told["ended"], told["owed"]
    if not isinstance(ended, list):
        raise TypeError("a list of times is expected")
    moments = tuple(clock.parse_stamp(str(moment)) for moment in ended)
    return Record(moments, clock.parse_stamp(str(owed)) if owed else None)
