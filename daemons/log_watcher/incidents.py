"""Which alert an error belongs to, and when that is over.

One kind of error in one log is one alert. Of very many new kinds within a minute nobody reads each: they are one alert,
a storm, which tells how many kinds there are and which come most, and whose record is kept whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice

from daemons import log, text
from daemons.alerts import Alert, Alerts, Occurrence
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
NOTHING = ("", "")


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
        names = dict.fromkeys(event.fingerprint for _, event in found)
        new = kinds.expect(names, now)
        to_show = set(islice((name for name in names if name in new), CONTEXTS))
        counted_as = {name: _counted_as(path, name, kinds.of(name)) for name in names}
        occurrences = []
        for generation, event in found:
            name = event.fingerprint
            key, variant = counted_as[name]
            around = NOTHING
            if name in to_show:
                to_show.remove(name)
                around = context.around(generation.source, event, self._patterns)
            # In the order of its fields: by their names it takes twice as long, and of these there may be millions.
            occurrences.append(
                Occurrence(
                    key,
                    KIND,
                    path,
                    text.decode(event.text),
                    1,
                    generation.id,
                    event.position,
                    around,
                    variant,
                )
            )
        self._alerts.raise_(occurrences, now)

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


def _counted_as(path: str, name: str, kind: str) -> tuple[str, str | None]:
    """The key of the alert that an error of that *name* belongs to, and the name where it stands for many."""
    return f"{KIND}:{path}:{kind}", name if kind == STORM else None


def _kind_of(key: str) -> str:
    return key.rpartition(":")[2]


def _is_quiet(alert: Alert, now: datetime) -> bool:
    pause = (alert.last - alert.first) / max(1, alert.count - 1)
    return now - alert.last >= max(QUIET, QUIET_PAUSES * pause)
