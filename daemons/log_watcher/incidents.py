"""Which alert an error belongs to, and when that is over.

One kind of error in one log is one alert. Of very many new kinds within a minute nobody reads each: they are one alert,
a storm, which tells how many kinds there are and which come most, and whose record is kept whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter

from daemons import log, text
from daemons.alerts import Alert, Alerts, Series
from daemons.log_watcher import context
from daemons.log_watcher.events import Event
from daemons.log_watcher.generation import Generation
from daemons.log_watcher.patterns import Patterns

KIND = "log"
STORM = "storm"
# A kind of error is over when it was quiet for this long, and for three times its usual pause.
QUIET = timedelta(minutes=10)
QUIET_PAUSES = 3
# More new kinds of error within a minute than that, or more that are open, are a storm.
STORM_KINDS = 30
STORM_WITHIN = timedelta(minutes=1)
OPEN_KINDS = 200
# Of what is told together, so many errors of new kinds are shown with the lines around them, one of each kind.
CONTEXTS = 20
STORMED_REMEMBERED = 10_000


class Incidents:
    """The alerts of all logs of one home."""

    def __init__(self, alerts: Alerts, patterns: Patterns) -> None:
        """StorageError when what is open can't be read."""
        self._alerts = alerts
        self._patterns = patterns
        self._kinds: dict[str, _Kinds] = {}
        for alert in alerts.open():
            if alert.kind == KIND:
                self._of(alert.subject).open.add(_kind_of(alert.key))

    def raise_(self, path: str, found: Sequence[tuple[Generation, Event]], now: datetime) -> None:
        """*found* in the log *path*. Durable on return; handed in again, it counts once, whatever it counted as."""
        kinds = self._of(path)
        names = [event.fingerprint for _, event in found]
        in_order = dict.fromkeys(names)
        new = kinds.expect(in_order, now)
        to_show = list(islice((name for name in in_order if name in new), CONTEXTS))
        around = {number: self._around(*found[number]) for number in map(names.index, to_show)}
        counted_as = {name: _counted_as(path, name, kinds.of(name)) for name in in_order}
        series = []
        first = 0
        for generation, group in groupby(found, key=itemgetter(0)):
            events = [event for _, event in group]
            part = slice(first, first + len(events))
            series.append(
                _series(
                    path,
                    generation.id,
                    events,
                    [counted_as[name] for name in names[part]],
                    {number - first: lines for number, lines in around.items() if first <= number < part.stop},
                )
            )
            first = part.stop
        self._alerts.raise_(series, now)

    def _around(self, generation: Generation, event: Event) -> tuple[str, str]:
        return context.around(generation.source, event, self._patterns)

    def end_quiet(self, now: datetime) -> None:
        """Clear what has been quiet for long enough, one message a log."""
        quiet = [alert for alert in self._alerts.open() if alert.kind == KIND and _is_quiet(alert, now)]
        quiet.sort(key=lambda alert: alert.subject)
        for path, group in groupby(quiet, key=lambda alert: alert.subject):
            keys = [alert.key for alert in group]
            log.info("log.quiet_again", path=path)
            self._alerts.clear(keys, now, reason="not seen again for a while")
            self._of(path).end(map(_kind_of, keys))

    def _of(self, path: str) -> _Kinds:
        return self._kinds.setdefault(path, _Kinds(path))


class _Kinds:
    """The kinds of error that are open in one log, and when the last new ones came."""

    def __init__(self, path: str) -> None:
        self.open: set[str] = set()
        self._stormed: set[str] = set()  # those that came in a storm, and are no alerts of their own
        self._path = path
        self._new: deque[datetime] = deque()

    def expect(self, kinds: Iterable[str], now: datetime) -> set[str]:
        """*kinds* came: those that are new, which are the answer, become open, or all of them a storm.

        In a storm a kind is new once, as far as can be remembered.
        """
        while self._new and not timedelta(0) <= now - self._new[0] < STORM_WITHIN:
            self._new.popleft()
        new = set(kinds) - self.open - self._stormed
        if not new or STORM in self.open:
            self._remember_stormed(new)
            return new
        if len(self._new) + len(new) > STORM_KINDS or len(self.open) + len(new) > OPEN_KINDS:
            log.warning("log.storm_began", path=self._path, kinds=len(self._new) + len(new))
            self.open.add(STORM)
            self._remember_stormed(new)
            return new
        self._new.extend([now] * len(new))
        self.open |= new
        return new

    def end(self, kinds: Iterable[str]) -> None:
        """*kinds* are no longer open; with a storm all that came in it is forgotten."""
        self.open.difference_update(kinds)
        if STORM not in self.open:
            self._stormed.clear()

    def _remember_stormed(self, kinds: Iterable[str]) -> None:
        if len(self._stormed) >= STORMED_REMEMBERED:
            self._stormed.clear()
        self._stormed.update(kinds)

    def of(self, kind: str) -> str:
        """What an error of that *kind* counts as."""
        return kind if kind in self.open else STORM


def _series(
    path: str,
    source: str,
    events: Sequence[Event],
    counted_as: Iterable[tuple[str, str | None]],
    around: Mapping[int, tuple[str, str]],
) -> Series:
    """*events* of one generation, counted as the alerts and variants of *counted_as*."""
    keys, variants = zip(*counted_as, strict=True)
    positions = [event.position for event in events]
    return Series(KIND, path, source, positions, keys, variants, lambda at: text.decode(events[at].text), around)


def _counted_as(path: str, name: str, kind: str) -> tuple[str, str | None]:
    """The key of the alert that an error of that *name* belongs to, and the name where it stands for many."""
    return f"{KIND}:{path}:{kind}", name if kind == STORM else None


def _kind_of(key: str) -> str:
    return key.rpartition(":")[2]


def _is_quiet(alert: Alert, now: datetime) -> bool:
    pause = (alert.last - alert.first) / max(1, alert.count - 1)
    return now - alert.last >= max(QUIET, QUIET_PAUSES * pause)
