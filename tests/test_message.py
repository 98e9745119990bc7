"""Tests of daemons.mailbox.message: both notations."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemons.mailbox.message import Message, Unparsable, Unsendable, check_address, parse, to_line

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def a_message(**changed: object) -> Message:
    return Message(**({"ts": NOON, "sender": "cmux:a", "to": "cmux:b", "subject": "hello"} | changed))


# -- reading ----------------------------------------------------------------------------------------------------------


def test_a_line_is_read():
    message = parse(
        "[2026-01-31T18:54:00+05:30] cmux:worker-a -> cmux:supervisor: [DONE] parser merged (body: a/b.md)\n"
    )

    assert message == Message(
        ts=datetime(2026, 1, 31, 18, 54, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        sender="cmux:worker-a",
        to="cmux:supervisor",
        subject="[DONE] parser merged",
        body="a/b.md",
    )


def test_a_json_line_is_read_with_all_its_fields():
    line = (
        '{"id":"7","ts":"2026-02-21T10:44:59+05:30","from":"cmux:qa","to":"cmux:supervisor",'
        '"subject":"[STATUS] online","body":"two\\nlines","status":"submitted","reply_to":["3"]}'
    )

    message = parse(line)

    assert (message.id, message.status, message.body) == ("7", "submitted", "two\nlines")
    assert message.extra == {"reply_to": ["3"]}


@pytest.mark.parametrize(
    "subject",
    [
        "a -> b: c",
        "[x] y -> z: [2026-01-31T18:54:00+05:30]",
        '{"json": [1, 2], "arrow": "->"}',
        "done 🎉 👩\u200d💻 → ok",
        "  blanks at both ends  ",
        "",
        "ends with (parentheses)",
        "evidence (body: of a moose)",
        "(body: a/b.md) in front",
        "tab\there",
        "'quotes' \"and\" `ticks`",
        "(body:",
    ],
)
@pytest.mark.parametrize("notation", ["line", "jsonl"])
@pytest.mark.parametrize("body", [None, "notes/a report (1).md"])
def test_a_subject_is_any_text_on_one_line(subject, notation, body):
    message = a_message(subject=subject, body=body)

    assert parse(to_line(message, notation)) == message


@pytest.mark.parametrize(
    "name", ["user", "system:log-watcher", "cmux:worker-a", "worker-a", "cmux:a:b", "中文:エージェント", "a/b@c+d"]
)
def test_every_kind_of_address_parses(name):
    assert parse(f"[2026-01-31T18:54:00Z] {name} -> {name}: x") == parse(
        to_line(parse(f"[2026-01-31T18:54:00Z] {name} -> {name}: x"), "line")
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "empty"),
        ("hello", "neither starts with"),
        ("[today] a -> b: c", "no time"),
        ("[2026-01-31T18:54:00] a -> b: c", "no time with an offset"),
        ("[2026-01-31T18:54:00Z] a b -> c: d", "neither"),
        ("[2026-01-31T18:54:00Z] a -> b d", "neither"),
        ("[2026-01-31T18:54:00Z] ../a -> b: d", "no address"),
        ("[2026-01-31T18:54:00Z] a -> b: d\0", "NUL"),
        ("[2026-01-31T18:54:00Z] a -> b: c\nd", "more than one line"),
        ("\0\0\0\0", "NUL"),
        ('{"ts":"2026-01-31T18:54:00Z"', "cannot be read"),
        ('{"ts":"2026-01-31T18:54:00Z","from":"a"}', "no to and no subject"),
        ('{"ts":"2026-01-31T18:54:00Z","from":"a","to":"b","subject":7}', "subject is int"),
        ('{"ts":"2026-01-31T18:54:00Z","from":"a","from":"b","to":"b","subject":"x"}', "twice"),
        ('{"ts":"2026-01-31T18:54:00Z","from":"a","to":"b","subject":"x","n":NaN}', "NaN"),
        ('{"ts":"2026-01-31T18:54:00Z","from":"a","to":"b","subject":"\\ud800"}', "surrogate"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "cannot be read"),
        ('{"a":' + "[" * 20 + "]" * 20 + "}", "nested deeper"),
        ('{"a":' + "9" * 5000 + "}", "cannot be read"),
        (b"\xff\xfe[2026", "neither"),
    ],
)
def test_what_is_no_message_says_why(line, why):
    with pytest.raises(Unparsable, match=why):
        parse(line)


def test_bytes_that_are_no_text_are_shown_escaped():
    assert parse(b"[2026-01-31T18:54:00Z] a -> b: caf\xe9\n").subject == "caf\\xe9"


def test_nul_bytes_in_front_are_passed_over():
    assert parse(b"\0\0\0[2026-01-31T18:54:00Z] a -> b: c\r\n").subject == "c"


def test_a_hostile_line_takes_no_time():
    hostile = " (body: " * 130_000

    assert parse(f"[2026-01-31T18:54:00Z] a -> b: {hostile}").body is None
    with pytest.raises(Unparsable):
        parse("[2026-01-31T18:54:00Z] a" + ":" * 1_000_000)


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "notation", "why"),
    [
        ({"sender": "cmux:a\nb"}, "line", "from .* is no address"),
        ({"to": ""}, "jsonl", "to '' is no address"),
        ({"to": "a b"}, "line", "no address"),
        ({"to": "cmux:"}, "line", "not ending with a colon"),
        ({"to": "x" * 257}, "line", "no address"),
        ({"ts": NOON.replace(tzinfo=None)}, "line", "no UTC offset"),
        ({"subject": "two\nlines"}, "line", "subject holds '.n' at 3"),
        ({"subject": "red \x1b[31m"}, "jsonl", "subject holds"),
        ({"subject": "a\u2028b"}, "line", "subject holds"),
        ({"subject": "\ud800"}, "jsonl", "subject holds"),
        ({"subject": "x (body: a/b.md)"}, "line", "another subject"),
        ({"body": "a text"}, "line", "no path"),
        ({"body": "a/b\nc"}, "line", "no path"),
        ({"body": "x (body: a/b.md"}, "line", "another subject"),
        ({"body": "(body: a/b.md"}, "line", "another subject"),
        ({"id": "7"}, "line", "no place for id"),
        ({"extra": {"from": "c"}}, "jsonl", "further field 'from'"),
        ({"extra": {1: "c"}}, "jsonl", "another extra"),
        ({"extra": {"x": float("nan")}}, "jsonl", "cannot be written as JSON"),
        ({"extra": {"x": object()}}, "jsonl", "cannot be written as JSON"),
        ({"body": "x" * (9 << 20)}, "jsonl", "put its body in a file"),
    ],
)
def test_what_would_not_read_back_is_refused_with_the_reason(changed, notation, why):
    with pytest.raises(Unsendable, match=why):
        to_line(a_message(**changed), notation)


def test_json_shows_control_characters_of_a_body_as_escapes():
    line = to_line(a_message(body="\x1b[31m\x9b \u202e \x7f"), "jsonl")

    assert json.loads(line)["body"] == "\x1b[31m\x9b \u202e \x7f"
    assert all(byte >= 0x20 for byte in line[:-1])
    assert "\x9b" not in line.decode()
    assert "\u202e" not in line.decode()


def test_a_bare_name_gets_the_session():
    assert check_address("worker-a", "cmux") == "cmux:worker-a"
    assert check_address("dev:worker-a", "cmux") == "dev:worker-a"
    assert check_address("user", "cmux") == "user"
    assert check_address("system:log-watcher", "cmux") == "system:log-watcher"
    with pytest.raises(Unsendable, match="is no address"):
        check_address("a;b", "cmux")


# -- round trips ------------------------------------------------------------------------------------------------------

moments = st.datetimes(timezones=st.timezones() | st.just(UTC))
addresses = st.from_regex(r"[a-zA-Z0-9äß中][\w.:/@+-]{0,30}", fullmatch=True)
anything = st.text()
pieces = st.lists(
    st.sampled_from([" (body: ", "(body: ", ")", "a/b.md", " -> ", ": ", "[", "]", "{", '"', "x", " ", "\\n", "🎉"])
)
subjects = anything | pieces.map("".join)
bodies = st.none() | anything | pieces.map("".join) | st.from_regex(r"[a-z ()./]{1,20}", fullmatch=True)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.lists(st.text(), max_size=3)
# A busy machine is no reason to fail.
patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(moments, addresses, addresses, subjects, bodies, st.sampled_from(["line", "jsonl"]))
def test_a_message_reads_back_as_itself_or_is_refused(ts, sender, to, subject, body, notation):
    message = Message(ts, sender, to, subject, body)
    try:
        line = to_line(message, notation)
    except Unsendable:
        return

    assert line.count(b"\n") == 1
    read = parse(line)
    assert read.ts.isoformat() == ts.isoformat()
    assert (read.sender, read.to, read.subject, read.body) == (sender, to, subject, body)


@patient
@given(bodies, st.none() | anything, st.none() | anything, st.dictionaries(anything, values, max_size=4))
def test_json_keeps_every_further_field(body, ident, status, extra):
    message = a_message(body=body, id=ident, status=status, extra=extra)
    try:
        line = to_line(message, "jsonl")
    except Unsendable:
        return

    assert parse(line) == message


@patient
@given(st.binary())
def test_no_bytes_break_the_reader(raw):
    with suppress(Unparsable):
        parse(raw)


@patient
@given(st.text(min_size=1, max_size=60), st.integers(0, 200))
def test_a_message_cut_short_never_reads_as_json(subject, length):
    line = to_line(a_message(subject="x", body=subject.encode("utf-8", "replace").decode()), "jsonl")

    with pytest.raises(Unparsable):
        parse(line[: min(length, len(line) - 2)])
