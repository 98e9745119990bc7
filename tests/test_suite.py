"""A home has one suite id for good, a copy of it another one; a record names one living supervisord or none."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemons import files, processes, suite
from daemons.processes import Identity
from daemons.settings import Settings

ID_FILE = "suite_id"


def in_home(conf: Settings, home: Path) -> Settings:
    return dataclasses.replace(conf, home=home)


def record(conf: Settings, supervisord: Identity | None = None) -> suite.Record:
    supervisord = supervisord or processes.identify(os.getpid())
    assert supervisord
    return suite.record_of(conf, supervisord, cgroup=None)


class TestTheId:
    def test_it_is_made_once(self, conf: Settings) -> None:
        assert suite.known_id(conf) is None

        made = suite.suite_id(conf)

        assert str(uuid.UUID(made)) == made
        assert suite.suite_id(conf) == suite.known_id(conf) == made

    def test_many_who_ask_first_get_the_same(self, conf: Settings) -> None:
        with ThreadPoolExecutor(16) as crowd:
            answers = set(crowd.map(suite.suite_id, [conf] * 64))

        assert len(answers) == 1

    def test_a_copied_home_gets_its_own(self, conf: Settings, tmp_path: Path) -> None:
        made = suite.suite_id(conf)

        copy = in_home(conf, Path(shutil.copytree(conf.home, tmp_path / "copy")))

        assert suite.known_id(copy) is None
        assert suite.suite_id(copy) != made
        assert suite.suite_id(conf) == made

    def test_a_moved_home_keeps_its_own_also_when_another_takes_the_old_place(
        self, conf: Settings, tmp_path: Path
    ) -> None:
        made = suite.suite_id(conf)
        moved = in_home(conf, conf.home.rename(tmp_path / "moved"))
        assert suite.suite_id(moved) == made

        shutil.copytree(moved.home, conf.home)

        assert suite.suite_id(conf) != made

    def test_a_home_that_was_restored_from_a_backup_keeps_its_own(self, conf: Settings, tmp_path: Path) -> None:
        made = suite.suite_id(conf)
        shutil.copytree(conf.home, tmp_path / "backup")
        shutil.rmtree(conf.home)

        shutil.copytree(tmp_path / "backup", conf.home)

        assert suite.suite_id(conf) == made

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"a b c\n", b"\xff\xfe 1 /x\n"])
    def test_what_makes_no_sense_is_made_anew(self, conf: Settings, content: bytes) -> None:
        conf.state.mkdir()
        (conf.state / ID_FILE).write_bytes(content)

        made = suite.suite_id(conf)

        assert suite.known_id(conf) == made

    @pytest.mark.parametrize("content", [b"", b"[", b"a b c\n", b"\xff\xfe 1 /x\n"])
    def test_what_makes_no_sense_is_that_of_the_suite_that_runs(self, conf: Settings, content: bytes) -> None:
        written = record(conf)
        suite.write(written, conf)
        line = (conf.state / ID_FILE).read_bytes()
        (conf.state / ID_FILE).write_bytes(content)

        assert suite.running(conf) == suite.read(conf) == written
        assert suite.known_id(conf) == written.suite_id
        assert suite.suite_id(conf) == written.suite_id
        assert (conf.state / ID_FILE).read_bytes() == line

    def test_one_that_was_deleted_is_that_of_the_suite_that_runs(self, conf: Settings) -> None:
        written = record(conf)
        suite.write(written, conf)
        line = (conf.state / ID_FILE).read_bytes()
        (conf.state / ID_FILE).unlink()

        assert suite.running(conf) == written
        assert suite.suite_id(conf) == written.suite_id
        assert (conf.state / ID_FILE).read_bytes() == line

    def test_it_is_restored_out_of_a_record_only_where_it_makes_no_sense(self, conf: Settings, tmp_path: Path) -> None:
        written = record(conf)
        line = (conf.state / ID_FILE).read_bytes()
        (conf.state / ID_FILE).write_bytes(b"[")
        suite.restore_id(written.suite_id, conf)
        assert (conf.state / ID_FILE).read_bytes() == line

        copy = in_home(conf, Path(shutil.copytree(conf.home, tmp_path / "copy")))
        suite.restore_id(written.suite_id, copy)

        assert suite.known_id(copy) is None

    def test_a_record_that_names_nothing_that_lives_vouches_for_no_id(self, conf: Settings) -> None:
        ourselves = processes.identify(os.getpid())
        assert ourselves
        suite.write(record(conf, dataclasses.replace(ourselves, started=ourselves.started - 1)), conf)
        (conf.state / ID_FILE).write_bytes(b"[")

        assert suite.known_id(conf) is None
        assert suite.read(conf) is None

    def test_a_copied_record_vouches_for_no_id(self, conf: Settings, tmp_path: Path) -> None:
        suite.write(record(conf), conf)
        copy = in_home(conf, Path(shutil.copytree(conf.home, tmp_path / "copy")))
        (copy.state / ID_FILE).write_bytes(b"[")

        assert suite.known_id(copy) is None
        assert suite.read(copy) is None

    def test_could_not_look_is_not_none_there(self, conf: Settings) -> None:
        (conf.state / ID_FILE).mkdir(parents=True)

        with pytest.raises(files.StorageError):
            suite.known_id(conf)


class TestTheRecord:
    def test_it_is_read_as_it_was_written(self, conf: Settings) -> None:
        written = record(conf)

        suite.write(written, conf)

        assert suite.read(conf) == suite.running(conf) == written

    def test_without_one_nothing_runs(self, conf: Settings) -> None:
        assert suite.read(conf) is None
        assert suite.running(conf) is None

    def test_once_supervisord_has_ended_it_names_nothing_that_runs(self, conf: Settings) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        written = record(conf, processes.identify(child.pid))
        suite.write(written, conf)
        assert suite.running(conf) == written

        child.communicate(b"\n")

        assert suite.running(conf) is None
        assert suite.read(conf) == written
        suite.forget(conf)
        assert suite.read(conf) is None

    def test_a_pid_that_was_given_again_is_not_ours(self, conf: Settings) -> None:
        ourselves = processes.identify(os.getpid())
        assert ourselves
        suite.write(record(conf, dataclasses.replace(ourselves, started=ourselves.started - 1)), conf)

        assert suite.running(conf) is None

    def test_one_from_before_the_machine_started_anew_is_not_ours(self, conf: Settings) -> None:
        ourselves = processes.identify(os.getpid())
        assert ourselves
        suite.write(record(conf, dataclasses.replace(ourselves, boot="another")), conf)

        assert suite.running(conf) is None

    def test_one_that_was_copied_with_its_home_is_not_ours(self, conf: Settings, tmp_path: Path) -> None:
        suite.write(record(conf), conf)

        copy = in_home(conf, Path(shutil.copytree(conf.home, tmp_path / "copy")))

        assert suite.read(copy) is None
        suite.suite_id(copy)
        assert suite.read(copy) is None

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"supervisord": {}}', b'{"supervisord": null}'])
    def test_what_makes_no_sense_is_no_record(self, conf: Settings, content: bytes) -> None:
        suite.write(record(conf), conf)
        (conf.run_dir / "suite.json").write_bytes(content)

        assert suite.read(conf) is None

    def test_what_was_deleted_while_it_runs_is_written_anew(self, conf: Settings) -> None:
        written = record(conf)
        suite.write(written, conf)
        assert not suite.restore(written, conf)
        (conf.state / ID_FILE).unlink()
        (conf.run_dir / "suite.json").write_bytes(b"{")

        assert suite.restore(written, conf)

        assert suite.running(conf) == written
        assert suite.known_id(conf) == written.suite_id
        assert not suite.restore(written, conf)

    def test_one_whose_supervisord_has_ended_or_that_another_took_over_is_not_written_anew(
        self, conf: Settings
    ) -> None:
        ourselves = processes.identify(os.getpid())
        assert ourselves
        ended = record(conf, dataclasses.replace(ourselves, started=ourselves.started - 1))
        suite.restore(ended, conf)
        assert suite.read(conf) is None

        another = record(conf)
        suite.write(another, conf)
        suite.restore(dataclasses.replace(another, port=1), conf)
        assert suite.read(conf) == another
