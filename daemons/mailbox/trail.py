"""Where in the mailbox something stands, over rotation, deletion and truncation.

    mailbox-archive/mailbox.000001 · mailbox.000002 · … · mailbox        oldest to newest: the trail

ext4 gives a deleted file's inode to the next one (200 of 200), and a truncated file can grow past an old offset, so
inode and offset alone missed 3 to 87 % of messages. A position therefore carries a fingerprint of the file's first
line and one of the line before it: it is believed where both are found, in whichever file of the trail that is. Where
they are not, reading starts again at the first file that the position cannot have been beyond: repeats, never gaps.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from daemons import files, lines, log
from daemons.files import StorageError

FINGERPRINTED_BYTES = 256
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_TOKEN = re.compile(r"(\d{1,12})\.(\d{1,20})\.(\d{1,20})\.([0-9a-f]{0,16})\.([0-9a-f]{0,16})")


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two lines. *file* counts the mailbox files up to this one; 0: not known.

    *head* and *last* are fingerprints of the file's first line and of the line that ends here; empty at the start.
    """

    inode: int
    offset: int
    head: str = ""
    last: str = ""
    file: int = 0

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: object) -> Position:
        """ValueError when *fields* is not what `to_json` gives."""
        if not isinstance(fields, dict):
            raise ValueError("a position is a JSON object")
        try:
            numbers = {name: int(fields[name]) for name in ("inode", "offset", "file")}
            return cls(head=str(fields["head"]), last=str(fields["last"]), **numbers)
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"a position without {wrong}") from None

    def __str__(self) -> str:
        """One word, for addresses and command lines; `read_position` reads it."""
        return f"{self.file}.{self.inode}.{self.offset}.{self.head}.{self.last}"


def read_position(word: str) -> Position:
    """The position that `str(position)` wrote. ValueError when it is none."""
    parts = _TOKEN.fullmatch(word)
    if parts is None:
        raise ValueError(f"{word[:80]!r} is no position in the mailbox; give one that an earlier answer named")
    return Position(int(parts[2]), int(parts[3]), parts[4], parts[5], int(parts[1]))


def fingerprint(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def head_of(first_bytes: bytes) -> str:
    """The fingerprint of the first line of a file that starts with *first_bytes* (at least 256 if it has them)."""
    line, newline, _ = first_bytes[:FINGERPRINTED_BYTES].partition(b"\n")
    return fingerprint(line + newline)


def last_of(bytes_before: bytes) -> str:
    """The fingerprint of the line that ends *bytes_before* (at least 256 if there are): of its end, if it is long."""
    ending = bytes_before[-FINGERPRINTED_BYTES:].removesuffix(b"\n")
    return fingerprint(ending.rpartition(b"\n")[2])


def position_at(fd: int, offset: int, *, file: int = 0) -> Position:
    """The position at *offset* of the open file *fd*, with its fingerprints. Raises OSError."""
    inode = os.fstat(fd).st_ino
    if offset == 0:
        return Position(inode, 0, file=file)
    head = head_of(os.pread(fd, min(FINGERPRINTED_BYTES, offset), 0))
    return Position(inode, offset, head, last_of(_before(fd, offset)), file)


def stands_at(fd: int, position: Position) -> bool:
    """Whether what *position* remembers of its file is found in *fd*. At the start of a file there is no memory."""
    if position.offset == 0 or os.fstat(fd).st_size < position.offset:
        return False
    return position_at(fd, position.offset, file=position.file) == replace(position, inode=os.fstat(fd).st_ino)


def _before(fd: int, offset: int) -> bytes:
    start = max(0, offset - FINGERPRINTED_BYTES)
    return os.pread(fd, offset - start, start)


# -- the files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the trail. An archived one is never written to again."""

    path: Path
    number: int
    inode: int
    is_archived: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is left to read of one part."""

    part: Part
    offset: int


class Trail:
    """The mailbox *path* and the files that it was before, in *archive*. Takes no lock."""

    def __init__(self, path: Path, archive: Path) -> None:
        self.path = path
        self.archive = archive
        self._numbered = re.compile(re.escape(path.name) + r"\.(\d{6,12})")

    def parts(self) -> list[Part]:
        """All files, oldest first, as they were at one instant. StorageError when they cannot be listed."""
        while True:
            # Holding the current file open keeps its inode from being given to another: if the name still leads to
            # it after the archive was listed, nothing was rotated in between.
            with lines.opened(self.path) as fd:
                archived = self._archived()
                current = self._current(fd, archived)
                if self._inode() == (None if current is None else current.inode):
                    return archived if current is None else [*archived, current]

    def next_number(self) -> int:
        """The number of the current mailbox, which it keeps when it is archived."""
        return self._after_ours(self._archived())

    def archived_name(self, number: int) -> Path:
        return self.archive / f"{self.path.name}.{number:06d}"

    def remaining(self, since: Position | None) -> list[Stretch]:
        """What stands after *since* (None: everything), oldest first."""
        parts = self.parts()
        if since is None:
            return [Stretch(part, 0) for part in parts]
        at = self._find(parts, since)
        if at is not None:
            return [Stretch(parts[at], since.offset), *(Stretch(part, 0) for part in parts[at + 1 :])]
        if since.file and parts and parts[0].number > since.file:
            log.warning("mailbox.archive_gap", files=parts[0].number - since.file, position=str(since))
        known = any(part.number >= since.file for part in parts)  # no: the archive was emptied, numbers began anew
        return [Stretch(part, 0) for part in parts if part.number >= since.file or not known]

    def _find(self, parts: list[Part], position: Position) -> int | None:
        """Where *position* is: by content, in the file of its own inode first, then in the newest that fits."""
        newest_first = sorted(range(len(parts)), key=lambda at: (parts[at].inode != position.inode, -at))
        for at in newest_first:
            with open_part(parts[at]) as fd:
                if fd is not None and stands_at(fd, position):
                    return at
        return None

    def _current(self, fd: int | None, archived: list[Part]) -> Part | None:
        if fd is None:
            return None
        return Part(self.path, self._after_ours(archived), os.fstat(fd).st_ino, is_archived=False)

    def _after_ours(self, archived: list[Part]) -> int:
        ours = (part.number for part in archived if self._numbered.fullmatch(part.path.name))
        return max(ours, default=0) + 1

    def _inode(self) -> int | None:
        try:
            return os.stat(self.path, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise StorageError("read", self.path, cause) from cause

    def _archived(self) -> list[Part]:
        try:
            with os.scandir(self.archive) as entries:
                found = [entry for entry in entries if entry.name.startswith(self.path.name)]
                return self._in_order([(entry.name, entry.stat(follow_symlinks=False)) for entry in found])
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise StorageError("list", self.archive, cause) from cause

    def _in_order(self, found: list[tuple[str, os.stat_result]]) -> list[Part]:
        ours = {name: int(match[1]) for name, _ in found if (match := self._numbered.fullmatch(name))}
        parts = []
        for name, status in found:
            if not name.endswith(_COMPRESSED):
                number = ours.get(name) or self._number_of_foreign(status.st_mtime_ns, ours, found)
                parts.append((number, status.st_mtime_ns, Part(self.archive / name, number, status.st_ino, True)))
        return [part for _, _, part in sorted(parts, key=lambda entry: (entry[0], entry[1], entry[2].path.name))]

    def _number_of_foreign(self, mtime_ns: int, ours: dict[str, int], found: list[tuple[str, os.stat_result]]) -> int:
        """A file that someone else moved here counts as the start of the one of ours that was written to after it."""
        later = [ours[name] for name, status in found if name in ours and status.st_mtime_ns >= mtime_ns]
        return min(later, default=max(ours.values(), default=0) + 1)


@contextmanager
def open_part(part: Part) -> Iterator[int | None]:
    """The file of *part* open for reading; None when it is gone, or another one has its name by now."""
    with lines.opened(part.path) as fd:
        yield fd if fd is not None and os.fstat(fd).st_ino == part.inode else None


def move(source: Path, target: Path) -> None:
    """Rename *source* to *target*, which does not exist, durably in both folders. StorageError: nothing happened."""
    try:
        os.rename(source, target)
    except OSError as cause:
        raise StorageError("archive", source, cause) from cause
    files.reached("rotate.renamed")
    files.sync_dir(target.parent)
    files.sync_dir(source.parent)
