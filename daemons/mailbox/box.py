"""The mailbox: one file through which everybody tells everybody something, one message a line.

Other programs may append too, holding `flock` on `<mailbox>.lock`. Nobody needs a lock to read.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemons import files, lines, log
from daemons.lines import LineFile, Written
from daemons.mailbox.follower import Delivery, Follower, consumers, deliveries, oldest_needed
from daemons.mailbox.message import Message, Notation, check_address, is_address, to_line
from daemons.mailbox.trail import (
    FINGERPRINTED_BYTES,
    Position,
    Trail,
    head_of,
    last_of,
    move,
    open_part,
    position_at,
)
from daemons.settings import Settings

ROTATE_AT_BYTES = 16 << 20
# Older archived files are removed once every consumer has read them, and at four times as many whatever happens.
ARCHIVES_KEPT = 64
_KEPT_FOR_SLOW_CONSUMERS = 4
_SHOWN = 100


@dataclass(slots=True)
class Counts:
    """What stands in the current mailbox file; *unparsable* holds the first line numbers of *unparsable_total*."""

    messages: int = 0
    unparsable_total: int = 0
    unparsable: list[int] = field(default_factory=list)
    recipients: Counter[str] = field(default_factory=Counter)

    def undelivered(self, served: Collection[str]) -> int:
        return sum(count for name, count in self.recipients.items() if name not in served)


@dataclass(frozen=True, slots=True)
class Claim:
    """That a line with this fingerprint was posted at this position: what the journal says of it."""

    position: Position
    digest: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of the claims: found where they said, found elsewhere, in archives removed since, twice, or not."""

    in_place: int
    moved: int
    removed: int
    repeated: tuple[Claim, ...]
    missing: tuple[Claim, ...]


def of(conf: Settings) -> Mailbox:
    """The mailbox that the settings name."""
    return Mailbox(
        conf.mailbox,
        session=conf.session,
        notation=conf.mailbox_format,
        archive_dir=conf.archive_dir,
        cursors_dir=conf.cursors_dir,
    )


def _new_id() -> str:
    import uuid  # 10 ms that no command needs which only reads

    return str(uuid.uuid4())


def digest_of(line: bytes) -> str:
    """What names a whole line in the journal."""
    return hashlib.blake2b(line, digest_size=16).hexdigest()


class Mailbox:
    """The mailbox at *path*. Bare names belong to *session*; *notation* is what is written; both are read.

    *archive_dir* must be on the same file system as *path*, else the mailbox just grows.
    """

    def __init__(
        self,
        path: Path,
        *,
        session: str,
        notation: Notation,
        archive_dir: Path,
        cursors_dir: Path | None = None,
        rotate_at_bytes: int = ROTATE_AT_BYTES,
        archives_kept: int = ARCHIVES_KEPT,
    ) -> None:
        self.path = path
        self.session = session
        self.notation = notation
        self.rotate_at_bytes = rotate_at_bytes
        self._archives_kept = archives_kept
        self.trail = Trail(path, archive_dir)
        self._cursors = cursors_dir or archive_dir.with_name("cursors")
        self._file = LineFile(path, path.with_name(f"{path.name}.lock"))
        self._census: tuple[Position, Counts] | None = None
        self._head = (b"", "")
        self._rotation_failed = False
        self._may_be_large = True

    # -- writing ------------------------------------------------------------------------------------------------------

    def line_of(self, message: Message) -> bytes:
        """*message* as it will stand in the file. Unsendable, with the reason, when it cannot."""
        sender, to = check_address(message.sender, self.session), check_address(message.to, self.session)
        if (sender, to) != (message.sender, message.to):
            message = replace(message, sender=sender, to=to)
        if self.notation == "jsonl":
            message = replace(message, id=message.id or _new_id(), status=message.status or "submitted")
        return to_line(message, self.notation)

    def post(self, message: Message, *, timeout_s: float = 5.0) -> Position:
        """Append *message*: whole or not at all, durable on return. Where it stands.

        Unsendable, LockBusy or StorageError: it is not there.
        """
        return self.post_line(self.line_of(message), timeout_s=timeout_s)

    def post_line(self, line: bytes, *, timeout_s: float = 5.0) -> Position:
        """Append *line*, which `line_of` gave."""
        with self._file.locked(timeout_s):
            written = self._append(line)
        return self._settled(written, timeout_s)

    def post_once(self, line: bytes, *, since: Position | None, timeout_s: float = 5.0) -> Position:
        """Append *line*, which `line_of` gave, unless it stands there already after *since*. Durable; where it is.

        For a sender that remembers what it is about to send: handed in again after a crash, it stands there once.
        """
        with self._file.locked(timeout_s):
            found = self._find(line, since)
            if found is not None:
                return found
            written = self._append(line)
            number = self.trail.next_number()
        return self._settled(written, timeout_s, file=number)

    def end(self) -> Position:
        """Where the next message will stand, or shortly before that."""
        with lines.opened(self.path) as fd:
            number = self.trail.next_number()
            if fd is None:
                return Position(0, 0, file=number)
            return position_at(fd, lines.end_of_last(fd), file=number)

    def rotate(self, *, timeout_s: float = 5.0) -> Path | None:
        """Move the mailbox to the archive; the next message starts a new one. Where it went; None: it was empty."""
        with self._file.locked(timeout_s):
            return self._rotate()

    def _append(self, line: bytes) -> Written:
        # A look at the size costs as much as the write; who has just appended knows it.
        if self._may_be_large:
            self._rotate_if_large()
        written = self._file.write(line)
        self._may_be_large = written.offset + len(line) >= self.rotate_at_bytes
        return written

    def _settled(self, written: Written, timeout_s: float, *, file: int = 0) -> Position:
        """Where *written* is, once it is durable. Out of the lock: what lies before a line does not change any more."""
        try:
            position = self._position_of(written, file)
        finally:
            self._file.settle(written, timeout_s=timeout_s)
        return position

    def _position_of(self, written: Written, file: int) -> Position:
        """As `position_at`, but nearly all of it is known. Raises OSError."""
        if written.offset == 0:
            return Position(written.kept.inode, 0, file=file)
        start = os.pread(written.kept.fd, min(FINGERPRINTED_BYTES, written.offset), 0)
        known, head = self._head
        if known != start:
            head = head_of(start)
            self._head = (start, head)
        return Position(written.kept.inode, written.offset, head, last_of(written.before), file)

    def _find(self, line: bytes, since: Position | None) -> Position | None:
        for stretch in self.trail.remaining(since):
            with open_part(stretch.part) as fd:
                if fd is None:
                    continue
                for found in lines.read(fd, stretch.offset, is_final=False):
                    if found.raw == line:
                        lines.make_durable(stretch.part.path, found)
                        return position_at(fd, found.start, file=stretch.part.number)
        return None

    def _rotate_if_large(self) -> None:
        try:
            if os.stat(self.path, follow_symlinks=False).st_size >= self.rotate_at_bytes:
                self._rotate()
                self._rotation_failed = False
        except FileNotFoundError:
            return
        except OSError as reason:
            # A mailbox that cannot be archived grows: worse is to refuse the message.
            if not self._rotation_failed:
                log.warning("mailbox.rotation_failed", reason=str(reason))
            self._rotation_failed = True

    def _rotate(self) -> Path | None:
        with lines.opened(self.path) as fd:
            if fd is None or os.fstat(fd).st_size == 0:
                return None
        self._file.mend()
        files.private_dir(self.trail.archive)
        number = self.trail.next_number()
        target = self.trail.archived_name(number)
        move(self.path, target)
        self._prune(number)
        return target

    def _prune(self, newest: int) -> None:
        needed = oldest_needed(self._cursors)
        for part in self.trail.parts():
            behind = newest - part.number
            is_read = part.number < needed or behind >= _KEPT_FOR_SLOW_CONSUMERS * self._archives_kept
            if part.is_archived and behind >= self._archives_kept and is_read:
                files.discard(part.path)
                log.info("mailbox.archive_removed", file=str(part.path))

    # -- reading ------------------------------------------------------------------------------------------------------

    def follow(self, name: str) -> Follower:
        """The consumer *name*, who gets every message at least once, from the oldest that is kept on."""
        return Follower(self.trail, self._cursors, self.qualified(name))

    def after(self, position: Position | None) -> Iterator[Delivery]:
        """All that stands after *position* (None: everything that is kept), oldest first."""
        return deliveries(self.trail, position)

    def inbox(self, address: str) -> list[Delivery]:
        """The messages to *address* that the consumer of that name has not committed."""
        follower = self.follow(address)
        return [mail for mail in self.after(follower.position()) if self._recipient(mail) == follower.name]

    def receipts(self, sender: str) -> list[tuple[Delivery, bool | None]]:
        """What *sender* sent, oldest first, and whether its recipient has read it; None: nobody reads there yet."""
        whole = self.qualified(sender)
        sent = [mail for mail in self.after(None) if mail.message and self.qualified(mail.message.sender) == whole]
        known = consumers(self._cursors)
        names = {name for mail in sent if (name := self._recipient(mail)) in known}
        unread = {(mail.position.file, mail.position.offset) for name in names for mail in self.inbox(name or "")}
        return [
            (mail, (mail.position.file, mail.position.offset) not in unread if self._recipient(mail) in names else None)
            for mail in sent
        ]

    def undelivered(self, served: Iterable[str]) -> list[Delivery]:
        """The messages to an address that nobody serves: not in *served*, not `user`, no consumer of that name."""
        known = self._known(served)
        return [mail for mail in self.after(None) if mail.message and self._recipient(mail) not in known]

    def undelivered_count(self, served: Iterable[str]) -> int:
        """How many messages of the current file are `undelivered`. Cheap when asked again."""
        return self.counts().undelivered(self._known(served))

    def counts(self) -> Counts:
        """Counts of the current file. Cheap when asked again: only what came since is read."""
        start = Position(0, 0, file=self.trail.next_number())
        at, counts = self._census if self._census and self._census[0].file == start.file else (start, Counts())
        for mail in self.after(at):
            if mail.position.offset < at.offset:  # it was truncated or replaced
                counts = Counts()
            at = mail.end
            self._count(mail, counts)
        self._census = (at, counts)
        return counts

    def _count(self, mail: Delivery, counts: Counts) -> None:
        if mail.message is None:
            counts.unparsable_total += 1
            if len(counts.unparsable) < _SHOWN:
                counts.unparsable.append(mail.line_number)
        else:
            counts.messages += 1
            counts.recipients[self.qualified(mail.message.to)] += 1

    def _known(self, served: Iterable[str]) -> frozenset[str]:
        return frozenset(map(self.qualified, (*served, "user", *consumers(self._cursors))))

    def _recipient(self, mail: Delivery) -> str | None:
        return None if mail.message is None else self.qualified(mail.message.to)

    def qualified(self, name: str) -> str:
        """*name* as a whole address; what is none stays as it is."""
        return check_address(name, self.session) if is_address(name) else name

    def verify(self, claims: Iterable[Claim]) -> Proof:
        """Prove from the files that every claimed line stands in them, once."""
        wanted = list(claims)
        found: dict[str, list[Position]] = {claim.digest: [] for claim in wanted}
        for delivery in self.after(None):
            places = found.get(digest_of(delivery.raw))
            if places is not None:
                places.append(delivery.position)
        oldest = min((part.number for part in self.trail.parts()), default=0)
        return _proof(wanted, found, oldest)


def _proof(claims: list[Claim], found: dict[str, list[Position]], oldest: int) -> Proof:
    def is_in_place(claim: Claim) -> bool:
        ours = (claim.position.offset, claim.position.head, claim.position.last)
        return any((place.offset, place.head, place.last) == ours for place in found[claim.digest])

    there = [claim for claim in claims if found[claim.digest]]
    gone = [claim for claim in claims if not found[claim.digest]]
    in_place = sum(map(is_in_place, there))
    missing = tuple(claim for claim in gone if not 0 < claim.position.file < oldest)
    return Proof(
        in_place=in_place,
        moved=len(there) - in_place,
        removed=len(gone) - len(missing),
        repeated=tuple(claim for claim in there if len(found[claim.digest]) > 1),
        missing=missing,
    )
