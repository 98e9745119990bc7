from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import eventually

from daemons import alerts, clock, loop, settings
from daemons.alerts import Alerts
from daemons.clock import Wake
from daemons.files import StorageError
from daemons.log_watcher import __main__ as log_watcher
from daemons.log_watcher import names
from daemons.log_watcher.__main__ import LogWatcher
from daemons.mailbox import Message
from daemons.settings import Settings

Mail = Callable[[], list[Message]]


@pytest.fixture
def log(home: Path) -> Path:
    return home / "server.log"


def append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def detail(conf: Settings) -> dict[str, object]:
    status = loop.read_status(conf, "log_watcher")
    return dict(status.detail) if status else {}


def is_running(conf: Settings) -> bool:
    return bool(detail(conf))


def counted(conf: Settings) -> int:
    """How many errors are told or waiting to be: the count of all alerts that are open."""
    return sum(alert.count for alert in alerts.all_open(conf) if alert.kind == "log")


# -- telling ----------------------------------------------------------------------------------------------------------


def test_an_error_line_reaches_the_mailbox(start, mail, conf, log):
    start("log_watcher")

    append(log, "ERROR: disk on fire\n")

    eventually(lambda: len(mail()) == 1, but=mail)
    message = mail()[0]
    assert message.sender == "system:log-watcher"
    assert message.to == "cmux:supervisor"
    assert message.subject == "[LOG ALERT] server.log: 1 errors detected"
    assert "ERROR: disk on fire" in (conf.home / str(message.body)).read_text()


def test_the_errors_of_one_moment_are_one_message(start, mail, conf, log):
    start("log_watcher")
    eventually(lambda: is_running(conf))

    append(log, "ERROR: disk on fire\nINFO: ERROR quoted\nCRITICAL: roof on fire\nERROR: disk on fire\n")

    eventually(lambda: len(mail()) == 1, but=mail)
    assert mail()[0].subject == "[LOG ALERT] server.log: 3 errors detected"


def test_a_trace_is_told_whole(start, mail, conf, log):
    start("log_watcher")
    trace = 'Traceback (most recent call last):\n  File "/srv/a.py", line 3, in f\n    g()\nValueError: bad\n'

    append(log, f"2026-01-31 10:00:00 ERROR app: it broke\n{trace}2026-01-31 10:00:01 INFO app: on\n")

    eventually(lambda: len(mail()) == 1, but=mail)
    assert trace in (conf.home / str(mail()[0].body)).read_text()
    assert f"{trace}┊ 2026-01-31 10:00:01 INFO app: on\n```" in (conf.home / str(mail()[0].body)).read_text()


def test_the_same_error_again_only_counts_while_it_is_fresh(start, mail, conf, log):
    start("log_watcher")
    append(log, "ERROR: no answer from 10.0.0.1\n")
    eventually(lambda: counted(conf) == 1)

    append(log, "ERROR: no answer from 10.0.0.2\n")

    eventually(lambda: counted(conf) == 2)
    assert len(mail()) == 1


def test_two_logs_of_one_name_are_two_logs(start, mail, conf, home):
    start("log_watcher", CMUX_WATCHED_LOGS="a/server.log:b/server.log")
    eventually(lambda: is_running(conf))

    append(home / "a/server.log", "ERROR: one\n")
    append(home / "b/server.log", "ERROR: one\n")

    eventually(lambda: len(mail()) == 2, but=mail)
    assert {alert.subject for alert in alerts.all_open(conf)} == {str(home / f"{name}/server.log") for name in "ab"}


def test_errors_are_told_as_they_come_when_the_log_never_rests(start, mail, conf, log):
    start("log_watcher")
    eventually(lambda: is_running(conf))
    chatter = subprocess.Popen(
        [sys.executable, "-c", f"while True: open({str(log)!r}, 'a').write('2026-01-31 10:00:00 INFO chatter\\n')"]
    )
    try:
        append(log, "2026-01-31 10:00:00 ERROR in the middle\n")

        eventually(lambda: len(mail()) == 1, but=mail)
    finally:
        chatter.kill()
        chatter.wait()


# -- files that come and go -------------------------------------------------------------------------------------------


def test_a_folder_that_appears_later_is_watched(start, mail, conf, home):
    start("log_watcher", CMUX_WATCHED_LOGS="later/deep/server.log")
    eventually(lambda: is_running(conf))

    append(home / "later/deep/server.log", "ERROR: first line of all\n")

    eventually(lambda: len(mail()) == 1, but=mail)


def test_a_folder_that_was_removed_and_made_again_is_watched(start, mail, conf, home):
    start("log_watcher", CMUX_WATCHED_LOGS="logs/server.log")
    append(home / "logs/server.log", "ERROR: before\n")
    eventually(lambda: len(mail()) == 1, but=mail)
    shutil.rmtree(home / "logs")
    eventually(lambda: detail(conf).get("followed") is not None)

    append(home / "logs/server.log", "CRITICAL: after\n")

    eventually(lambda: len(mail()) == 2, but=mail)


def test_a_glob_finds_files_that_appear_later_and_takes_no_rotated_file_for_a_log(start, mail, conf, home):
    start("log_watcher", CMUX_WATCHED_LOGS="logs/*.log*")
    append(home / "logs/one.log", "ERROR: one\n")
    append(home / "logs/two.log", "ERROR: two\n" + "INFO: quiet\n" * 100)
    eventually(lambda: counted(conf) == 2, but=mail)

    (home / "logs/two.log").rename(home / "logs/two.log.1")
    append(home / "logs/two.log", "ERROR: three\n")

    eventually(lambda: counted(conf) == 3, but=mail)
    eventually(lambda: detail(conf).get("logs") == 2)


def test_what_is_no_log_is_named_and_the_others_are_watched(start, mail, conf, home, log):
    os.mkfifo(home / "pipe.log")
    start("log_watcher", CMUX_WATCHED_LOGS="pipe.log:server.log:/dev/zero")

    append(log, "ERROR: x\n")

    eventually(lambda: len(mail()) == 1, but=mail)
    refused = eventually(lambda: detail(conf).get("refused"))
    assert refused == {str(home / "pipe.log"): "it is a FIFO, no file", "/dev/zero": "it is a device, no file"}


def test_a_link_into_another_folder_is_followed(start, mail, home, tmp_path):
    target = tmp_path / "elsewhere" / "app.log"
    append(target, "")
    (home / "server.log").symlink_to(target)
    start("log_watcher")

    append(target, "ERROR: behind the link\n")

    eventually(lambda: len(mail()) == 1, but=mail)


def test_what_turned_up_while_no_watcher_ran_is_read_from_its_first_byte(start, mail, conf, home):
    first = start("log_watcher", CMUX_WATCHED_LOGS="logs/*.log")
    append(home / "logs/old.log", "INFO: fine\n")
    eventually(lambda: detail(conf).get("followed") == 1)
    end(first)

    append(home / "logs/new.log", "ERROR: first line\n" + "INFO: quiet\n" * 50_000)
    start("log_watcher", CMUX_WATCHED_LOGS="logs/*.log")

    eventually(lambda: len(mail()) == 1, but=mail)


def end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=5) == 0


# -- dying ------------------------------------------------------------------------------------------------------------


def test_killed_and_started_again_it_repeats_nothing_and_misses_nothing(start, mail, conf, log):
    first = start("log_watcher")
    append(log, "ERROR: before\n")
    eventually(lambda: counted(conf) == 1)
    first.kill()
    first.wait()

    append(log, "CRITICAL: meanwhile\n")
    start("log_watcher")

    eventually(lambda: len(mail()) == 2, but=mail)
    append(log, "ERROR: the roof is on fire\n")
    eventually(lambda: counted(conf) == 3, but=mail)


def test_a_state_that_cannot_be_kept_loses_nothing(conf, log, monkeypatch):
    watcher = LogWatcher(conf, Wake())
    refusals = iter([StorageError("write", conf.alerts_dir, OSError(28, "full"))])
    really = Alerts.raise_

    def full_once(self, *arguments, **named):
        for refusal in refusals:
            raise refusal
        really(self, *arguments, **named)

    monkeypatch.setattr(Alerts, "raise_", full_once)
    append(log, "ERROR: one\nERROR: two\n")

    with pytest.raises(StorageError):
        watcher.tick(clock.now())
    append(log, "ERROR: three\n")
    watcher.tick(clock.now())
    watcher.tick(clock.now())
    watcher.close()

    assert counted(conf) == 3


# -- limits and settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_without_inotify_the_poll_goes_on_and_one_note_says_so(environ, mail, conf, log, tmp_path, limit):
    command = f'echo 0 > /proc/sys/user/{limit} && exec "$0" -m daemons.log_watcher'
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    with (tmp_path / "stderr").open("wb") as stderr:
        child = subprocess.Popen(["unshare", "-Ur", "sh", "-c", command, sys.executable], env=environ, stderr=stderr)
    try:
        eventually(lambda: is_running(conf))
        append(log, "ERROR: seen by the poll\n")

        eventually(lambda: len(mail()) == 1, but=mail)
        assert "limit" in str(detail(conf)["watching"])
        assert (tmp_path / "stderr").read_text().count("watch.refused") == 1
    finally:
        end(child)


def test_a_pattern_that_cannot_be_used_ends_it_with_one_line(environ):
    ran = subprocess.run(
        [sys.executable, "-m", "daemons.log_watcher"],
        env=environ | {"CMUX_ERROR_PATTERNS": r"(?<=x)ERROR"},
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "(?<=x)ERROR" in ran.stderr


def test_its_own_log_and_what_it_tells_can_be_watched_without_an_echo(conf, home):
    everything = (
        ".cmux/logs/*.log",
        ".cmux/journal/*/attachments/*.md",
        ".cmux/mailbox",
        ".cmux/alerts/*.json",
        "*.log",
    )
    conf = dataclasses.replace(conf, watched_logs=tuple(str(home / name) for name in everything))
    watcher = LogWatcher(conf, Wake())
    append(
        home / "server.log", "ERROR: [LOG ALERT] is not what this line is about, disk on fire\nERROR: disk on fire\n"
    )
    append(conf.logs_dir / "log_watcher.log", '{"ts": "x", "level": "ERROR", "daemon": "log_watcher", "event": "e"}\n')
    append(conf.logs_dir / "api.log", '{"ts": "x", "level": "ERROR", "daemon": "api", "event": "cycle.failed"}\n')

    for _ in range(5):
        watcher.tick(clock.now())
    watcher.close()

    subjects = sorted(Path(alert.subject).name for alert in alerts.all_open(conf))
    assert subjects == ["api.log", "server.log", "server.log"]


def test_an_alert_that_has_been_quiet_is_cleared_once(conf, log, mail):
    watcher = LogWatcher(conf, Wake())
    append(log, "ERROR: x\nERROR: x\n")
    began = datetime(2026, 1, 31, 10, tzinfo=UTC)
    tick(watcher, began)

    tick(watcher, began + timedelta(minutes=9))
    assert counted(conf) == 2

    tick(watcher, began + timedelta(minutes=11))
    tick(watcher, began + timedelta(minutes=12))
    watcher.close()

    assert counted(conf) == 0
    assert [message.subject for message in mail()] == [
        "[LOG ALERT] server.log: 2 errors detected",
        "[CLEARED] server.log: not seen again for a while",
    ]


def tick(watcher: LogWatcher, now: datetime) -> dict[str, object]:
    """A cycle at *now*, in which everything is due that else happens now and then."""
    watcher._quiet_at = watcher._look_at = 0.0
    return dict(watcher.tick(now))


def test_every_log_has_its_turn_when_a_cycle_has_time_for_one_only(conf, home, monkeypatch):
    monkeypatch.setattr(log_watcher, "CYCLE_S", 0.0)
    watcher = LogWatcher(
        dataclasses.replace(conf, watched_logs=tuple(str(home / f"{name}.log") for name in "abc")), Wake()
    )
    for _ in range(5):
        for name in "abc":
            append(home / f"{name}.log", "ERROR: x\n" + "INFO: y\n" * 4)  # no trace follows behind so many
        for _ in range(4):
            watcher.tick(clock.now())
    watcher.close()

    assert counted(conf) == 15


def test_the_ledger_adds_up(conf, log):
    watcher = LogWatcher(conf, Wake())
    tick(watcher, clock.now())
    append(log, "INFO: fine\n" * 1000 + "ERROR: x\nhalf a li")

    told = tick(watcher, clock.now())
    watcher.close()

    ledger = told["coverage"]
    assert isinstance(ledger, dict)
    assert ledger["seen_bytes"] == log.stat().st_size
    assert ledger["examined_bytes"] == log.stat().st_size - len("half a li")
    assert ledger["pending_bytes"] == len("half a li")
    assert ledger["events"] == 1


def test_hundreds_of_logs_are_watched(start, mail, conf, home):
    for number in range(300):
        append(home / f"logs/{number}.log", "INFO: fine\n")
    start("log_watcher", CMUX_WATCHED_LOGS="logs/*.log")
    eventually(lambda: detail(conf).get("followed") == 300, within_s=15)

    for number in (0, 150, 299):
        append(home / f"logs/{number}.log", "ERROR: x\n")

    eventually(lambda: counted(conf) == 3, but=mail)


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_path_with_a_globs_signs_in_its_name_is_that_path(conf, home):
    append(home / "a[1].log", "x")
    found = names.Names(dataclasses.replace(conf, watched_logs=(str(home / "a[1].log"),))).find(0.0)

    assert list(found) == [str(home / "a[1].log")]


def test_what_was_looked_for_is_remembered(conf, home):
    conf.markers_dir.mkdir(parents=True)
    conf = dataclasses.replace(conf, watched_logs=(str(home / "*.log"),))
    append(home / "a.log", "x")
    before = names.Names(conf)
    assert before.find(0.0) == {str(home / "a.log"): False}
    before.remember()

    assert names.Names(conf).find(0.0) == {str(home / "a.log"): True}
    assert json.loads((conf.markers_dir / names.LOOKED_FOR).read_text()) == [str(home / "*.log")]


def test_the_settings_words_for_patterns_are_the_watchers(conf):
    assert conf.error_patterns == settings.ERROR_PATTERNS
