"""All that one sender has to remember, in one file that is replaced whole: alerts, outbox, what was counted.

That a message is to be sent and that the alert was told stand in the same replacement: a crash loses neither and
repeats neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daemons import clock
from daemons.alerts.model import Alert, Held, mapping, optional_text, whole
from daemons.alerts.seen import Seen, read_seen
from daemons.mailbox import Position

SCHEMA = 1


@dataclass(slots=True)
class Section:
    """The part of a body that one alert has: its evidence, as far as *held* goes.

    *gist* says in one line what it is about, *top* of what kinds it is; both are a stranger's text.
    """

    title: str
    count: int
    first: str
    last: str
    held: Held
    gist: str | None = None
    top: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {
            "title": self.title,
            "count": self.count,
            "first": self.first,
            "last": self.last,
            "held": self.held.to_json(),
            "gist": self.gist,
            "top": self.top,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Section:
        words = {name: str(fields[name]) for name in ("title", "first", "last")}
        top = [str(line) for line in _items(fields.get("top", []))]
        gist = optional_text(fields.get("gist"))
        return cls(
            count=whole(fields["count"]), held=Held.from_json(mapping(fields["held"])), gist=gist, top=top, **words
        )


@dataclass(slots=True)
class Outgoing:
    """A message that is to be sent once, its body and its journal entries. Without *line*: journal entries alone.

    *since* and *journal_since* are where mailbox and journal ended before the first try: what stands behind them may
    be this very message, sent by a process that was killed before it could say so.
    """

    id: str
    at: datetime
    line: str | None
    title: str
    body_kind: str | None
    sections: list[Section]
    events: dict[str, dict[str, Any]]
    since: Position | None
    journal_since: int

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "at": clock.stamp(self.at),
            "line": self.line,
            "title": self.title,
            "body_kind": self.body_kind,
            "sections": [section.to_json() for section in self.sections],
            "events": self.events,
            "since": self.since and self.since.to_json(),
            "journal_since": self.journal_since,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Outgoing:
        since = fields["since"]
        return cls(
            id=str(fields["id"]),
            at=clock.parse_stamp(str(fields["at"])),
            line=optional_text(fields["line"]),
            title=str(fields["title"]),
            body_kind=optional_text(fields["body_kind"]),
            sections=[Section.from_json(mapping(section)) for section in _items(fields["sections"])],
            events={name: mapping(evidence) for name, evidence in mapping(fields["events"]).items()},
            since=None if since is None else Position.from_json(since),
            journal_since=whole(fields["journal_since"]),
        )


@dataclass(slots=True)
class SenderState:
    """What one sender remembers. *sent* are the times of its last messages, for the storm cap."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    outbox: list[Outgoing] = field(default_factory=list)
    sent: list[datetime] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)

    def held_names(self) -> set[str]:
        """The files of evidence that something still needs."""
        waiting = [section.held for outgoing in self.outbox for section in outgoing.sections]
        return {held.name for held in (*(alert.held for alert in self.alerts.values()), *waiting) if held.name}

    def to_bytes(self) -> bytes:
        fields = {
            "schema": SCHEMA,
            "alerts": {key: alert.to_json() for key, alert in self.alerts.items()},
            "outbox": [outgoing.to_json() for outgoing in self.outbox],
            "sent": [clock.stamp(moment) for moment in self.sent],
            "seen": self.seen.to_json(),
        }
        # One level of indentation is for people; more would double the size.
        rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
        return f"{{\n{rows}\n}}\n".encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> SenderState:
        """ValueError, with the reason, when *raw* is not what `to_bytes` gives."""
        try:
            fields = mapping(json.loads(raw))
            if fields["schema"] != SCHEMA:
                raise ValueError(f"its schema is {fields['schema']!r}, this program knows {SCHEMA}")
            return cls(
                alerts={key: Alert.from_json(mapping(alert)) for key, alert in mapping(fields["alerts"]).items()},
                outbox=[Outgoing.from_json(mapping(outgoing)) for outgoing in _items(fields["outbox"])],
                sent=[clock.parse_stamp(str(moment)) for moment in _items(fields["sent"])],
                seen=read_seen(fields["seen"]),
            )
        except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as wrong:
            raise ValueError(f"it is not what was written: {wrong!r}") from None

    def settle_clock(self, now: datetime) -> bool:
        """Bring times that lie in the future to *now*: a clock that was set back must not silence an alert for long.

        A cooldown then ends at most one cooldown later than it would have. True when something was changed.
        """
        ahead = [alert for alert in self.alerts.values() if alert.told_at is not None and alert.told_at > now]
        for alert in ahead:
            alert.told_at = now
        late = [moment for moment in self.sent if moment > now]
        self.sent = [min(moment, now) for moment in self.sent]
        return bool(ahead or late)


def _items(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    raise TypeError(f"{type(value).__name__} where a list should be")
