"""Raise once, count, clear once: the alerts of one sender, exactly once in mailbox and journal over kill -9.

    evidence -> ONE replacement of the state: counted, told, outbox -> body, mailbox line, journal -> outbox emptied

Dying before the replacement, the caller has not been answered and hands the same in again; dying after it, the next
call (of whoever: the restarted daemon, an acknowledgement) finds the outbox and finishes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from daemons import clock, files, log
from daemons import mailbox as mailboxes
from daemons.alerts import words
from daemons.alerts.held import HeldFiles
from daemons.alerts.model import LOG, Alert, Occurrence
from daemons.alerts.outbox import Sender
from daemons.alerts.series import Part, Series, series_of
from daemons.alerts.state import Outgoing, SenderState
from daemons.alerts.telling import Teller
from daemons.alerts.variety import Variety
from daemons.files import LockBusy, StorageError
from daemons.journal import Journal
from daemons.mailbox import Claim, Position
from daemons.settings import Settings

T = TypeVar("T")

STATE_LIMIT_BYTES = 64 << 20
# After a message could not be sent, tries pause this long at most, so that work goes on beside a mailbox that is stuck.
RETRY_PAUSE_LIMIT_S = 5.0
_STATE_KIND = "alerts-unreadable"


class Alerts:
    """The alerts that *sender* (`system:log-watcher`) raises. Any process may call any method.

    Changes raise LockBusy or StorageError when they were not made. A message that cannot be sent (mailbox full, locked,
    no file) stays in the outbox: that is no error here, `stuck` says why, and later calls send it.
    """

    def __init__(self, conf: Settings, sender: str = "system:log-watcher") -> None:
        self.sender = sender
        self.stuck: str | None = None
        self._folder = conf.alerts_dir
        self._path = state_path(conf, sender)
        self._quarantine = conf.quarantine_dir
        self._cooldown = timedelta(seconds=conf.alert_cooldown_s)
        self._held = HeldFiles(conf.alerts_dir / "held" / self._path.stem)
        mailbox, journal = mailboxes.of(conf), Journal(conf, sender)
        self._teller = Teller(conf, sender, mailbox, journal)
        self._sender = Sender(mailbox, journal, self._held)
        self._is_tidy = False
        self._retry_at = self._retry_pause_s = 0.0
        self._idle: tuple[object, datetime, datetime] | None = None

    # -- what callers do ----------------------------------------------------------------------------------------------

    def raise_(self, occurrences: Iterable[Occurrence | Series], now: datetime, *, headline: str | None = None) -> None:
        """It happened. Durable on return: counted, and what is due told, or in the outbox.

        The first occurrence of a key is told at once, alike ones of this call in one message; later ones count, and
        are told when the cooldown ends. *headline* is the line for what is told at once; without it one is made, and
        log alerts always have their own, because only here it is known how many of them are new.
        """
        handed_in = series_of(occurrences)
        if handed_in:
            self._change(lambda state: self._count(state, handed_in, headline, now), now)

    def clear(self, keys: Iterable[str], now: datetime, *, reason: str, headline: str | None = None) -> None:
        """The condition of each of *keys* has ended: told once. Keys that are not open are passed over."""
        ended = list(keys)
        if ended:
            self._change(lambda state: self._end(state, ended, reason, headline, now), now)

    def ack(self, key: str, by: str, now: datetime) -> bool:
        """*by* knows of it: no more updates until it is cleared. False when no such alert is open."""
        return self._change(lambda state: self._acknowledge(state, key, by, now), now)

    def tick(self, now: datetime) -> None:
        """Send what could not be sent, and tell what a cooldown held back. Costs a stat when there is nothing to do."""
        if not self._is_idle(now):
            self._change(lambda state: bool(state.outbox), now)

    def open(self) -> list[Alert]:
        """The alerts that are open or acknowledged, oldest first. StorageError when that cannot be read."""
        raw = files.read(self._path, limit_bytes=STATE_LIMIT_BYTES)
        try:
            return [] if raw is None else _open(SenderState.from_bytes(raw))
        except ValueError as wrong:
            log.warning("alerts.state_unreadable", file=str(self._path), reason=str(wrong))
            return []

    # -- one change ---------------------------------------------------------------------------------------------------

    def _change(self, edit: Callable[[SenderState], T], now: datetime) -> T:
        files.private_dir(self._folder)
        with files.lock(self._folder / f"{self._path.stem}.lock"):
            state, is_new = self._load(now)
            if self._deliver(state):
                self._save(state)
            before = state.to_bytes()
            answer = edit(state)
            self._tell(state, now)
            if is_new or state.to_bytes() != before:
                self._save(state)
                files.reached("alerts.decided")
                if self._deliver(state):
                    with suppress(StorageError):  # decided and sent; emptied by the next call
                        self._save(state)
            self._remember_when_to_look_again(state, now)
            return answer

    def _tell(self, state: SenderState, now: datetime) -> None:
        """Decide what is told now. While the outbox is stuck nothing is added, so that it becomes one message later."""
        self._teller.forget_what_was_muted(state, now)
        if not any(outgoing.line for outgoing in state.outbox):
            self._teller.enqueue_due(state, now)
        self._teller.forget_what_is_over(state, now)

    def _count(self, state: SenderState, handed_in: Sequence[Series], headline: str | None, now: datetime) -> None:
        by_key: dict[str, list[Part]] = {}
        for series in handed_in:
            for key, part in series.parts(_not_counted(state, series)).items():
                by_key.setdefault(key, []).append(part)
        for key, parts in by_key.items():
            for part in parts:
                self._add(state, key, part, headline, now)
        self._hold(state, by_key, now)

    def _add(self, state: SenderState, key: str, part: Part, headline: str | None, now: datetime) -> None:
        """Count *part*, which is of one alert: what is said of each is made only where it will be shown."""
        kind, subject = part.series.kind, part.series.subject
        alert = state.alerts.setdefault(key, Alert(self.sender, key, kind, subject, now, now))
        if not alert.is_open:
            self._reopen(state, alert, now)
        alert.last, alert.kind, alert.subject = now, kind, subject
        count = part.occurred
        alert.count += count
        alert.untold += count
        _note_what_it_is(alert, part)
        alert.latest = part.latest
        is_told_now = alert.due(now, self._cooldown) is not None
        alert.headline = headline if is_told_now and kind != LOG else None

    def _reopen(self, state: SenderState, alert: Alert, now: datetime) -> None:
        alert.state, alert.first, alert.count, alert.variety = "open", now, 0, Variety()
        alert.reason = alert.acknowledged_by = None
        if alert.due(now, self._cooldown) is None:
            self._teller.note_quietly(state, "alert.reopened", {"key": alert.key}, now)

    def _hold(self, state: SenderState, by_key: Mapping[str, Sequence[Part]], now: datetime) -> None:
        has_new_files = False
        for key, parts in by_key.items():
            held = state.alerts[key].held
            had_file = held.name is not None
            self._held.add(held, parts, now)
            has_new_files |= not had_file and held.name is not None
        if has_new_files:
            self._held.sync_names()
            files.reached("alerts.held")

    def _end(self, state: SenderState, keys: Sequence[str], reason: str, headline: str | None, now: datetime) -> None:
        for key in keys:
            alert = state.alerts.get(key)
            if alert is None or not alert.is_open:
                continue
            alert.state, alert.reason, alert.headline = "cleared", reason, headline
            if alert.due(now, self._cooldown) is None:
                alert.headline = None
                self._teller.note_quietly(state, "alert.subsided", {"key": key, "why": reason}, now)

    def _acknowledge(self, state: SenderState, key: str, by: str, now: datetime) -> bool:
        alert = state.alerts.get(key)
        if alert is None or not alert.is_open:
            return False
        if (alert.state, alert.acknowledged_by) != ("acknowledged", by):
            alert.state, alert.acknowledged_by = "acknowledged", by
            self._teller.note_quietly(state, "alert.acknowledged", {"key": key, "by": by}, now)
        return True

    # -- sending ------------------------------------------------------------------------------------------------------

    def _deliver(self, state: SenderState) -> bool:
        """Send the outbox in order. True when something was sent; what cannot be sent stays for later."""
        if not state.outbox:
            self._note_whether_stuck(None)  # another process may have sent what waited here
            return False
        if clock.monotonic() < self._retry_at:
            return False
        waiting: list[Outgoing] = []
        reason = None
        for outgoing in state.outbox:
            # Behind a message that waits, others wait too; entries of the journal alone don't.
            if reason is None or outgoing.line is None:
                try:
                    self._sender.send(outgoing)
                    continue
                except (LockBusy, OSError) as cause:
                    reason = str(cause)
            waiting.append(outgoing)
        is_any_sent = len(waiting) < len(state.outbox)
        state.outbox = waiting
        self._note_whether_stuck(reason)
        return is_any_sent

    def _note_whether_stuck(self, reason: str | None) -> None:
        if reason is None:
            self._retry_at = self._retry_pause_s = 0.0
        else:
            self._retry_pause_s = min(RETRY_PAUSE_LIMIT_S, 2 * self._retry_pause_s or 0.5)
            self._retry_at = clock.monotonic() + self._retry_pause_s
        if reason is not None and self.stuck is None:
            log.warning("alerts.message_waits", sender=self.sender, reason=reason)
        self.stuck = reason

    # -- the state file -----------------------------------------------------------------------------------------------

    def _load(self, now: datetime) -> tuple[SenderState, bool]:
        """The state, and whether it differs from what is on disk."""
        if not self._is_tidy:
            files.discard_temporaries(self._path)
            self._is_tidy = True
        raw = files.read(self._path, limit_bytes=STATE_LIMIT_BYTES)
        if raw is None:
            return SenderState(), False
        try:
            state = SenderState.from_bytes(raw)
        except ValueError as wrong:
            return self._begin_anew(raw, str(wrong), now), True
        return state, state.settle_clock(now)

    def _begin_anew(self, raw: bytes, reason: str, now: datetime) -> SenderState:
        """The state is not to be read: keep it and the evidence that waits aside, say so, and go on from nothing.

        The file itself is replaced last, with the state that says so: dying before that begins anew once more.
        """
        aside = files.private_dir(self._quarantine) / f"{self._path.name}-{clock.now():%Y%m%dT%H%M%S.%f}"
        files.replace(aside, raw)
        try:
            os.rename(self._held.folder, aside.with_name(f"{aside.name}.held"))
        except FileNotFoundError:
            pass  # no evidence waits
        except OSError as cause:
            raise StorageError("put aside", self._held.folder, cause) from cause
        log.error("alerts.state_quarantined", file=str(self._path), kept_as=str(aside), reason=reason)
        told = f"{self._path} could not be read: {reason}.\nIt was kept as {aside}. Open alerts are told again."
        one = Occurrence(f"{_STATE_KIND}:{self.sender}", _STATE_KIND, f"the alerts of {self.sender} began anew", told)
        state = SenderState()
        self._count(state, series_of([one]), None, now)
        return state

    def _save(self, state: SenderState) -> None:
        files.replace(self._path, state.to_bytes())
        files.reached("alerts.saved")
        self._held.remove_all_but(state.held_names())

    def _is_idle(self, now: datetime) -> bool:
        if self._idle is None:
            return False
        signature, looked_at, until = self._idle
        return looked_at <= now < until and signature == self._signature()

    def _remember_when_to_look_again(self, state: SenderState, now: datetime) -> None:
        due = now if state.outbox else self._teller.next_due(state, now)
        self._idle = (self._signature(), now, due or now + timedelta(days=1))

    def _signature(self) -> object:
        return _signature(self._path), self._teller.changes()


def _not_counted(state: SenderState, series: Series) -> Sequence[int]:
    """The numbers of those of *series* that were not handed in before; remembers them."""
    everyone = range(len(series.keys))
    source = series.source
    if source is None or _are_new(state, source, series.positions):
        return everyone
    return [
        number
        for number, position in enumerate(series.positions)
        if position is None or not _is_counted(state, series.keys[number], source, position)
    ]


def _are_new(state: SenderState, source: str, positions: Sequence[int | None]) -> bool:
    """Whether *positions* all lie, in order, behind what was counted of *source*; then they are remembered."""
    known = [position for position in positions if position is not None]
    if len(known) < len(positions):
        return False
    latest = (alert.latest for alert in state.alerts.values() if alert.latest and alert.latest[0] == source)
    return all(known[0] > counted for _, counted in latest) and state.seen.add_all(source, known)


def _is_counted(state: SenderState, key: str, source: str, position: int) -> bool:
    """Whether what happened at that place was handed in before; remembers it."""
    known = state.alerts.get(key)
    is_latest = known is not None and known.is_open and known.latest == (source, position)
    return is_latest or not state.seen.add(source, position)


def _note_what_it_is(alert: Alert, part: Part) -> None:
    """What *alert* is called, and of what kinds it is; the slow part is done for the first of each kind only."""
    counts = part.variants()
    if counts.pop(None, 0) and alert.gist is None and part.series.kind == LOG:
        alert.gist = next(filter(None, map(words.gist_of, part.texts_of(None))), None)
    for variant in counts:
        if variant is not None and alert.variety.lacks(variant):
            alert.variety.add(variant, 0, words.gist_of(next(part.texts_of(variant))) or "")
    for variant, count in counts.items():
        if variant is not None:
            alert.variety.add(variant, count, "")


def _open(state: SenderState) -> list[Alert]:
    return sorted((alert for alert in state.alerts.values() if alert.is_open), key=lambda alert: alert.first)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def state_path(conf: Settings, sender: str) -> Path:
    return conf.alerts_dir / f"{quote(sender, safe=':')}.json"


def acknowledge(conf: Settings, key: str, by: str, now: datetime) -> bool:
    """*by* knows of the alert *key*, whoever raised it. False when no such alert is open."""
    senders = {alert.sender for alert in all_open(conf) if alert.key == key}
    done = [Alerts(conf, sender).ack(key, by, now) for sender in sorted(senders)]
    return any(done)


def claims(conf: Settings) -> Iterator[Claim]:
    """What the journal says was posted, and where: for `Mailbox.verify`."""
    known: set[object] = set()
    for entry in Journal(conf, "").entries():
        evidence = entry.get("evidence")
        if not isinstance(evidence, dict) or "line" not in evidence or evidence.get("message") in known:
            continue
        known.add(evidence.get("message"))
        with suppress(ValueError):
            yield Claim(Position.from_json(evidence.get("mailbox")), str(evidence["line"]))


def all_open(conf: Settings) -> list[Alert]:
    """The open alerts of all senders, oldest first; for readers, without a lock."""
    found: list[Alert] = []
    for path in sorted(conf.alerts_dir.glob("*.json")):
        raw = files.read(path, limit_bytes=STATE_LIMIT_BYTES)
        try:
            found += [] if raw is None else _open(SenderState.from_bytes(raw))
        except ValueError as wrong:
            log.warning("alerts.state_unreadable", file=str(path), reason=str(wrong))
    return sorted(found, key=lambda alert: alert.first)


def needed_days(conf: Settings) -> set[str]:
    """The days of the journal that something still points to: bodies of open alerts, and what waits to be sent.

    StorageError, or a ValueError that says why, when that cannot be read: then all of them are.
    """
    moments: list[datetime] = []
    for path in sorted(conf.alerts_dir.glob("*.json")):
        raw = files.read(path, limit_bytes=STATE_LIMIT_BYTES)
        state = SenderState() if raw is None else SenderState.from_bytes(raw)
        moments += [outgoing.at for outgoing in state.outbox]
        moments += [moment for alert in _open(state) for moment in (alert.first, alert.last, alert.told_at) if moment]
    return {moment.astimezone(UTC).strftime("%Y-%m-%d") for moment in moments}
