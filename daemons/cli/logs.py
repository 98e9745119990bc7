"""`cmux logs`: what the daemons, supervisord and the services print, from all files in one stream of time."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from daemons import clock, text
from daemons.cli import coverage
from daemons.cli.command import DONE, FAILED, USAGE, Refused, count
from daemons.cli.screen import Screen, Style, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux logs", "the last lines of all"),
    ("cmux logs log_watcher api -n 100", "the last 100 of these two"),
    ("cmux logs -f --level warning", "warnings and errors as they come"),
    ("cmux logs --coverage", "of the watched logs: what became of every byte"),
)
LEVELS = ("INFO", "WARNING", "ERROR")
POLL_S = 0.2
# A line is a few hundred bytes: enough of the end of a file for any number of lines that a person reads.
TAIL_LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log. *fields* is None where it is none of ours; *moment* is then that of the line before it."""

    source: str
    moment: datetime
    level: str
    raw: str
    fields: Mapping[str, object] | None

    def matters(self, level: str) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(level)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="a daemon, supervisord, or service-NAME; default: all")
    parser.add_argument("-n", "--lines", type=count, default=30, metavar="N", help="how many lines, default 30")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument(
        "--coverage", action="store_true", help="instead: how much of each watched log was examined, and what was not"
    )
    parser.add_argument(
        "--level", type=str.upper, choices=LEVELS, default="INFO", help="the least level to show, default info"
    )


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    if options.coverage:
        return DONE if coverage.show(conf, screen) else FAILED
    sources = _sources(conf, options.names)
    if not sources and not options.follow:
        screen.note(f"cmux: nothing has logged in {conf.logs_dir} yet; see: cmux start")
    recent = [line for path in sources for line in read_tail(path) if line.matters(options.level)]
    recent.sort(key=lambda line: line.moment)
    recent = recent[-options.lines :] if options.lines else []
    if not options.follow:
        screen.answer({"lines": [_for_programs(line) for line in recent]})
    _show(recent, screen, streaming=options.follow)
    if options.follow:
        _follow(conf, options, screen)
    return DONE


def _sources(conf: Settings, names: Sequence[str]) -> list[Path]:
    known = {path.stem: path for path in sorted(conf.logs_dir.glob("*.log"))}
    unknown = [name for name in names if name not in known]
    if unknown:
        there = f"there are: {', '.join(known)}" if known else f"nothing has logged in {conf.logs_dir} yet"
        raise Refused(f"there is no log of {unknown[0]!r}; {there}", USAGE)
    return [known[name] for name in names] or list(known.values())


def read_tail(path: Path) -> Iterator[Line]:
    """The lines at the end of one log, the oldest first."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - TAIL_LIMIT_BYTES))
            raw = file.read(TAIL_LIMIT_BYTES).splitlines()
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return
    moment = changed
    for line in raw[1 if end > TAIL_LIMIT_BYTES else 0 :]:
        parsed = parse(path.stem, line, moment)
        moment = parsed.moment
        yield parsed


def parse(source: str, raw: bytes, before: datetime) -> Line:
    """One line. A line that is no JSON of ours keeps the moment of the line *before* it."""
    words = text.decode(raw)
    try:
        fields = json.loads(words)
        moment = clock.parse_stamp(fields["ts"])
        return Line(source, moment, _level(fields["level"]), words, fields)
    except (ValueError, KeyError, TypeError):
        return Line(source, _supervisords_moment(words) or before, "INFO", words, None)


def _level(word: object) -> str:
    return str(word) if word in LEVELS else "INFO"


def _supervisords_moment(words: str) -> datetime | None:
    """supervisord stamps its lines `2026-01-31 18:54:00,123 INFO …` in local time."""
    try:
        return datetime.fromisoformat(words[:23].replace(",", ".")).astimezone()
    except ValueError:
        return None


# -- showing ----------------------------------------------------------------------------------------------------------

_STYLES: Mapping[str, Style] = {"INFO": "dim", "WARNING": "warn", "ERROR": "bad"}
_OWN_FIELDS = {"ts", "level", "daemon", "event"}


def _show(lines: Sequence[Line], screen: Screen, *, streaming: bool) -> None:
    widest = max((len(line.source) for line in lines), default=0)
    for line in lines:
        if streaming:
            screen.answer({"line": _for_programs(line)})
        time = f"{line.moment.astimezone():%H:%M:%S}"
        head = f"{screen.paint(time, 'dim')}  {line.source:<{widest}}  "
        screen.say(head + (_ours(line, line.fields, screen) if line.fields else shown(line.raw)))


def _ours(line: Line, fields: Mapping[str, object], screen: Screen) -> str:
    others = ((name, value) for name, value in fields.items() if name not in _OWN_FIELDS)
    rest = "  ".join(f"{screen.paint(f'{shown(name)}=', 'dim')}{_value(value)}" for name, value in others)
    level = screen.paint(f"{line.level:<7}", _STYLES[line.level])
    return f"{level}  {screen.paint(shown(fields.get('event', '')), 'bold')}  {rest}".rstrip()


def _value(value: object) -> str:
    return shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _for_programs(line: Line) -> Mapping[str, object]:
    return {"source": line.source, **(line.fields or {"ts": clock.stamp(line.moment), "text": line.raw})}


# -- following --------------------------------------------------------------------------------------------------------


class _Followed:
    """One log from its present end on, across rotation: the old file is read to its end, then the new one begins."""

    def __init__(self, path: Path, *, from_start: bool) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        self._held = b""
        if not from_start:
            self._file.seek(0, 2)

    def new(self) -> Iterator[Line]:
        yield from self._read()
        if self._was_rotated():
            self._file.close()
            self._file = self.path.open("rb")
            yield from self._read()

    def _read(self) -> Iterator[Line]:
        *whole, self._held = (self._held + self._file.read()).split(b"\n")
        for raw in whole:
            yield parse(self.path.stem, raw, clock.now())

    def _was_rotated(self) -> bool:
        try:
            now = self.path.stat()
        except OSError:
            return False  # between the rename and the new file
        ours = os.fstat(self._file.fileno())
        return now.st_ino != ours.st_ino or now.st_size < self._file.tell()


def _follow(conf: Settings, options: argparse.Namespace, screen: Screen) -> None:
    followed = {path: _Followed(path, from_start=False) for path in _sources(conf, options.names)}
    while not screen.closed:
        for path in conf.logs_dir.glob("*.log"):
            if path not in followed and not options.names:
                followed[path] = _Followed(path, from_start=True)
        lines = [line for log in followed.values() for line in log.new() if line.matters(options.level)]
        _show(sorted(lines, key=lambda line: line.moment), screen, streaming=True)
        clock.pause(POLL_S)
