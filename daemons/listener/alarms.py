"""What somebody must know of: one line when it begins, one when it is over, none for each look in between.

What was told is read from the alerts on disk: a listener that was killed tells nothing twice, and clears what ended
while it was dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

from daemons import files, log, text
from daemons.alerts import Alerts, Occurrence
from daemons.settings import Settings
from daemons.supervisor import PROGRAMS

SENDER = "system:supervisor-listener"
_TAIL_LINES = 20
_REFUSAL_LIMIT = 300
_TAIL_BYTES = 16384

Kind = Literal["fails-to-start", "ends-again-and-again", "hangs", "silent", "ended", "outdated", "unfit"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong with a program, or with supervisord itself. *headline* is ours, *evidence* may not be."""

    program: str
    kind: Kind
    headline: str
    evidence: str

    @property
    def key(self) -> str:
        return f"listener:{self.program}:{self.kind}"


class Alarms:
    """The open alerts of the listener."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._alerts = Alerts(conf, SENDER)
        self._untold: list[Trouble] = []

    def tell(self, trouble: Trouble, now: datetime) -> None:
        """It has happened (again): told at once the first time, counted while its alert is open.

        Never raises: what the disk does not take now is told by a later `tick`.
        """
        try:
            self._raise(trouble, now)
        except (files.StorageError, files.LockBusy) as full:
            log.error("alert.not_raised", key=trouble.key, reason=str(full))
            self._untold.append(trouble)

    def _raise(self, trouble: Trouble, now: datetime) -> None:
        evidence = f"{trouble.evidence}\n\n{self._last_lines(trouble.program)}"
        occurrence = Occurrence(key=trouble.key, kind=trouble.kind, subject=trouble.program, evidence=evidence)
        headline = text.safe(f"[ALERT] {trouble.headline}", one_line=True)
        self._alerts.raise_([occurrence], now, headline=headline)

    def open(self) -> list[tuple[str, Kind]]:
        """What is told and not over: program and kind."""
        keys = [alert.key.split(":") for alert in self._alerts.open()]
        return [(program, cast("Kind", kind)) for _, program, kind in keys]

    def clear(self, program: str, kind: Kind, now: datetime, *, reason: str) -> None:
        """It is over. Nothing when it was never told."""
        if (program, kind) in self.open():
            self._alerts.clear([f"listener:{program}:{kind}"], now, reason=reason)

    def tick(self, now: datetime) -> None:
        """Deliver what could not be delivered, and end cooldowns."""
        untold, self._untold = self._untold, []
        for trouble in untold:
            self.tell(trouble, now)
        self._alerts.tick(now)

    def refusal(self, program: str) -> str:
        """Why one of our own programs says that it cannot start (`loop` ends it with one such line), or nothing."""
        last = ("", *_tail(self._conf.logs_dir / f"{program}.log"))[-1]
        is_one = program in PROGRAMS and last.startswith(f"{program}: ")
        return text.mask(last.partition(": ")[2][:_REFUSAL_LIMIT]) if is_one else ""

    def _last_lines(self, program: str) -> str:
        log = self._conf.logs_dir / f"{program}.log"
        lines = _tail(log)
        return f"The last lines of {log}:\n" + "\n".join(lines) if lines else f"{log} is empty or missing."


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as written:
            end = written.seek(0, 2)
            written.seek(max(0, end - _TAIL_BYTES))
            return text.decode(written.read()).splitlines()[-_TAIL_LINES:]
    except OSError:
        return []
