"""What the builder did and does, on disk for everybody: `.cmux/frontend-build.json`, written by the builder alone.

A record without an outcome whose builder no longer holds the lock is a builder that was killed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from daemons import files
from daemons.settings import Settings

Purpose = Literal["heal", "rebuild", "recover", "keep"]
Outcome = Literal["published", "restored", "kept", "not_needed", "recovered", "failed", "cancelled"]

EXIT_CODES: dict[Outcome, int] = {"failed": 1, "cancelled": 4}
EXIT_CODES |= dict.fromkeys(("published", "restored", "kept", "not_needed", "recovered"), 0)
EXIT_BUSY = 3  # another builder is at work; nothing was written


@dataclass(slots=True)
class Record:
    """One attempt. *reason* is one line, *output* the end of what npm said, safe to show. *seconds* a step took."""

    attempt: str
    purpose: Purpose
    pid: int
    started_at: str
    step: str = "begun"
    ended_at: str | None = None
    outcome: Outcome | None = None
    reason: str = ""
    output: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    good_lock: str | None = None
    """SHA-256 of package-lock.json at the last build that was published."""


def path(conf: Settings) -> Path:
    return conf.state / "frontend-build.json"


def lock_path(conf: Settings) -> Path:
    """Held by whoever builds: one builder a home."""
    return conf.run_dir / "frontend-build.lock"


def write(conf: Settings, record: Record) -> None:
    files.replace(path(conf), json.dumps(asdict(record), indent=1).encode() + b"\n")


def read(conf: Settings) -> Record | None:
    """The last attempt, or None: there was none, or its record cannot be read (then nothing hangs on it)."""
    try:
        raw = files.read(path(conf))
        return Record(**json.loads(raw)) if raw else None
    except (OSError, ValueError, TypeError):
        return None
