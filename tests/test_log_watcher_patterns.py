from __future__ import annotations

import dataclasses
import itertools
import random
import re

import log_corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons import clock, settings
from daemons.log_watcher import engine, levels, traces
from daemons.log_watcher.patterns import Patterns
from daemons.settings import ERROR_PATTERNS, IGNORE_PATTERNS, Settings, SettingsError


def make(conf: Settings, *, errors: tuple[str, ...] = ERROR_PATTERNS, ignores: tuple[str, ...] = IGNORE_PATTERNS):
    return Patterns(dataclasses.replace(conf, error_patterns=errors, ignore_patterns=ignores))


@pytest.fixture(scope="module")
def defaults(tmp_path_factory) -> Patterns:
    return Patterns(settings.load({"CMUX_HOME": str(tmp_path_factory.mktemp("home"))}))


def test_every_labelled_line_alone_is_judged_as_labelled(defaults):
    corpus = log_corpus.load("lines.txt")
    errors = {lines[0] for lines in corpus.errors.values()}
    inside = {line for lines in corpus.errors.values() for line in lines[1:]}

    wrong = [
        line
        for line in corpus.log.splitlines()
        if line not in inside and bool(defaults.judge(line).why) != (line in errors)
    ]

    assert not wrong


def test_the_gate_lets_every_error_through(defaults):
    """Errors of the corpora, whole, in pieces and in other cases: what `judge` finds, the block scan must not skip."""
    chance = random.Random(7)
    lines = [line for corpus in log_corpus.all_of_them() for line in corpus.log.splitlines()]
    for line in list(lines):
        other = chance.choice(lines)
        cut = chance.randrange(len(line) + 1)
        lines += [line.lower(), line.upper(), line[:cut] + other, line[cut:], b" " + line, b"web-1  | " + line]

    missed = [line for line in lines if defaults.judge(line).why and not _passes(defaults, line)]

    assert not missed


@given(
    st.lists(
        st.sampled_from(
            'ERROR error Error crit [E] <3> E0131 level=error level= lvl=fatal {"level":50} "severity":"ERROR" 500 '
            '"GET /x HTTP/1.1" | - : 10:00:00 2026-01-31 [main] app GET /x ms in FAILED '
            'panic: {"s":"E","t":1} SIGSEGV: x '
            "npm error ValueError: Completed Internal".split(" ")
        ),
        max_size=7,
    ),
    st.sampled_from([" ", "", "  ", "\t"]),
)
def test_the_gate_lets_every_invented_error_through(defaults, words, glue):
    line = glue.join(words).encode()

    assert not defaults.judge(line).why or _passes(defaults, line)


def test_the_gate_lets_json_through_in_every_spacing(defaults):
    keys = ("level", "severity", "LEVEL", "log_level", "log.level", "lvl", "status", "status_code", "statusCode", "s")
    gaps = ("", " ", "  ", "\t", " \t", "   ")
    values = (
        "50",
        "60",
        "17",
        "200",
        "3",
        "0",
        '"3"',
        '" 3"',
        '"\t3"',
        '"error"',
        '" ERROR "',
        "500",
        '"503"',
        '" 503"',
        '"E"',
    )
    lines = [
        f'{{"time": 1,{ahead}"{key}"{before}:{behind}{value}{end}"msg": "x"}}'.encode()
        for key, value in itertools.product(keys, values)
        for ahead, before, behind, end in itertools.product(("", " "), gaps, gaps, (",", " ,", "\t,"))
    ]

    missed = [line for line in lines if defaults.judge(line).why and not _passes(defaults, line)]

    assert missed == []


def _passes(patterns: Patterns, line: bytes) -> bool:
    block = b"quiet\n" + line + b"\nquiet\n"
    return any(6 <= place <= 6 + len(line) for place in patterns.places(block))


@given(st.binary(max_size=2000))
def test_no_bytes_break_the_judgement(defaults, line):
    defaults.judge(line.replace(b"\n", b""))


@pytest.mark.parametrize(
    "piece", [b"[", b"(", b"2026-01-31 ", b"a ", b"- ", b"10:00:00 ", b'"GET ', b"0/", b"{", b"E", b"\x1b[", b"x."]
)
def test_no_line_takes_long(defaults, piece):
    line = piece * (200_000 // len(piece))

    started = clock.monotonic()
    defaults.judge(line)

    assert clock.monotonic() - started < 0.1


def test_a_users_pattern_that_would_never_end_is_harmless(conf):
    patterns = make(conf, errors=(r"(a+)+$", r"(\w+\s?)*ERROR$", r"(.*?,){12}P", r"x.*y.*z.*w", r"\s+$"))
    lines = [b"a" * 28 + b"!", b"word " * 1000 + b"x", b"1," * 5000, b"x" * 20_000, b" " * 100_000 + b"."]

    started = clock.monotonic()
    for line in lines:
        patterns.judge(line)

    assert clock.monotonic() - started < 1


@pytest.mark.parametrize("pattern", [r"(?=x)y", r"(x)\1", r"(?<!a)b", r"x{1,2000}"])
def test_a_pattern_that_cannot_run_in_linear_time_is_refused_with_one_line(conf, pattern):
    with pytest.raises(SettingsError, match="linear time") as refused:
        make(conf, errors=(pattern,))

    assert "\n" not in str(refused.value)
    assert pattern in str(refused.value)
    assert "CMUX_ERROR_PATTERNS" in str(refused.value)


def test_a_users_error_pattern_counts_also_in_warnings_but_not_in_what_is_only_information(conf):
    patterns = make(conf, errors=(*ERROR_PATTERNS, "payment refused"))

    assert patterns.judge(b"payment refused for order 17").why == "pattern"
    assert patterns.judge(b"WARNING: payment refused for order 17").why == "pattern"
    assert not patterns.judge(b"INFO: payment refused for order 17").why
    assert not patterns.judge(b"WARNING: ERROR quoted").why


def test_structure_is_seen_whatever_the_patterns_are(conf):
    patterns = make(conf, errors=("BOOM",))

    assert patterns.judge(b"BOOM").why == "pattern"
    assert patterns.judge(b"ERROR: x").why == "level"
    assert patterns.judge(b"ValueError: x").why == "trace"
    assert not patterns.judge(b"an ERROR somewhere").why


def test_a_default_ignore_does_not_swallow_a_real_error(defaults):
    assert defaults.judge(b"ERROR: healthcheck of the database failed").why == "level"
    assert not defaults.judge(b"healthcheck FAILED").why


@pytest.mark.parametrize("ignore", ["INFO:", r"\bINFO\b", "^INFO", r"\[INFO\]", "DEBUG"])
def test_an_ignore_that_names_a_level_swallows_no_error_that_quotes_it(conf, ignore):
    patterns = make(conf, ignores=(ignore,))

    assert patterns.judge(b"ERROR: the server said INFO: [INFO] DEBUG and died").why == "level"
    assert not patterns.judge(b"INFO: ERROR").why


def test_a_users_ignore_silences_what_it_finds(conf):
    patterns = make(conf, ignores=(*IGNORE_PATTERNS, "Connection reset by peer"))

    assert not patterns.judge(b"ERROR: Connection reset by peer").why
    assert not patterns.judge(b"ConnectionResetError: [Errno 104] Connection reset by peer").why
    assert patterns.judge(b"ERROR: Connection refused").why


@pytest.mark.parametrize(
    "line",
    [
        b'{"level":"audit","msg":"ERROR seen"}',
        b'{"msg":"no ERROR seen","note":"ERROR"}',
        b'{"status":"ok","error":null}',
        b'{"epoch":3,"error":0.01}',
        b'{"error":"none","order":17}',
        b'{"@t":"2026-01-31T10:00:00Z","@mt":"ERROR {x}"}',
        b'{"severityNumber":9,"body":"ERROR"}',
    ],
)
def test_a_json_line_is_no_error_because_its_text_holds_the_word(defaults, line):
    assert not defaults.judge(line).why


@pytest.mark.parametrize(
    "line",
    [
        b'{"error":"disk on fire","order":17}',
        b'{"errorMessage":"boom","errorType":"ValueError"}',
        b'{"msg":"ERROR: disk on fire"}',
        b'{"msg":"ValueError: boom","order":17}',
        b'{"severityNumber":17,"body":"x"}',
        b'{"err":{"message":"boom"}}',
    ],
)
def test_a_json_line_without_a_level_is_one_by_a_field_for_errors_or_by_its_message(defaults, line):
    assert defaults.judge(line).why


def test_a_users_pattern_is_looked_for_in_all_of_a_json_line(conf):
    assert make(conf, errors=(*ERROR_PATTERNS, "card declined")).judge(b'{"order":17,"why":"card declined"}').why


@pytest.mark.parametrize(
    "line", [b"the service said [error] once", b"press [error] to see more", b"ERROR: 0", b"DeprecationWarning: ERROR"]
)
def test_a_word_that_is_quoted_or_counted_is_no_level(defaults, line):
    assert not defaults.judge(line).why


def test_what_is_set_in_is_no_error_because_it_holds_the_word(defaults):
    assert not defaults.judge(b"      Failed to determine the port. ERROR").why
    assert defaults.judge(b"    ERROR    could not connect to the ledger").why


def test_an_error_about_an_alert_is_told_a_relayed_alert_is_not(defaults):
    line = b"[2026-01-31T18:54:00+05:30] system:log-watcher -> cmux:supervisor: [LOG ALERT] a.log: 1 errors detected"

    assert not defaults.judge(line).why
    assert not defaults.judge(b"ERROR: received " + line).why
    assert not defaults.judge(b"received an ERROR: [LOG ALERT] a.log: 1 errors detected").why
    assert defaults.judge(b"ERROR: cannot deliver '[LOG ALERT] a.log: 1 errors detected'").why == "level"


def test_no_pattern_at_all_leaves_the_structure(conf):
    patterns = make(conf, errors=(), ignores=())

    assert patterns.judge(b"ERROR: x").why == "level"


def test_bytes_that_are_no_text_are_read(defaults):
    assert defaults.judge(b"ERROR: caf\xe9 \xff\x00 burnt").why == "level"
    assert defaults.judge("ERROR: Straße gesperrt".encode("utf-16-le")).why == ""


def test_colours_do_not_hide_a_level(defaults):
    assert defaults.judge(b"\x1b[31mERROR\x1b[0m: it broke").why == "level"
    assert defaults.judge(b"\x1b[2m2026-01-31T10:00:00Z\x1b[0m \x1b[31mERROR\x1b[0m shop: it broke").why == "level"
    assert not defaults.judge(b"\x1b[32mINFO\x1b[0m: ERROR page").why


def test_a_block_is_matched_line_by_line():
    pattern = engine.compile_any([r"^end$", r"a\s+b"])

    assert pattern.search(b"x\nend\ny").start() == 2
    assert pattern.search(b"a\nb") is None


@given(st.from_regex(re.compile(r"[ \[\]0-9:A-Z{}\"-]{0,60}"), fullmatch=True))
def test_reading_a_head_never_fails(text):
    levels.read(text.encode())
    traces.shape(text.encode())


@pytest.mark.parametrize(
    ("loud", "quiet"),
    [
        (b"Conversion failed!", b"errors: 0, warnings: 0, failed: 0"),
        (b"cp: cannot stat 'x': No such file or directory", b"the file x: found"),
        (b"2026-01-31 10:00:00;ERROR;sync;x", b"2026-01-31 10:00:00;INFO;sync;ERROR"),
        (
            b"Critical,01/31/2026 10:00:00 AM,Kernel-Power,41,x",
            b"Information,01/31/2026 10:00:00 AM,Error Reporting,1,x",
        ),
        (b"Finished: FAILURE", b"5m   Warning   Failed   pod/x   Error: ImagePullBackOff"),
        (b"E/shop ( 17): boom", b"I/shop ( 17): ERROR"),
        (b"[10:00:01] [Server thread/ERROR]: x", b"[10:00:01] [Server thread/INFO]: <bob> ERROR lol"),
        (b"CEF:0|V|P|1.0|100|x|9|src=10.0.0.1", b"CEF:0|V|P|1.0|100|error|3|src=10.0.0.1"),
        (b"    ERROR    it broke", b"      ERROR entries: 0"),
    ],
)
def test_a_programs_own_way_to_say_it_is_read(defaults, loud, quiet):
    assert defaults.judge(loud).why
    assert not defaults.judge(quiet).why
