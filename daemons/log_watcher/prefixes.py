"""What a container's runtime, docker compose or syslog writes in front of each line of a program.

    web-1  | Traceback (most recent call last):
    2026-01-31T10:00:00.123456789Z stderr F Traceback (most recent call last):
    #12 3.456 Traceback (most recent call last):
    Jan 31 10:00:00 web-1 app[4711]: Traceback (most recent call last):

A trace's lines have it all, so each is looked at without it; lines of other programs have another one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from daemons.log_watcher import structured, traces
from daemons.log_watcher.words import LEVELS

_PREFIX = re.compile(
    rb"(?:\x1b\[[\d;]+m)?(?:\d\d:\d\d:\d\d )?(?P<service>(?:\d{1,3}\|)?[A-Za-z][\w.@-]{0,80}) +\|(?:\x1b\[0m)? "
    rb"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?: )?"
    rb"|(?P<step>#\d{1,3}) \d{1,5}\.\d{1,3} (?! )|(?P<timed>(?:\d{4}-\d\d-\d\dT\S{8,30}"
    rb"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)) "
    rb"(?:(?P<stream>std(?:out|err)) [FP] |(?P<tag>(?:\S{1,80} )?[\w./-]{1,60}\[[\w.-]{1,20}\]): )"
)


# These are one only in front of a piece of a trace: the same may be the head of a record.
_PERHAPS = re.compile(
    rb"(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z)(?: |$)"
    rb"|\[(?P<number>\d{1,2}|(?:pod/)?(?![0-9a-f]{8}-)[a-z][\w./-]{0,80})\] "
)
_DOCKER = b'{"log":"'


class Prefix(NamedTuple):
    """Whose line it is. *is_timed*: each line has its own time, so a line that looks like nothing is a record."""

    who: bytes
    is_timed: bool


STAMP = Prefix(b"", True)


def split(line: bytes) -> tuple[Prefix | None, bytes]:
    """The prefix of *line*, and the line without it. None: it has none."""
    if line.startswith(_DOCKER):
        return _out_of_json(line)
    found = _PREFIX.match(line)
    if found is None:
        return _split_piece(line)
    who = found["service"] or found["step"] or found["tag"] or found["stream"]
    return Prefix(who, found["timed"] is not None), line[found.end() :]


def _split_piece(line: bytes) -> tuple[Prefix | None, bytes]:
    found = _PERHAPS.match(line) if line[:1] in (b"2", b"[") else None
    if found is None:
        return None, line
    rest = line[found.end() :]
    if traces.shape(rest) in ("plain", "note") and not traces.is_npm(rest):
        return None, line
    if found["stamp"]:
        return STAMP, line[found.end() :]
    return (None, line) if found["number"].lower() in LEVELS else (Prefix(found["number"], False), line[found.end() :])


def split_as(line: bytes, prefix: Prefix) -> tuple[Prefix | None, bytes]:
    """Like `split`, for a line that may follow one with this *prefix*: then it need not look like anything."""
    found = _PERHAPS.match(line)
    if found is not None and (found["number"] or b"") == prefix.who:
        return prefix, line[found.end() :]
    return split(line)


def may_have_one(line: bytes) -> bool:
    """Whether what *line* begins with may turn out to be a prefix."""
    return _PERHAPS.match(line) is not None


def late(first: bytes, second: bytes) -> Prefix | None:
    """The prefix that *first*, a record, shares with *second*, a piece of a trace that follows it."""
    prefix = _split_piece(second)[0]
    found = _PERHAPS.match(first) if prefix is not None else None
    return prefix if found is not None and prefix is not None and (found["number"] or b"") == prefix.who else None


def _out_of_json(line: bytes) -> tuple[Prefix | None, bytes]:
    """What docker writes to its files: `{"log":"Traceback …\\n","stream":"stderr","time":"…"}`."""
    fields = structured.parsed(line)
    if fields is None or not isinstance(fields.get("log"), str) or "stream" not in fields:
        return None, line
    who = f"docker {fields['stream']}".encode("utf-8", "replace")
    return Prefix(who, True), str(fields["log"]).rstrip("\r\n").encode("utf-8", "replace")
