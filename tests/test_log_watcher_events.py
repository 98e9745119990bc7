from __future__ import annotations

import log_corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons import clock, settings
from daemons.log_watcher import events, fingerprint, record
from daemons.log_watcher.patterns import Patterns

FRAMES = b'Traceback (most recent call last):\n  File "/srv/a.py", line 3, in f\n    g()\n'
TRACE = FRAMES + b"ValueError: bad\n"


@pytest.fixture(scope="module")
def patterns(tmp_path_factory) -> Patterns:
    return Patterns(settings.load({"CMUX_HOME": str(tmp_path_factory.mktemp("home"))}))


def found(log: bytes, patterns: Patterns, *, settled: bool = True) -> list[bytes]:
    return [event.text for event in events.scan(log, patterns, settled=settled).events]


# -- the corpora ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", log_corpus.all_of_them(), ids=lambda corpus: corpus.name)
def test_every_labelled_error_is_found_whole_and_nothing_else(patterns, corpus):
    told = {event.lines for event in events.scan(corpus.log, patterns).events}
    labelled = set(corpus.errors.values())

    assert told - labelled == set(), "told, but labelled otherwise"
    assert labelled - told == set(), "labelled, but not told as labelled"


@pytest.mark.parametrize("corpus", log_corpus.programs(), ids=lambda corpus: corpus.name)
def test_what_a_program_writes_is_told_whole_and_nothing_else(patterns, corpus):
    told = [_said(event.lines) for event in events.scan(corpus.log, patterns).events]

    assert told == [_said(lines) for lines in corpus.errors.values()]


@pytest.mark.parametrize("corpus", log_corpus.programs(), ids=lambda corpus: corpus.name)
def test_what_a_program_writes_is_read_the_same_in_blocks(patterns, corpus):
    whole = [(event.position, event.lines) for event in events.scan(corpus.log, patterns).events]

    assert read_in_blocks(corpus.log, patterns, 150) == whole


@pytest.mark.parametrize("corpus", log_corpus.all_of_them(), ids=lambda corpus: corpus.name)
@pytest.mark.parametrize("block_bytes", [64, 333, 4096])
def test_reading_in_blocks_finds_the_same_as_reading_at_once(patterns, corpus, block_bytes):
    whole = [(event.position, event.lines) for event in events.scan(corpus.log, patterns).events]

    assert read_in_blocks(corpus.log, patterns, block_bytes) == whole


def read_in_blocks(log: bytes, patterns: Patterns, block_bytes: int) -> list[tuple[int, tuple[bytes, ...]]]:
    """As the tail does it: what was not consumed is looked at again, together with the next block."""
    told, held, offset = [], b"", 0
    for start in range(0, len(log), block_bytes):
        held += log[start : start + block_bytes]
        scan = events.scan(held, patterns, offset=offset, settled=False)
        told += scan.events
        held, offset = held[scan.consumed :], offset + scan.consumed
    told += events.scan(held, patterns, offset=offset).events
    return [(event.position, event.lines) for event in told]


TRACES = [corpus for corpus in log_corpus.all_of_them() if corpus.name.startswith("traces-")]
OTHERS = (
    b"2026-01-31 10:00:00,123 INFO other: served 12 pages",
    b'10.0.0.9 - - [31/Jan/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200 5 "-" "curl"',
    b'{"level":"info","msg":"served"}',
)
IN_FRONT = (b"web-1  | ", b"Jan 31 10:00:00 web-1 app[4711]: ", b"2026-01-31T10:00:00.123456789Z stderr F ")
# Of all ways of being written, so many must leave the trace whole. Node prints a trace in one piece, and its first
# lines look like nothing; chained traces of Python's end twice.
LEAST_WHOLE = {"go": 1.0, "java": 1.0, "node": 0.75, "python": 0.85, "rust": 1.0}


@pytest.mark.parametrize("corpus", TRACES, ids=lambda corpus: corpus.name)
def test_real_traces_are_kept_whole_however_they_are_written(patterns, corpus, capsys):
    """Alone, with lines of other processes in between, and behind what containers and syslog put in front."""
    kind = corpus.name.removeprefix("traces-").removesuffix(".txt")
    alone = [_is_whole(lines, lines, patterns) for lines in corpus.errors.values()]
    between = [
        _is_whole(_with_others(lines, other), lines, patterns) for lines in corpus.errors.values() for other in OTHERS
    ]
    behind = [
        _is_whole([front + line for line in lines], [front + line for line in lines], patterns)
        for lines in corpus.errors.values()
        for front in IN_FRONT
    ]

    with capsys.disabled():
        told = [f"{sum(kept)} of {len(kept)}" for kept in (alone, between, behind)]
        print(
            f"\n{kind}: whole alone {told[0]}, with lines of others inside {told[1]}, behind a prefix {told[2]}",
            end=" ",
        )
    assert all(alone)
    assert sum(between + behind) >= LEAST_WHOLE[kind] * len(between + behind)


def test_there_are_enough_real_traces():
    assert sum(len(corpus.errors) for corpus in TRACES) >= 40


def _with_others(lines: tuple[bytes, ...], other: bytes) -> list[bytes]:
    written = []
    for number, line in enumerate(lines, 1):
        written += [line, other] if number % 3 == 0 else [line]
    return [*written, other]


def _is_whole(written, lines, patterns) -> bool:
    told = events.scan(b"\n".join(written) + b"\n", patterns).events
    return len(told) == 1 and _said(told[0].lines) == _said(lines)


def _said(lines) -> list[bytes]:
    """What stands in *lines*, without blank ones."""
    return [line for line in lines if line.strip() and line not in IN_FRONT]


LINES = st.sampled_from(
    [
        b"2026-01-31 10:00:00 INFO quiet", b"plain", b"", b"    indented", b"ERROR: x", b"2026-01-31 10:00:00 ERROR y",
        b"Traceback (most recent call last):", b'  File "/a.py", line 3, in f', b"    g()", b"ValueError: bad",
        b"During handling of the above exception, another exception occurred:", b"panic: no", b"goroutine 1 [running]:",
        b"main.f()", b"\tat a.B.c(B.java:3)", b"Caused by: a.B: c", b"/srv/app.js:10", b"    ^", b"TypeError: z",
        b"    at f (/srv/app.js:10:3)", b"Node.js v20.1.0", b"npm error code E1", b"something FAILED",
        b'{"level":"error"}',
    ]
)  # fmt: skip


@given(st.lists(LINES, max_size=40), st.integers(1, 200))
def test_any_mixture_is_read_the_same_in_blocks(patterns, lines, block_bytes):
    log = b"".join(line + b"\n" for line in lines)
    whole = [(event.position, event.lines) for event in events.scan(log, patterns).events]

    assert read_in_blocks(log, patterns, block_bytes) == whole


@given(st.lists(LINES, max_size=40), st.integers(0, 40))
def test_what_was_consumed_need_not_be_seen_again(patterns, lines, cut):
    """A watcher that dies after any line and starts again at the marker tells the rest, under the same positions."""
    log = b"".join(line + b"\n" for line in lines)
    head = b"".join(line + b"\n" for line in lines[:cut])
    whole = events.scan(log, patterns).events
    first = events.scan(head, patterns, settled=False)
    rest = events.scan(log[first.consumed :], patterns, offset=first.consumed)

    assert [*first.events, *rest.events] == list(whole)


# -- one event --------------------------------------------------------------------------------------------------------


def test_a_position_is_that_of_the_telling_line(patterns):
    scan = events.scan(b"quiet\nERROR: x\nquiet\n", patterns, offset=1000)

    assert [event.position for event in scan.events] == [1006]


def test_half_a_line_waits_for_its_end(patterns):
    scan = events.scan(b"quiet\nERROR: ha", patterns)

    assert scan == events.Scan((), 6, "")


def test_an_event_at_the_end_waits_until_it_is_settled(patterns):
    log = b"quiet\nERROR: x\n"

    assert events.scan(log, patterns, settled=False) == events.Scan((), 6, "event")
    assert found(log, patterns) == [b"ERROR: x"]


def test_a_trace_without_its_last_line_waits_longer(patterns):
    assert events.scan(FRAMES, patterns, settled=False).waiting == "trace"
    assert events.scan(TRACE, patterns, settled=False).waiting == "event"


def test_what_stands_above_a_trace_waits_for_it(patterns):
    scan = events.scan(b"quiet\n/srv/app.js:10\n  throw x\n  ^\n\n", patterns, settled=False)

    assert (scan.consumed, scan.waiting) == (6, "event")


def test_a_record_and_its_trace_are_one_event(patterns):
    log = b"2026-01-31 10:00:00 ERROR app: it broke\n" + TRACE + b"2026-01-31 10:00:01 INFO app: on\n"

    assert len(found(log, patterns)) == 1


def test_two_traces_are_two_events(patterns):
    assert len(found(TRACE + TRACE, patterns)) == 2


def test_a_trace_with_other_processes_lines_inside_is_one_event_without_them(patterns):
    info = b"2026-01-31 10:00:00 INFO other: fine\n"
    lines = TRACE.splitlines(keepends=True)

    assert found(lines[0] + info + lines[1] + info * 20 + lines[2] + lines[3] + info, patterns) == [TRACE.rstrip()]


@pytest.mark.parametrize("others", [1, 2, 3])
def test_a_record_and_its_trace_are_one_event_when_lines_of_others_stand_between(patterns, others):
    error, info = b"2026-01-31 10:00:00 ERROR app: it broke\n", b"2026-01-31 10:00:00 INFO other: fine\n"

    assert found(error + info * others + TRACE + info, patterns) == [error + TRACE.rstrip()]


def test_a_warning_above_a_trace_is_part_of_it_and_anything_else_is_not(patterns):
    warning, info = b"2026-01-31 10:00:00 WARNING app: gave up\n", b"2026-01-31 10:00:00 INFO other: fine\n"

    assert found(info + warning + TRACE + info, patterns) == [warning + TRACE.rstrip()]
    assert found(warning + info + TRACE + info, patterns) == [TRACE.rstrip()]
    assert read_in_blocks(info + warning + TRACE + info, patterns, 30) == [
        (len(info + warning), tuple((warning + TRACE).splitlines()))
    ]


def test_a_record_and_a_trace_far_below_are_two_events(patterns):
    error, info = b"2026-01-31 10:00:00 ERROR app: it broke\n", b"2026-01-31 10:00:00 INFO other: fine\n"

    assert len(found(error + info * 4 + TRACE, patterns)) == 2


def test_a_line_without_a_time_takes_no_line_that_looks_like_nothing(patterns):
    assert found(b"ERROR: the build failed\nadded 3 packages\n", patterns) == [b"ERROR: the build failed"]
    assert len(found(b"2026-01-31 10:00:00 ERROR the build failed\nsee above\n", patterns)[0].splitlines()) == 2


def test_an_error_of_another_process_inside_a_trace_is_told_as_well(patterns):
    log = FRAMES + b"2026-01-31 10:00:00 ERROR other: broken too\n"

    assert len(found(log, patterns)) == 2


def test_windows_line_ends_are_no_part_of_a_line(patterns):
    assert found(b"ERROR: x\r\nquiet\r\n", patterns)[0].startswith(b"ERROR: x")


def test_a_very_long_trace_is_kept_at_both_ends_and_says_what_it_left_out(patterns):
    log = (
        b'Exception in thread "main" java.lang.StackOverflowError\n'
        + b"\tat A.rec(A.java:4)\n" * 1023
        + b"Caused by: x\n"
    )

    (text,) = found(log, patterns)

    left_out = 1025 - record.KEPT_FIRST_LINES - record.KEPT_LAST_LINES
    assert b"[... %d lines left out ...]" % left_out in text
    assert text.endswith(b"Caused by: x")


def test_an_event_without_end_is_cut_and_the_rest_is_no_new_one(patterns):
    log = b'Exception in thread "main" a.B: c\n' + b"\tat A.rec(A.java:4)\n" * (record.LIMIT_LINES + 50)

    assert len(found(log, patterns)) == 1


def test_a_long_line_is_cut_and_says_so(patterns):
    (text,) = found(b"ERROR: " + b"x" * 10_000 + b"\n", patterns)

    assert b"cut here: the line has 10007 bytes" in text
    assert len(text) < 5000


@pytest.mark.parametrize("piece", [b"x.", b"(", b" at ", b"a(", b"::A", b"| ", b"A"])
def test_no_line_inside_a_trace_takes_long(patterns, piece):
    log = FRAMES + (piece * (200_000 // len(piece)) + b"\n") * 3 + b"panic: x\n" + piece * 50_000 + b"\n"

    started = clock.monotonic()
    events.scan(log, patterns)

    assert clock.monotonic() - started < 0.5


# -- fingerprints -----------------------------------------------------------------------------------------------------


def name(*lines: bytes) -> str:
    return fingerprint.of(lines[0], lines)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"2026-01-31 10:00:00,123 ERROR app: order 17 lost", b"2027-12-01 23:59:59,001 ERROR app: order 9 lost"),
        (b"ERROR: cannot open /srv/a/b.txt", b"ERROR: cannot open /tmp/c/d/e.log"),
        (b"ERROR: no answer from 10.0.0.1:80", b"ERROR: no answer from db.internal.example:5432"),
        (b"ERROR: id=5f1c2e88-0000-4000-8000-000000000001", b"ERROR: id=17"),
        (b"ERROR: no such user 'alice smith'", b"ERROR: no such user 'bob'"),
        (b'{"level":"error","time":1,"msg":"lost order 17"}', b'{"time":2,"msg":"lost order 18","level":"error"}'),
        (b"level=error ts=1 msg=x", b"level=error ts=2 msg=y"),
        (b"\x1b[31mERROR\x1b[0m x", b"ERROR x"),
    ],
)
def test_what_changes_from_time_to_time_does_not_count(one, other):
    assert name(one) == name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"ERROR: disk full", b"ERROR: disk gone"),
        (b'{"level":"error","msg":"disk full"}', b'{"level":"error","msg":"disk gone"}'),
        (b"ValueError: bad", b"KeyError: bad"),
    ],
)
def test_another_error_is_another(one, other):
    assert name(one) != name(other)


def test_a_trace_is_known_by_its_exception_and_its_calls_not_by_lines_and_messages():
    def trace(line: bytes, call: bytes, message: bytes) -> str:
        frame = b'  File "/srv/a.py", line ' + line + b", in " + call
        lines = (b"Traceback (most recent call last):", frame, b"    g()", b"ValueError: " + message)
        return name(b"ERROR app: it broke", *lines)

    assert trace(b"3", b"f", b"17 is bad") == trace(b"4", b"f", b"something else")
    assert trace(b"3", b"f", b"x") != trace(b"3", b"h", b"x")


def test_the_same_request_failing_is_one_kind_whoever_asks():
    one = b'10.0.0.1 - - [31/Jan/2026:10:00:00 +0000] "GET /orders/17?q=1 HTTP/1.1" 500 12 "-" "curl"'
    two = b'10.0.0.2 - - [31/Jan/2026:11:00:00 +0000] "GET /orders/18 HTTP/1.1" 500 99 "-" "Firefox"'
    other = b'10.0.0.2 - - [31/Jan/2026:11:00:00 +0000] "GET /cart HTTP/1.1" 500 99 "-" "Firefox"'

    assert fingerprint.of(one, [one], 500) == fingerprint.of(two, [two], 500)
    assert fingerprint.of(one, [one], 500) != fingerprint.of(other, [other], 500)


def test_a_fingerprint_stays_the_same_over_versions():
    """Groups on disk are named by it: when this fails, raise fingerprint.VERSION."""
    assert name(b"ERROR: disk full") == "10f219cc34fd"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=10))
def test_any_bytes_have_a_fingerprint(lines):
    assert len(name(*lines)) == 12
