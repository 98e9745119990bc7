"""What an alert is: a condition that someone must know of, and how much of it was told.

Two things are kept apart: what is so (`state`, `count`) and what readers of the mailbox believe (`told`, `untold`).
`due` compares them; that is the whole of raise once, count, clear once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Literal, NamedTuple

from daemons import clock
from daemons.alerts.variety import Variety

State = Literal["open", "acknowledged", "cleared"]
What = Literal["raised", "updated", "cleared", "retold"]
# What the readers of the mailbox believe; "nothing" when they never heard of it.
Told = Literal["nothing", "open", "cleared"]

LOG = "log"
_RETOLD_EVERY = timedelta(days=1)

_HELD_NAME = re.compile(r"[0-9a-f]{16}\.jsonl")
_STATES: dict[str, State] = {"open": "open", "acknowledged": "acknowledged", "cleared": "cleared"}
_TOLD: dict[str, Told] = {"nothing": "nothing", "open": "open", "cleared": "cleared"}


class Occurrence(NamedTuple):
    """Something that happened *count* times. Alike ones have one *key*; *kind* and *subject* say what, and to whom.

    Handed in again with the same *source* and *position* (of a log line: which file, and where), it counts once; the
    sender may therefore repeat what it is not sure to have handed in. *evidence* may hold any stranger's text; *around*
    are the lines that stood before and after it. Where one alert stands for many kinds, *variant* says which this is.
    """

    key: str
    kind: str
    subject: str
    evidence: str
    count: int = 1  # type: ignore[assignment]  # a tuple's own `count` is asked by nobody
    source: str | None = None
    position: int | None = None
    around: tuple[str, str] = ("", "")
    variant: str | None = None


@dataclass(slots=True)
class Held:
    """Evidence on disk that was not told yet: the first *size* bytes of *name*; *cut* occurrences found no room."""

    name: str | None = None
    size: int = 0
    kept: int = 0
    cut: int = 0

    @property
    def has_any(self) -> bool:
        return self.kept > 0 or self.cut > 0

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "size": self.size, "kept": self.kept, "cut": self.cut}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Held:
        name = optional_text(fields["name"])
        if name is not None and not _HELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no file of evidence")
        return cls(name, *(whole(fields[key]) for key in ("size", "kept", "cut")))


@dataclass(slots=True)
class Alert:
    """One condition. *count* is of this incident, *untold* of what no message told yet; times are aware."""

    sender: str
    key: str
    kind: str
    subject: str
    first: datetime
    last: datetime
    state: State = "open"
    count: int = 0
    untold: int = 0
    told: Told = "nothing"
    told_at: datetime | None = None
    headline: str | None = None
    gist: str | None = None
    reason: str | None = None
    acknowledged_by: str | None = None
    retold: int = 0
    latest: tuple[str, int] | None = None
    held: Held = field(default_factory=Held)
    variety: Variety = field(default_factory=Variety)

    @property
    def is_open(self) -> bool:
        return self.state != "cleared"

    @property
    def title(self) -> str:
        """What a list of alerts calls it. Safe to show: *gist* was masked and escaped before it was kept."""
        gist = f"{self.variety.told} of error" if self.variety.told else self.gist
        named = f"{PurePath(self.subject).name}: {gist}" if gist else f"{self.kind} {self.subject}"
        return self.headline or named

    def due(self, now: datetime, cooldown: timedelta) -> What | None:
        """What the readers of the mailbox must be told now; None: nothing, or not before the cooldown has ended."""
        is_cool = self.told_at is None or now - self.told_at >= cooldown
        if self.state == "cleared":
            if self.told == "open":
                return "cleared"
            return "updated" if self.untold and is_cool else None  # it came and went in between
        if self.told == "open":
            return "updated" if self.untold and is_cool and self.state == "open" else None
        return "raised" if is_cool else None

    def retold_at(self, first_pause: timedelta | None) -> datetime | None:
        """When readers are told that it is still so: after growing pauses, if at all. Errors of a log are never so."""
        if first_pause is None or self.told_at is None or self.kind == LOG:
            return None
        if self.state != "open" or self.told != "open":
            return None
        return self.told_at + min(first_pause * (1 << min(self.retold, 20)), max(first_pause, _RETOLD_EVERY))

    def is_over(self, now: datetime, cooldown: timedelta) -> bool:
        """Whether nothing needs to be remembered of it any more."""
        is_told = self.told == "cleared" and self.untold == 0
        return self.state == "cleared" and is_told and (self.told_at is None or now - self.told_at >= cooldown)

    def to_json(self) -> dict[str, object]:
        """For readers of the state file and of the API."""
        return {
            "key": self.key,
            "sender": self.sender,
            "kind": self.kind,
            "subject": self.subject,
            "state": self.state,
            "first": clock.stamp(self.first),
            "last": clock.stamp(self.last),
            "count": self.count,
            "untold": self.untold,
            "told": self.told,
            "told_at": None if self.told_at is None else clock.stamp(self.told_at),
            "headline": self.headline,
            "gist": self.gist,
            "title": self.title,
            "reason": self.reason,
            "acknowledged_by": self.acknowledged_by,
            "retold": self.retold,
            "latest": self.latest,
            "held": self.held.to_json(),
            "variety": self.variety.to_json(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Alert:
        """KeyError, TypeError or ValueError when *fields* is not what `to_json` gives."""
        told_at, latest = fields["told_at"], fields["latest"]
        return cls(
            **{name: str(fields[name]) for name in ("sender", "key", "kind", "subject")},
            first=clock.parse_stamp(str(fields["first"])),
            last=clock.parse_stamp(str(fields["last"])),
            state=_STATES[str(fields["state"])],
            count=whole(fields["count"]),
            untold=whole(fields["untold"]),
            told=_TOLD[str(fields["told"])],
            told_at=None if told_at is None else clock.parse_stamp(str(told_at)),
            headline=optional_text(fields["headline"]),
            gist=optional_text(fields.get("gist")),
            reason=optional_text(fields["reason"]),
            acknowledged_by=optional_text(fields["acknowledged_by"]),
            retold=whole(fields.get("retold", 0)),
            latest=(str(latest[0]), whole(latest[1])) if isinstance(latest, list) else None,
            held=Held.from_json(mapping(fields["held"])),
            variety=Variety.from_json(mapping(fields["variety"])) if "variety" in fields else Variety(),
        )


def whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is no whole number")


def optional_text(value: object) -> str | None:
    return None if value is None else str(value)


def mapping(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise TypeError(f"{type(value).__name__} where an object should be")
