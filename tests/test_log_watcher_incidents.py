"""What the log watcher makes of many kinds of error at once, and what stands around an error that it tells."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemons import alerts
from daemons.clock import Wake
from daemons.log_watcher.__main__ import LogWatcher
from daemons.log_watcher.incidents import OPEN_KINDS, STORM_KINDS
from daemons.mailbox import Message
from daemons.settings import Settings

Mail = Callable[[], list[Message]]
BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture
def log(home: Path) -> Path:
    return home / "server.log"


@pytest.fixture
def watcher(conf: Settings) -> Iterator[LogWatcher]:
    one = LogWatcher(conf, Wake())
    one.tick(BEGAN)  # what is there at the very first look is not read from its beginning
    yield one
    one.close()


def kind(number: int) -> str:
    """A word that no mask takes for a number: every one is another kind of error."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")


def errors(numbers: range) -> str:
    return "".join(f"2026-01-31 10:00:00 ERROR app: the {kind(number)} is on fire\n" for number in numbers)


def write(watcher: LogWatcher, log: Path, text: str, now: datetime) -> None:
    with log.open("a") as file:
        file.write(text)
    for moment in (now, now + timedelta(seconds=1)):
        watcher._quiet_at = watcher._look_at = 0.0
        watcher.tick(moment)


def body(conf: Settings, message: Message) -> str:
    return (conf.home / str(message.body)).read_text()


def open_alerts(conf: Settings) -> list[alerts.Alert]:
    return [alert for alert in alerts.all_open(conf) if alert.kind == "log"]


# -- a storm ----------------------------------------------------------------------------------------------------------


def test_very_many_kinds_of_error_at_once_are_one_alert_that_says_so(watcher, conf, log, mail):
    often = "2026-01-31 10:00:00 ERROR app: token=abcdef0123456789 the roof is on fire\n" * 50

    write(watcher, log, errors(range(300)) + often, BEGAN)

    (message,) = mail()
    assert message.subject == "[LOG ALERT] server.log: 350 errors detected, a storm of 301 kinds"
    (alert,) = open_alerts(conf)
    assert alert.title == "server.log: a storm of 301 kinds of error"
    told = body(conf, message)
    assert "     50 × 2026-01-31 10:00:00 ERROR app: token=[masked] the roof is on fire\n" in told
    assert "    291 × others\n" in told
    assert f"- first: {alert.first:%Y-%m-%dT%H:%M:%S}" in told


def test_the_record_of_a_storm_is_whole(watcher, conf, log, mail):
    long = "x" * 8000

    write(watcher, log, errors(range(300)).replace("fire\n", f"fire {long}\n"), BEGAN)
    write(watcher, log, "", BEGAN + timedelta(minutes=6))

    folder = (conf.home / str(mail()[0].body)).parent
    told = "".join(path.read_text() for path in folder.iterdir())
    assert set(re.findall(r"the (\w{4}) is on fire", told)) == {kind(number) for number in range(300)}
    assert "**Cut:" not in told


def test_a_storm_goes_on_as_an_update_and_ends_once(watcher, conf, log, mail):
    write(watcher, log, errors(range(100)), BEGAN)
    write(watcher, log, errors(range(50, 120)), BEGAN + timedelta(minutes=1))
    assert len(mail()) == 1

    write(watcher, log, "", BEGAN + timedelta(minutes=6))
    write(watcher, log, "", BEGAN + timedelta(minutes=30))

    assert [message.subject for message in mail()[1:]] == [
        "[LOG ALERT] server.log: 70 errors detected, a storm of 120 kinds",
        "[CLEARED] server.log: not seen again for a while",
    ]
    assert open_alerts(conf) == []


def test_few_kinds_at_once_are_an_alert_each(watcher, conf, log):
    write(watcher, log, errors(range(STORM_KINDS)), BEGAN)

    assert len(open_alerts(conf)) == STORM_KINDS


def test_new_kinds_at_leisure_are_no_storm(watcher, conf, log):
    for hour in range(4):
        write(watcher, log, errors(range(20 * hour, 20 * hour + 20)), BEGAN + timedelta(minutes=2 * hour))

    assert len(open_alerts(conf)) == 80


def test_no_more_kinds_are_open_than_anybody_can_read(watcher, conf, log):
    for minute in range(12):
        write(watcher, log, errors(range(20 * minute, 20 * minute + 20)), BEGAN + timedelta(minutes=minute * 0.8))

    assert len(open_alerts(conf)) <= OPEN_KINDS + 1
    assert sum(alert.count for alert in open_alerts(conf)) == 240


def test_a_kind_that_was_open_before_the_storm_stays_its_own(watcher, conf, log):
    write(watcher, log, errors(range(1)), BEGAN)
    write(watcher, log, errors(range(100)), BEGAN + timedelta(seconds=5))

    assert sorted((alert.count, bool(alert.variety.kinds)) for alert in open_alerts(conf)) == [(2, False), (99, True)]


def test_a_storm_is_still_one_after_a_restart(conf, log, mail):
    for numbers in (range(100), range(100, 110)):
        watcher = LogWatcher(conf, Wake())
        write(watcher, log, errors(numbers), BEGAN)
        watcher.close()

    (alert,) = open_alerts(conf)
    assert (alert.count, len(alert.variety.kinds)) == (110, 110)
    assert len(mail()) == 1


def test_told_again_after_a_kill_it_counts_once_whatever_it_counted_as(conf, log, monkeypatch):
    """The marker did not move: the same errors come again, to a watcher that knows of other kinds."""
    first = LogWatcher(conf, Wake())
    with monkeypatch.context() as patched:
        patched.setattr("daemons.log_watcher.tail.Log.commit", lambda *_: None)
        write(first, log, errors(range(20)), BEGAN)
    again = LogWatcher(conf, Wake())
    write(again, log, errors(range(20, 60)), BEGAN + timedelta(seconds=2))
    again.close()

    assert sum(alert.count for alert in open_alerts(conf)) == 60
    first._logs.clear()
    first.close()


def test_a_storm_of_thousands_of_kinds_stays_small(watcher, conf, log):
    write(watcher, log, errors(range(3000)), BEGAN)

    (alert,) = open_alerts(conf)
    assert alert.variety.told == "a storm of more than 400 kinds"
    assert alert.count == 3000
    state = next(conf.alerts_dir.glob("*log-watcher.json"))
    assert state.stat().st_size < 100_000
    assert sum(count for count, _ in alert.variety.kinds.values()) + alert.variety.beyond == 3000


# -- what stands around an error --------------------------------------------------------------------------------------


def test_the_lines_around_an_error_are_shown_and_marked(watcher, conf, log, mail):
    quiet = "".join(f"2026-01-31 10:00:00 INFO app: step {step}\n" for step in range(9))

    write(watcher, log, f"{quiet}2026-01-31 10:00:00 ERROR app: broke\n  detail\n{quiet}", BEGAN)

    lines = body(conf, mail()[0]).splitlines()
    at = lines.index("2026-01-31 10:00:00 ERROR app: broke")
    assert lines[at - 4 : at + 6] == [
        "```text",
        *(f"┊ 2026-01-31 10:00:00 INFO app: step {step}" for step in (6, 7, 8)),
        "2026-01-31 10:00:00 ERROR app: broke",
        "  detail",
        *(f"┊ 2026-01-31 10:00:00 INFO app: step {step}" for step in (0, 1, 2)),
        "```",
    ]


def test_what_stands_around_an_error_is_masked_before_it_is_cut(watcher, conf, log, mail):
    secret = "a1B2c3D4" * 8
    long = f"INFO {'x' * 270} password={secret}"

    write(watcher, log, f"INFO token: {secret}\n{long}\nERROR broke\nINFO fine ```\n", BEGAN)

    told = body(conf, mail()[0])
    assert "a1B2c" not in told
    assert "┊ INFO token: [masked]\n" in told
    assert "````text" in told


def test_an_error_that_is_known_comes_without_the_lines_around_it(watcher, conf, log, mail):
    write(watcher, log, "INFO a\nERROR broke\nINFO b\n", BEGAN)
    write(watcher, log, "INFO c\nERROR broke\nINFO d\n", BEGAN + timedelta(minutes=6))

    first, again = (body(conf, message) for message in mail())
    assert "┊ INFO a\n" in first
    assert "┊" not in again


def test_a_kind_of_a_storm_comes_with_the_lines_around_it_once(watcher, conf, log, mail):
    write(watcher, log, f"INFO a\n{errors(range(40))}", BEGAN)
    write(watcher, log, f"INFO b\n{errors(range(1))}INFO c\n", BEGAN + timedelta(minutes=6))
    write(watcher, log, f"INFO d\n{errors(range(50, 51))}", BEGAN + timedelta(minutes=12))

    first, again, other = (body(conf, message) for message in mail())
    assert "┊ INFO a\n" in first
    assert "┊" not in again
    assert "┊ INFO d\n" in other


def test_a_body_says_first_what_it_is_about(watcher, conf, log, mail):
    write(watcher, log, "ERROR one broke\nERROR two broke, ``` password=hunter22x\n", BEGAN)
    write(watcher, log, "ERROR one broke\n" * 2, BEGAN + timedelta(minutes=6))

    new, again = (body(conf, message).partition("\n## ")[0] for message in mail())
    assert (
        "````text\n"
        "     1 ×  new    server.log: ERROR one broke\n"
        "     1 ×  new    server.log: ERROR two broke, ``` password=[masked]\n"
        "````\n"
    ) in new
    assert "```text\n     2 ×  again  server.log: ERROR one broke\n```\n" in again


def test_a_body_of_one_error_is_the_error(watcher, conf, log, mail):
    write(watcher, log, "ERROR one broke\n", BEGAN)

    assert body(conf, mail()[0]).count("ERROR one broke") == 1


def test_other_errors_near_by_are_not_shown_again(watcher, conf, log, mail):
    trace = 'Traceback (most recent call last):\n  File "/a.py", line 3, in f\n    g()\nValueError: bad\n'

    write(watcher, log, f"INFO a\n{trace}INFO b\nERROR one\nINFO c\nERROR two\nINFO d\n", BEGAN)

    told = body(conf, mail()[0]).partition("\n## ")[2]
    assert [told.count(line) for line in ("ValueError: bad", "ERROR one", "ERROR two", "g()")] == [1, 1, 1, 1]
    assert [told.count(f"┊ INFO {word}\n") for word in "abcd"] == [1, 2, 2, 1]


def test_a_trace_with_lines_of_its_own_above_is_shown_once(watcher, conf, log, mail):
    trace = "/srv/app.js:10\n    throw new TypeError('bad')\n    ^\n\nTypeError: bad\n    at f (/srv/app.js:10:5)\n"

    write(watcher, log, f"2026-01-31 10:00:00 INFO one\n{trace}2026-01-31 10:00:00 INFO two\n", BEGAN)

    told = body(conf, mail()[0])
    assert told.count("TypeError: bad") == 1
    assert "┊ 2026-01-31 10:00:00 INFO one\n" in told
    assert told.count("/srv/app.js:10\n") == 1


def test_lines_of_others_do_not_turn_up_when_the_file_is_another_one(watcher, conf, log, mail, monkeypatch):
    from daemons.log_watcher.opening import PlainFile

    write(watcher, log, "", BEGAN)
    whole = PlainFile.read
    calls: list[int] = []

    def other(self: PlainFile, offset: int, length: int) -> bytes:
        calls.append(length)
        return b"something else\n" * 99 if length == 64 << 10 else whole(self, offset, length)

    monkeypatch.setattr(PlainFile, "read", other)
    write(watcher, log, "INFO a\nERROR broke\nINFO b\n", BEGAN + timedelta(seconds=5))

    assert 64 << 10 in calls
    assert "ERROR broke" in body(conf, mail()[0])
    assert "┊" not in body(conf, mail()[0])


def test_the_state_reads_back_as_it_was_written(watcher, conf, log):
    write(watcher, log, errors(range(40)), BEGAN)

    (alert,) = open_alerts(conf)

    assert alerts.Alert.from_json(json.loads(json.dumps(alert.to_json()))) == alert
