"""Tests of daemons.journal."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from daemons import clock, files, settings
from daemons.files import LockBusy, LockFile
from daemons.journal import TEXT_LIMIT, Journal

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def journal(conf):
    return Journal(conf, "system:test")


def today(conf):
    return conf.journal_dir / clock.now().strftime("%Y-%m-%d") / "events.jsonl"


# -- events -----------------------------------------------------------------------------------------------------------


def test_an_event_is_one_json_line_of_its_day(journal, conf):
    journal.record("agent.ended", reason="asked to", agent="worker-a", pid=7)

    entry = json.loads(today(conf).read_text())
    assert entry["actor"] == "system:test"
    assert entry["event"] == "agent.ended"
    assert entry["reason"] == "asked to"
    assert entry["evidence"] == {"agent": "worker-a", "pid": 7}
    assert datetime.fromisoformat(entry["at"]).tzinfo is not None
    assert stat.S_IMODE(today(conf).stat().st_mode) == 0o600


def test_entries_are_read_back_in_order_and_half_a_line_is_passed_over(journal, conf):
    journal.record_once("1", "a.happened", at=NOON - timedelta(days=1), since=0)
    journal.record("b.happened")
    with today(conf).open("ab") as cut:
        cut.write(b"\0\0\0\n[]\n{half")
    journal.record("c.happened")

    assert [entry["event"] for entry in journal.entries()] == ["a.happened", "b.happened", "c.happened"]


def test_secrets_are_masked_and_long_texts_cut_and_nothing_steers_a_terminal(journal, conf):
    journal.record(
        "x.happened", command=["curl", "--password=hunter22"], output="y" * (TEXT_LIMIT + 5), esc="\x1b[2J\x9b"
    )

    raw = today(conf).read_bytes()
    evidence = json.loads(raw)["evidence"]
    assert b"hunter22" not in raw
    assert evidence["output"].endswith("(5 characters cut)")
    assert all(0x20 <= byte < 0x7F for byte in raw[:-1])


def test_anything_can_be_evidence(journal, conf):
    journal.record("x.happened", path=conf.home, when=NOON, names={"a"}, nested={1: (None, True, 1.5)}, odd=object())

    evidence = json.loads(today(conf).read_text())["evidence"]
    assert evidence["path"] == str(conf.home)
    assert evidence["nested"] == {"1": [None, True, 1.5]}


def test_an_entry_with_an_id_is_recorded_once_after_a_crash(journal):
    since = journal.end(NOON)
    for _ in range(3):
        journal.record_once("id-1", "alert.raised", at=NOON, since=since, n=1)
    journal.record_once("id-2", "alert.raised", at=NOON, since=since, n=2)

    assert [entry["id"] for entry in journal.entries()] == ["id-1", "id-2"]


def test_the_day_is_that_of_the_event_wherever_it_happened(journal, conf):
    evening_elsewhere = datetime(2026, 1, 31, 22, 0, tzinfo=timezone(timedelta(hours=-5)))

    journal.record_once("1", "x.happened", at=evening_elsewhere, since=0)

    assert (conf.journal_dir / "2026-02-01" / "events.jsonl").exists()


def test_an_id_is_found_though_the_file_is_not_what_it_was(journal, conf):
    for n in range(5):
        journal.record_once(f"filler-{n}", "x.happened", at=NOON, since=0)
    since = journal.end(NOON)
    journal.record_once("1", "alert.raised", at=NOON, since=since)
    file = conf.journal_dir / "2026-01-31" / "events.jsonl"
    file.write_bytes(file.read_bytes().split(b"\n")[-2] + b"\n")

    journal.record_once("1", "alert.raised", at=NOON, since=since)

    assert file.read_bytes().count(b"\n") == 1


def test_many_processes_record_without_losing_an_entry(conf, environ):
    code = (
        "import sys\nfrom daemons import settings\nfrom daemons.journal import Journal\n"
        "journal = Journal(settings.load(), sys.argv[1])\n"
        "for n in range(15):\n    journal.record('x.happened', n=n, text='z' * 3000)\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, f"actor-{n}"], env=environ) for n in range(5)]

    assert [child.wait() for child in children] == [0] * 5
    found = {(entry["actor"], entry["evidence"]["n"]) for entry in Journal(conf, "x").entries()}
    assert found == {(f"actor-{who}", n) for who in range(5) for n in range(15)}


def test_a_killed_writer_leaves_no_half_entry(journal, conf, environ):
    journal.record("a.happened")
    code = (
        "import os, signal\nfrom daemons import files, settings\nfrom daemons.journal import Journal\n"
        "def torn(fd, data):\n    os.write(fd, data[:20])\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_all = torn\nJournal(settings.load(), 'x').record('b.happened')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == -signal.SIGKILL

    journal.record("c.happened")

    assert [json.loads(line)["event"] for line in today(conf).read_text().splitlines()] == ["a.happened", "c.happened"]


def test_a_busy_lock_is_told(journal, conf, monkeypatch):
    journal.record("a.happened")
    real = LockFile.take
    monkeypatch.setattr(LockFile, "take", lambda lock, _timeout_s: real(lock, 0.05))
    with files.lock(conf.journal_dir / "lock"), pytest.raises(LockBusy, match=str(os.getpid())):
        journal.record("b.happened")


# -- bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_is_a_private_file_named_for_its_time_and_told_relative_to_home(journal, conf):
    path = journal.attach("log-alert", "# Errors\n", NOON)

    assert not path.is_absolute()
    assert str(path).startswith(".cmux/journal/2026-01-31/attachments/log-alert-120000-")
    assert path.suffix == ".md"
    assert (conf.home / path).read_text() == "# Errors\n"
    assert stat.S_IMODE((conf.home / path).stat().st_mode) == 0o600


def test_two_bodies_of_one_second_are_two_files(journal, conf):
    paths = {journal.attach("log-alert", f"{n}", NOON) for n in range(20)}

    assert len(paths) == 20
    assert sorted((conf.home / path).read_text() for path in paths) == sorted(map(str, range(20)))


def test_the_same_name_gives_the_same_file(journal, conf):
    first = journal.attach("alert", "one", NOON, name="abc")
    second = journal.attach("alert", "two \ud800", NOON, name="abc")

    assert first == second
    assert (conf.home / first).read_text() == "two \\ud800"


@pytest.mark.parametrize("name", ["../x", "", "a/b", "A", "a" * 70, "a\n"])
def test_a_name_that_is_a_path_is_refused(journal, name):
    with pytest.raises(ValueError, match="no name for a file"):
        journal.attach("alert", "x", NOON, name=name or "/")


def test_settings_find_the_journal(environ):
    conf = settings.load(environ)
    Journal(conf, "x").record("a.happened")
    assert len(list(Journal(conf, "y").entries())) == 1
