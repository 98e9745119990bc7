"""Of what nobody wants to hear for now: `.cmux/mutes.json`. The id of an agent mutes all alerts on it, a key that one.

What is muted is still seen, counted, listed and journalled; no message is sent. When a mute ends, what is so then is
told; what came and went meanwhile is not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from daemons import clock, files, log
from daemons.alerts.model import Alert
from daemons.settings import Settings


@dataclass(frozen=True, slots=True)
class Mute:
    """*what* is an alert's key, or whom or what it is about. Without *until* it lasts until it is taken back."""

    what: str
    by: str
    at: datetime
    until: datetime | None

    def to_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "by": self.by,
            "at": clock.stamp(self.at),
            "until": None if self.until is None else clock.stamp(self.until),
        }


class Mutes:
    """The file, read again only when it changed."""

    def __init__(self, conf: Settings) -> None:
        self._path = _path(conf)
        self._seen: object = self
        self._mutes: Mapping[str, Mute] = {}

    def signature(self) -> object:
        """Something that differs once somebody muted or unmuted."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def of(self, alert: Alert, now: datetime) -> Mute | None:
        """What mutes *alert* at *now*."""
        known = self._read()
        found = [mute for name in (alert.key, alert.subject) if (mute := known.get(name))]
        return next((mute for mute in found if _lasts(mute, now)), None)

    def all(self, now: datetime) -> list[Mute]:
        """Those that last at *now*."""
        return [mute for mute in self._read().values() if _lasts(mute, now)]

    def _read(self) -> Mapping[str, Mute]:
        seen = self.signature()
        if seen != self._seen:
            self._mutes, self._seen = _load(self._path), seen
        return self._mutes


def mute(conf: Settings, what: str, by: str, now: datetime, until: datetime | None = None) -> Mute:
    """From now on nothing is told of *what*. Durable on return. StorageError, LockBusy."""
    made = Mute(what, by, now, until)
    files.private_dir(conf.alerts_dir)
    with files.lock(conf.alerts_dir / "mutes.lock"):
        _keep(conf, {**_load(_path(conf)), what: made}, now)
    return made


def unmute(conf: Settings, what: str, now: datetime) -> bool:
    """Take it back. False when *what* was not muted."""
    files.private_dir(conf.alerts_dir)
    with files.lock(conf.alerts_dir / "mutes.lock"):
        known = _load(_path(conf))
        was_muted = what in known and _lasts(known[what], now)
        _keep(conf, {name: each for name, each in known.items() if name != what}, now)
    return was_muted


def _keep(conf: Settings, mutes: Mapping[str, Mute], now: datetime) -> None:
    lasting = [each.to_json() for each in mutes.values() if _lasts(each, now)]
    files.replace(_path(conf), json.dumps({"mutes": lasting}, indent=1).encode() + b"\n")


def _lasts(mute: Mute, now: datetime) -> bool:
    return mute.until is None or now < mute.until


def _load(path: Path) -> dict[str, Mute]:
    """What can't be read mutes nothing: too much is told then, not too little."""
    try:
        raw = files.read(path)
        found = [_parsed(each) for each in json.loads(raw)["mutes"]] if raw else []
    except (OSError, ValueError, TypeError, KeyError) as wrong:
        log.warning("mutes.unreadable", file=str(path), reason=str(wrong))
        return {}
    return {mute.what: mute for mute in found}


def _parsed(fields: Mapping[str, object]) -> Mute:
    until = fields["until"]
    ends = None if until is None else clock.parse_stamp(str(until))
    return Mute(str(fields["what"]), str(fields["by"]), clock.parse_stamp(str(fields["at"])), ends)


def _path(conf: Settings) -> Path:
    return conf.state / "mutes.json"
