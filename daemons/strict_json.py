"""JSON as everybody reads it alike: the one loader for what strangers send and for the registry.

Python's own takes NaN, lets the last of two equal keys win in silence, dies of `[` × 1,000 and accepts half of a
surrogate pair that nothing can write afterwards. What passes here can be written back, and `jq` agrees on it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

DEPTH_LIMIT = 16
INTEGER_DIGITS_LIMIT = 40

_BOM = b"\xef\xbb\xbf"


class BadJson(ValueError):
    """The bytes are not the JSON that we take. The text says in one line what is wrong and where."""


def loads(data: bytes) -> Any:
    """The value that *data* (UTF-8, a BOM is overlooked) holds. BadJson also for two equal keys in one object."""
    return _checked(data, _STRICT)


def loads_keeping_last(data: bytes) -> tuple[Any, tuple[str, ...]]:
    """Like `loads`, but of two equal keys the last one counts: the value, and the keys that stood there twice."""
    twice: list[str] = []

    def keep_last(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.extend(_repeated(pairs))
        return found

    value = _checked(data, _decoder(keep_last))
    return value, tuple(twice)


def dumps(value: object) -> bytes:
    """*value* on one line of UTF-8, for people too: letters as letters, but nothing that steers a terminal.

    BadJson when it holds what JSON has no notation for, or half a surrogate pair, or is nested too deep.
    """
    try:
        text = _encode(value)
        if not (text.isascii() and "\x7f" not in text) and _STEERING.search(text):
            text = _STEERING.sub(_escape, text)
        raw = text.encode()
    except (ValueError, TypeError, RecursionError) as cause:
        raise BadJson(_reason(cause)) from None
    if _may_be_deep(text):
        _check_depth(value)
    return raw


# -- loading ----------------------------------------------------------------------------------------------------------


def _checked(data: bytes, decoder: json.JSONDecoder) -> Any:
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as cause:
        raise BadJson(f"not UTF-8 at byte {cause.start}") from None
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as cause:
        raise BadJson(f"not JSON: {cause.msg} at line {cause.lineno}, column {cause.colno}") from None
    except RecursionError:
        raise BadJson(f"nested deeper than {DEPTH_LIMIT} levels") from None
    if _may_be_deep(text):
        _check_depth(value)
    if "\\u" in text:  # the only way to half a surrogate pair
        dumps(value)
    return value


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadJson(f"the key {_repeated(pairs)[0]!r} stands there twice")
    return found


def _repeated(pairs: list[tuple[str, Any]]) -> list[str]:
    seen: set[str] = set()
    return [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a number in JSON; use null or a string")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadJson(f"the number {digits[:20]} is too large")
    return number


def _short_integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_LIMIT:
        raise BadJson(f"an integer of {len(digits)} digits; at most {INTEGER_DIGITS_LIMIT}")
    return int(digits)


def _decoder(on_pairs: Callable[[list[tuple[str, Any]]], object]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=on_pairs,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_short_integer,
    )


_STRICT = _decoder(_refuse_duplicates)


# -- writing ----------------------------------------------------------------------------------------------------------


def _made_once() -> Callable[[object], str]:
    """`JSONEncoder.encode` without what it does anew for every call, which costs more than encoding an agent."""
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
    make: Callable[..., Any] | None = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without it
        return plain.encode
    # The first None: what contains itself is not looked for, it ends as what is nested too deep.
    pieces = make(None, plain.default, json.encoder.encode_basestring, None, ": ", ", ", False, False, False)
    return lambda value: "".join(pieces(value, 0))


_encode = _made_once()

# C0 is escaped by JSON already; these are not: DEL and C1, zero-width, bidirectional, line separators, tags.
_STEERING = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]


def _reason(cause: Exception) -> str:
    if isinstance(cause, UnicodeEncodeError):
        return "half of a surrogate pair, which no file can hold"
    if isinstance(cause, RecursionError):
        return f"nested deeper than {DEPTH_LIMIT} levels"
    return str(cause)


# -- depth ------------------------------------------------------------------------------------------------------------


def _may_be_deep(text: str) -> bool:
    """Cheap and never wrong with False: what opens fewer brackets than the limit cannot be deeper."""
    return text.count("[") + text.count("{") > DEPTH_LIMIT


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    if any(isinstance(inner, (dict, list, tuple)) for inner in level):
        raise BadJson(f"nested deeper than {DEPTH_LIMIT} levels")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []
