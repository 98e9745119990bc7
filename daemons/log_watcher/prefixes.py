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

_PREFIX = re.compile(
    rb"(?:\x1b\[[\d;]+m)?(?:\d\d:\d\d:\d\d )?(?P<service>(?:\d{1,3}\|)?[A-Za-z][\w.@-]{0,80}) +\|(?:\x1b\[0m)? "
    rb"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?: )?"
    rb"|(?P<step>#\d{1,3}) \d{1,5}\.\d{1,3} (?! )|(?P<timed>(?:\d{4}-\d\d-\d\dT\S{8,30}"
    rb"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)) "
    rb"(?:(?P<stream>std(?:out|err)) [FP] |(?P<tag>\S{1,80} [\w./-]{1,60}\[\d+\]): )"
)


class Prefix(NamedTuple):
    """Whose line it is. *is_timed*: each line has its own time, so a line that looks like nothing is a record."""

    who: bytes
    is_timed: bool


def split(line: bytes) -> tuple[Prefix | None, bytes]:
    """The prefix of *line*, and the line without it. None: it has none."""
    found = _PREFIX.match(line)
    if found is None:
        return None, line
    who = found["service"] or found["step"] or found["tag"] or found["stream"]
    return Prefix(who, found["timed"] is not None), line[found.end() :]
