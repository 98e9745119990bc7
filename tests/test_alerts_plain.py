"""Tests of daemons.alerts.plain, and of what is written of many occurrences at once: the same as of each alone."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from daemons import settings, text
from daemons.alerts import Alerts, Occurrence
from daemons.alerts.plain import PlainTexts
from daemons.alerts.seen import Seen
from daemons.log_watcher import events
from daemons.log_watcher.patterns import Patterns
from tests import generated_log

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_NAMES = ("password", "passwd", "secret", "token", "api_key", "key", "session", "auth", "pin", "code", "otp", "cookie")
_PIECES = (
    *_NAMES,
    *"= : , ; . - _ / // ? & @ % $ \\ \" ' ` < > ( ) [ ] { } | ~ + # ! *".split(),
    " ", "  ", "\n", "\t", "\r\n", "\x1b[31m", "é", " is ", "://", "sha256=", "base64", "256", "512",
    "AWS4-HMAC-SHA256",
    "Bearer ", "Basic ", "hook", "seed phrase", "curl -u ", "mysql -p", "machine x login y password ", "user:", "AKIA",
    "sk-", "ghp_", "SG.", "1//0", "xoxb-", "bot", "key-", "-us1", "eyJ", "pat-na1-", "test_", "access-sandbox-", "0x",
    ", line 123, in ", "_KEY", "-api-", "--", "https://", "<input type=password value=", "$1$", "%3D", "&#34;",
    "\\u0022",
    "md5", "2fa", "x", "a", "F", "abc", "null", "ERROR", "GET /api/", "HTTP/1.1", "2026-01-31 10:00:00,123", "v1.0-",
)  # fmt: skip
_UUID = "f3a9c81e-77b2-4d10-9e6f-0a1b2c3d4e5f"
_pieces = st.one_of(st.sampled_from(_PIECES), st.from_regex(r"\A(?:[0-9]{1,40}|[a-f0-9]{8,40})\Z"), st.just(_UUID))
_texts = st.lists(_pieces, min_size=1, max_size=14).map("".join)


def is_left(shown: str) -> bool:
    return text.mask(text.safe(shown)) == shown


def with_other_digits(shown: str, chosen: random.Random) -> str:
    """*shown* with other digits, and other uuids in place of its own."""
    found = re.sub(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", lambda _: _uuid(chosen), shown)
    uuids = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
    pieces = zip(uuids.split(found), [*uuids.findall(found), ""], strict=True)
    return "".join(
        re.sub(r"[0-9]+", lambda run: _number(len(run.group()), chosen), piece) + uuid for piece, uuid in pieces
    )


def _number(length: int, chosen: random.Random) -> str:
    telling = [number for number in ("1", "2", "64", "32", "256", "512", "128") if len(number) == length]
    return chosen.choice([*telling, "".join(chosen.choice("0123456789") for _ in range(length))])


def _uuid(chosen: random.Random) -> str:
    digits = "".join(chosen.choice(chosen.choice(("0123456789", "abcdef", "0123456789abcdef"))) for _ in range(32))
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@given(_texts, st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=150, deadline=None)
def test_what_is_known_to_stay_as_it_is_does(shown, chosen):
    plain = PlainTexts()
    if not is_left(shown):
        return

    plain.learn(shown)

    for other in (shown, *(with_other_digits(shown, chosen) for _ in range(4))):
        assert is_left(other) or not plain.has(other), (shown, other)


@pytest.mark.parametrize(
    ("learnt", "secret"),
    [
        ("secret.512=abcdefgh1", "secret.256=abcdefgh1"),
        ("sha512=f0f0f0f0f0f0", "sha256=f0f0f0f0f0f0"),
        (f"token={_UUID}", "token=9c81e00e-77b2-4d10-9e6f-0a1b2c3d4e5f"),
        ("5//0abcdefghijklmnopqrstuvwxyzABCDEFGHIJ", "1//0abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"),
    ],
)
def test_where_the_very_digits_count_nothing_is_remembered(learnt, secret):
    plain = PlainTexts()

    plain.learn(learnt)

    assert not plain.has(secret)


def test_a_storms_usual_errors_are_known(tmp_path):
    block = next(generated_log.blocks(0.1))
    patterns = Patterns(settings.load({"CMUX_HOME": str(tmp_path)}))
    errors = [text.decode(event.text) for event in events.scan(block, patterns).events]
    plain = PlainTexts()

    known = 0
    for error in [*errors, *errors]:
        known += plain.has(error)
        assert not plain.has(error) or is_left(error)
        if is_left(error):
            plain.learn(error)

    assert known > 1.3 * len(errors)


def test_a_text_that_stays_as_it_is_alone_in_its_digits_is_masked_when_it_is_none():
    plain = PlainTexts()
    plain.learn("job 123 failed")

    assert plain.has("job 456 failed")
    assert not plain.has("job 456 failed\x1b")
    assert not plain.has("job ¹²³ failed")
    assert not plain.has(f"job {_UUID} failed")


def test_a_uuid_counts_as_one_sign_in_front_of_what_a_secret_is_looked_for_behind():
    plain = PlainTexts()
    plain.learn(f"request {_UUID}: no lock, session 39348")
    plain.learn(f"session 39348, request {_UUID}: no lock")

    assert plain.has("request 9c81e00e-77b2-4d10-9e6f-0a1b2c3d4e5f: no lock, session 12345")
    assert not plain.has("session 39348, request 9c81e00e-77b2-4d10-9e6f-0a1b2c3d4e5f: no lock")


# -- many at once -----------------------------------------------------------------------------------------------------


def _storm(seed: int, count: int) -> list[Occurrence]:
    chosen = random.Random(seed)
    sayings = ("job %d lost", "login with password=hunter%d refused", "\x1b[31mred %d", "é %d", "x" * 300 + " %d")
    found = []
    for at in range(count):
        kind = chosen.randrange(12)
        shown = chosen.choice(sayings) % chosen.randrange(1000)
        variant = f"kind{kind}" if kind > 3 else None
        key = "log:/a.log:storm" if variant else f"log:/a.log:kind{kind}"
        found.append(Occurrence(key, "log", "/a.log", shown, source="one", position=100 * at, variant=variant))
    return found


def _records(conf) -> dict[str, list[list[object]]]:
    files = (conf.alerts_dir / "held").glob("*/*.jsonl")
    kept = {file.name: [json.loads(line) for line in file.read_text().splitlines()] for file in files}
    return {alert.key: kept.get(alert.held.name or "", []) for alert in Alerts(conf).open()}


def test_many_at_once_are_counted_shown_and_kept_as_one_after_the_other(environ, tmp_path):
    homes = [tmp_path / "together", tmp_path / "alone"]
    for home in homes:
        home.mkdir()
    together, alone = (settings.load(environ | {"CMUX_HOME": str(home)}) for home in homes)
    storm = _storm(1, 150)
    told = list({one.key: one._replace(source="earlier") for one in storm}.values())
    for conf in (together, alone):
        Alerts(conf).raise_(told, NOON)

    Alerts(together).raise_(storm, NOON)
    Alerts(together).raise_(storm[200:], NOON)
    for one in storm:
        Alerts(alone).raise_([one], NOON)

    counts = [
        {one.key: (one.count, one.gist, one.latest, one.variety) for one in Alerts(conf).open()}
        for conf in (together, alone)
    ]
    assert counts[0] == counts[1]
    assert sum(row[0] for row in counts[0].values()) == 150 + len(told)
    assert _records(together) == _records(alone)
    shown = [str(record) for records in _records(together).values() for _, _, record in records]
    assert len(shown) == 150
    assert all(is_left(one) for one in shown)


@given(st.lists(st.lists(st.integers(0, 900), max_size=600), max_size=6))
@hypothesis_settings(max_examples=40, deadline=None)
def test_positions_in_order_are_remembered_as_one_by_one(batches):
    at_once, one_by_one = Seen(), Seen()
    for batch in map(sorted, batches):
        was_new = at_once.add_all("a", batch)
        answers = [one_by_one.add("a", position) for position in batch]
        assert not was_new or all(answers)
        if not was_new:
            assert [at_once.add("a", position) for position in batch] == answers
        assert at_once.to_json() == one_by_one.to_json()
