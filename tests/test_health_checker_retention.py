"""What is kept for later has a limit, and nothing goes that somebody still needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemons import alerts, clock, files, mailbox, settings
from daemons.alerts import Alerts, Occurrence
from daemons.health_checker import retention
from daemons.health_checker.retention import Retention
from daemons.journal import Journal
from daemons.settings import Settings

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


def limited(environ: dict[str, str], **limits: str) -> Settings:
    return settings.load({**environ, **limits})


def filled(conf: Settings, days: int, *, until: datetime = NOON) -> Journal:
    """A journal of that many days, each with an entry and a body of 1,000 bytes."""
    journal = Journal(conf, "system:test")
    for number in range(days):
        at = until - timedelta(days=days - 1 - number)
        journal.record_once(f"entry-{number}", "day.began", at=at, since=0)
        journal.attach("alert", "x" * 1000, at)
    return journal


def names(journal: Journal) -> list[str]:
    return [day.name for day in journal.days()]


def removals(journal: Journal) -> list[Any]:
    return [entry["evidence"] for entry in journal.entries() if entry["event"] == "journal.day_removed"]


def test_the_oldest_days_go_with_their_bodies_and_the_journal_says_so(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="3")
    journal = filled(conf, 6)

    Retention(conf).keep_to_limits(NOON)

    # The removals are recorded today, which may be another day than the newest of these.
    assert [day for day in names(journal) if day.startswith("2026-06")] == ["2026-06-13", "2026-06-14", "2026-06-15"]
    assert [(each["day"], each["bytes"] > 1000) for each in removals(journal)] == [
        ("2026-06-10", True),
        ("2026-06-11", True),
        ("2026-06-12", True),
    ]
    assert not list(conf.journal_dir.glob(".removed-*"))


def test_what_is_too_large_goes_earlier_but_for_the_newest_days(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_SIZE="1K")
    journal = filled(conf, 5)

    Retention(conf).keep_to_limits(NOON)

    assert names(journal)[:2] == ["2026-06-14", "2026-06-15"]


@pytest.mark.parametrize("jumped_to", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 19, tzinfo=UTC)])
def test_a_clock_that_jumps_removes_nothing_that_is_not_over_the_limits(
    environ: dict[str, str], jumped_to: datetime
) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="7")
    journal = filled(conf, 5)
    journal.record_once("jumped", "clock.jumped", at=jumped_to, since=0)
    before = names(journal)

    Retention(conf).keep_to_limits(jumped_to)

    assert names(journal) == before


def test_today_stays_though_its_date_is_the_oldest(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    journal = filled(conf, 4)
    journal.record_once("jumped", "clock.jumped", at=datetime(1970, 1, 1, tzinfo=UTC), since=0)

    Retention(conf).keep_to_limits(datetime(1970, 1, 1, 8, tzinfo=UTC))

    assert "1970-01-01" in names(journal)


def test_a_day_that_an_open_alert_needs_stays_until_it_is_cleared(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    journal = filled(conf, 5)
    raised = NOON - timedelta(days=4)
    sender = Alerts(conf, "system:test")
    sender.raise_([Occurrence("k", "kind", "subject", "evidence")], raised)

    Retention(conf).keep_to_limits(NOON)
    assert "2026-06-11" in names(journal)
    assert "2026-06-12" not in names(journal)

    sender.clear(["k"], NOON, reason="over")
    Retention(conf).keep_to_limits(NOON)
    assert "2026-06-11" not in names(journal)


def test_nothing_goes_while_the_alerts_cannot_be_read(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    journal = filled(conf, 5)
    files.private_dir(conf.alerts_dir)
    (conf.alerts_dir / "system:test.json").write_text("{")

    Retention(conf).keep_to_limits(NOON)

    assert len(names(journal)) == 5


def test_an_old_entry_that_is_handed_in_again_after_its_day_went_stands_there_once(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    journal = filled(conf, 5)
    old = NOON - timedelta(days=4)
    since = journal.end(old)

    Retention(conf).keep_to_limits(NOON)
    assert "2026-06-11" not in names(journal)
    for _ in range(2):
        journal.record_once("late", "message.was_sent", at=old, since=since)

    assert [entry["id"] for entry in journal.entries() if entry["event"] == "message.was_sent"] == ["late"]


def test_a_day_from_which_a_message_waits_stays_until_it_is_sent(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    journal = filled(conf, 5)
    old = NOON - timedelta(days=4)
    conf.mailbox.mkdir(parents=True)  # nothing can be sent
    sender = Alerts(conf, "system:test")
    sender.raise_([Occurrence("k", "kind", "subject", "evidence")], old)
    sender.clear(["k"], old + timedelta(seconds=1), reason="over")

    Retention(conf).keep_to_limits(NOON)
    assert "2026-06-11" in names(journal)

    conf.mailbox.rmdir()
    Alerts(conf, "system:test").tick(NOON)  # another one, which does not pause after the failure
    Retention(conf).keep_to_limits(NOON)
    assert len(list(mailbox.of(conf).after(None))) >= 1
    assert "2026-06-11" not in names(journal)


def test_the_proof_of_the_mailbox_stays_whole_when_days_go(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    for number in range(4):
        at = NOON - timedelta(days=3 - number)
        sender = Alerts(conf, "system:test")
        sender.raise_([Occurrence(f"k{number}", "kind", f"subject {number}", "evidence")], at)
        sender.clear([f"k{number}"], at + timedelta(seconds=1), reason="over")

    before = len(list(alerts.claims(conf)))
    Retention(conf).keep_to_limits(NOON)
    proof = mailbox.of(conf).verify(alerts.claims(conf))

    assert 0 < proof.in_place < before
    assert (proof.missing, proof.repeated, proof.moved) == ((), (), 0)


def test_a_removal_that_was_killed_is_finished_by_the_next(environ: dict[str, str]) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="3")
    journal = filled(conf, 5)
    killed = (
        "import os\nfrom daemons import files, settings\nfrom daemons.health_checker.retention import Retention\n"
        "from datetime import UTC, datetime\n"
        "files.reached = lambda step: os.kill(os.getpid(), 9) if step == 'journal.day_renamed' else None\n"
        "Retention(settings.load()).keep_to_limits(datetime(2026, 6, 15, 12, tzinfo=UTC))\n"
    )
    child = subprocess.run([sys.executable, "-c", killed], env={**environ, "CMUX_JOURNAL_DAYS": "3"}, check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(list(conf.journal_dir.glob(".removed-*"))) == 1

    Retention(conf).keep_to_limits(NOON)

    assert not list(conf.journal_dir.glob(".removed-*"))
    # What was killed had recorded its removals already, in a day of their own.
    assert [day for day in names(journal) if day.startswith("2026-06")] == ["2026-06-14", "2026-06-15"]


def test_it_looks_once_an_hour_and_not_at_once(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    conf = limited(environ, CMUX_JOURNAL_DAYS="2")
    journal = filled(conf, 4)
    now = [clock.monotonic()]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    looks = Retention(conf)

    looks.look(NOON)
    assert len(names(journal)) == 4
    now[0] += retention.FIRST_LOOK_AFTER_S
    looks.look(NOON)
    assert names(journal)[0] == "2026-06-14"


# -- the quarantine ---------------------------------------------------------------------------------------------------


def test_the_oldest_of_the_quarantine_go_and_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "QUARANTINE_ENTRIES", 5)
    monkeypatch.setattr(retention, "NEWEST_IN_QUARANTINE", 2)
    for number in range(8):
        (tmp_path / f"kept-{number}").write_text(json.dumps(number))
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "body").write_text("x")

    retention.empty_out(tmp_path)

    assert sorted(os.listdir(tmp_path)) == ["held", "kept-4", "kept-5", "kept-6", "kept-7"]


def test_a_large_quarantine_is_emptied_but_for_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "QUARANTINE_BYTES", 250)
    monkeypatch.setattr(retention, "NEWEST_IN_QUARANTINE", 1)
    for number in range(4):
        (tmp_path / f"kept-{number}").write_bytes(b"x" * 100)

    retention.empty_out(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["kept-2", "kept-3"]

    retention.empty_out(tmp_path / "nothing")
