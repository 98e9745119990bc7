"""The journal, as the health checker keeps it: what is healed is worth more than the trace of it."""

from __future__ import annotations

from daemons import log
from daemons.files import LockBusy
from daemons.journal import Journal
from daemons.settings import Settings

ACTOR = "system:health-checker"


class Notes:
    """Writes what happened into the journal; where that can't be written, it is logged instead and nothing stops."""

    def __init__(self, conf: Settings) -> None:
        self._journal = Journal(conf, ACTOR)

    def record(self, event: str, *, reason: str, **evidence: object) -> None:
        try:
            self._journal.record(event, reason=reason, **evidence)
        except (LockBusy, OSError) as cause:
            log.warning("journal.not_written", entry=event, reason=reason, cause=str(cause), **evidence)
