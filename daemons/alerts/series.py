"""Occurrences as columns: a storm hands in thousands at once; an object for each would cost more than counting them.

A series is what happened in one source, in its order; a part of it is what belongs to one alert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from daemons.alerts.model import Occurrence

Around = tuple[str, str]
NOTHING: Around = ("", "")


class Series(NamedTuple):
    """What happened in *source*, counted as so many `Occurrence`s with these *positions*, *keys* and *variants* are.

    *evidence* tells the text of one, and *around* has the lines around some, by their number; a text is asked for only
    where it will be shown. *counts* is given where one counts as more.
    """

    kind: str
    subject: str
    source: str | None
    positions: Sequence[int | None]
    keys: Sequence[str]
    variants: Sequence[str | None]
    evidence: Callable[[int], str]
    around: Mapping[int, Around]
    counts: Sequence[int] | None = None

    def parts(self, numbers: Sequence[int]) -> dict[str, Part]:
        """Those of *numbers*, which ascend, by the key of their alert."""
        if len(numbers) == len(self.keys) and len(set(self.keys)) == 1:
            return {self.keys[0]: Part(self, numbers)}
        found: dict[str, list[int]] = {}
        for number in numbers:
            found.setdefault(self.keys[number], []).append(number)
        return {key: Part(self, alike) for key, alike in found.items()}


class Part(NamedTuple):
    """Those of *series* with these *numbers*: all are of one alert."""

    series: Series
    numbers: Sequence[int]

    @property
    def occurred(self) -> int:
        """How often it happened."""
        counts = self.series.counts
        return len(self.numbers) if counts is None else sum(counts[number] for number in self.numbers)

    @property
    def latest(self) -> tuple[str, int] | None:
        """Source and position of the last one, where it has both."""
        source, position = self.series.source, self.series.positions[self.numbers[-1]]
        return None if source is None or position is None else (source, position)

    def variants(self) -> dict[str | None, int]:
        """How often each variant came, in the order of the first of each."""
        series = self.series
        variants = series.variants
        if len(self.numbers) < len(variants):
            variants = [variants[number] for number in self.numbers]
        if series.counts is None:
            return Counter(variants)
        found: dict[str | None, int] = {}
        for number, variant in zip(self.numbers, variants, strict=True):
            found[variant] = found.get(variant, 0) + series.counts[number]
        return found

    def texts_of(self, variant: str | None) -> Iterator[str]:
        """The texts of those of that *variant*."""
        variants = self.series.variants
        return (self.series.evidence(number) for number in self.numbers if variants[number] == variant)


def series_of(handed_in: Iterable[Occurrence | Series]) -> list[Series]:
    """*handed_in* as series, in its order."""
    found: list[Series] = []
    for what, group in groupby(handed_in, key=_what):
        if what is None:
            found += (one for one in group if isinstance(one, Series) and one.keys)
        else:
            found.append(_together([one for one in group if isinstance(one, Occurrence)]))
    return found


def _what(one: Occurrence | Series) -> tuple[str, str, str | None] | None:
    return None if isinstance(one, Series) else (one.kind, one.subject, one.source)


def _together(alike: Sequence[Occurrence]) -> Series:
    """*alike*, which are of one kind, subject and source."""
    return Series(
        alike[0].kind,
        alike[0].subject,
        alike[0].source,
        [one.position for one in alike],
        [one.key for one in alike],
        [one.variant for one in alike],
        lambda number: alike[number].evidence,
        {number: one.around for number, one in enumerate(alike)},
        [one.count for one in alike],
    )
