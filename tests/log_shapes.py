"""Labelled single lines in `tests/fixtures/recognition`: is it an error, by what it says or looks like?

    formats.txt    headers of records, once with every level that their kind of spelling has
    lines.txt      whole lines
    seen.txt       lines that were held out once, until the rules were mended by them
    heldout.txt    lines that the rules were not made from

Slots like `<n>` are filled at random, from a seed. Messages of quiet levels quote errors, those of errors also "INFO:".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "recognition"
FILLED = 4  # so many lines are made of every shape

# Kind of spelling: levels of errors, and of what is none. PRI and SEVERITY are numbers of syslog.
LEVELS = {
    "UPPER": (("ERROR", "CRITICAL", "FATAL"), ("INFO", "DEBUG", "WARNING")),
    "LOWER": (("error", "fatal", "critical"), ("info", "debug", "warn")),
    "COLON": (("ERROR", "CRITICAL"), ("INFO", "DEBUG", "WARNING")),
    "LETTER": (("E", "C"), ("I", "D", "W")),
    "GLOG": (("E", "F"), ("I", "W")),
    "RUBY": (("E|ERROR", "F|FATAL"), ("I|INFO", "D|DEBUG", "W|WARN")),
    "JUL": (("SEVERE",), ("INFO", "WARNING", "FINE", "CONFIG")),
    "ZAP": (("error", "fatal", "panic", "dpanic"), ("info", "debug", "warn")),
    "GETH": (("eror", "crit"), ("info", "dbug", "warn")),
    "GETHUP": (("ERROR", "CRIT "), ("INFO ", "DEBUG", "WARN ")),
    "SHORT": (("ERR", "FTL", "PNC"), ("INF", "DBG", "WRN")),
    "CHARM": (("ERRO", "FATA"), ("INFO", "DEBU", "WARN")),
    "NEST": (("ERROR", "FATAL"), ("LOG", "DEBUG", "WARN", "VERBOSE")),
    "DOTNET": (("fail", "crit"), ("info", "dbug", "warn", "trce")),
    "SERI": (("ERR", "FTL"), ("INF", "DBG", "WRN", "VRB")),
    "SERIFULL": (("Error", "Fatal"), ("Information", "Debug", "Warning", "Verbose")),
    "NGINX": (("error", "crit", "alert", "emerg"), ("notice", "info", "warn", "debug")),
    "APACHE": (("error", "crit", "alert", "emerg"), ("notice", "info", "warn", "debug")),
    "PG": (("ERROR", "FATAL", "PANIC"), ("LOG", "NOTICE", "STATEMENT", "WARNING", "HINT")),
    "MYSQL": (("ERROR",), ("Note", "Warning", "System")),
    "TWISTED": (("error", "critical"), ("info", "debug", "warn")),
    "TRAEFIK": (("ERR", "FTL"), ("INF", "DBG", "WRN")),
    "HAPROXY": (("ALERT",), ("NOTICE", "WARNING")),
    "PRI": (("3", "11", "26", "128", "187"), ("6", "12", "30", "134", "165", "191")),
    "SEVERITY": (("0", "2", "3"), ("4", "5", "6", "7")),
    "CLOUD": (("ERROR", "CRITICAL", "ALERT", "EMERGENCY"), ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING")),
    "MONGO": (("E", "F"), ("I", "D1", "W")),
    "PINO": (("50", "60"), ("10", "20", "30", "40")),
    "MONOLOG": (("400|ERROR", "500|CRITICAL", "600|EMERGENCY"), ("100|DEBUG", "200|INFO", "300|WARNING")),
    "SLOG": (("ERROR", "ERROR+2"), ("INFO", "DEBUG-4", "WARN+1")),
}
BAD = (
    "connection to db-3 lost", "INFO: said the server, and then nothing", "cannot open the ledger", "giving up",
    "no route to 10.0.0.7 after 3 tries", "order 17: card declined", "timeout after 30 s", "out of connections",
    "Exception in ASGI application", "not a DEBUG build", "disk is full", "x", "worker died (level=info was asked)",
    "could not bind: address in use", "lost 0 of 17 parts, 1 late", "upstream sent no header", "caf\u00e9 unreachable",
)  # fmt: skip
TRAP = (
    "recovered from ERROR after 3 tries", "Exception class registered", "0 ERROR lines found", "ERROR page rendered",
    "FAILED jobs are repeated", "no CRITICAL section is open", "Traceback hook installed", "GET /ERROR answered",
    "level=error is counted apart", "retry after ConnectionError: reset", "ValueError: handled, said the test",
    "error_count=0", "loaded errors.csv", "set up handlers for ERROR, FATAL", "panic: was the word", "all is well",
    "status 500 mapped to page", "npm ERR! is not what this says",
)  # fmt: skip
FINE = ("served 12 pages", "cache warmed", "next run in 5 min", "hello", "listening on :8080", "3 of 3 parts arrived")
WORDS = ("orders", "cart", "mailer", "index", "ledger", "caf\u00e9")
PATHS = ("/orders/17", "/", "/api/v2/cart", "/static/app.js", "/x?y=1&z=2", "/healthz", "/caf%C3%A9/9")
_TIMES = {
    "py": "{day} {clock},{ms}",
    "day": "{day} {clock}",
    "iso": "{day}T{clock}.{ms}+02:00",
    "isoz": "{day}T{clock}.{ms}Z",
    "slash": "2026/01/{dd} {clock}",
    "slashes": "2026/01/{dd}",
    "clf": "{dd}/Jan/2026:{clock} +0000",
    "apache": "Sat Jan {dd} {clock}.{ms}123 2026",
    "dmy": "{dd}-Jan-2026 {clock}",
    "syslog": "Jan {dd} {clock}",
    "clock": "{clock}",
    "hourpm": "{hour}:{minute}PM",
    "epoch": "17698{n5}",
}


@dataclass(frozen=True)
class Line:
    """One labelled line. *shape* is what it was made from."""

    line: bytes
    is_error: bool
    shape: str


def seen() -> list[Line]:
    """What the rules were made with: every shape filled some times over."""
    shapes = [*_formats(), *_labelled("lines.txt"), *_labelled("seen.txt")]
    return list(_filled(shapes, random.Random(4)))


def held_out() -> list[Line]:
    return list(_filled(_labelled("heldout.txt"), random.Random(5)))


def _filled(shapes: list[tuple[bool, str]], chance: random.Random) -> Iterator[Line]:
    for is_error, shape in shapes:
        made = {fill(shape, is_error, chance) for _ in range(FILLED)}
        yield from (Line(line, is_error, shape) for line in sorted(made))


def _rows(name: str) -> list[str]:
    rows = (FOLDER / name).read_text().split("\n")
    return [row.replace("\u241b", "\x1b").replace("\u2409", "\t") for row in rows if row[:2] not in ("", "# ", "#")]


def _labelled(name: str) -> list[tuple[bool, str]]:
    return [(row[0] == "!", row[2:]) for row in _rows(name)]


def _formats() -> list[tuple[bool, str]]:
    """Every format with every level of its kind."""
    shapes = []
    for row in _rows("formats.txt"):
        kind, form = row.split(" ", 1)
        for is_error, spelt in zip((True, False), LEVELS[kind], strict=True):
            shapes += [(is_error, _with_level(form, level)) for level in spelt]
    return shapes


def _with_level(form: str, level: str) -> str:
    first, _, second = level.partition("|")
    for slot in ("letter", "number", "pri", "severity"):
        form = form.replace(f"<{slot}>", first)
    return form.replace("<level>", second or first)


def fill(shape: str, is_error: bool, chance: random.Random) -> bytes:
    """*shape* with every slot filled."""
    return _SLOT.sub(lambda slot: _VALUES[slot[1]](chance, is_error), shape).encode()


def _time(form: str, chance: random.Random, is_error: bool) -> str:
    hour, minute, second, day = (chance.randrange(*span) for span in ((1, 13), (10, 60), (10, 60), (10, 32)))
    clock = f"{hour:02}:{minute}:{second}"
    ms, n5 = f"{chance.randrange(1000):03}", f"{chance.randrange(100000):05}"
    parts = {"clock": clock, "ms": ms, "dd": str(day), "day": f"2026-01-{day}", "hour": str(hour), "n5": n5}
    return form.format(minute=minute, **parts)


def _said(chance: random.Random, is_error: bool) -> str:
    return chance.choice(BAD if is_error else TRAP)


def _number(chance: random.Random, is_error: bool) -> str:
    return str(chance.randrange(1, 10 ** chance.choice((1, 2, 3, 5))))


def _hex(chance: random.Random, is_error: bool) -> str:
    return f"{chance.getrandbits(48):012x}"


def _uuid(chance: random.Random, is_error: bool) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _one_of(choices: tuple[str, ...], chance: random.Random, is_error: bool) -> str:
    return chance.choice(choices)


Fill = Callable[[random.Random, bool], str]
_VALUES: dict[str, Fill] = {
    "said": _said,
    "n": _number,
    "hex": _hex,
    "uuid": _uuid,
    "bad": partial(_one_of, BAD),
    "fine": partial(_one_of, FINE),
    "word": partial(_one_of, WORDS),
    "path": partial(_one_of, PATHS),
    "ip": partial(_one_of, ("10.0.0.1", "192.168.7.44", "203.0.113.9")),
    "0": partial(_one_of, ("0",)),
    "2xx": partial(_one_of, ("200", "201", "204", "304")),
    "4xx": partial(_one_of, ("400", "404", "429", "499")),
    "5xx": partial(_one_of, ("500", "502", "503", "504", "599")),
    **{name: partial(_time, form) for name, form in _TIMES.items()},
}
_SLOT = re.compile("<(" + "|".join(_VALUES) + ")>")
