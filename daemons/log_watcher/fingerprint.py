"""Which errors are the same error: a short name that stays when numbers, ids, paths and times change.

From the most to the least telling: the exception's type and its innermost calls; the exception's type and its masked
message; the masked message. Masking is one pass over the words (a test measures it on templates of eleven systems,
with values made up: group accuracy 0.97, 0.7 % of the lines in groups that mix kinds; a clustering of such lines mixes
more, and renames its groups as it learns). A name is computed from the event alone, so it is the same after a restart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

from daemons.log_watcher import levels, structured, traces

# Part of every fingerprint: a better algorithm gets a new number, and groups made by an old one keep their names.
VERSION = b"2"
INNERMOST = 5
MESSAGE_BYTES = 600

_WILD = b"<*>"
_NUMBER = re.compile(rb"\d+")
_DIGIT = re.compile(rb"\d")
_PATHLIKE = re.compile(rb"[\w.~-]*/[\w./~%+-]+|\S+@\S+|[\w-]+(?:\.[\w-]+){2,}|0x[0-9a-fA-F]+|\\\\?\w+\\")
_KEY_VALUE = re.compile(rb"(?P<key>[A-Za-z_][\w.-]*)(?P<sign>=|:=)(?P<value>.*)")
_QUOTED = re.compile(rb"'[^'\n]{1,200}'|\"(?![A-Z]{3,8} /)[^\"\n]{1,200}\"")
_FILE = re.compile(
    rb"[\w-]+\.(?:exe|dll|so|log|txt|conf|cfg|ini|json|ya?ml|xml|csv|tmp|pid|sock|gz|zip|sql|png|jpe?g|pdf)$"
)
# What is called a user is one: `invalid user oracle from …`, `opened for user cyrus`, `password for root from …`.
_NO_USER = {b"unknown", b"is", b"was", b"not", b"has", b"does", b"request", b"input", b"defined", b"interface", b"and"}
_REQUEST = re.compile(rb"\b([A-Z]{3,8}) (/[^\s?\"]*)")
_STACK_KEYS = ("exc_info", "exception", "stack", "stack_trace", "stacktrace", "error.stack_trace", "traceback")
_EDGES = b"()[]{}<>,;:\"'."


def of(telling: bytes, lines: Sequence[bytes], status: int | None = None) -> str:
    """The fingerprint of the event that consists of *lines*, found by its line *telling*.

    *status* is given when it is an access record.
    """
    # Numbers never count, so lines that differ in nothing else share one look: storms are made of those.
    telling = _NUMBER.sub(b"0", telling)
    named = _trace(lines) if len(lines) > 1 and not status else None
    return _hash(named) if named else _of_line(telling, status)


@lru_cache(maxsize=4096)
def _of_line(telling: bytes, status: int | None) -> str:
    telling = levels.ANSI.sub(b"", telling)
    return _hash(_access(telling, status) if status else _message(telling))


def _hash(named: bytes) -> str:
    return hashlib.blake2b(VERSION + b"\0" + named, digest_size=6).hexdigest()


def _access(line: bytes, status: int) -> bytes:
    request = _REQUEST.search(line)
    if not request:
        return b"access\0%d\0" % status + _message(line)
    path = b"/".join(_WILD if _DIGIT.search(part) else part for part in request[2].split(b"/"))
    return b"access\0%d\0" % status + request[1] + b" " + path


def _trace(lines: Sequence[bytes]) -> bytes | None:
    """The exception's type with its innermost calls. Of Python's chains the last one counts, of others the first."""
    calls = [called for called in map(traces.call, lines) if called]
    named = [line for line in lines if traces.exception_type(line)]
    if not calls:
        return b"exception\0" + masked(named[-1]) if named and len(lines) > 1 else None
    python = any(b'File "' in line for line in lines)
    line = (named[-1] if python else named[0]) if named else lines[0]
    kind = traces.exception_type(line) or masked(line)
    innermost = calls[-INNERMOST:] if python else calls[:INNERMOST]
    return b"trace\0" + kind + b"\0" + b"\n".join(innermost)


def _message(line: bytes) -> bytes:
    fields = structured.parsed(line)
    if fields is None:
        return masked(line)
    stack = next((str(fields[key]) for key in _STACK_KEYS if "\n" in str(fields.get(key) or "")), "")
    said = next((str(fields[key]) for key in structured.MESSAGE_KEYS if fields.get(key)), "")
    who = str(fields.get("logger") or fields.get("name") or "")
    traced = _trace(_bytes(stack).split(b"\n")) if stack else None
    if traced or not said:
        return traced or masked(line)
    return _bytes(who) + b"\0" + masked(_bytes(said))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def masked(message: bytes) -> bytes:
    """*message* with what changes from one time to the next as `<*>`: words with a digit, paths, addresses, values."""
    words: list[bytes] = []
    split = _QUOTED.sub(_WILD, message[:MESSAGE_BYTES]).split()
    for place, word in enumerate(split):
        word = _WILD if _is_user(split, place) else _masked_word(word)
        if not (word == _WILD and words and words[-1] == _WILD):
            words.append(word)
    return b" ".join(words)


def _is_user(words: Sequence[bytes], place: int) -> bool:
    before = words[place - 1] if place else b""
    if before == b"user":
        return words[place] not in _NO_USER
    return before == b"for" and words[place + 1 : place + 2] == [b"from"]


def _masked_word(word: bytes) -> bytes:
    pair = _KEY_VALUE.match(word.strip(_EDGES))
    if pair and pair["value"]:
        return pair["key"] + b"=" + _WILD
    if _DIGIT.search(word) or _PATHLIKE.search(word) or _FILE.match(word.strip(_EDGES)):
        return _WILD
    return word
