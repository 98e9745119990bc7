"""Tests of daemons.text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons import text


@given(st.text(st.characters()))
def test_safe_text_moves_no_cursor_and_hides_nothing(raw):
    shown = text.safe(raw)

    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown if char not in "\t\n")
    shown.encode("utf-8")


@given(st.text())
def test_safe_text_on_one_line_has_no_line_break(raw):
    assert len(text.safe(raw, one_line=True).splitlines()) <= 1


@given(st.binary())
def test_any_bytes_decode_to_text_that_shows_them(raw):
    text.safe(text.decode(raw)).encode("utf-8")


def test_readable_text_stays_as_it_is():
    line = "2026-01-31 ERROR: Größe 5 → 日本 🚀 (\tindented)"

    assert text.safe(line) == line


@given(st.text(st.sampled_from("`a\n "), max_size=40))
def test_no_text_closes_the_fence_around_it(raw):
    block = text.fence(raw).split("\n")
    ticks = block[-1]

    assert set(ticks) == {"`"}
    assert len(ticks) >= 3
    assert not any(line.strip().startswith(ticks) for line in block[1:-1])


SECRETS = [
    "password=hunter2abc",
    'db_password: "correct horse battery"',
    "postgres://app:s3cr3tpw@db.example/app",
    "redis://:s3cr3tpw@cache:6379/0",
    "Authorization: Bearer abcdef0123456789abcdef",
    "authorization: basic dXNlcjpwYXNzd29yZA==",
    "OPENAI_API_KEY=sk-proj-abcdefghijklmnop1234",
    "using key sk-ant-api03-abcdefghijklmnop",
    "git clone https://x-access-token:ghp_abcdefghijklmnopqrstuvwxyz0123456789@host/repo",
    "token ghp_abcdefghijklmnopqrstuvwxyz0123456789 rejected",
    "AKIAIOSFODNN7EXAMPLE is not authorized",
    "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    '{"client_secret": "0123456789abcdef"}',
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "set-cookie: session_id=abcdef0123456789; Path=/",
    "xoxb-123456789012-abcdefghijkl posted",
]
PLAIN = [
    "ERROR: token expired for user alice",
    "the password is wrong",
    "GET /api/token HTTP/1.1 401",
    "https://example.com/path?page=2",
    "http://127.0.0.1:8000/health",
    "KeyError: 'user'",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "2026-01-31T18:54:00+05:30 worker-a@host: done",
    "sk-short",
    "Session started at 10:00",
]
HIDDEN = ("hunter2", "horse", "s3cr3tpw", "abcdef0123", "dXNlcjpw", "ghijklmnop", "IOSFODNN7", "c2lnbmF0", "MIIEpA")


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_is_masked(line):
    masked = text.mask(line)

    assert text.MASK in masked
    assert not [piece for piece in HIDDEN if piece in masked]


@pytest.mark.parametrize("line", PLAIN)
def test_what_is_no_secret_stays(line):
    assert text.mask(line) == line


def test_masking_a_long_line_takes_no_time_worth_naming():
    assert text.mask("password " * 100_000).startswith("password")
