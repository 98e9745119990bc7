"""Calls that hooks could not make because the API was down: `.cmux/spool/*.json`, taken up in the order of their names.

A file holds `{"call": "register" | "unregister", "agent_id": …, …}` as the API takes it. It is removed once its change
is durable: a kill in between makes the same change again, which changes nothing. What no call can be made of is moved
to the quarantine and told in the log; nothing is guessed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from daemons import files, log, strict_json
from daemons.registry import InvalidAgent, Registry, check_id, registration, removal
from daemons.registry.drafts import Draft
from daemons.settings import Settings
from daemons.strict_json import BadJson

LIMIT_BYTES = 64 << 10
_AT_ONCE = 256


class Spool:
    """`drain` once a cycle: a look at the folder when there is nothing."""

    def __init__(self, conf: Settings, registry: Registry) -> None:
        self._folder = spool_dir(conf)
        self._quarantine = conf.quarantine_dir
        self._registry = registry

    def drain(self, now: datetime) -> int:
        """Make the calls that wait, the oldest first, in one publication. How many.

        LockBusy, StorageError: they wait on.
        """
        found = [(path, self._edit(path, now)) for path in self._waiting()]
        edits = [edit for _, edit in found if edit]
        if edits:
            self._registry.change_many(edits)
        for path, edit in found:
            if edit:
                files.discard(path)
        return len(edits)

    def _waiting(self) -> list[Path]:
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(".json") and not name.startswith(".")]
        except FileNotFoundError:
            return []
        return [self._folder / name for name in sorted(names)[:_AT_ONCE]]

    def _edit(self, path: Path, now: datetime) -> Callable[[Draft], Any] | None:
        try:
            told = strict_json.loads(files.read(path, limit_bytes=LIMIT_BYTES) or b"")
            return _edit_of(told, now)
        except (BadJson, InvalidAgent, ValueError, OSError) as wrong:
            self._put_aside(path, str(wrong))
            return None

    def _put_aside(self, path: Path, reason: str) -> None:
        aside = files.private_dir(self._quarantine) / f"spool-{path.name}"
        with suppress(OSError):
            os.replace(path, aside)
        log.error("spool.refused", file=path.name, reason=reason, kept_as=str(aside))


def spool_dir(conf: Settings) -> Path:
    """Where hooks leave their calls while the API is down."""
    return conf.state / "spool"


def _edit_of(told: object, now: datetime) -> Callable[[Draft], Any]:
    if not isinstance(told, dict):
        raise ValueError("no JSON object")
    fields = {name: value for name, value in told.items() if name not in ("call", "agent_id")}
    match told.get("call"):
        case "register":
            return registration(told.get("agent_id"), fields, now)
        case "unregister":
            return removal(check_id(told.get("agent_id")))
        case other:
            raise ValueError(f"call is {other!r}; allowed: register, unregister")
