"""Lines of fields: the level and the HTTP status that JSON, logfmt and records of requests carry.

{"time":"…","severity":"error","message":"…"}                 a level under one of many keys, also one floor down
{"level":50,…}  {"PRIORITY":"3",…}                            or as a number
t=… lvl=eror msg="…"                                          logfmt
10.0.0.1 - - […] "GET / HTTP/1.1" 503 …                       the status of a request, in the ways of many servers
{"log":"ERROR: disk on fire\\n","stream":"stderr",…}          a line inside a line
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

# -- logfmt and requests ----------------------------------------------------------------------------------------------

_LEVEL = re.compile(
    rb"(?:(?:^|[\s|,])(?:level|lvl|severity|loglevel|log_level)=[\"']?|^\{ (?:.{0,200}, )?level: ')"
    rb"(?P<word>(?i:" + words.ALL.encode() + rb"))\b"
)
_VERBS = rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE|PROPFIND)"
_STATUS = re.compile(
    rb"\"(?:" + _VERBS + rb"|WebSocket) [^\"\n]{0,8000}\" (?P<quoted>\d{3})\b"
    rb"|^ ?(?:\S{1,80} ){0,3}" + _VERBS + rb" /\S{0,2000} (?P<bare>\d{3})(?= in | - |\s+[\d.]+ ?m?s\b| \[)"
    rb"|\| +(?P<gin>\d{3}) +\|.{0,200}\| *" + _VERBS + rb" "
    rb"|\bCompleted (?P<rails>\d{3}) [A-Z][A-Za-z ]{1,40} in \d"
    rb"|\d+/-?\d+/-?\d+/-?\d+/\+?\d+ (?P<haproxy>\d{3}) \+?\d+ "
    rb"|\" status: (?P<nova>\d{3}) len: "
    rb"|\(HTTP/[\d.]+ (?P<uwsgi>\d{3})\)"
    rb"|(?:^|\s)method=\"?" + _VERBS + rb"\b.{0,2000}\sstatus=(?P<logfmt>\d{3})\b"
)


def logfmt_level(line: bytes) -> int | None:
    found = _LEVEL.search(line[:1600])
    return words.LEVELS[found["word"].lower()] if found else None


def status(line: bytes) -> int | None:
    """The HTTP status, when *line* is the record of a request."""
    access = _STATUS.search(line[:FIELDS_BYTES])
    return int(access[access.lastgroup]) if access and access.lastgroup else None


# -- JSON lines -------------------------------------------------------------------------------------------------------

# Names of the level's field, in small letters and without `_`, `.`, `@`; the more telling first.
_LEVEL_KEYS = ("levelname", "severitytext", "level", "severity", "lvl", "loglevel", "l", "priority")
_MARKS = str.maketrans("", "", "_.@-")
# Objects that hold the level when the line's own fields have none.
_HOLDERS = ("log", "meta", "labels", "@fields", "fields", "attributes", "context", "syslog", "record", "properties")
_NAMES_OF_LEVEL = ("name", "label", "text")
_LINES_INSIDE = ("log", "message", "MESSAGE", "textPayload", "line")
_LETTERS = {"E": words.ERROR, "F": words.ERROR, "W": words.WARNING, "I": words.INFO}
_STATUS_KEYS = ("status", "status_code", "statusCode", "DownstreamStatus", "response_code", "http.response.status_code")
_REQUEST_KEYS = {
    "method", "path", "url", "uri", "request", "req", "RequestMethod", "request_method", "request_uri",
    "http.request.method",
}  # fmt: skip
_CUT_LEVEL = re.compile(rb"\"(?:level|severity|levelname|lvl|log\.level)\"\s*:\s*\"?(?P<word>[A-Za-z]+|\d+)")
_IS_NUMBER = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)
MESSAGE_KEYS = ("message", "msg", "event", "short_message", "@m", "@mt", "text", "MESSAGE", "body")


class Fields(NamedTuple):
    """What a line's fields tell. *line* is the line inside, when nothing else does."""

    level: int | None = None
    status: int | None = None
    line: bytes = b""


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
        return Fields(level) if level is not None or line[:2] == b'{"' else None
    level, status_code = _level(fields), _request_status(fields)
    inside = _line_inside(fields) if level is None and status_code is None else b""
    return Fields(level, status_code, inside)


def _level(fields: dict[str, object], floors: int = 2) -> int | None:
    named = {key.translate(_MARKS).lower(): key for key in fields if len(key) <= 16}
    for plain in _LEVEL_KEYS:
        key = named.get(plain)
        level = None if key in (None, "l", "L") else _value(key, fields[key])
        if level is not None:
            return level
    if "t" in fields and fields.get("s") in ("E", "F", "W", "I", "D1", "D2", "D3", "D4", "D5"):
        return _LETTERS.get(str(fields["s"]), words.DEBUG)  # MongoDB
    for key in _HOLDERS if floors else ():
        nested = fields.get(key)
        level = _level(nested, floors - 1) if isinstance(nested, dict) else None
        if level is not None:
            return level
    return None


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


def _request_status(fields: dict[str, object]) -> int | None:
    if not _REQUEST_KEYS.intersection(fields):
        return None
    answer = fields.get("res") or fields.get("response")
    places = [fields, answer] if isinstance(answer, dict) else [fields]
    for place in places:
        for key in _STATUS_KEYS:
            text = str(place.get(key, ""))
            if len(text) == 3 and text.isascii() and text.isdigit():
                return int(text)
    return None


def _line_inside(fields: dict[str, object]) -> bytes:
    texts = (fields[key] for key in _LINES_INSIDE if key in fields)
    text = next((text for text in texts if isinstance(text, str)), "")
    return text.strip("\n").encode("utf-8", "replace")
