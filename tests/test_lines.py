"""Tests of daemons.lines."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemons import files, lines, settings
from daemons.files import StorageError
from daemons.lines import Line, LineFile
from tests.conftest import eventually

CHILD_ENV = dict(os.environ, PYTHONPATH=str(settings.CODE))


@pytest.fixture
def file(tmp_path):
    return LineFile(tmp_path / "mail", tmp_path / "mail.lock")


def killed_writer(file, line, written):
    """A process that is killed after *written* bytes of *line* have reached the file."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from daemons import files\n"
        "from daemons.lines import LineFile\n"
        "def torn(fd, data):\n"
        "    os.write(fd, data[:int(sys.argv[3])])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_all = torn\n"
        "LineFile(Path(sys.argv[1]), Path(sys.argv[1] + '.lock')).append(sys.argv[2].encode() + b'\\n')\n"
    )
    command = [sys.executable, "-c", code, str(file.path), line, str(written)]
    assert subprocess.run(command, env=CHILD_ENV, check=False).returncode == -signal.SIGKILL


def read_all(path, offset=0, *, is_final=False):
    with lines.opened(path) as fd:
        return [line.raw for line in lines.read(fd, offset, is_final=is_final)]


# -- appending --------------------------------------------------------------------------------------------------------


def test_lines_stand_one_after_the_other(file):
    assert file.append(b"one\n") == 0
    assert file.append(b"two\n") == 4
    assert file.path.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("written", [1, 7, 11])
def test_half_a_line_of_a_killed_writer_is_gone_with_the_next_append(file, written):
    file.append(b"one\n")
    killed_writer(file, "half of it!", written)

    file.append(b"two\n")

    assert file.path.read_bytes() == b"one\ntwo\n"


def test_half_of_the_first_line_is_gone_too(file):
    killed_writer(file, "half of it", 4)

    file.append(b"one\n")

    assert file.path.read_bytes() == b"one\n"


def test_a_whole_line_of_a_killed_writer_stays(file):
    killed_writer(file, "whole", 6)

    file.append(b"one\n")

    assert file.path.read_bytes() == b"whole\none\n"


def test_a_line_that_a_stranger_left_without_its_newline_is_ended_not_cut(file):
    file.append(b"one\n")
    with file.path.open("ab") as stranger:
        stranger.write(b"by an editor")

    file.append(b"two\n")

    assert file.path.read_bytes() == b"one\nby an editor\ntwo\n"


@pytest.mark.parametrize("written", [1, 2, 4])
def test_half_a_line_behind_a_strangers_is_cut_and_the_strangers_ended(file, written):
    file.append(b"one\n")
    with file.path.open("ab") as stranger:
        stranger.write(b"by an editor")
    killed_writer(file, "half", written)

    file.append(b"two\n")

    assert file.path.read_bytes() == b"one\nby an editor\ntwo\n"


def test_what_a_stranger_glued_to_half_a_line_is_not_cut(file):
    killed_writer(file, "half of it, rather long", 4)
    with file.path.open("ab") as stranger:
        stranger.write(b"glued\n")

    file.append(b"two\n")

    assert file.path.read_bytes() == b"halfglued\ntwo\n"


def test_a_mended_file_ends_with_a_newline(file):
    file.append(b"one\n")
    killed_writer(file, "half of it", 4)
    with file.locked(1):
        file.mend()
    assert file.path.read_bytes() == b"one\n"

    with file.path.open("ab") as stranger:
        stranger.write(b"foreign")
    with file.locked(1):
        file.mend()
    assert file.path.read_bytes() == b"one\nforeign\n"


def test_a_deleted_file_is_made_again(file):
    file.append(b"one\n")
    file.path.unlink()

    assert file.append(b"two\n") == 0
    assert file.path.read_bytes() == b"two\n"


def test_a_folder_a_fifo_and_a_link_are_refused_at_once(file, tmp_path):
    for make in (os.mkdir, os.mkfifo, lambda path: os.symlink(tmp_path / "elsewhere", path)):
        make(file.path)
        with pytest.raises(StorageError, match="mail"):
            file.append(b"one\n")
        file.path.rmdir() if file.path.is_dir() else file.path.unlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_write_leaves_the_file_as_it_was(file, monkeypatch):
    file.append(b"one\n")

    def full(fd, data):
        os.write(fd, data[:3])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(StorageError, match="disk is full") as told:
        file.append(b"two\n")
    monkeypatch.undo()

    assert told.value.errno == errno.ENOSPC
    assert file.path.read_bytes() == b"one\n"
    file.append(b"three\n")
    assert file.path.read_bytes() == b"one\nthree\n"


def failing_syncs(monkeypatch, times):
    left = [times]
    real = os.fdatasync

    def sync(fd):
        if left[0] > 0:
            left[0] -= 1
            raise OSError(errno.EIO, "dropped")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)


def test_a_sync_that_failed_once_is_followed_by_writing_again(file, monkeypatch):
    file.append(b"one\n")
    failing_syncs(monkeypatch, 1)

    file.append(b"two\n")

    assert file.path.read_bytes() == b"one\ntwo\n"


def test_a_line_that_cannot_be_made_durable_is_taken_out_and_told(file, monkeypatch):
    file.append(b"one\n")
    failing_syncs(monkeypatch, 2)

    with pytest.raises(StorageError, match="disk reports an error"):
        file.append(b"two\n")

    assert file.path.read_bytes() == b"one\n"
    file.append(b"three\n")
    assert file.path.read_bytes() == b"one\nthree\n"


def test_writers_that_wait_for_the_disk_have_a_descriptor_each(file):
    with file.locked(1):
        one = file.write(b"one\n")
    with file.locked(1):
        two = file.write(b"two\n")
    assert one.kept.fd != two.kept.fd  # what failed is told once to each

    file.settle(one)
    file.settle(two)
    with file.locked(1):
        three = file.write(b"three\n")
    assert three.kept in (one.kept, two.kept)


def test_a_descriptor_that_was_told_of_an_error_is_not_used_again(file, monkeypatch):
    file.append(b"one\n")
    failing_syncs(monkeypatch, 1)
    with file.locked(1):
        two = file.write(b"two\n")
    file.settle(two)

    with file.locked(1):
        three = file.write(b"three\n")

    assert three.kept is not two.kept


def test_a_moved_file_is_left_and_a_new_one_begun(file):
    file.append(b"one\n")
    file.path.rename(file.path.with_name("archived"))

    assert file.append(b"two\n") == 0
    assert file.path.read_bytes() == b"two\n"
    assert file.path.with_name("archived").read_bytes() == b"one\n"


def test_half_a_line_is_known_after_the_folder_was_moved_away(tmp_path):
    file = LineFile(tmp_path / "home" / "mail", tmp_path / "home" / "mail.lock")
    file.append(b"one\n")
    (tmp_path / "home").rename(tmp_path / "moved")
    file.append(b"two\n")
    killed_writer(file, "half of it", 4)

    file.append(b"three\n")

    assert file.path.read_bytes() == b"two\nthree\n"


def test_a_forked_child_appends_by_descriptors_of_its_own(file):
    file.append(b"one\n")
    child = os.fork()
    if child == 0:
        with file.locked(1):
            written = file.write(b"two\n")
        os._exit(0 if written.kept.pid == os.getpid() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_who_had_to_wait_for_the_lock_shares_the_flush(file):
    begun = threading.Event()

    def append():
        begun.set()
        file.append(b"two\n")

    with file.locked(1):
        waiting = threading.Thread(target=append)
        waiting.start()
        begun.wait()
        eventually(lambda: "->" in Path("/proc/locks").read_text())
    waiting.join()

    assert file.path.with_name("mail.flushed").exists()


def test_shell_scripts_take_the_same_lock(file):
    with file.locked(1):
        taken = subprocess.run(["flock", "-n", f"{file.path}.lock", "true"], check=False).returncode

    assert taken == 1


def test_the_mode_of_a_users_folder_is_left_alone(tmp_path):
    tmp_path.chmod(0o755)

    LineFile(tmp_path / "mail", tmp_path / "mail.lock").append(b"one\n")

    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o600


# -- reading ----------------------------------------------------------------------------------------------------------


def test_a_half_line_is_waited_for_unless_the_file_is_final(file):
    file.path.write_bytes(b"one\ntwo")

    assert read_all(file.path) == [b"one\n"]
    assert read_all(file.path, is_final=True) == [b"one\n", b"two"]


def test_reading_starts_at_an_offset_and_says_where_lines_are(file):
    file.path.write_bytes(b"one\ntwo\n\nthree\n")

    with lines.opened(file.path) as fd:
        found = list(lines.read(fd, 4, is_final=False))
        assert lines.count(fd, 8) == 2

    assert found == [Line(4, 8, b"two\n"), Line(8, 9, b"\n"), Line(9, 15, b"three\n")]


def test_lines_of_any_size_are_read_whole(file):
    sizes = [1, 255, 256 << 10, (256 << 10) - 1, 1 << 20, 3]
    file.path.write_bytes(b"".join(bytes([65 + at]) * size + b"\n" for at, size in enumerate(sizes)))

    assert [len(raw) - 1 for raw in read_all(file.path)] == sizes


def test_a_line_beyond_the_limit_is_cut_and_the_next_one_read(file, monkeypatch):
    monkeypatch.setattr(lines, "LINE_LIMIT_BYTES", 1 << 20)
    file.path.write_bytes(b"x" * (3 << 20) + b"\nnext\n" + b"y" * (2 << 20))

    with lines.opened(file.path) as fd:
        first, second = lines.read(fd, 0, is_final=False)
        *_, last = lines.read(fd, 0, is_final=True)

    assert (first.end, len(first.raw)) == ((3 << 20) + 1, 1024)
    assert second.raw == b"next\n"
    assert last.end == file.path.stat().st_size


def test_what_is_not_there_is_none(file):
    with lines.opened(file.path) as fd:
        assert fd is None
