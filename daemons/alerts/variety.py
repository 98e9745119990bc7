"""The kinds of error that one alert stands for, when it stands for very many: a storm.

Of each kind the count and the one line that says most are remembered, of the first hundreds; the record holds all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS_KEPT = 400
TOP = 10
GIST_LIMIT = 120


@dataclass(slots=True)
class Variety:
    """Kinds by name: how often each came, and what it looks like. *beyond* is how often others came."""

    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)
    beyond: int = 0

    def add(self, kind: str, count: int, gist: str) -> None:
        """*kind* came *count* times; *gist* is safe to show."""
        if kind in self.kinds:
            self.kinds[kind] = (self.kinds[kind][0] + count, self.kinds[kind][1])
        elif len(self.kinds) < KINDS_KEPT:
            self.kinds[kind] = (count, gist[:GIST_LIMIT])
        else:
            self.beyond += count

    def lacks(self, kind: str) -> bool:
        """Whether *kind* would be remembered as a new one, with its gist."""
        return kind not in self.kinds and len(self.kinds) < KINDS_KEPT

    @property
    def told(self) -> str | None:
        """How many kinds there are, in words; None when they are not counted."""
        if not self.kinds:
            return None
        return f"a storm of {'more than ' if self.beyond else ''}{len(self.kinds)} kinds"

    def top(self) -> list[str]:
        """The kinds that came most often, a line each, and how often all others came."""
        ordered = sorted(self.kinds.values(), key=lambda kind: -kind[0])
        others = sum(count for count, _ in ordered[TOP:]) + self.beyond
        lines = [f"{count:7} × {gist}" for count, gist in ordered[:TOP]]
        return [*lines, f"{others:7} × others"] if others else lines

    def to_json(self) -> dict[str, object]:
        return {"kinds": self.kinds, "beyond": self.beyond}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Variety:
        kinds, beyond = fields["kinds"], fields["beyond"]
        if not isinstance(kinds, dict) or not isinstance(beyond, int):
            raise TypeError(f"{fields!r} are no kinds of error")
        return cls({name: (int(count), str(gist)) for name, (count, gist) in kinds.items()}, beyond)
