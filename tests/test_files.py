"""Tests of daemons.files."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemons import files, settings
from daemons.files import LockBusy, LockFile, StorageError
from tests.conftest import eventually

CHILD_ENV = dict(os.environ, PYTHONPATH=str(settings.CODE))


def child(code: str, *args: object, **kwargs: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "import sys\nfrom pathlib import Path\nfrom daemons import files\n" + code]
    return subprocess.Popen([*command, *map(str, args)], env=CHILD_ENV, **kwargs)  # type: ignore[call-overload]


# -- replace ----------------------------------------------------------------------------------------------------------


def test_a_replaced_file_holds_exactly_the_new_bytes_and_is_private(tmp_path):
    path = tmp_path / "state.json"

    files.replace(path, b"one")
    files.replace(path, b"two")

    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state.json"]


def test_an_existing_file_keeps_its_mode(tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(b"one")
    path.chmod(0o664)

    files.replace(path, b"two")

    assert stat.S_IMODE(path.stat().st_mode) == 0o664


@pytest.mark.parametrize("step", ["replace.written", "replace.prepared", "replace.renamed", "replace.synced"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_content(tmp_path, step):
    path = tmp_path / "state.json"
    files.replace(path, b"old")

    killed = child(
        "import os, signal\n"
        f"files.reached = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == {step!r} else None\n"
        "files.replace(Path(sys.argv[1]), b'new')\n",
        path,
    )

    assert killed.wait() == -signal.SIGKILL
    assert path.read_bytes() == (b"new" if step in {"replace.renamed", "replace.synced"} else b"old")
    files.discard_temporaries(path)
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_file_size_limit_leaves_the_old_content_and_says_what_to_do(tmp_path):
    path = tmp_path / "state.json"
    files.replace(path, b"old")

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="ulimit -f") as told:
            files.replace(path, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert told.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_link_planted_where_a_lock_shall_be_is_refused(tmp_path):
    victim = tmp_path / "victim"
    (tmp_path / "x.lock").symlink_to(victim)

    with pytest.raises(StorageError, match="symbolic link"), files.lock(tmp_path / "x.lock"):
        pass

    assert not victim.exists()


def test_exchange_swaps_folders_in_one_step(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)

    assert files.exchange(tmp_path / "a", tmp_path / "b")

    assert (tmp_path / "a" / "who").read_text() == "b"
    assert (tmp_path / "b" / "who").read_text() == "a"


def test_exchange_with_nothing_says_so(tmp_path):
    (tmp_path / "a").mkdir()

    with pytest.raises(StorageError):
        files.exchange(tmp_path / "a", tmp_path / "missing")


# -- read -------------------------------------------------------------------------------------------------------------


def test_reading_tells_nothing_there_from_could_not_look(tmp_path):
    assert files.read(tmp_path / "missing") is None
    with pytest.raises(StorageError):
        files.read(tmp_path)


def test_reading_a_fifo_or_an_endless_device_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo")

    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(StorageError):
            files.read(path)


def test_a_file_above_the_limit_is_refused(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 11)

    with pytest.raises(StorageError):
        files.read(tmp_path / "big", limit_bytes=10)


# -- append -----------------------------------------------------------------------------------------------------------


def test_append_returns_where_the_line_starts(tmp_path):
    path = tmp_path / "mailbox"

    assert files.append(path, b"one\n") == 0
    assert files.append(path, b"two\n") == 4
    assert path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_torn_tail_is_ended_before_the_next_line(tmp_path):
    path = tmp_path / "mailbox"
    path.write_bytes(b"one\ntor")

    offset = files.append(path, b"two\n")

    assert path.read_bytes() == b"one\ntor\ntwo\n"
    assert path.read_bytes()[offset:] == b"two\n"


def test_an_append_that_does_not_fit_leaves_no_half_line(tmp_path):
    path = tmp_path / "mailbox"
    files.append(path, b"one\n")

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StorageError):
            files.append(path, b"x" * 200 + b"\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert path.read_bytes() == b"one\n"
    assert files.append(path, b"two\n") == 4


def test_appending_to_a_fifo_or_a_folder_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()

    for name in ("fifo", "folder"):
        with pytest.raises(StorageError):
            files.append(tmp_path / name, b"x\n")


# -- lock -------------------------------------------------------------------------------------------------------------

HOLD = "with files.lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"


@pytest.fixture
def holder(tmp_path):
    path = tmp_path / "x.lock"
    held = child(HOLD, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdout.readline() == b"held\n"
    yield held, path
    held.kill()
    held.communicate()


def test_a_busy_lock_names_its_holder_after_the_time_given(holder):
    held, path = holder

    with pytest.raises(LockBusy, match=rf"pid {held.pid} \(python"), files.lock(path, timeout_s=0.1):
        pass


def test_a_killed_holder_blocks_nobody(holder):
    held, path = holder
    threading.Timer(0.1, held.kill).start()

    with files.lock(path, timeout_s=10):
        pass


def test_a_wait_given_up_does_not_keep_the_lock_later(holder):
    held, path = holder
    with pytest.raises(LockBusy), files.lock(path, timeout_s=0.05):
        pass

    held.kill()
    held.wait()

    eventually(lambda: _is_free(path))
    assert _is_free(path)


def _is_free(path: Path) -> bool:
    try:
        with files.lock(path, timeout_s=0):
            return True
    except LockBusy:
        return False


def test_one_thread_waits_again_and_again_and_ends_with_its_owner(holder):
    held, path = holder
    for _ in range(3):
        with pytest.raises(LockBusy), files.lock(path, timeout_s=0.02):
            pass
    held.kill()
    eventually(lambda: _is_free(path))

    def contend() -> None:
        for _ in range(50):
            with files.lock(path, timeout_s=10):
                pass

    owners = [threading.Thread(target=contend) for _ in range(4)]
    for owner in owners:
        owner.start()
    for owner in owners:
        owner.join()

    eventually(lambda: len(os.listdir("/proc/self/task")) <= threading.active_count() + 1)
    assert _is_free(path)


def test_a_forked_child_waits_with_a_thread_of_its_own(holder):
    held, path = holder
    with pytest.raises(LockBusy), files.lock(path, timeout_s=0.02):
        pass
    threading.Timer(0.1, held.kill).start()
    with files.lock(path, timeout_s=10):
        pass

    child = os.fork()
    if child == 0:
        code = 1
        try:
            busy = files.take_lock(path, timeout_s=1)
            try:
                with files.lock(path, timeout_s=0.05):
                    pass
            except LockBusy:
                os.close(busy)
                with files.lock(path, timeout_s=5):
                    code = 0
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _is_free(path: Path) -> bool:
    try:
        with files.lock(path, timeout_s=0):
            return True
    except LockBusy:
        return False


def test_a_lock_file_removed_while_waiting_is_not_taken_for_the_new_one(holder):
    _held, path = holder
    path.unlink()
    with files.lock(path, timeout_s=1), pytest.raises(LockBusy), files.lock(path, timeout_s=0):
        pass


def test_a_lock_that_is_kept_open_is_not_shared_with_a_forked_child(tmp_path):
    lock = LockFile(tmp_path / "x.lock")
    lock.release(lock.take(1))
    ready, done = os.pipe(), os.pipe()

    child = os.fork()
    if child == 0:
        _held = lock.take(1)
        os.write(ready[1], b"1")
        os.close(done[1])
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        with pytest.raises(LockBusy, match=f"pid {child} "):
            lock.take(0)
    finally:
        os.close(done[1])
        os.waitpid(child, 0)
    lock.release(lock.take(5))


def test_a_lock_that_is_kept_open_follows_its_name(tmp_path):
    lock = LockFile(tmp_path / "x.lock")
    lock.release(lock.take(1))
    lock.path.rename(tmp_path / "moved")

    with files.lock(lock.path), pytest.raises(LockBusy):
        lock.take(0)


def test_threads_of_one_process_exclude_each_other(tmp_path):
    inside = []

    def work():
        for _ in range(50):
            with files.lock(tmp_path / "x.lock"):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_shell_script_can_take_the_same_lock(holder):
    _, path = holder

    taken = subprocess.run(["flock", "-n", str(path), "true"], check=False)

    assert taken.returncode == 1


def test_a_child_program_does_not_inherit_the_lock(tmp_path):
    path = tmp_path / "x.lock"
    with files.lock(path):
        sleeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)

    try:
        assert _is_free(path)
    finally:
        sleeper.communicate()


def test_private_folders_are_closed_to_others(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)

    for path in (tmp_path / "new" / "inner", tmp_path / "open"):
        assert stat.S_IMODE(files.private_dir(path).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
