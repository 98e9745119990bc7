"""The engines that find candidate lines in a block: all give the lines that a search line by line gives."""

from __future__ import annotations

import dataclasses
import random
import time

import log_corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.log_watcher import compiled, engine, gate, scanner
from daemons.log_watcher.patterns import Patterns
from daemons.log_watcher.scanner import Scanner
from daemons.settings import ERROR_PATTERNS, SettingsError

ENGINES = ("hyperscan", "re2", "re")
PATTERNS = (
    *ERROR_PATTERNS,
    *gate.GATE,
    "^ERROR",
    "refused$",
    r"\AERROR",
    r"refused\z",
    r"\b",
    "^$",
    r"^\S+ failed$",
    r"(?i)payment (?:refused|declined)",
    r"[^a-z]oom[^a-z]",
    r"disk (?:full|[0-9]{2,3}%)",
    r"\bE\d{4}\b",
    r"ERROR.*",
    r".*ERROR",
    r"lost\s+\d+",
    "caf\u00e9",
    "(?i)stra\u00dfe",
    r"a|b$",
    r"[^x]*refused",
    r"\D5\W",
    r"[]x] end",
    r"x?",
    r"\x00",
    r"[[:digit:]] apples",
    r"\.\*",
    r"\x1b\[3\dm",
    r"\xc3\x9f",
    r"(?i)\xc3\xa9",
)
PIECES = (
    "ERROR refused failed Payment declined OOM disk 97% E1234 lost 17 caf\u00e9 STRASSE stra\u00dfe 5 500 12ms - : x] "
    '{"level":50} "severity":"error" "GET /x HTTP/1.1" 503 Exception Traceback [E] <3> \x1b[31mERROR\x1b[0m 7 apples .*'
    " end a b"
).split(" ")
PLAIN = [
    pattern for pattern in PATTERNS if not any(sign in pattern for sign in "*+{\u00e9\u00df") and "[[:" not in pattern
]


def use(monkeypatch, name: str) -> None:
    if name != "hyperscan":
        monkeypatch.setattr(scanner, "hyperscan", None)
    if name == "re":
        monkeypatch.setattr(engine, "re2", None)


def lines_at(block: bytes, places: list[int]) -> set[int]:
    """Numbers of the lines that hold one of *places*, a newline being its line's last byte."""
    return {block.count(b"\n", 0, place) for place in places}


def check(patterns: list[str], block: bytes) -> None:
    """Every line that a pattern finds holds a place."""
    alone = [engine.compile_one(pattern) for pattern in patterns]
    lines = block.split(b"\n")[:-1]
    wanted = {
        number
        for number, line in enumerate(lines)
        if any(one.search(line.removesuffix(b"\r")) is not None for one in alone)
    }

    places = Scanner(patterns).places(block)

    assert places == sorted(places)
    assert wanted <= lines_at(block, places)


def some(patterns: tuple[str, ...] | list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(patterns), min_size=1, max_size=4, unique=True)


written = st.lists(st.sampled_from(PIECES), max_size=5).map(lambda words: " ".join(words).encode())
hostile = st.lists(st.one_of(written, st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b""))), max_size=6)
blocks = st.tuples(hostile, st.sampled_from([b"\n", b"\r\n", b"\0\n"])).map(
    lambda drawn: b"".join(line + drawn[1] for line in drawn[0])
)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_finds_the_lines_that_a_search_line_by_line_finds(monkeypatch, name):
    use(monkeypatch, name)

    @given(some(PLAIN if name == "re" else PATTERNS), blocks)
    def finds_all(patterns, block):
        check(patterns, block)

    finds_all()


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ENGINES)
def test_every_pattern_finds_its_lines_among_all_pairs_of_words(monkeypatch, name, ending):
    use(monkeypatch, name)
    words = [piece.encode() for piece in PIECES]
    block = b"".join(one + b" " + other + ending for one in words for other in words)

    for pattern in PLAIN if name == "re" else PATTERNS:
        check([pattern], block)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_lets_the_same_errors_of_the_corpus_through(monkeypatch, conf, name):
    block = b"".join(corpus.log for corpus in log_corpus.all_of_them())
    told = _told(Patterns(conf), block)
    use(monkeypatch, name)

    assert _told(Patterns(conf), block) == told
    assert len(told) > 50


@pytest.mark.skipif(scanner.hyperscan is None, reason="hyperscan is not installed")
def test_all_of_our_own_patterns_run_in_the_fast_engine():
    """One that runs beside it, in RE2, makes a scan four times as slow."""
    scan = Scanner([*gate.GATE, *ERROR_PATTERNS])

    assert scan._fast is not None
    assert scan._beside is None


def _told(patterns: Patterns, block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    held = lines_at(block, patterns.places(block))
    return [lines[number] for number in sorted(held) if patterns.judge(lines[number]).why]


def test_what_matches_everywhere_is_found_without_telling_every_place(monkeypatch):
    block = b"".join(b"%d a%s\n" % (number, b"b" * 200) for number in range(2000)) + b"quiet\n"
    scan = Scanner(["a[^x]*b", "never"])

    places = scan.places(block)

    assert lines_at(block, places) >= set(range(2000))
    assert len(places) < 5000


HOSTILE_PATTERNS = [
    r"(a+)+$", r"(\w+\s?)*ERROR$", r"(.*?,){12}P", r"x.*y.*z.*w", r"\s+$", r"(?:a|b)*a(?:a|b){14}c",
    r"[^x]*[^y]*[^z]*!!", r"(?:.*=){8}q", r"(?i)(?:e|r|o)+!{3}$", r"a{900}b",
]  # fmt: skip
HOSTILE_LINES = [b"a", b"word ", b"1,", b"x", b" ", b"ab", b"=", b"eRo", b"\xff", b"xyz"]


@pytest.mark.parametrize("name", ["hyperscan", "re2"])
def test_no_pattern_and_no_line_of_a_user_stalls_a_scan_for_100_ms(monkeypatch, conf, name):
    """The longest line there is (1 MiB) against patterns that stop a backtracking engine for ever."""
    use(monkeypatch, name)
    slowest = {}
    for pattern in HOSTILE_PATTERNS:
        patterns = Patterns(dataclasses.replace(conf, error_patterns=(*ERROR_PATTERNS, pattern)))
        for piece in HOSTILE_LINES:
            line = piece * ((1 << 20) // len(piece))
            started = time.thread_time()  # the scan's own: a busy machine keeps it waiting, not working
            patterns.places(line + b"\n")
            patterns.judge(line)
            slowest[pattern, piece] = time.thread_time() - started

    assert max(slowest.values()) < 0.1, sorted(slowest.items(), key=lambda one: one[1])[-5:]


def test_without_re2_a_users_pattern_that_may_be_slow_is_refused_with_one_line(monkeypatch, conf):
    monkeypatch.setattr(engine, "re2", None)

    with pytest.raises(SettingsError, match="needs the package google-re2"):
        Patterns(dataclasses.replace(conf, error_patterns=("(a+)+$",)))
    assert (
        Patterns(dataclasses.replace(conf, error_patterns=(r"E\d{4}: (?:x|y)$",))).judge(b"E1234: x").why == "pattern"
    )


def test_blocks_of_random_bytes_are_scanned(conf):
    patterns = Patterns(conf)
    block = random.Random(3).randbytes(1 << 20) + b"\nERROR: x\n"

    assert lines_at(block, patterns.places(block)) >= {block.count(b"\n") - 1}


# -- compiled patterns kept for the next start ------------------------------------------------------------------------

needs_hyperscan = pytest.mark.skipif(scanner.hyperscan is None, reason="hyperscan is not installed")
FEW = ["ERROR", r"refused\b", "disk 9[0-9]%"]
FOUND = b"quiet\nERROR x\nfine\ndisk 97%\n"


@pytest.fixture
def compiles(monkeypatch) -> list[list[bytes]]:
    """The patterns of every compilation."""
    seen: list[list[bytes]] = []
    compile_all = scanner._database

    def counted(patterns):
        seen.append(list(patterns))
        return compile_all(patterns)

    monkeypatch.setattr(scanner, "_database", counted)
    return seen


@needs_hyperscan
def test_the_second_start_takes_the_patterns_compiled_by_the_first(tmp_path, compiles):
    kept = tmp_path / "compiled"
    first = Scanner(FEW, kept).places(FOUND)

    second = Scanner(FEW, kept).places(FOUND)

    assert len(compiles) == 1
    assert second == first
    assert lines_at(FOUND, second) == {1, 3}
    assert kept.stat().st_mode & 0o777 == 0o600


@needs_hyperscan
def test_our_own_patterns_find_the_same_when_kept(tmp_path, compiles):
    block = b"".join(corpus.log for corpus in log_corpus.all_of_them())
    patterns = [*gate.GATE, *ERROR_PATTERNS]
    first = Scanner(patterns, tmp_path / "compiled").places(block)

    assert Scanner(patterns, tmp_path / "compiled").places(block) == first
    assert len(compiles) == 1


@needs_hyperscan
def test_other_patterns_another_way_or_another_processor_are_compiled_anew(tmp_path, compiles, monkeypatch):
    kept = tmp_path / "compiled"
    Scanner(FEW, kept)

    assert lines_at(FOUND, Scanner(["fine"], kept).places(FOUND)) == {2}
    cpu = tmp_path / "cpuinfo"
    cpu.write_text("flags : other\n")
    monkeypatch.setattr(compiled, "_CPU", cpu)
    assert lines_at(FOUND, Scanner(["fine"], kept).places(FOUND)) == {2}
    monkeypatch.setattr(scanner, "_ID", 7)
    assert lines_at(FOUND, Scanner(["fine"], kept).places(FOUND)) == {2}
    assert [len(patterns) for patterns in compiles] == [3, 1, 1, 1]


def _torn(kept):
    kept.write_bytes(kept.read_bytes()[:-100])


def _flipped(kept):
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 4
    kept.write_bytes(data)


def _garbage(kept):
    kept.write_bytes(b"garbage" * 100)


def _empty(kept):
    kept.write_bytes(b"")


def _readable_by_all(kept):
    kept.chmod(0o644)


def _linked(kept):
    kept.rename(kept.with_name("elsewhere"))
    kept.symlink_to("elsewhere")


def _whole_but_no_database(kept):
    compiled.keep(kept, kept.read_bytes()[:32], b"no database at all")


@needs_hyperscan
@pytest.mark.parametrize(
    "damage", [_torn, _flipped, _garbage, _empty, _readable_by_all, _linked, _whole_but_no_database]
)
def test_a_kept_file_that_is_not_as_it_was_left_is_written_anew(tmp_path, compiles, damage):
    kept = tmp_path / "compiled"
    Scanner(FEW, kept)
    damage(kept)

    assert lines_at(FOUND, Scanner(FEW, kept).places(FOUND)) == {1, 3}
    assert len(compiles) == 2
    assert lines_at(FOUND, Scanner(FEW, kept).places(FOUND)) == {1, 3}
    assert len(compiles) == 2


@needs_hyperscan
def test_where_nothing_can_be_kept_patterns_are_compiled_every_time(tmp_path, compiles):
    for _start in range(2):
        assert lines_at(FOUND, Scanner(FEW, tmp_path / "no folder" / "compiled").places(FOUND)) == {1, 3}
    assert len(compiles) == 2
    assert not list(tmp_path.iterdir())
