"""Evidence that waits to be told: one file of records an alert, until the message that holds them is out.

    .cmux/alerts/held/SENDER/….jsonl     [time, count, text] a line; kept beside the body where that has no room for all

A record is written first, then the state names how many bytes of the file count: what a killed process wrote beyond
them is written over.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from daemons import clock, files, text
from daemons.alerts.model import Held
from daemons.alerts.plain import PlainTexts
from daemons.alerts.series import NOTHING, Around, Part
from daemons.files import StorageError

# Of one alert, and of all that one sender holds; beyond that, occurrences are only counted.
HELD_LIMIT_BYTES = 32 << 20
TOTAL_LIMIT_BYTES = 64 << 20
RECORD_LIMIT = 64 << 10
# What stands before a line that was only near the evidence.
AROUND = "┊"
AROUND_LIMIT = 300
# With less room than that for a record, no other is tried.
LEAST_BYTES = 64
# What `json.dumps` does with a text, without the way there; ASCII only.
_JSON_TEXT = json.encoder.encode_basestring_ascii
# A body shows no more than 1 MiB.
_READ_LIMIT_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One occurrence, its evidence masked and safe to show."""

    at: str
    count: int
    evidence: str


def _shown(evidence: str, around: Around) -> str:
    """*evidence* made safe, secrets masked, cut when it is very long; between the lines that stood around it."""
    shown = text.mask(text.safe(evidence[: 2 * RECORD_LIMIT]))
    cut = max(0, len(evidence) - 2 * RECORD_LIMIT) + max(0, len(shown) - RECORD_LIMIT)
    if cut:
        shown = f"{shown[:RECORD_LIMIT]}\n… {cut} characters were cut here"
    before, after = (_set_apart(lines) for lines in around)
    return "\n".join((*before, shown, *after))


def _set_apart(lines: str) -> list[str]:
    """*lines* that are no evidence, so marked; masked before they are cut, so that no half of a secret stays."""
    shown = text.mask(text.safe(lines)).splitlines() if lines else []
    return [f"{AROUND} {line[:AROUND_LIMIT]}{'…' if len(line) > AROUND_LIMIT else ''}" for line in shown]


class HeldFiles:
    """The held records of one sender. The caller holds the sender's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plain = PlainTexts()

    def add(self, held: Held, parts: Iterable[Part], now: datetime) -> None:
        """Append a record of each to the file of *held*, durably, as far as there is room; others count in `cut`.

        What has no text has no record. What can find no room is not even made. Call `sync_names` before the state that
        names a new file is written.
        """
        lines: list[str] = []
        room = before = self._room(held)
        for part in parts:
            room = self._add(held, part, lines, room, _JSON_TEXT(clock.stamp(now)))
        if lines:
            held.name = held.name or f"{secrets.token_hex(8)}.jsonl"
            self._write(self.folder / held.name, held.size, "".join(lines).encode())
            held.size += before - room

    def _add(self, held: Held, part: Part, lines: list[str], room: int, stamp: str) -> int:
        """Put the records of *part* at the end of *lines*, as far as there is *room*; how much of it is left."""
        _, _, _, _, _, _, evidence_of, around, counts = part.series
        is_plain = self._plain.has
        for done, number in enumerate(part.numbers):
            if room < LEAST_BYTES:
                held.cut += Part(part.series, part.numbers[done:]).occurred
                break
            evidence = evidence_of(number)
            if not evidence:
                continue
            count = counts[number] if counts else 1
            # Of what is no secret, the line in the file is longer than the text.
            if room <= len(evidence) <= RECORD_LIMIT:
                held.cut += count
                continue
            beside = around.get(number, NOTHING)
            shown = evidence if beside == NOTHING and is_plain(evidence) else self._shown(evidence, beside)
            line = f"[{stamp}, {count}, {_JSON_TEXT(shown)}]\n"
            if len(line) > room:
                held.cut += count
                continue
            room -= len(line)
            lines.append(line)
            held.kept += count
        return room

    def _shown(self, evidence: str, around: Around) -> str:
        shown = _shown(evidence, around)
        if shown == evidence:
            self._plain.learn(evidence)
        return shown

    def _room(self, held: Held) -> int:
        """How many bytes more *held* may have."""
        others = 0
        with suppress(OSError), os.scandir(self.folder) as entries:
            others = sum(entry.stat().st_size for entry in entries if entry.name != held.name)
        return min(HELD_LIMIT_BYTES, max(0, TOTAL_LIMIT_BYTES - others)) - held.size

    def _write(self, path: Path, offset: int, data: bytes) -> None:
        files.private_dir(self.folder)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            try:
                os.ftruncate(fd, offset)
                os.lseek(fd, offset, os.SEEK_SET)
                files.write_all(fd, data)
                files.reached("held.written")
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError as cause:
            raise StorageError("write", path, cause) from cause
        files.reached("held.synced")

    def sync_names(self) -> None:
        files.sync_dir(self.folder)

    def read(self, held: Held) -> list[Record]:
        """The first records of *held*, more than a body shows; fewer when someone removed or damaged the file."""
        if held.name is None:
            return []
        try:
            with open(self.folder / held.name, "rb") as file:
                raw = file.read(min(held.size, _READ_LIMIT_BYTES))
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise StorageError("read", self.folder / held.name, cause) from cause
        found = []
        for line in raw[: raw.rfind(b"\n") + 1].splitlines():
            with suppress(ValueError, TypeError):
                at, count, evidence = json.loads(line)
                found.append(Record(str(at), int(count), str(evidence)))
        return found

    def keep(self, held: Held, path: Path) -> bool:
        """Have all records of *held* stand in *path* too, for good; done twice, it is done once. False: gone."""
        if held.name is None:
            return False
        try:
            os.link(self.folder / held.name, path)
        except FileExistsError:
            pass
        except FileNotFoundError:
            return False
        except OSError:  # no hard links here
            raw = files.read(self.folder / held.name, limit_bytes=2 * HELD_LIMIT_BYTES)
            files.replace(path, raw or b"")
        files.sync_dir(path.parent)
        return True

    def remove_all_but(self, names: Collection[str]) -> None:
        """Remove what the state on disk no longer names: told, or left by a process that was killed before that."""
        with suppress(OSError):
            for name in os.listdir(self.folder):
                if name not in names:
                    files.discard(self.folder / name)
