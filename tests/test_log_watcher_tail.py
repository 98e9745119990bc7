from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from daemons import settings
from daemons.log_watcher import generation, lineage, marker, opening, siblings, tail
from daemons.log_watcher.keeper import Keeps, Kept, NoKeeper
from daemons.log_watcher.patterns import Patterns
from daemons.log_watcher.tail import Log


@pytest.fixture(scope="module")
def patterns(tmp_path_factory) -> Patterns:
    return Patterns(settings.load({"CMUX_HOME": str(tmp_path_factory.mktemp("home"))}))


class Watcher:
    """Follows one log as the daemon does, on a clock of its own. `told`: (generation, position) -> text of every event.

    `read` is a cycle; `kill` is kill -9: what was not committed is forgotten, and the next one starts from the marker.
    """

    def __init__(self, path: Path, folder: Path, patterns: Patterns) -> None:
        self.path = path
        self.folder = folder
        self.patterns = patterns
        self.told: dict[tuple[str, int], str] = {}
        self.repeated = 0
        self.mono = 1000.0
        self.log: Log | None = None
        self.keeper: Keeps = NoKeeper()

    def start(self, *, first_look: bool = False) -> Watcher:
        self.log = Log(str(self.path), self.folder, first_look=first_look, keeper=self.keeper)
        return self

    def kill(self) -> None:
        assert self.log
        for one in self.log.generations:
            one.source.close()
        self.log = None

    def read(self, *, after_s: float = 0.0, commit: bool = True) -> list[str]:
        """One cycle after *after_s*; the new events, those told before left out."""
        self.log = self.log or Log(str(self.path), self.folder, first_look=False, keeper=self.keeper)
        self.mono += after_s
        self.log.look(self.mono)
        new: list[str] = []
        for _ in range(100):
            self.log.read(self.patterns, self.mono)
            self.log.identify()
            new += self._tell()
            if commit:
                self.log.commit(self.mono)
            if not self.log.more:
                break
        return new

    def settle(self) -> list[str]:
        """Read, and again when all that waits for quiet has had it."""
        return self.read() + self.read(after_s=0.3) + self.read(after_s=2)

    def _tell(self) -> list[str]:
        new = []
        assert self.log
        for one, event in self.log.unsaid:
            key = (one.id, event.position)
            if key in self.told:
                self.repeated += 1
                continue
            self.told[key] = event.text.decode()
            new.append(self.told[key])
        return new

    @property
    def texts(self) -> list[str]:
        return list(self.told.values())

    @property
    def gaps(self) -> dict[str, list[int]]:
        assert self.log
        return self.log.marker.gaps


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "server.log"


@pytest.fixture
def watcher(log: Path, tmp_path: Path, patterns: Patterns) -> Watcher:
    (tmp_path / "markers").mkdir()
    return Watcher(log, tmp_path / "markers", patterns)


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


FILLER = "".join(f"2026-01-31 10:00:00 INFO line {number}\n" for number in range(40))


# -- appending --------------------------------------------------------------------------------------------------------


def test_a_new_error_is_found_once(watcher, log):
    watcher.read()
    append(log, "INFO: fine\nERROR: one\n")

    assert watcher.settle() == ["ERROR: one"]
    assert watcher.settle() == []


def test_a_log_that_appears_later_is_read_from_its_first_byte(watcher, log):
    watcher.start(first_look=True).read()
    append(log, "ERROR: first line\n")

    assert watcher.settle() == ["ERROR: first line"]


def test_half_a_line_waits_and_is_told_whole(watcher, log):
    append(log, "ERROR: ha")
    assert watcher.settle() == []

    append(log, "lf\n")

    assert watcher.settle() == ["ERROR: half"]


def test_an_error_without_its_newline_is_told_when_nobody_goes_on_with_it(watcher, log):
    append(log, "FATAL: last wor")
    watcher.settle()

    assert watcher.read(after_s=generation.UNFINISHED_ERROR_S) == ["FATAL: last wor"]

    append(log, "ds ERROR\nERROR: next\n")
    assert watcher.settle() == ["ERROR: next"]


def test_a_quiet_line_without_its_newline_is_judged_whole_however_late(watcher, log):
    append(log, "2026-01-31 10:00:00 ")
    watcher.settle()
    watcher.read(after_s=100)

    append(log, "ERROR late\n")

    assert watcher.settle() == ["2026-01-31 10:00:00 ERROR late"]


def test_a_trace_that_is_written_slowly_is_one_event(watcher, log):
    for line in ("Traceback (most recent call last):\n", '  File "a.py", line 3, in f\n', "    g()\n"):
        append(log, line)
        assert watcher.read(after_s=0.2) == []
    append(log, "ValueError: bad\n")

    assert len(watcher.settle()) == 1


def test_bytes_that_are_no_text_are_kept(watcher, log):
    append(log, b"ERROR: caf\xe9\x00\xff\x1b[2J\r\n")

    watcher.read()
    watcher.log.read(watcher.patterns, watcher.mono + 1)

    assert watcher.log.unsaid[0][1].text == b"ERROR: caf\xe9\x00\xff\x1b[2J"


def test_a_line_above_1_mib_is_cut_and_the_lines_behind_it_are_read(watcher, log):
    append(log, b"ERROR: " + b"x" * (3 << 20) + b" ERROR\nERROR: next\n")

    long, following = watcher.settle()

    assert long.startswith("ERROR: xxx")
    assert "cut here" in long
    assert following == "ERROR: next"
    assert watcher.gaps["the rest of a very long line"][1] > 2 << 20


def test_a_line_above_1_mib_that_comes_in_pieces_is_one_line(watcher, log):
    for _ in range(6):
        append(log, b"ERROR " * 100_000)
        watcher.settle()
    append(log, "\nERROR: next\n")

    assert [text[:12] for text in [*watcher.texts[:1], *watcher.settle()]] == ["ERROR ERROR ", "ERROR: next"]


def test_a_block_bigger_than_a_turn_is_read_in_several(watcher, log):
    line = b"2026-01-31 10:00:00 INFO quiet line that is of no interest to anybody\n"
    log.write_bytes(line * ((tail.TURN_BYTES + (1 << 20)) // len(line)) + b"ERROR: at the end\n")
    watcher.start().log.look(watcher.mono)
    watcher.log.read(watcher.patterns, watcher.mono)

    assert watcher.log.more

    assert watcher.settle() == ["ERROR: at the end"]


# -- the first look ---------------------------------------------------------------------------------------------------


def test_the_first_look_ever_counts_the_newest_part_of_what_is_there(watcher, log):
    old = b"ERROR: long ago\n" + b"INFO: quiet\n" * (lineage.FIRST_LOOK_BYTES // 12)
    log.write_bytes(old + b"ERROR: just now\n")

    assert watcher.start(first_look=True).settle() == ["ERROR: just now"]
    assert watcher.gaps["older than the first look"][1] > 0


def test_generations_from_before_the_first_look_are_never_told(watcher, log):
    log.with_name("server.log.1").write_text("ERROR: old\n" + FILLER)
    log.write_text(FILLER)
    watcher.start(first_look=True).settle()

    rotate(log)
    append(log, "ERROR: new\n")

    assert watcher.settle() == ["ERROR: new"]


# -- rotation ---------------------------------------------------------------------------------------------------------


def rotate(log: Path) -> None:
    """`server.log` -> `server.log.1` -> `server.log.2` …, as logrotate does."""
    make_room(log)
    if log.exists():
        log.rename(log.with_name(f"{log.name}.1"))


def make_room(log: Path) -> None:
    for number in range(8, 0, -1):
        for packed in ("", ".gz"):
            older = log.with_name(f"{log.name}.{number}{packed}")
            if older.exists():
                older.rename(log.with_name(f"{log.name}.{number + 1}{packed}"))


def copytruncate(log: Path) -> None:
    make_room(log)
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def pack(log: Path) -> None:
    rotate(log)
    first = log.with_name(f"{log.name}.1")
    with first.open("rb") as plain, gzip.open(f"{first}.gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    times = first.stat()
    os.utime(f"{first}.gz", ns=(times.st_atime_ns, times.st_mtime_ns))
    first.unlink()


def remove(log: Path) -> None:
    log.unlink()


ROTATIONS = [rotate, copytruncate, pack]


@pytest.mark.parametrize("how", [*ROTATIONS, remove])
def test_a_rotation_loses_no_line_before_or_after_it(watcher, log, how):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    append(log, "ERROR: two\n")
    watcher.read()

    how(log)
    append(log, "ERROR: three\n" + FILLER)

    watcher.settle()
    assert sorted(watcher.texts) == ["ERROR: one", "ERROR: three", "ERROR: two"]


@pytest.mark.parametrize("how", ROTATIONS)
@pytest.mark.parametrize("filler", ["", FILLER])
def test_what_was_written_just_before_a_rotation_is_read_after_it(watcher, log, how, filler):
    append(log, filler + "ERROR: one\n")
    watcher.settle()

    append(log, "ERROR: unread\n")
    how(log)
    append(log, "ERROR: three\n")

    watcher.settle()
    assert sorted(watcher.texts) == ["ERROR: one", "ERROR: three", "ERROR: unread"]


@pytest.mark.parametrize("how", ROTATIONS)
def test_two_rotations_between_two_looks_lose_nothing(watcher, log, how):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    for text in ("ERROR: two\n", "ERROR: three\n"):
        how(log)
        append(log, text + FILLER + text.replace("ERROR", "CRITICAL"))

    watcher.settle()

    found = ["CRITICAL: three", "CRITICAL: two", "ERROR: one", "ERROR: three", "ERROR: two"]
    assert sorted(watcher.texts) == found


@pytest.mark.parametrize("how", ROTATIONS)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_rotations_while_no_watcher_runs_lose_nothing_and_repeat_nothing(watcher, log, how, times):
    append(log, FILLER + "ERROR: round 0\n")
    watcher.settle()
    watcher.kill()

    append(log, "ERROR: unread\n")
    for number in range(1, times + 1):
        how(log)
        append(log, f"ERROR: round {number}\n" + FILLER)

    watcher.settle()
    assert sorted(watcher.texts) == sorted([f"ERROR: round {n}" for n in range(times + 1)] + ["ERROR: unread"])
    assert watcher.repeated == 0


def test_late_lines_in_a_rotated_file_are_read(watcher, log):
    append(log, FILLER + "ERROR: one\n")
    with log.open("ab", buffering=0) as writer:
        watcher.settle()
        rotate(log)
        append(log, "ERROR: new\n")
        watcher.settle()
        writer.write(b"ERROR: late\n")

        watcher.settle()

    assert watcher.texts == ["ERROR: one", "ERROR: new", "ERROR: late"]


def test_late_lines_in_a_deleted_file_are_read(watcher, log):
    with log.open("ab", buffering=0) as writer:
        watcher.settle()
        log.unlink()
        writer.write(b"ERROR: into the void\n")

        watcher.settle()

    assert watcher.texts == ["ERROR: into the void"]


def test_a_rotated_file_is_let_go_when_it_has_been_quiet(watcher, log):
    append(log, FILLER)
    watcher.settle()
    rotate(log)
    append(log, FILLER)
    watcher.settle()

    watcher.read(after_s=lineage.DRAIN_S + 1)

    assert len(watcher.log.generations) == 1


def test_half_a_line_at_the_end_of_a_rotated_file_is_told(watcher, log):
    append(log, FILLER + "ERROR: no newline")
    watcher.settle()
    rotate(log)
    append(log, "INFO: new\n")

    assert watcher.settle() == ["ERROR: no newline"]


def test_a_file_truncated_and_grown_beyond_the_old_size_is_read_from_its_start(watcher, log):
    log.write_text(FILLER + "ERROR: old\n")
    watcher.settle()

    log.write_text("ERROR: first after\n" + FILLER * 3)

    assert watcher.settle() == ["ERROR: first after"]
    assert watcher.gaps["truncated before it was read"][0] == 1


def test_a_file_truncated_to_nothing_is_read_from_its_start(watcher, log):
    log.write_text("ERROR: x\n")
    watcher.settle()
    os.truncate(log, 0)
    watcher.settle()

    append(log, "ERROR: x\n")

    assert watcher.settle() == ["ERROR: x"]


def test_a_writer_that_goes_on_at_its_old_place_after_a_truncation_is_read(watcher, log):
    """Without O_APPEND the file begins with a hole of zeros after copytruncate."""
    with log.open("wb", buffering=0) as writer:
        writer.write(FILLER.encode() * 100)
        watcher.settle()
        copytruncate(log)
        writer.write(b"ERROR: behind the hole\n")

        assert watcher.settle() == ["ERROR: behind the hole"]


def test_the_same_inode_for_another_file_is_another_file(watcher, log):
    append(log, FILLER + "ERROR: old\n")
    watcher.settle()
    watcher.kill()
    inode = log.stat().st_ino
    for _ in range(100):
        log.unlink()
        append(log, "ERROR: new\n" + FILLER * 2)
        if log.stat().st_ino == inode:
            break

    watcher.settle()

    assert watcher.texts == ["ERROR: old", "ERROR: new"]


def test_a_file_that_is_put_back_under_its_name_is_not_read_again(watcher, log):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    log.rename(log.with_name("aside"))
    watcher.settle()
    log.with_name("aside").rename(log)
    append(log, "ERROR: two\n")

    assert watcher.settle() == ["ERROR: two"]


def test_a_copy_put_in_place_of_the_file_is_not_read_again(watcher, log):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    shutil.copyfile(log, log.with_name("copy"))
    log.with_name("copy").rename(log)
    append(log, "ERROR: two\n")

    assert watcher.settle() == ["ERROR: two"]


def test_a_file_on_another_device_after_a_restart_is_the_same_file(watcher, log):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    watcher.kill()
    place = marker.place(watcher.folder, str(log))
    assert "device" not in json.loads(place.read_text())["open"][0]

    append(log, "ERROR: two\n")

    assert watcher.settle() == ["ERROR: two"]


def test_a_switched_link_is_followed_and_its_old_target_read_to_the_end(watcher, log):
    old, new = log.with_name("app-1.log"), log.with_name("app-2.log")
    append(old, FILLER + "ERROR: one\n")
    log.symlink_to(old.name)
    watcher.settle()

    append(old, "ERROR: two\n")
    append(new, "ERROR: three\n" + FILLER)
    switch(log, new)
    watcher.settle()
    append(old, "ERROR: late\n")

    watcher.settle()
    assert sorted(watcher.texts) == ["ERROR: late", "ERROR: one", "ERROR: three", "ERROR: two"]


def test_a_link_switched_twice_while_no_watcher_runs_loses_nothing(watcher, log):
    append(log.with_name("app-1.log"), FILLER + "ERROR: 1\n")
    log.symlink_to("app-1.log")
    watcher.settle()
    watcher.kill()

    append(log.with_name("app-1.log"), "ERROR: unread\n")
    for number in (2, 3):
        append(log.with_name(f"app-{number}.log"), f"ERROR: {number}\n" + FILLER)
        switch(log, log.with_name(f"app-{number}.log"))

    watcher.settle()
    assert sorted(watcher.texts) == ["ERROR: 1", "ERROR: 2", "ERROR: 3", "ERROR: unread"]


def switch(link: Path, target: Path) -> None:
    temporary = link.with_name("link.tmp")
    temporary.symlink_to(target.name)
    temporary.rename(link)


def test_a_generation_that_is_gone_for_good_is_said(watcher, log):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    watcher.kill()
    log.unlink()

    watcher.settle()
    watcher.read(after_s=lineage.MISSING_S + 1)

    assert watcher.gaps["gone while nobody watched"][0] == 1


# -- dying ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ERROR: one\n", FILLER + "ERROR: one\n", "x\n" * 300 + "ERROR: one\n"])
def test_dying_after_telling_and_before_the_marker_moved_repeats_under_the_same_name(watcher, log, text):
    watcher.read()
    append(log, text)
    watcher.read()
    watcher.read(after_s=1, commit=False)
    watcher.kill()

    watcher.settle()

    assert watcher.texts == ["ERROR: one"]
    assert watcher.repeated == 1


@pytest.mark.parametrize("how", ROTATIONS)
def test_dying_there_and_a_rotation_before_the_next_start_repeats_under_the_same_name(watcher, log, how):
    watcher.read()
    append(log, FILLER + "ERROR: one\n")
    watcher.read()
    watcher.read(after_s=1, commit=False)
    watcher.kill()
    how(log)
    append(log, "ERROR: two\n" + FILLER)

    watcher.settle()

    assert watcher.texts == ["ERROR: one", "ERROR: two"]


def test_a_marker_that_cannot_be_read_is_said_and_the_log_is_read_again(watcher, log):
    append(log, "ERROR: one\n")
    watcher.settle()
    watcher.kill()
    marker.place(watcher.folder, str(log)).write_text('{"version": 1, "op')

    watcher.settle()

    assert watcher.texts == ["ERROR: one", "ERROR: one"]


def test_two_logs_of_one_name_have_two_markers(tmp_path):
    assert marker.place(tmp_path, "/srv/a/server.log") != marker.place(tmp_path, "/srv/b/server.log")
    assert "server.log" in marker.place(tmp_path, "/srv/a/server.log").name


def test_any_path_has_a_marker(tmp_path):
    for path in ("/x/" + "n" * 255, "/x/caf\udce9.log", "/x/a\nb", "/x/..", "/x/ "):
        marker.save(tmp_path, marker.Marker(path), durable=False)
        assert marker.load(tmp_path, path) == marker.Marker(path)


def test_a_marker_says_where_it_is_to_a_person(watcher, log):
    append(log, "ERROR: one\n")
    watcher.settle()

    said = json.loads(marker.place(watcher.folder, str(log)).read_text())

    assert said["path"] == str(log)
    assert said["open"][0]["offset"] == log.stat().st_size
    assert said["events"] == 1
    assert said["examined_bytes"] == log.stat().st_size


# -- what is no log ---------------------------------------------------------------------------------------------------


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [a_fifo, a_folder, a_socket, an_endless_device, a_loop])
def test_what_is_no_file_is_refused_at_once_and_read_when_it_has_become_one(watcher, log, make, capfd):
    make(log)

    watcher.settle()

    assert watcher.log.refusal
    assert capfd.readouterr().err.count("log.refused") == 1

    log.rmdir() if log.is_dir() and not log.is_symlink() else log.unlink()
    append(log, "ERROR: a file again\n")
    assert watcher.settle() == ["ERROR: a file again"]
    assert watcher.log.refusal is None


def test_a_log_that_may_not_be_read_is_refused_and_read_on_when_it_may(log, tmp_path):
    """Root may read everything, so this runs in a process without that right."""
    code = f"""
import os, sys
sys.path.insert(0, {str(settings.CODE)!r}); sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_log_watcher_tail import Watcher, append
from daemons import settings
from daemons.log_watcher.keeper import Keeps, Kept, NoKeeper
from daemons.log_watcher.patterns import Patterns
log, folder = Path({str(log)!r}), Path({str(tmp_path / "m")!r}); folder.mkdir()
watcher = Watcher(log, folder, Patterns(settings.load({{"CMUX_HOME": {str(tmp_path)!r}}})))
append(log, "ERROR: one\\n")
watcher.settle(); watcher.kill()
append(log, "ERROR: two\\n")
log.chmod(0)
watcher.settle(); watcher.read(after_s=60)
print(watcher.log.refusal)
log.chmod(0o600)
watcher.settle()
print(watcher.texts)
"""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.getuid() == 0 else []

    ran = subprocess.run([*bound, sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.stdout.splitlines() == ["permission denied", "['ERROR: one', 'ERROR: two']"], ran.stderr


def test_a_file_read_under_another_name_is_not_read_twice(watcher, log, patterns):
    append(log, FILLER + "ERROR: one\n")
    watcher.settle()
    other = log.with_name("other.log")
    other.hardlink_to(log)

    second = Log(str(other), watcher.folder, first_look=False, read_elsewhere=watcher.log.knows)
    second.look(0.0)

    assert second.refusal
    assert not second.generations


# -- siblings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["app.log.1", "app.log.12.gz", "app.log-20260131", "app.log-20260131.gz", "app.log.2026-01-31", "app.log.gz",
     "app.log.2026-01-31_10", "app.1.log", "app-2026-01-31.log", "app-2026-01-31.log.gz", "app_20260131T101500.log",
     "app.log.1.xz", "app.log-20260131-1738300000"],
)  # fmt: skip
def test_names_that_rotations_give(name):
    assert siblings.is_rotated("app.log", name)


@pytest.mark.parametrize(
    "name",
    ["app.log", "app.log.bak", "app.logger", "application.log", "app.log.lock", "app2.log", "other.log.1", "app"],
)
def test_names_that_rotations_do_not_give(name):
    assert not siblings.is_rotated("app.log", name)


def test_a_packed_file_that_is_cut_off_ends_where_it_ends(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000))[:5000])
    source = opening.open_log(str(path))

    assert len(source.read(0, 1 << 20)) < 100_000
    source.close()


# -- with the log keeper ----------------------------------------------------------------------------------------------


class Held(NoKeeper):
    """A keeper that holds what it is told to, and hands it over as the real one does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: list[opening.PlainFile] = []

    def hold_now(self) -> None:
        source = opening.open_log(str(self.path))
        assert isinstance(source, opening.PlainFile)
        self.held.append(source)

    def given(self, path: str) -> list[Kept]:
        held, self.held = self.held, []
        return [Kept(source) for source in held if path == str(self.path)]


@pytest.fixture
def held(watcher: Watcher, log: Path) -> Held:
    watcher.keeper = Held(log)
    return watcher.keeper


def test_what_was_held_and_packed_meanwhile_is_told_once(watcher, log, held):
    append(log, "ERROR: one\n" + FILLER)
    watcher.settle()
    watcher.kill()
    log.unlink()
    append(log, "ERROR: two\n" + FILLER)
    held.hold_now()
    first = log.with_name("server.log.1.gz")
    first.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    append(log, "ERROR: three\n")

    watcher.settle()

    assert watcher.texts == ["ERROR: one", "ERROR: two", "ERROR: three"]


def test_what_was_held_and_is_small_is_another_file_though_its_bytes_are_alike(watcher, log, held):
    append(log, "ERROR: one\n")
    watcher.settle()
    held.hold_now()
    watcher.kill()
    log.unlink()
    append(log, "ERROR: one\n")
    held.hold_now()
    log.unlink()

    watcher.settle()

    assert watcher.texts == ["ERROR: one", "ERROR: one"]
