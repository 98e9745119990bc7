"""Tests of daemons.mailbox: posting, following, rotation, proof. Lines alone are in test_message.py."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemons import clock, files, mailbox, settings
from daemons.files import LockBusy, StorageError
from daemons.mailbox import Claim, Mailbox, Message, Position, Unsendable, digest_of, read_position
from tests.conftest import eventually
from tests.drills import kills

CHILD_ENV = dict(os.environ, PYTHONPATH=str(settings.CODE))
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def make(folder: Path, **changed: object) -> Mailbox:
    asked = {"session": "cmux", "notation": "line", "archive_dir": folder / "mailbox-archive"} | changed
    return Mailbox(folder / "mailbox", **asked)


@pytest.fixture
def inbox(tmp_path):
    return make(tmp_path)


def note(subject: object, to: str = "b") -> Message:
    return Message(NOON, "a", to, str(subject))


def subjects(deliveries) -> list[str]:
    return [mail.message.subject for mail in deliveries if mail.message]


def drain(follower) -> list[str]:
    """Everything new, each committed after it was handled."""
    handled = []
    while found := follower.new():
        for mail in found:
            handled += subjects([mail])
            follower.commit(mail)
    return handled


# -- posting ----------------------------------------------------------------------------------------------------------


def test_a_message_becomes_one_private_line(inbox):
    inbox.post(note("hello"))

    assert inbox.path.read_bytes() == b"[2026-01-31T12:00:00+00:00] cmux:a -> cmux:b: hello\n"
    assert stat.S_IMODE(inbox.path.stat().st_mode) == 0o600


def test_a_json_message_gets_an_id_and_a_status(tmp_path):
    inbox = make(tmp_path, notation="jsonl")

    inbox.post(note("hello"))
    inbox.post(Message(NOON, "a", "b", "x", id="7", status="read"))

    first, second = map(json.loads, inbox.path.read_text().splitlines())
    assert (len(first["id"]), first["status"]) == (36, "submitted")
    assert (second["id"], second["status"]) == ("7", "read")


def test_both_notations_are_read_in_one_file(tmp_path):
    make(tmp_path).post(note(1))
    make(tmp_path, notation="jsonl").post(note(2))
    inbox = make(tmp_path)
    inbox.post(note(3))

    assert subjects(inbox.after(None)) == ["1", "2", "3"]


def test_what_would_not_read_back_leaves_no_trace(inbox):
    with pytest.raises(Unsendable):
        inbox.post(Message(NOON, "a\nb", "c", "x"))

    assert not inbox.path.exists()


@pytest.mark.parametrize("make_it", [os.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_a_mailbox_that_is_no_file_is_refused_at_once(inbox, make_it):
    make_it(inbox.path)
    begun = clock.monotonic()

    with pytest.raises(StorageError):
        inbox.post(note(1))
    with pytest.raises(StorageError):
        inbox.end()

    assert clock.monotonic() - begun < 1


def test_a_full_disk_is_told_and_changes_nothing(inbox, monkeypatch):
    inbox.post(note(1))
    before = inbox.path.read_bytes()

    def full(fd, data):
        os.write(fd, data[:10])
        raise OSError(28, "full")

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(StorageError, match="disk is full"):
        inbox.post(note(2))

    assert inbox.path.read_bytes() == before


def test_a_lock_that_stays_taken_names_its_holder(inbox):
    inbox.post(note(1))
    with files.lock(Path(f"{inbox.path}.lock")), pytest.raises(LockBusy, match=rf"pid {os.getpid()} "):
        inbox.post(note(2), timeout_s=0.1)


@pytest.mark.parametrize("size", [300, 70_000, 1 << 20])
def test_many_writers_never_tear_or_mix_lines(tmp_path, size):
    writers, each = (3, 3) if size == 1 << 20 else (5, 15)
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.test_mailbox import make, note\n"
        "who, each, size = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])\n"
        "box = make(Path(sys.argv[1]))\n"
        "for n in range(each):\n"
        "    box.post(note(f'{who}.{n}.' + who * size), timeout_s=30)\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, chr(65 + at), str(each), str(size)], env=CHILD_ENV)
        for at in range(writers)
    ]

    assert [child.wait() for child in children] == [0] * writers
    found = subjects(make(tmp_path).after(None))
    wanted = {f"{chr(65 + at)}.{n}.{chr(65 + at) * size}" for at in range(writers) for n in range(each)}
    assert len(found) == writers * each
    assert set(found) == wanted


def test_threads_of_one_process_share_a_mailbox(inbox):
    def post(who: int) -> None:
        for n in range(20):
            inbox.post(note(f"{who}.{n}"), timeout_s=30)

    threads = [threading.Thread(target=post, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(subjects(inbox.after(None))) == Counter(f"{who}.{n}" for who in range(8) for n in range(20))


def test_killed_writers_leave_whole_lines_and_lose_nothing_acknowledged(tmp_path):
    outcome = kills.kill_writers(tmp_path, rounds=3)

    assert outcome.acknowledged >= 9
    assert outcome.faults() == []


def test_a_killed_reader_gets_every_message_over_rotation_and_killed_writers(tmp_path):
    outcome = kills.kill_readers_and_writers(tmp_path, rounds=3)

    assert outcome.acknowledged >= 9
    assert outcome.faults() == []


# -- once -------------------------------------------------------------------------------------------------------------


def test_posting_once_finds_what_a_dead_sender_had_posted(inbox):
    inbox.post(note("before"))
    since, line = inbox.end(), inbox.line_of(note("once"))
    first = inbox.post_once(line, since=since)
    inbox.post(note("after"))

    again = inbox.post_once(line, since=since)

    assert (again.offset, again.head, again.last) == (first.offset, first.head, first.last)
    assert subjects(inbox.after(None)) == ["before", "once", "after"]


def test_posting_once_finds_it_in_the_archive(inbox):
    inbox.post(note("before"))
    since, line = inbox.end(), inbox.line_of(note("once"))
    inbox.post_once(line, since=since)
    for n in range(3):
        inbox.rotate()
        inbox.post(note(n))

    inbox.post_once(line, since=since)

    assert subjects(inbox.after(None)) == ["before", "once", "0", "1", "2"]


def test_the_same_line_may_stand_there_before_and_is_posted_again(inbox):
    line = inbox.line_of(note("again"))
    inbox.post_line(line)

    inbox.post_once(line, since=inbox.end())

    assert subjects(inbox.after(None)) == ["again", "again"]


def test_posting_once_into_nothing_yet(inbox):
    since, line = inbox.end(), inbox.line_of(note("once"))

    inbox.post_once(line, since=since)
    inbox.post_once(line, since=since)
    inbox.post_once(line, since=None)

    assert subjects(inbox.after(None)) == ["once"]


# -- following --------------------------------------------------------------------------------------------------------


def test_a_consumer_gets_everything_once_and_then_what_is_new(inbox):
    inbox.post(note(1))
    follower = inbox.follow("router")
    assert drain(follower) == ["1"]
    assert drain(follower) == []

    inbox.post(note(2))

    assert drain(inbox.follow("router")) == ["2"]
    assert drain(inbox.follow("another")) == ["1", "2"]


def test_what_was_not_committed_comes_again(inbox):
    for n in range(3):
        inbox.post(note(n))
    follower = inbox.follow("router")

    follower.commit(follower.new()[0])

    assert subjects(follower.new()) == ["1", "2"]
    assert subjects(inbox.follow("router").new()) == ["1", "2"]
    assert subjects(follower.new(limit=1)) == ["1"]


def test_a_cursor_is_private_and_survives_any_name(inbox, tmp_path):
    inbox.post(note(1))
    names = ["cmux:a/b", "../../etc/passwd", "ö" * 300, "", ".", "a b%2F"]
    for name in names:
        assert drain(inbox.follow(name)) == ["1"]

    saved = sorted((tmp_path / "cursors").iterdir())
    assert len(saved) == len(names)
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved} == {0o600}
    assert all(drain(inbox.follow(name)) == [] for name in names)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0\0\0", b"[1]", b'{"inode": "x"}', b"\xff"])
def test_a_cursor_that_cannot_be_read_repeats_and_loses_nothing(inbox, tmp_path, damage):
    inbox.post(note(1))
    drain(inbox.follow("router"))
    (tmp_path / "cursors" / "cmux:router.json").write_bytes(damage)

    assert drain(inbox.follow("router")) == ["1"]
    assert drain(inbox.follow("router")) == []


def test_half_a_line_is_waited_for(inbox):
    inbox.post(note(1))
    follower = inbox.follow("router")
    drain(follower)
    with inbox.path.open("ab") as stranger:
        stranger.write(b"[2026-01-31T12:00:00Z] a -> b: by ")
        stranger.flush()
        assert drain(follower) == []

        stranger.write(b"hand\n")
        stranger.flush()

    assert drain(follower) == ["by hand"]


def test_a_line_that_is_no_message_is_told_with_its_number_and_stops_nobody(inbox):
    inbox.post(note(1))
    with inbox.path.open("ab") as stranger:
        stranger.write(b"what is this\n\n\r\n" + b"\0" * 20 + b"\n")
    inbox.post(note(2))

    found = inbox.follow("router").new()

    assert subjects(found) == ["1", "2"]
    told = [(mail.line_number, mail.problem) for mail in found if mail.message is None]
    assert [number for number, _ in told] == [2, 5]
    assert "neither starts" in told[0][1]
    counts = inbox.counts()
    assert (counts.messages, counts.unparsable_total, counts.unparsable) == (2, 2, [2, 5])


def test_a_nul_tail_of_a_power_cut_spoils_no_message(inbox):
    inbox.post(note(1))
    follower = inbox.follow("router")
    drain(follower)
    with inbox.path.open("ab") as cut:
        cut.write(b"\0" * 300)
    assert drain(follower) == []

    inbox.post(note(2))

    assert drain(follower) == ["2"]


def test_rotation_moves_the_whole_mailbox_and_the_next_message_starts_a_new_one(inbox, tmp_path):
    inbox.post(note(1))

    archived = inbox.rotate()

    assert archived == tmp_path / "mailbox-archive" / "mailbox.000001"
    assert not inbox.path.exists()
    assert inbox.rotate() is None
    inbox.post(note(2))
    assert inbox.rotate().name == "mailbox.000002"
    assert subjects(inbox.after(None)) == ["1", "2"]


def test_a_large_mailbox_rotates_by_itself_and_readers_miss_nothing(tmp_path):
    inbox = make(tmp_path, rotate_at_bytes=300)
    follower = inbox.follow("router")
    handled = []
    for n in range(40):
        inbox.post(note(n))
        if n % 7 == 3:
            handled += drain(follower)

    assert handled + drain(follower) == [str(n) for n in range(40)]
    assert len(list((tmp_path / "mailbox-archive").iterdir())) > 4


def test_a_mailbox_that_cannot_be_archived_goes_on(tmp_path, capsys):
    (tmp_path / "mailbox-archive").write_text("no folder")
    inbox = make(tmp_path, rotate_at_bytes=100)

    for n in range(5):
        inbox.post(note(n))

    assert inbox.path.read_bytes().count(b"\n") == 5
    assert capsys.readouterr().err.count("rotation_failed") == 1


def test_archives_are_kept_for_a_slow_consumer_but_not_for_ever(tmp_path, capsys):
    inbox = make(tmp_path, archives_kept=2)
    archive = tmp_path / "mailbox-archive"
    for n in range(5):
        inbox.post(note(n))
        inbox.rotate()
    assert len(list(archive.iterdir())) == 2

    slow = inbox.follow("slow")
    slow.commit(slow.new()[0])
    for n in range(5, 9):
        inbox.post(note(n))
        inbox.rotate()
    assert len(list(archive.iterdir())) == 6
    assert subjects(slow.new()) == ["4", "5", "6", "7", "8"]

    for n in range(9, 13):
        inbox.post(note(n))
        inbox.rotate()
    assert drain(slow) == ["5", "6", "7", "8", "9", "10", "11", "12"]
    assert "archive_gap" in capsys.readouterr().err


def begun(inbox: Mailbox):
    for n in range(3):
        inbox.post(note(n))
    follower = inbox.follow("router")
    assert drain(follower) == ["0", "1", "2"]
    return follower


def test_a_reader_survives_deletion(inbox):
    follower = begun(inbox)

    inbox.path.unlink()
    assert drain(follower) == []
    inbox.post(note("new"))

    assert drain(follower) == ["new"]


def test_a_reader_survives_deletion_with_the_inode_used_again(inbox):
    follower = begun(inbox)
    inode = inbox.path.stat().st_ino

    inbox.path.unlink()
    for n in range(5):
        inbox.post(note(f"new {n}"))
    if inbox.path.stat().st_ino == inode:  # most file systems do that; where not, nothing is lost either
        assert inbox.end().offset > follower.position().offset

    assert drain(follower) == [f"new {n}" for n in range(5)]


def test_a_reader_survives_truncation_and_regrowth_beyond_its_offset(inbox):
    follower = begun(inbox)

    os.truncate(inbox.path, 0)
    assert drain(follower) == []
    for n in range(9):
        inbox.post(note(f"new {n}"))

    assert drain(follower) == [f"new {n}" for n in range(9)]


def test_a_reader_survives_an_editor_that_writes_the_file_anew(inbox):
    follower = begun(inbox)
    inbox.post(note("unread"))
    copy = inbox.path.with_name("copy")
    copy.write_bytes(inbox.path.read_bytes())
    copy.rename(inbox.path)

    assert drain(follower) == ["unread"]


def test_a_reader_survives_an_editor_that_removes_lines(inbox):
    follower = begun(inbox)
    inbox.post(note("unread"))
    kept = inbox.path.read_bytes().splitlines(keepends=True)[2:]
    inbox.path.write_bytes(b"".join(kept))

    assert drain(follower) == ["2", "unread"]


def test_a_reader_finishes_what_others_moved_to_the_archive(inbox, tmp_path):
    follower = begun(inbox)
    inbox.rotate()
    for n in range(2):
        inbox.post(note(f"unread {n}"))
        inbox.path.rename(tmp_path / "mailbox-archive" / f"mailbox-by-hand-{n}")
    inbox.post(note("current"))
    inbox.rotate()
    inbox.post(note("last"))

    assert drain(follower) == ["unread 0", "unread 1", "current", "last"]


def test_a_reader_survives_truncation_followed_by_rotation(inbox):
    follower = begun(inbox)
    os.truncate(inbox.path, 0)
    inbox.post(note("unread"))
    inbox.rotate()
    inbox.post(note("current"))

    assert drain(follower) == ["unread", "current"]


def test_a_reader_survives_an_emptied_archive(inbox, tmp_path):
    follower = begun(inbox)
    for n in range(3):
        inbox.rotate()
        inbox.post(note(f"later {n}"))
    assert len(drain(follower)) == 3
    for path in (tmp_path / "mailbox-archive").iterdir():
        path.unlink()
    inbox.path.unlink()
    inbox.post(note("new"))

    assert drain(follower) == ["new"]


def test_a_late_half_line_in_a_moved_file_is_told(inbox, tmp_path):
    inbox.post(note(1))
    with inbox.path.open("ab") as stranger:
        stranger.write(b"half")
    (tmp_path / "mailbox-archive").mkdir()
    inbox.path.rename(tmp_path / "mailbox-archive" / "mailbox.old")
    inbox.post(note(2))

    found = inbox.follow("router").new()

    assert [mail.raw for mail in found][1] == b"half"
    assert subjects(found) == ["1", "2"]


def test_a_compressed_archive_is_passed_over(inbox, tmp_path):
    inbox.post(note(1))
    inbox.rotate()
    (tmp_path / "mailbox-archive" / "mailbox.old.gz").write_bytes(b"\x1f\x8b\0\0")

    assert [mail.problem for mail in inbox.after(None)] == [None]


# -- who reads it -----------------------------------------------------------------------------------------------------


def test_an_inbox_holds_what_its_owner_has_not_committed(inbox):
    for n, to in enumerate(["worker-a", "worker-b", "cmux:worker-a"]):
        inbox.post(note(n, to))
    assert subjects(inbox.inbox("worker-a")) == ["0", "2"]

    follower = inbox.follow("worker-a")
    follower.commit(follower.new()[0])

    assert subjects(inbox.inbox("cmux:worker-a")) == ["2"]


def test_mail_for_an_address_that_nobody_serves_stays_visible(inbox):
    for n, to in enumerate(["worker-a", "nobody", "user", "reader"]):
        inbox.post(note(n, to))
    drain(inbox.follow("reader"))

    assert subjects(inbox.undelivered(["worker-a"])) == ["1"]
    assert inbox.undelivered_count(["worker-a"]) == 1
    assert inbox.undelivered_count([]) == 2
    inbox.post(note(4, "nobody"))
    assert inbox.undelivered_count(["worker-a"]) == 2


def test_counts_begin_anew_with_the_file(inbox):
    for n in range(3):
        inbox.post(note(n))
    assert inbox.counts().messages == 3

    os.truncate(inbox.path, 0)
    inbox.post(note("new"))
    assert inbox.counts().messages == 1

    inbox.rotate()
    inbox.post(note("newer"))
    inbox.post(note("newest"))
    assert inbox.counts().messages == 2


# -- proof ------------------------------------------------------------------------------------------------------------


def test_claims_are_proven_against_the_files(inbox):
    lines = [inbox.line_of(note(n)) for n in range(4)]
    claims = [Claim(inbox.post_line(line), digest_of(line)) for line in lines]
    inbox.rotate()
    inbox.post_line(lines[3])

    proof = inbox.verify([*claims, Claim(Position(1, 2), digest_of(b"never posted\n"))])

    assert (proof.in_place, proof.moved) == (4, 0)
    assert [claim.digest for claim in proof.repeated] == [digest_of(lines[3])]
    assert [claim.digest for claim in proof.missing] == [digest_of(b"never posted\n")]


def test_a_line_that_an_editor_moved_is_found_elsewhere(inbox):
    lines = [inbox.line_of(note(n)) for n in range(3)]
    claims = [Claim(inbox.post_line(line), digest_of(line)) for line in lines]
    inbox.path.write_bytes(b"".join(lines[1:]))

    proof = inbox.verify(claims)

    assert (proof.in_place, proof.moved, len(proof.missing)) == (0, 2, 1)


def test_what_retention_removed_is_not_missing(tmp_path):
    inbox = make(tmp_path, archives_kept=1)
    lines = [inbox.line_of(note(n)) for n in range(3)]
    claims = []
    for line in lines:
        claims.append(Claim(inbox.post_once(line, since=inbox.end()), digest_of(line)))
        inbox.rotate()

    proof = inbox.verify(claims)

    assert (proof.in_place, proof.removed, len(proof.missing)) == (1, 2, 0)


def test_a_position_reads_back_from_a_word_and_from_json(inbox):
    inbox.post(note(1))
    here = inbox.end()

    assert read_position(str(here)) == here
    assert Position.from_json(json.loads(json.dumps(here.to_json()))) == here
    assert read_position(str(Position(0, 0))) == Position(0, 0)
    for wrong in ("", "1.2.3", "1.2.3.zz.", "9" * 40, "../x"):
        with pytest.raises(ValueError, match="no position"):
            read_position(wrong)


def test_the_mailbox_of_the_settings(conf):
    mailbox.of(conf).post(note(1))

    eventually(conf.mailbox.exists)
    assert subjects(mailbox.of(conf).after(None)) == ["1"]


# -- what waits for whom ----------------------------------------------------------------------------------------------


@pytest.fixture
def unread(inbox, tmp_path):
    return mailbox.Unread(inbox, tmp_path / "cursors")


def test_unread_counts_follow_messages_and_cursors(inbox, unread):
    for number in range(3):
        inbox.post(note(number))
    inbox.post(note("for c", to="c"))
    assert unread.counts(["b", "c", "d"]) == {"b": 3, "c": 1}

    follower = inbox.follow("b")
    follower.commit(follower.new()[1])
    assert unread.counts(["b", "c"]) == {"b": 1, "c": 1}

    inbox.post(note("more"))
    assert unread.counts(["b"]) == {"b": 2}


def test_unread_counts_survive_rotation_and_truncation(inbox, unread, tmp_path):
    inbox.post(note("one"))
    assert unread.counts(["b"]) == {"b": 1}
    inbox.post(note("two"))
    inbox.rotate()
    inbox.post(note("three"))
    assert unread.counts(["b"]) == {"b": 3}

    drain(inbox.follow("b"))
    assert unread.counts(["b"]) == {}

    inbox.post(note("four"))
    assert unread.counts(["b"]) == {"b": 1}
    os.truncate(tmp_path / "mailbox", 0)
    inbox.post(note("5"))
    assert unread.counts(["b"]) == {"b": 1}


def test_a_sender_sees_what_was_read(inbox):
    inbox.post(note("one"))
    inbox.post(note("two"))
    inbox.post(note("for nobody", to="c"))
    follower = inbox.follow("b")
    follower.commit(follower.new()[0])
    inbox.rotate()

    receipts = [(mail.message.subject, read) for mail, read in inbox.receipts("a")]

    assert receipts == [("one", True), ("two", False), ("for nobody", None)]
