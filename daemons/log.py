"""Structured logging: one thing that happened, one JSON line on stderr.

An event is a constant name `thing.past_tense` and its fields. INFO: a state changed. WARNING: handled, but look.
ERROR: a promise is broken. Daemons never own log files: supervisord keeps and rotates what they write here.
"""

from __future__ import annotations

import json
import sys

from daemons import clock

_daemon = "cmux"


def set_daemon(name: str) -> None:
    """Name this program in every line it logs from now on."""
    global _daemon  # one program, one name: a logger object would be passed through every call for this alone
    _daemon = name


def info(event: str, **fields: object) -> None:
    """A state changed."""
    _write("INFO", event, fields)


def warning(event: str, **fields: object) -> None:
    """Something was handled, but someone should look."""
    _write("WARNING", event, fields)


def error(event: str, **fields: object) -> None:
    """A promise is broken."""
    _write("ERROR", event, fields)


def _write(level: str, event: str, fields: dict[str, object]) -> None:
    line = {"ts": clock.stamp(clock.now()), "level": level, "daemon": _daemon, "event": event, **fields}
    # ASCII only: works under a C locale, and no control character of a stranger's text reaches a terminal.
    text = json.dumps(line, default=str, ensure_ascii=True)
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # The reader is gone or its disk is full: a daemon that dies of that would watch nothing at all.
        return
