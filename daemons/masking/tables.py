"""Secrets in columns whose head is a secret's name, as databases, consoles and Markdown draw their tables."""

from __future__ import annotations

from collections.abc import Iterator

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span, replaced
from daemons.masking.names import Name, cues, name_at
from daemons.masking.values import Place, is_secret

# The line below the heads.
_RULE = lazy(r"[ \t]*[|+├╞╠┡┣:]?[-─━═]{2}[-─━═|+┼╪╬╇╋┿:┤╡╣┫┩ \t]*")
_CELL = lazy(r"[^|│┃║\n]+")
_DASHES = ("--", "──", "━━", "══")
_SIGNS = "|│┃║"


def masked_tables(text: str) -> str:
    """*text* with what stands below the names of secrets masked."""
    if not any(dashes in text for dashes in _DASHES) or not any(sign in text for sign in _SIGNS):
        return text
    return replaced(text, _spans(text))


def _spans(text: str) -> Iterator[Span]:
    head: list[tuple[int, int]] = []
    secret: dict[int, Name] = {}
    position = 0
    for line in text.splitlines(keepends=True):
        if _RULE.fullmatch(line.rstrip("\r\n")):
            secret = secret or _secret_columns(text, head)
        else:
            cells = [(position + found.start(), position + found.end()) for found in _CELL.finditer(line)]
            if len(cells) != len(head):
                secret = {}
            for column, name in secret.items():
                yield from _in_cell(text, *cells[column], name)
            head = cells
        position += len(line)


def _secret_columns(text: str, head: list[tuple[int, int]]) -> dict[int, Name]:
    """The columns whose head is a secret's name, each with that name."""
    found: dict[int, Name] = {}
    for column, (start, end) in enumerate(head if len(head) > 1 else ()):
        title = text[start:end].strip().strip("`*'\"")
        names = [name_at(title, at, cue) for at, cue in cues(title.lower(), ())] if len(title) <= _TITLE else []
        found.update((column, name) for name in names if name and name.end == len(title) and name.family != "pin")
    return found


_TITLE = 40


def _in_cell(text: str, start: int, end: int, name: Name) -> Iterator[Span]:
    value = text[start:end].strip().strip("`'\"")
    place = Place(is_quoted=False, separator="|", follows="", name=name.called, is_code=False, is_pair=False)
    if value and not any(map(str.isspace, value)) and is_secret(value, name.family, place):
        begin = text.index(value, start)
        yield begin, begin + len(value)
