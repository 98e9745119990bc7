"""`cmux mail` and `cmux alerts`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Cmux, answer, eventually

from daemons import clock
from daemons.alerts import Alerts, Occurrence
from daemons.mailbox import Message
from daemons.registry import Registry
from daemons.settings import Settings


def subjects(done: subprocess.CompletedProcess[str]) -> list[object]:
    return [message.get("subject") for message in answer(done)["messages"]]


def test_a_message_is_sent_listed_and_read_once(cmux: Cmux) -> None:
    cmux("mail", "send", "worker-a", "please run the tests", "--from", "supervisor")

    assert "cmux:supervisor  cmux:worker-a  please run the tests" in cmux("mail").stdout
    assert subjects(cmux("mail", "read", "--as", "worker-a", "-n", "--json")) == ["please run the tests"]
    assert subjects(cmux("mail", "read", "--as", "worker-a", "--json")) == ["please run the tests"]
    assert subjects(cmux("mail", "read", "--as", "worker-a", "--json")) == []


def test_an_answer_goes_to_who_wrote_what_was_read_last(cmux: Cmux, mail: Callable[[], list[Message]]) -> None:
    early = cmux("mail", "reply", "too early", "--from", "worker-a")
    assert (early.returncode, "has read no message" in early.stderr) == (2, True)
    cmux("mail", "send", "worker-a", "run the tests", "--from", "supervisor")
    cmux("mail", "read", "--as", "worker-a")
    cmux("mail", "send", "worker-a", "not read yet", "--from", "other")

    assert cmux("mail", "reply", "all green", "--from", "worker-a").returncode == 0

    assert (mail()[-1].to, mail()[-1].subject) == ("cmux:supervisor", "all green")


def test_an_answer_names_the_message_where_it_has_an_id(cmux: Cmux, mail: Callable[[], list[Message]]) -> None:
    own = {"CMUX_MAILBOX_FORMAT": "jsonl"}
    cmux("mail", "send", "worker-a", "run the tests", "--from", "supervisor", **own)
    [asked] = answer(cmux("mail", "--json"))["messages"]

    cmux("mail", "reply", "later", "--from", "worker-a", "--message", str(asked["position"]), **own)

    assert mail()[-1].extra["in_reply_to"] == asked["id"]


def test_a_sender_is_shown_what_was_read(cmux: Cmux) -> None:
    cmux("mail", "send", "worker-a", "one", "--from", "supervisor")
    cmux("mail", "read", "--as", "worker-a")
    cmux("mail", "send", "worker-a", "two", "--from", "supervisor")
    cmux("mail", "send", "nobody", "three", "--from", "supervisor")

    sent = answer(cmux("mail", "sent", "--as", "supervisor", "--json"))["messages"]

    assert [(each["subject"], each["read"]) for each in sent] == [("one", True), ("two", False), ("three", None)]
    assert "nobody reads there" in cmux("mail", "sent", "--as", "supervisor").stdout


def test_who_sends_from_an_agents_window_is_that_agent(cmux: Cmux, mail: Callable[[], list[Message]]) -> None:
    cmux("mail", "send", "user", "done", CMUX_AGENT_ID="worker-a")

    assert [message.sender for message in mail()] == ["cmux:worker-a"]


def test_what_comes_on_stdin_is_kept_as_the_body(cmux: Cmux, mail: Callable[[], list[Message]], home: Path) -> None:
    cmux("mail", "send", "user", "a report", "--body", "-", stdin="line one\nline two\n")

    assert (home / str(mail()[0].body)).read_text() == "line one\nline two\n"


def test_messages_for_nobody_are_seen_as_such(cmux: Cmux, conf: Settings) -> None:
    Registry(conf).register("worker-a", {}, clock.now())
    cmux("mail", "send", "worker-a", "for somebody")
    sent = cmux("mail", "send", "nobody", "for nobody")

    assert "nobody of that name" in sent.stderr
    assert subjects(cmux("mail", "--undelivered", "--json")) == ["for nobody"]


def test_a_message_that_would_not_read_back_is_refused(cmux: Cmux, conf: Settings) -> None:
    refused = cmux("mail", "send", "user", "two\nlines")

    assert refused.returncode == 1
    assert "one line" in refused.stderr
    assert not conf.mailbox.exists()


def test_a_line_that_is_no_message_is_shown_with_its_number(cmux: Cmux, conf: Settings) -> None:
    cmux("mail", "send", "user", "before")
    with conf.mailbox.open("a") as file:
        file.write("what \x1b[2J is this\n")

    shown = cmux("mail").stdout

    assert "mailbox:2" in shown
    assert "\x1b" not in shown


def test_mail_can_be_chosen_by_sender_and_recipient(cmux: Cmux) -> None:
    cmux("mail", "send", "user", "one", "--from", "a")
    cmux("mail", "send", "b", "two", "--from", "c")

    assert subjects(cmux("mail", "--from", "a", "--json")) == ["one"]
    assert subjects(cmux("mail", "list", "--to", "cmux:b", "--json")) == ["two"]


def follow(environ: Mapping[str, str], home: Path, shown: Path) -> subprocess.Popen[bytes]:
    with shown.open("a") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "daemons.cli", "mail", "follow", "--as", "worker-a", "--json"],
            env=environ,
            cwd=home,
            stdout=out,
        )


def test_a_follower_that_was_killed_goes_on_where_it_was(
    cmux: Cmux, environ: Mapping[str, str], home: Path, tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    cmux("mail", "send", "worker-a", "first")
    first = follow(environ, home, shown)
    eventually(lambda: shown.read_text().count("\n") == 1)
    eventually(lambda: list((home / ".cmux" / "cursors").glob("*.json")))
    first.kill()
    first.wait()
    cmux("mail", "send", "worker-a", "second")

    second = follow(environ, home, shown)

    try:
        eventually(lambda: "second" in shown.read_text(), but=shown.read_text)
        assert [json.loads(line)["message"]["subject"] for line in shown.read_text().splitlines()] == [
            "first",
            "second",
        ]
    finally:
        second.terminate()
        second.wait(10)


def test_verify_proves_what_the_journal_says_of_the_mailbox(cmux: Cmux, conf: Settings) -> None:
    Alerts(conf).raise_([Occurrence("k", "odd", "thing", "evidence")], clock.now(), headline="[ALERT] a thing")

    assert answer(cmux("mail", "verify", "--json"))["in_place"] == 1

    conf.mailbox.write_text("")
    lost = cmux("mail", "verify", "--json")
    assert lost.returncode == 3
    assert len(answer(lost)["missing"]) == 1


@pytest.fixture
def alerted(conf: Settings) -> Alerts:
    """Two open alerts."""
    alerts = Alerts(conf)
    for key in ("odd:left", "odd:right"):
        alerts.raise_([Occurrence(key, "odd", key, "evidence \x1b[2J")], clock.now(), headline=f"[ALERT] {key}")
    return alerts


def test_open_alerts_are_listed_and_acknowledged(cmux: Cmux, alerted: Alerts) -> None:
    assert {alert["key"] for alert in answer(cmux("alerts", "--json"))["alerts"]} == {"odd:left", "odd:right"}

    assert cmux("alerts", "ack", "left").returncode == 0

    assert {alert.key: alert.state for alert in alerted.open()} == {"odd:left": "acknowledged", "odd:right": "open"}


def test_alerts_and_agents_are_muted_and_unmuted(cmux: Cmux, alerted: Alerts, conf: Settings) -> None:
    Registry(conf).register("worker-a", {}, clock.now())

    muted = cmux("alerts", "mute", "left", "cmux:worker-a", "--for", "3600")
    listed, told = cmux("alerts").stdout, answer(cmux("alerts", "--json"))

    assert muted.returncode == 0, muted.stderr
    assert "(muted)" in next(line for line in listed.splitlines() if "odd:left" in line)
    assert {alert["key"]: alert["muted"] for alert in told["alerts"]} == {"odd:left": True, "odd:right": False}
    assert [mute["what"] for mute in told["mutes"]] == ["odd:left", "worker-a"]
    assert cmux("alerts", "mute", "nobody").returncode == 1

    assert answer(cmux("alerts", "unmute", "left", "worker-a", "--json"))["unmuted"] == ["odd:left", "worker-a"]
    assert answer(cmux("alerts", "--json"))["mutes"] == []
    assert "was not muted" in cmux("alerts", "unmute", "worker-a").stdout


def test_a_part_that_several_alerts_hold_is_refused(cmux: Cmux, alerted: Alerts) -> None:
    refused = cmux("alerts", "ack", "odd")

    assert refused.returncode == 1
    assert "odd:left, odd:right" in refused.stderr


def test_acknowledging_can_be_tried_first(cmux: Cmux, alerted: Alerts) -> None:
    cmux("alerts", "ack", "--all", "-n")

    assert {alert.state for alert in alerted.open()} == {"open"}
