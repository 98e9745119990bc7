"""Labelled logs in `tests/fixtures/logs`: what is an error in them, and which lines belong to which.

Each line of a file begins with its label: `! ` starts an error, `+ ` goes on with the error above (also when other
lines stand in between), `. ` is no error; `#` is a remark.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "logs"
RECOGNITION = Path(__file__).parent / "fixtures" / "recognition"


@dataclass(frozen=True)
class Corpus:
    """A log and its errors: the position of each one's first labelled line, and its lines."""

    name: str
    log: bytes
    errors: dict[int, tuple[bytes, ...]]
    quiet_lines: int


def load(name: str) -> Corpus:
    return _corpus(name, (FOLDER / name).read_bytes().splitlines())


def programs(name: str = "programs.txt") -> list[Corpus]:
    """What many programs write, each a log of its own below `=== name`; \u241b is the escape byte, \u2409 a tab."""
    text = (RECOGNITION / name).read_text().replace("\u241b", "\x1b").replace("\u2409", "\t")
    parts = (part.partition("\n") for part in text.split("\n=== ")[1:])
    return [_corpus(program, rows.encode().split(b"\n")) for program, _, rows in parts]


def _corpus(name: str, rows: list[bytes]) -> Corpus:
    lines: list[bytes] = []
    errors: dict[int, list[bytes]] = {}
    position = latest = quiet = 0
    for row in rows:
        label, line = row[:1], row[2:]
        if label in (b"#", b""):
            continue
        if label == b"!":
            latest = position
            errors[latest] = [line]
        elif label == b"+":
            errors[latest].append(line)
        else:
            quiet += 1
        lines.append(line)
        position += len(line) + 1
    return Corpus(name, b"\n".join(lines) + b"\n", {at: tuple(kept) for at, kept in errors.items()}, quiet)


def all_of_them() -> list[Corpus]:
    return [load(path.name) for path in sorted(FOLDER.glob("*.txt"))]
