"""What a person sees: aligned, in few colours, with signs that say the same without them; or JSON for a program.

stdout carries the answer, stderr carries notes. With `--json` stdout holds JSON alone. A reader that goes away
(`cmux logs | head`) ends the output, never the work: a stop whose report nobody reads still finishes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TextIO

from daemons import settings, text

SCHEMA = 1

Style = Literal["good", "warn", "bad", "dim", "bold", "plain"]
Sign = Literal["ok", "degraded", "bad", "unknown", "off", "busy"]

_COLOURS: Mapping[Style, str] = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1", "plain": "0"}
_SIGNS: Mapping[Sign, tuple[str, str, Style]] = {
    "ok": ("✓", "ok", "good"),
    "degraded": ("!", "!", "warn"),
    "bad": ("✗", "X", "bad"),
    "unknown": ("?", "?", "warn"),
    "off": ("–", "-", "dim"),
    "busy": ("…", "..", "warn"),
}
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_GAP = "  "


class Screen:
    """Where one command answers. *as_json*: `answer` prints, `say` and `table` don't; otherwise the other way round."""

    def __init__(self, *, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self.closed = False  # the reader of stdout went away
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        environ = settings.child_environment()
        self._is_terminal = self._out.isatty()
        self._coloured = self._is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self._unicode = (self._out.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")
        for stream in (self._out, self._err):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    # -- the answer

    def answer(self, data: Mapping[str, object], *, ok: bool = True) -> None:
        """The whole answer for a program; for a person nothing. For what streams, once a line."""
        if self.as_json:
            whole = {"ok": ok, "schema": SCHEMA, **data}
            self._write(json.dumps(whole, default=_plain, ensure_ascii=False))

    def say(self, line: str = "") -> None:
        """A line for a person; nothing for a program."""
        if not self.as_json:
            self._write(line if self._unicode else line.translate(_ASCII))

    def note(self, line: str) -> None:
        """A line beside the answer, on stderr, for both."""
        try:
            self._err.write(line + "\n")
            self._err.flush()
        except (BrokenPipeError, ValueError):
            return

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under headers, aligned; on a terminal the last column is cut to fit. Cells are printed as they are."""
        if not rows or self.as_json:
            return
        widths = [max(map(width, column)) for column in zip(headers, *rows, strict=True)]
        room = self._columns() - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        self.say(self.paint(_line(headers, widths), "dim"))
        for row in rows:
            last = self._cut(row[-1], room)
            self.say(_line([*row[:-1], last], widths))

    def next_steps(self, *steps: tuple[str, str]) -> None:
        """What one would do now: commands, each with what it is for."""
        if not steps:
            return
        longest = max(len(command) for command, _ in steps)
        self.say()
        for command, what in steps:
            self.say(f"{self.paint('→', 'dim')} {self.paint(f'{command:<{longest}}', 'bold')}  {what}")

    def sign(self, sign: Sign) -> str:
        """One character that means it, coloured where colours are."""
        wide, plain, style = _SIGNS[sign]
        return self.paint(wide if self._unicode else plain, style)

    def paint(self, words: str, style: Style) -> str:
        return f"\x1b[{_COLOURS[style]}m{words}\x1b[0m" if self._coloured and style != "plain" else words

    # -- the terminal

    def _columns(self) -> int:
        return columns(self._out, otherwise=100) if self._is_terminal else 10_000

    def _cut(self, cell: str, room: int) -> str:
        if width(cell) <= max(room, 12) or _ESCAPE.search(cell):
            return cell
        while width(cell) > max(room, 12) - 1:
            cell = cell[:-1]
        return cell + "…"

    def _write(self, line: str) -> None:
        if self.closed:
            return
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except BrokenPipeError:
            self.closed = True
            # Python flushes stdout once more at its end and would complain there.
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._out.fileno())


def columns(stream: TextIO, *, otherwise: int) -> int:
    """How wide the terminal behind *stream* is, unless COLUMNS says; *otherwise* when it is none or doesn't know.

    As `shutil.get_terminal_size`, whose import takes 2 ms of every command.
    """
    told = settings.child_environment().get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or otherwise
    except (OSError, ValueError):
        return otherwise


_ASCII = str.maketrans({"✓": "ok", "✗": "X", "–": "-", "…": "...", "→": ">", "·": "-", "×": "x", "“": '"', "”": '"'})


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (wide - width(cell)) for cell, wide in zip(cells, widths, strict=True))
    return _GAP.join(padded).rstrip()


def width(cell: str) -> int:
    """Columns that *cell* takes on a terminal: colours none, East Asian characters and emoji two."""
    bare = _ESCAPE.sub("", cell)
    if bare.isascii():
        return len(bare)
    import unicodedata

    def one(character: str) -> int:
        if unicodedata.combining(character):
            return 0
        return 2 if unicodedata.east_asian_width(character) in "WF" else 1

    return sum(map(one, bare))


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# -- words ------------------------------------------------------------------------------------------------------------


def shown(words: object) -> str:
    """Text by a stranger (a name, a command, a message) on one line, with nothing in it that could act."""
    return text.safe(str(words), one_line=True)


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`: the largest unit that fits, rounded down."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size)
    return f"{int(seconds // size)} {unit}"


def ago(moment: datetime, now: datetime) -> str:
    """`just now`, `12 s ago`, `3 min ago`; a moment to come is `in 3 min`."""
    seconds = (now - moment).total_seconds()
    if seconds < -1:
        return f"in {duration(-seconds)}"
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def size(octets: float) -> str:
    """`512 B`, `2.1 KB`, `34 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if octets < 1000 or unit == "GB":
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 10 else f"{octets:.1f} {unit}"
        octets /= 1000
    raise AssertionError("unreachable")


def many(number: int, noun: str, plural: str = "") -> str:
    """`1 agent`, `2 agents`, `no agents`."""
    return f"{number or 'no'} {noun if number == 1 else plural or noun + 's'}"
