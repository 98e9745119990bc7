"""The trace that an action leaves in the journal. What was done is done: a full disk only leaves it out."""

from __future__ import annotations

from daemons import log
from daemons.files import LockBusy, StorageError
from daemons.journal import Journal
from daemons.settings import Settings


def trace(conf: Settings, actor: str, event: str, **evidence: object) -> None:
    """Record that *actor* did it; failing that, log it."""
    try:
        Journal(conf, actor).record(event, reason=None, **evidence)
    except (StorageError, LockBusy) as cause:
        log.warning("journal.not_written", unwritten=event, reason=str(cause))
