"""What is known of an event's like is what the slow way finds."""

from __future__ import annotations

import log_corpus
import pytest
from generated_log import blocks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemons.log_watcher import events, known, levels, traces
from daemons.log_watcher.known import Known
from daemons.log_watcher.patterns import Patterns


@pytest.fixture
def patterns(conf) -> Patterns:
    return Patterns(conf)


def both_ways(patterns: Patterns, log: bytes) -> None:
    """Once without learning, and twice with what was learnt in between: the same events."""
    patterns.known = None
    expected = events.scan(log, patterns)
    patterns.known = Known()

    assert events.scan(log, patterns) == expected
    assert events.scan(log, patterns) == expected


def test_a_generated_log_has_the_same_events_both_ways(patterns):
    log = b"".join(blocks(0.1, seed=5, pool_bytes=1))

    both_ways(patterns, log)


def test_the_corpora_have_the_same_events_both_ways(patterns):
    for corpus in log_corpus.all_of_them():
        both_ways(patterns, corpus.log)


STARTS = (
    b"2026-01-31 10:00:00,123 - app - ERROR - ",
    b"2026-01-31 10:00:00 ",
    b"Jan 31 10:00:00 web ERROR ",
    b"ERROR: ",
    b"INFO: ",
    b"<3>app: ",
    b"<134>app: ",
    b'{"level":"error","message":"',
    b'{"level":50,"message":"',
    b'{"level":30,"message":"',
    b"INFO:     10.0.0.1:5000 - ",
    b"10.0.0.1 - 500 [x] ",
    b"WARNING: 0/0/0/0/0 503 9 ",
)
TRACE = b"""job failed
Traceback (most recent call last):
  File "/a/step2.py", line 12, in run3
    x()
Http404Error: order 5"""
SAID = (
    b"order 17 lost",
    b"order 123456 lost",
    b"0 FAILED",
    b"2 FAILED",
    b"7f3a0b1c-1111-2222-3333-444455556666 lost:",
    b'"GET /x/5 HTTP/1.1" 500',
    b'"GET /x/5 HTTP/1.1" 200',
    b'"GET /x5/a/7?q=5 HTTP/1.1" 502 5 "-" "curl/8.5"',
    b'"GET /x5/a/7?q=5 HTTP/1.1" 502 5 "-" "healthcheck/5"',
    b'"POST /x5/a/7 HTTP/1.1" 404 5 "-" "curl/8.5" 503 "GET /y HTTP/1.1" 500',
    b'"GET /[LOG ALERT] HTTP/1.1" 502',
    TRACE.replace(b"order 5", b"these orders:") + b"\nplain",
    TRACE,
    b'x"}',
    b'5"}',
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STARTS), st.sampled_from(SAID), st.integers(0, 99999)), max_size=8))
def test_any_mixture_has_the_same_events_both_ways(patterns, drawn):
    log = b"".join(start + said.replace(b"5", b"%d" % number) + b"\n" for start, said, number in drawn)

    both_ways(patterns, log + log.replace(b"1", b"9"))


@pytest.mark.parametrize("corpus", log_corpus.all_of_them(), ids=lambda corpus: corpus.name)
def test_what_surely_starts_a_record_does(corpus):
    for line in corpus.log.splitlines():
        if levels.surely_starts_record(line) or known.DATE.match(line):
            assert levels.read(line).starts_record
            assert traces.shape(line) not in ("blank", "frame", "chain", "indented")
