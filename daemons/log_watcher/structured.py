"""JSON lines: the level, the HTTP status or the line that they carry.

{"time":"…","severity":"error","message":"…"}                 a level under one of many keys, also one floor down
{"level":50,…}  {"PRIORITY":"3",…}                            or as a number
{"level":"audit","message":"ERROR …"}                         a level that is none of ours says that it is no error
{"error":"disk on fire","order":17}                           without a level: a field for an error that is not empty
{"log":"ERROR: disk on fire\\n","stream":"stderr",…}          and else what its message would be as a line
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from daemons.log_watcher import words

# Only so much of a line is looked at for a field.
FIELDS_BYTES = 9600
# A line above this is judged by a look at its keys instead of being parsed whole.
JSON_BYTES = 256 << 10

# Names of fields are compared in small letters and without `_`, `.`, `@`, `-`. Of levels, the more telling first.
_LEVEL_KEYS = ("levelname", "severitytext", "level", "severity", "lvl", "loglevel", "errorseverity", "l", "priority")
_SURELY_LEVEL = {"levelname", "severitytext", "level", "severity", "lvl", "loglevel", "errorseverity"}
_MARKS = str.maketrans("", "", "_.@-")
_KEY_LETTERS = 24
# Objects that hold the level when the line's own fields have none.
_HOLDERS = ("log", "meta", "labels", "@fields", "fields", "attributes", "context", "syslog", "record", "properties")
_NAMES_OF_LEVEL = ("name", "label", "text")
_LETTERS = {"E": words.ERROR, "F": words.ERROR, "W": words.WARNING, "I": words.INFO}
_STATUS_KEYS = (
    "status", "statuscode", "downstreamstatus", "responsecode", "httpresponsestatuscode", "httpstatus",
    "httpstatuscode", "responsestatus", "scstatus", "elbstatuscode",
)  # fmt: skip
_REQUEST_KEYS = {
    "method", "path", "url", "uri", "request", "req", "requestmethod", "requesturi", "requesturl", "requestpath",
    "httprequestmethod", "httpmethod", "httpurl", "urlpath", "route", "endpoint", "csmethod",
}  # fmt: skip
_REQUEST_HOLDERS = ("res", "response", "httpRequest", "http")
_ERROR_KEYS = ("error", "err", "exception", "errormessage", "errortype")
_IS_NO_ERROR = re.compile(r"(?:none|null|nil|<nil>|false|no|ok|success|-|n/a|[\d.+-]*)", re.IGNORECASE)
_CUT_LEVEL = re.compile(rb"\"(?:level|severity|levelname|lvl|log\.level)\"\s*:\s*\"?(?P<word>[A-Za-z]+|\d+)")
_IS_NUMBER = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)
MESSAGE_KEYS = ("message", "msg", "event", "short_message", "@m", "@mt", "text", "MESSAGE", "body")
_LINES_INSIDE = ("log", "textPayload", "line", *MESSAGE_KEYS)


class Fields(NamedTuple):
    """What a line's fields tell. *line* is the line inside, when nothing else does; None: the rest was cut off."""

    level: int | None = None
    status: int | None = None
    line: bytes | None = b""


def parsed(line: bytes) -> dict[str, object] | None:
    """The JSON object that *line* is, or None: too large, not JSON, nested without end, not an object."""
    if len(line) > JSON_BYTES or line[:1] != b"{":
        return None
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_json(line: bytes) -> Fields | None:
    """What the JSON object *line* tells; None when it is none, and doesn't look as if it had been one before a cut."""
    fields = parsed(line)
    if fields is None:
        found = _CUT_LEVEL.search(line[:FIELDS_BYTES])
        level = _value("level", found["word"].decode()) if found else None
        return Fields(level, line=None) if level is not None or line[:2] == b'{"' else None
    named = _named(fields)
    level, status = _level(fields, named), _request_status(fields, named)
    if level is None and status is None:
        level = _level_of_others(fields, named)
    return Fields(level, status, _line_inside(fields) if level is None and status is None else b"")


def _named(fields: dict[str, object]) -> dict[str, str]:
    """The keys of *fields* by how they are compared."""
    return {key.translate(_MARKS).lower(): key for key in fields if len(key) <= _KEY_LETTERS}


def _level(fields: dict[str, object], named: dict[str, str], floors: int = 2) -> int | None:
    for plain in _LEVEL_KEYS:
        key = named.get(plain)
        level = None if key in (None, "l", "L") else _value(key, fields[key])
        if level is not None:
            return level
    if "t" in fields and fields.get("s") in ("E", "F", "W", "I", "D1", "D2", "D3", "D4", "D5"):
        return _LETTERS.get(str(fields["s"]), words.DEBUG)  # MongoDB
    for holder in _HOLDERS if floors else ():
        nested = fields.get(holder)
        level = _level(nested, _named(nested), floors - 1) if isinstance(nested, dict) else None
        if level is not None:
            return level
    return _unusual_level(fields, named)


def _unusual_level(fields: dict[str, object], named: dict[str, str]) -> int | None:
    """OpenTelemetry's numbers, Serilog's way to say nothing, and levels of the writer's own making."""
    number = fields.get(named.get("severitynumber", ""))
    if isinstance(number, int) and number > 0:
        return words.ERROR if number >= 17 else words.WARNING if number >= 13 else words.INFO
    if "@t" in fields and "@l" not in fields and ("@m" in fields or "@mt" in fields):
        return words.INFO
    is_said = any(isinstance(fields[named[key]], str) and fields[named[key]] for key in _SURELY_LEVEL & named.keys())
    return words.INFO if is_said else None


def _value(key: str, value: object) -> int | None:
    if isinstance(value, dict):
        return next((words.level_of(str(value[name])) for name in _NAMES_OF_LEVEL if name in value), None)
    text = str(value).strip()
    if not _IS_NUMBER.fullmatch(text):
        return words.INFO if text in ("DEFAULT", "default") else words.level_of(text)
    number = int(text)
    if key == "PRIORITY" and number <= 7:
        return words.level_of_severity(number)
    return _number(number) if key.lower().endswith(("level", "severity")) else None


def _number(number: int) -> int:
    if number <= 7:  # syslog's severities, as in GELF
        return words.level_of_severity(number)
    # pino and bunyan: 30 info, 40 warn, 50 error, 60 fatal.
    if number >= 50:
        return words.ERROR
    return words.WARNING if number >= 40 else words.INFO if number >= 30 else words.DEBUG


def _request_status(fields: dict[str, object], named: dict[str, str]) -> int | None:
    places = [(fields, named)]
    nested = [fields.get(key) for key in _REQUEST_HOLDERS if key in fields]
    nested += [place.get("response") for place in nested if isinstance(place, dict)]
    places += [(place, _named(place)) for place in nested if isinstance(place, dict)]
    if not any(_REQUEST_KEYS & keys.keys() for _, keys in places):
        return None
    for place, keys in places:
        for key in _STATUS_KEYS:
            text = str(place[keys[key]]) if key in keys and keys[key][-1:].islower() else ""
            if len(text) == 3 and text.isascii() and text.isdigit():
                return int(text)
    return None


def _level_of_others(fields: dict[str, object], named: dict[str, str]) -> int | None:
    """ERROR for a line without a level, one of whose fields is there for an error and tells of one."""
    values = (fields[named[key]] for key in _ERROR_KEYS if key in named)
    return words.ERROR if any(_is_error(value) for value in values) else None


def _is_error(value: object) -> bool:
    if isinstance(value, str):
        return not _IS_NO_ERROR.fullmatch(value.strip())
    return bool(value) and isinstance(value, dict)


def _line_inside(fields: dict[str, object]) -> bytes:
    texts = (fields[key] for key in _LINES_INSIDE if key in fields)
    text = next((text for text in texts if isinstance(text, str)), "")
    return text.strip("\n").encode("utf-8", "replace")
