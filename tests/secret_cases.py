"""Lines with secrets and lines without, for what masks them: made from templates, by a seeded generator.

A template holds what stands around; ⟦…⟧ stands for a value that is made: ⟦a32⟧ 32 letters and digits, ⟦p⟧ a password as
people choose them; `_MAKERS` has them all. ␤ is a newline. Of `kind | template`, the kind is for the count alone.

    fixtures/secrets/developed.txt   the rules were made with these
    fixtures/secrets/held_out*.txt   the rules were not made from these: only their totals count
    fixtures/secrets/written_*.jsonl written by another hand, whole; a sign in each secret keeps it from looking real
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "fixtures" / "secrets"
ROUNDS = 2
# Stands inside secrets in files, and nowhere else.
_BROKEN = "⁞"

_HEX = "0123456789abcdef"
_ALNUM = string.ascii_letters + string.digits
_WORDS = "winter dragon monkey sunshine orange kitten rocket purple falcon coffee river marble".split()
_VALUE = re.compile(r"⟦([a-zA-Z]+?)(\d*)⟧")


@dataclass(frozen=True)
class Case:
    """A line; the secrets in it, none for an innocent one."""

    kind: str
    line: str
    secrets: tuple[str, ...] = ()
    around: str = ""

    def leaks(self, masked: str) -> bool:
        """Whether a piece of a secret of 5 letters (or all of a shorter one) is still to be read in *masked*."""
        size = 5
        pieces = {secret[at : at + size] for secret in self.secrets for at in range(max(1, len(secret) - size + 1))}
        return any(piece in masked and piece not in self.around for piece in pieces)


def _of(letters: str) -> Callable[[random.Random, int], str]:
    return lambda chance, length: "".join(chance.choices(letters, k=length))


def _mixed(letters: str) -> Callable[[random.Random, int], str]:
    """Of all three kinds of sign, as long random values are."""

    def make(chance: random.Random, length: int) -> str:
        while True:
            value = _of(letters)(chance, length)
            if any(map(str.isdigit, value)) and any(map(str.islower, value)) and any(map(str.isupper, value)):
                return value

    return make


def _uuid(chance: random.Random, _: int) -> str:
    return "-".join(_of(_HEX)(chance, length) for length in (8, 4, 4, 4, 12))


def _base64(chance: random.Random, length: int) -> str:
    padding = "=" * (2 if length in (88, 24) else 1 if length == 44 else 0)
    return _mixed(_ALNUM + "+/")(chance, length - len(padding)) + padding


def _jwt(chance: random.Random, _: int) -> str:
    parts = (_mixed(_ALNUM + "-_")(chance, length) for length in (30, 80, 43))
    return "eyJ" + ".eyJ".join((next(parts), next(parts))) + "." + next(parts)


def _password(chance: random.Random, _: int) -> str:
    """As people choose them."""
    word, other = chance.sample(_WORDS, 2)
    return chance.choice(
        (
            f"{word}{chance.randrange(10, 10000)}",
            f"{word.title()}{chance.choice('!#*@')}{chance.randrange(10, 100)}",
            f"{word}-{other}-{chance.randrange(10)}",
            f"{word.replace('o', '0').replace('e', '3')}{chance.choice('!$?')}{other}",
            f"{word}{other}",
            _mixed(_ALNUM)(chance, 12),
            _mixed(_ALNUM + "!#*+-_.@^~")(chance, 16),
        )
    )


_MAKERS: dict[str, Callable[[random.Random, int], str]] = {
    "a": _mixed(_ALNUM),
    "ab": lambda chance, length: "".join(
        chance.choice(string.ascii_lowercase if at % 3 else string.ascii_uppercase) for at in range(length)
    ),
    "A": _of(string.ascii_uppercase + string.digits),
    "B": _of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "b": _base64,
    "d": _of(string.digits),
    "h": _of(_HEX),
    "j": _jwt,
    "l": _of(string.ascii_lowercase + string.digits),
    "p": _password,
    "q": _of(_ALNUM),
    "s": _of(string.ascii_letters),
    "sym": _mixed(_ALNUM + "!#*+-_.@^~$%()"),
    "u": _uuid,
    "w": _mixed(_ALNUM + "-_"),
}


def _filled(template: str, chance: random.Random) -> tuple[str, tuple[str, ...], str]:
    values: list[str] = []

    def fill(found: re.Match[str]) -> str:
        values.append(_MAKERS[found[1]](chance, int(found[2] or 0)))
        return values[-1]

    line = _VALUE.sub(fill, template).replace("␤", "\n")
    return line, tuple(values), _VALUE.sub("", template)


def _templates(name: str) -> Iterator[tuple[bool, str]]:
    is_secret = True
    for line in (FOLDER / name).read_text().splitlines():
        if line.startswith("== "):
            is_secret = line == "== secrets"
        elif line and not line.startswith("# "):
            yield is_secret, line


def secrets(name: str) -> list[Case]:
    """The lines with secrets of the set *name*, several of each template."""
    chance = random.Random(name)
    split = [line.split(" | ", 1) for is_secret, line in _templates(name) if is_secret]
    return [Case(kind.strip(), *_filled(line, chance)) for kind, line in split for _ in range(ROUNDS)]


def innocents(name: str) -> list[Case]:
    """The lines without: one of each template, several where something in it is made."""
    chance = random.Random(name)
    plain = [line for is_secret, line in _templates(name) if not is_secret]
    return [Case("innocent", _filled(line, chance)[0]) for line in plain for _ in range(ROUNDS if "⟦" in line else 1)]


def written(name: str) -> list[Case]:
    """The lines of the set *name* as they were written, those without a secret among them."""
    rows = [json.loads(line.replace(_BROKEN, "")) for line in (FOLDER / name).read_text().splitlines()]
    return [Case(row["kind"], row["text"], (row["secret"],) if row["secret"] else ()) for row in rows]
