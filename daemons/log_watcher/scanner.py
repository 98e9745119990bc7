"""Finding the places in a block of many lines where one of many patterns matches: the fastest engine that is there.

    hyperscan    all patterns in one pass: 1.5 GB/s with ours where up to 1 % of the records are errors, 0.8 at 10 %
    re2          one pattern out of all, 0.4 GB/s
    re           the same without any package, 0.1 GB/s

All give the lines that a search line by line would give; a test holds them to that. hyperscan reports where matches
end, also over a newline: its places are a superset, and whoever asked judges the lines. A pattern whose meaning it does
not share with RE2 to the byte runs beside it in RE2; so does everything in a block that it reports too much of (`a.*`
ends at every byte).

hyperscan takes a fifth of a second of CPU to compile our patterns: what it made of them is kept for the next start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from daemons.log_watcher import compiled, engine

try:
    import hyperscan
except ImportError:  # a platform without a wheel, a processor without its instructions
    hyperscan = None  # type: ignore[assignment]

# More matches than one in so many bytes: something matches everywhere, and reporting it costs more than scanning.
FLOOD_BYTES = 12
FLOODS_BORNE = 3

_IN_CLASS = r"[^\\\[\]\n]|\\[dwtr]|\\[^A-Za-z0-9\n]"
# `\s` has one character more there than in RE2; in a class of all others that is one less.
_CLASS = rf"(?:\[\^(?:{_IN_CLASS})+\]|\[(?!\^)(?:{_IN_CLASS}|\\s)+\])"
_SHARED = re.compile(
    r"(?:\(\?i\))?"
    r"(?:[A-Za-z0-9 _:;,/@#%&=~<>!\"'`.^$|)-]|\((?:\?:)?(?!\?)|\\[bdDwWstr]|\\x[0-9a-f]{2}|\\[^A-Za-z0-9\n]|"
    + _CLASS
    + r"|[*+?]"
    r"|\{\d{1,3}(?:,\d{0,3})?\})+",
    re.ASCII,
)
# RE2 knows capitals beyond ASCII.
_FOLDED = re.compile(r"\(\?i\).*\\x[89a-f]")
_OPEN_END = re.compile(r"(?<!\\)\.(?:\*\??\$?)$")


class Scanner:
    """*patterns*, which engine.compile_one takes, found in blocks.

    What they are compiled to is kept in the file *kept*, if one is named, and taken from there when it is of the same.
    """

    def __init__(self, patterns: Sequence[str], kept: Path | None = None) -> None:
        self._one_by_one = _OneByOne(patterns)
        self._fast, rest = _compiled(patterns, kept)
        self._beside = _OneByOne(rest) if rest else None

    def places(self, block: bytes) -> list[int]:
        """Ascending places in *block*. Every line that a pattern finds holds one; some lines hold more, or for nothing.

        A line's newline counts as a place of the line.
        """
        found = self._fast.places(block) if self._fast else None
        if found is None:
            return self._one_by_one.places(block)
        return sorted(found + self._beside.places(block)) if self._beside else found


class _OneByOne:
    """RE2, or `re` where there is none: the next match, then on from the line behind it."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._pattern = engine.compile_any(patterns) if patterns else None

    def places(self, block: bytes) -> list[int]:
        found: list[int] = []
        position = 0
        search, find = self._pattern.search if self._pattern else None, block.find
        while search and (match := search(block, position)) is not None:
            found.append(match.start())
            position = find(b"\n", match.start()) + 1
            if not position:
                break
        return found


class _AllAtOnce:
    """hyperscan, which tells every place where a match ends."""

    def __init__(self, patterns: Sequence[bytes], kept: Path | None) -> None:
        self._database = _kept_database(patterns, kept) if kept else _database(patterns)
        self._floods = 0

    def places(self, block: bytes) -> list[int] | None:
        if self._floods >= FLOODS_BORNE:
            return None
        places: list[int] = []
        limit = len(block) // FLOOD_BYTES + 100

        def on_match(_pattern: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            places.append(end - 1)
            return len(places) > limit

        try:
            self._database.scan(block, on_match)
        except hyperscan.ScanTerminated:
            self._floods += 1
            return None
        places.sort()  # within a few bytes it tells them in another order
        return places


def _compiled(patterns: Sequence[str], kept: Path | None) -> tuple[_AllAtOnce | None, list[str]]:
    """What hyperscan can do, and the patterns that it can't."""
    if hyperscan is None:
        return None, list(patterns)  # type: ignore[unreachable]
    translated = {pattern: _translated(pattern) for pattern in patterns}
    shared = {pattern: other for pattern, other in translated.items() if other is not None}
    try:
        fast = _AllAtOnce(list(shared.values()), kept) if shared else None
    except hyperscan.error:  # it takes some of them only when asked one by one: a millisecond each
        shared = {pattern: other for pattern, other in shared.items() if _can_compile([other])}
        if not shared or not _can_compile(list(shared.values())):
            return None, list(patterns)  # too many states for it, or a processor that it does not know
        fast = _AllAtOnce(list(shared.values()), kept)
    return fast, [pattern for pattern in patterns if pattern not in shared]


def _can_compile(patterns: Sequence[bytes]) -> bool:
    try:
        _database(patterns)
    except hyperscan.error:
        return False
    return True


def _translated(pattern: str) -> bytes | None:
    """*pattern* as hyperscan has to be told, or None where RE2 and hyperscan might not mean the same bytes.

    What any text may follow finds the same lines without that.
    """
    if not _SHARED.fullmatch(pattern) or _FOLDED.search(pattern) or _may_be_empty(pattern):
        return None
    return engine.for_block(_OPEN_END.sub("", pattern)).encode()


def _may_be_empty(pattern: str) -> bool:
    """Whether a match may have no length: it would seem to end in the line above."""
    alone = engine.compile_any([pattern])
    matches = (alone.search(probe) for probe in (b"", b"a", b" ", b"0", b"."))
    return any(match is not None and match.start() == match.end() for match in matches)


def _kept_database(patterns: Sequence[bytes], kept: Path) -> hyperscan.Database:
    """What `_database` makes of *patterns*; from the file *kept* when an earlier start left it there."""
    version: str = hyperscan.__version__  # type: ignore[attr-defined]
    key = compiled.key([version.encode(), _how(), *patterns])
    data = compiled.load(kept, key)
    if data is not None:
        with suppress(hyperscan.error):
            database = hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
            database.scratch = hyperscan.Scratch(database)
            return database
    database = _database(patterns)
    compiled.keep(kept, key, hyperscan.dumpb(database))
    return database


# All are told as one: what two of them find at the same place is told once.
_ID = 0


def _how() -> bytes:
    """In which way they are compiled: what was kept in another way is not taken."""
    return f"{hyperscan.HS_MODE_BLOCK} {hyperscan.HS_FLAG_MULTILINE} {_ID}".encode()


def _database(patterns: Sequence[bytes]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_MULTILINE] * len(patterns)
    database.compile(expressions=list(patterns), ids=[_ID] * len(patterns), flags=flags)
    return database
