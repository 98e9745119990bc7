"""What went wrong with the registry's file, and the file as it was then.

`.quarantine/` holds every registry that could not be read, as it was, and beside it a note that says when and why.
Whoever raises alerts reads the notes: each stands for one alert, whichever process found the trouble.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from daemons import files, log, strict_json
from daemons.files import StorageError
from daemons.strict_json import BadJson

_STRAYS_KEPT = 20

Kind = Literal["quarantined", "missing", "twice"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that happened to the registry, and that someone must know of.

    `quarantined`: it was none; *kept* is it as it was, *agents* is how many the last good copy brought back.
    `missing`: it was gone; likewise. `twice`: a key stood there twice; the last one counts, *kept* holds both.
    """

    kind: Kind
    at: str
    reason: str
    kept: str | None
    agents: int

    @property
    def key(self) -> str:
        """Names this trouble for good: one alert."""
        return f"{self.kind}-{self.at}"


class Quarantine:
    """The folder of registries that were none. Calls that add something are under the registry's lock."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = name

    def keep(self, file: Path, at: str) -> Path:
        """Let *file* be kept as it is: a second name for it, so that an editor's late write arrives there too.

        StorageError when it cannot be. A file that is kept already keeps its name.
        """
        files.private_dir(self.folder)
        inode = os.stat(file).st_ino
        for kept in self.folder.glob(f"{self._name}.*"):
            if kept.stat().st_ino == inode:
                return kept
        kept = self._free_name(at)
        try:
            os.link(file, kept)
        except OSError:
            files.replace(kept, files.read(file) or b"", durable=False)
        return kept

    def note(self, trouble: Trouble) -> None:
        """Write down *trouble* for whoever raises alerts. A failure is logged, no more."""
        note = self.folder / f"{trouble.at.replace(':', '')}-{trouble.kind}.note.json"
        try:
            files.private_dir(self.folder)
            files.replace(note, strict_json.dumps(asdict(trouble)) + b"\n")
        except StorageError as cause:
            log.warning("registry.trouble_not_noted", reason=str(cause))

    def troubles(self) -> list[Trouble]:
        """All that was noted, oldest first. Needs no lock."""
        notes = sorted(self.folder.glob("*.note.json"))
        return [trouble for trouble in map(_trouble, notes) if trouble]

    def keep_stray(self, stray: Path, at: str) -> None:
        """Put away what a killed publication left: it may hold an editor's work. The newest 20 stay."""
        files.private_dir(self.folder)
        with suppress(OSError):
            os.rename(stray, self.folder / f"stray-{at.replace(':', '')}-{secrets.token_hex(3)}.json")
        strays = sorted(self.folder.glob("stray-*.json"))
        for old in strays[:-_STRAYS_KEPT]:
            files.discard(old)

    def _free_name(self, at: str) -> Path:
        return self.folder / f"{self._name}.{at.replace(':', '')}-{secrets.token_hex(3)}"


def _trouble(note: Path) -> Trouble | None:
    try:
        return Trouble(**strict_json.loads(files.read(note) or b""))
    except (BadJson, StorageError, TypeError):
        return None
