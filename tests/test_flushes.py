"""Tests of daemons.flushes: what is told to be on the disk is there, whoever flushed it."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading

import pytest

from daemons import clock, flushes, settings
from daemons.files import Kept
from daemons.flushes import SharedFlush
from daemons.lines import LineFile
from tests.conftest import eventually

CHILD_ENV = dict(os.environ, PYTHONPATH=str(settings.CODE))


class Disk:
    """Counts flushes, holds them up and lets them fail, by descriptor."""

    def __init__(self, monkeypatch):
        self.flushed = []
        self.fails = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._flush)

    def _flush(self, fd):
        self.flushed.append(fd)
        assert self.goes_on.wait(20)
        if self.fails:
            raise OSError(errno.EIO, "dropped")
        self._real(fd)


class Writer:
    """One process's part: a descriptor of the file, and the record opened for itself."""

    def __init__(self, path):
        self._path = path
        self.flush = SharedFlush(path.with_name("mail.flushed"))
        self.reopen()

    def reopen(self):
        self.kept = Kept(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))

    def write(self):
        begun_ns = clock.monotonic_ns()
        os.write(self.kept.fd, b"line\n")
        self.line = (begun_ns, clock.monotonic_ns())

    def sync(self):
        self.flush.sync(self.kept, *self.line)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mail"


@pytest.fixture
def two(path):
    return Writer(path), Writer(path)


def in_threads(*acts):
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    return threads


# -- what a flush covers ----------------------------------------------------------------------------------------------


def test_a_flush_covers_what_others_had_written_when_it_began(disk, two):
    one, other = two
    other.write()
    one.write()

    one.sync()
    other.sync()

    assert disk.flushed == [one.kept.fd]


def test_a_flush_does_not_cover_what_was_written_after_it_began(disk, two):
    one, other = two
    one.write()
    disk.goes_on.clear()
    (leader,) = in_threads(one.sync)
    eventually(lambda: disk.flushed)

    other.write()
    (follower,) = in_threads(other.sync)
    disk.goes_on.set()
    leader.join()
    follower.join()

    assert disk.flushed == [one.kept.fd, other.kept.fd]


def test_a_descriptor_that_was_opened_after_the_line_proves_nothing_of_it(disk, two):
    one, other = two
    other.write()
    one.reopen()  # an error may have been told in between: to those that were open
    one.write()

    one.sync()
    other.sync()

    assert disk.flushed == [one.kept.fd, other.kept.fd]


def test_a_flush_of_another_file_covers_nothing(disk, two, path):
    one, other = two
    other.write()
    path.rename(path.with_name("archived"))
    one.reopen()
    one.write()

    one.sync()
    other.write()
    one.sync()
    other.sync()

    assert other.kept.fd in disk.flushed


def test_a_flush_of_before_the_boot_covers_nothing(disk, two, monkeypatch):
    one, other = two
    other.write()
    one.write()
    one.sync()

    monkeypatch.setattr(flushes, "_epoch", lambda: 4711)
    other.sync()

    assert disk.flushed == [one.kept.fd, other.kept.fd]


def test_a_record_with_any_byte_changed_covers_nothing(disk, two, path):
    one, other = two
    other.write()
    one.write()
    one.sync()
    record = path.with_name("mail.flushed")
    good = record.read_bytes()

    for at in range(len(good) - 4):  # the last four are no part of it
        record.write_bytes(good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
        other.flush = SharedFlush(record)
        other.sync()

    assert len(disk.flushed) == 1 + len(good) - 4


# -- leaders that fail, die, or sleep ---------------------------------------------------------------------------------


def test_a_failed_flush_covers_nobody_and_everybody_is_told(disk, two):
    told = []

    def sync(writer):
        try:
            writer.sync()
        except OSError as error:
            told.append(error.errno)

    one, other = two
    one.write()
    other.write()
    disk.fails = True
    disk.goes_on.clear()
    waiting = in_threads(lambda: sync(one), lambda: sync(other))
    eventually(lambda: disk.flushed)
    disk.goes_on.set()
    for thread in waiting:
        thread.join()

    assert told == [errno.EIO, errno.EIO]
    assert sorted(disk.flushed) == sorted([one.kept.fd, other.kept.fd])


LEAD_FOR_EVER = (
    "import os, signal, sys\n"
    "from pathlib import Path\n"
    "from tests.test_flushes import Writer\n"
    "def stop(fd):\n"
    "    print('leads', flush=True)\n"
    "    signal.pause()\n"
    "os.fdatasync = stop\n"
    "writer = Writer(Path(sys.argv[1]))\n"
    "writer.write()\n"
    "writer.sync()\n"
)


@pytest.fixture
def leader(path):
    process = subprocess.Popen(
        [sys.executable, "-c", LEAD_FOR_EVER, str(path)], env=CHILD_ENV, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "leads\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_leader_is_followed_by_another(disk, two, leader, monkeypatch):
    monkeypatch.setattr(flushes, "WAIT_AT_MOST_NS", 1_000_000_000)
    one, other = two
    leader.kill()
    leader.wait()
    one.write()
    other.write()

    for thread in in_threads(one.sync, other.sync):
        thread.join(10)

    assert len(disk.flushed) == 1


def test_a_leader_that_sleeps_is_waited_for_once(disk, two, leader):
    one, _ = two
    one.write()
    one.sync()
    assert disk.flushed == [one.kept.fd]

    begun = clock.monotonic()
    for _ in range(20):
        one.write()
        one.sync()

    assert clock.monotonic() - begun < 20 * flushes.WAIT_AT_MOST_NS / 2e9
    assert len(disk.flushed) == 21


def test_who_waits_for_the_next_flush_shares_that_one(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(flushes, "WAIT_AT_MOST_NS", 20_000_000_000)
    files_of_lines = [LineFile(tmp_path / "mail", tmp_path / "mail.lock") for _ in range(6)]
    for file in files_of_lines:
        file.append(b"line\n")
        file._crowd = 100
    disk.flushed.clear()
    disk.goes_on.clear()
    (first,) = in_threads(lambda: files_of_lines[0].append(b"line\n"))
    eventually(lambda: disk.flushed)

    others = in_threads(*(lambda file=file: file.append(b"line\n") for file in files_of_lines[1:]))
    eventually(lambda: (tmp_path / "mail").stat().st_size == 12 * len(b"line\n"))
    disk.goes_on.set()
    for thread in [first, *others]:
        thread.join()

    assert len(disk.flushed) == 2


# -- the record itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_it", [os.mkdir, os.mkfifo, lambda path: os.symlink("elsewhere", path)])
def test_without_a_record_each_flushes_for_itself(disk, two, path, make_it):
    make_it(path.with_name("mail.flushed"))

    for writer in two:
        writer.write()
        writer.sync()

    assert disk.flushed == [writer.kept.fd for writer in two]


@pytest.mark.parametrize("spoil", [os.unlink, lambda path: os.truncate(path, 0), lambda path: os.truncate(path, 17)])
def test_a_record_that_is_removed_or_cut_in_use_kills_nobody(disk, two, path, spoil):
    for writer in two:
        writer.write()
        writer.sync()

    for _ in range(3):
        for writer in two:
            writer.write()
        spoil(path.with_name("mail.flushed"))
        for writer in two:
            writer.sync()
            writer.flush._alone_until_ns = 0  # else the record is left alone for a second
        path.with_name("mail.flushed").touch()

    assert len(disk.flushed) >= 2 + 3


def test_a_forked_child_leads_by_itself(disk, two):
    one, _ = two
    one.write()
    one.sync()

    child = os.fork()
    if child == 0:
        code = 1
        try:
            one.reopen()
            one.write()
            one.sync()
            code = one.flush._board.pid - os.getpid()
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- the truth --------------------------------------------------------------------------------------------------------


def test_whatever_happens_every_answer_rests_on_a_flush_that_proves_it(path, monkeypatch):
    chance = random.Random(7)
    done, answered = [], []
    real = os.fdatasync
    opened = {}

    def flush(fd):
        started_ns = clock.monotonic_ns()
        if chance.random() < 0.1:
            raise OSError(errno.EIO, "dropped")
        real(fd)
        done.append((*opened[fd], started_ns, clock.monotonic_ns()))

    monkeypatch.setattr(os, "fdatasync", flush)
    rotating = threading.Lock()

    def work():
        writer = Writer(path)
        for _ in range(60):
            if chance.random() < 0.1:
                with rotating:
                    path.unlink(missing_ok=True)
                    writer.reopen()
            opened[writer.kept.fd] = (writer.kept.inode, writer.kept.opened_ns)
            writer.write()
            try:
                writer.sync()
                answered.append((writer.kept.inode, *writer.line, clock.monotonic_ns()))
            except OSError:
                writer.reopen()

    for thread in in_threads(*[work] * 6):
        thread.join()

    assert len(answered) > len(done) > 10  # some were shared
    for inode, begun_ns, done_ns, told_ns in answered:
        assert any(
            flushed == inode and opened_ns < begun_ns and done_ns < started_ns and ended_ns < told_ns
            for flushed, opened_ns, started_ns, ended_ns in done
        )
