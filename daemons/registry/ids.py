"""What an agent may be called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

ID_LIMIT = 128

_ALSO_IN_IDS = frozenset("._:/@+-")
ID_RULE = (
    f"1 to {ID_LIMIT} letters and digits of any script and . _ : / @ + -, "
    "beginning with a letter or digit, without two dots in a row"
)


class InvalidAgent(ValueError):
    """An id or an entry that the registry does not take. The text says what is allowed."""


_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")  # nearly all of them, and 20 times as fast


def check_id(value: object) -> str:
    """*value* as an agent's id; InvalidAgent, saying what is allowed, when it is none."""
    if not isinstance(value, str):
        raise InvalidAgent(f"an agent's id is a string of {ID_RULE}; this is {kind_of(value)}")
    if value.startswith("register/"):
        raise InvalidAgent(f"{shown(value)} is no agent's id: /api/agents/register/… is a call; allowed: {ID_RULE}")
    if _PLAIN_ID.fullmatch(value) and ".." not in value:
        return value
    if not (0 < len(value) <= ID_LIMIT) or ".." in value or not all(map(_may_stand_in_id, value)):
        raise InvalidAgent(f"{shown(value)} is no agent's id; allowed: {ID_RULE}")
    if not _is_letter_or_digit(value[0]):
        raise InvalidAgent(f"{shown(value)} is no agent's id; allowed: {ID_RULE}")
    return value


def spelled(agent_id: str, registered: Container[str]) -> str:
    """*agent_id* as it is registered, or is to be: spellings that look the same are one id, in NFC.

    An entry that was registered in another spelling before keeps it, and answers to both.
    """
    if agent_id.isascii() or agent_id in registered:
        return agent_id
    composed, decomposed = (unicodedata.normalize(form, agent_id) for form in ("NFC", "NFD"))
    return decomposed if decomposed in registered and composed not in registered else composed


def _may_stand_in_id(char: str) -> bool:
    # Marks (M…) are parts of letters in most scripts of India and South-East Asia.
    return char in _ALSO_IN_IDS or _is_letter_or_digit(char) or unicodedata.category(char)[0] == "M"


def _is_letter_or_digit(char: str) -> bool:
    return (char.isascii() and char.isalnum()) or unicodedata.category(char) in _LETTERS_AND_DIGITS


_LETTERS_AND_DIGITS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd"})


def kind_of(value: object) -> str:
    names = {bool: "true or false", type(None): "null", list: "a list", dict: "an object", int: "a number"}
    return names.get(type(value), "a number")


def shown(value: str) -> str:
    return ascii(value if len(value) <= 40 else value[:40] + "…")
