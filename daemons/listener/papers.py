"""The running suite's id and record, written anew should somebody delete them while it runs.

Without them `cmux status` says that nothing runs, and only supervisord's own environment still says whose it is.
"""

from __future__ import annotations

from daemons import log, suite
from daemons.files import LockBusy, StorageError
from daemons.settings import Settings


class Papers:
    """What this suite's launcher wrote, remembered."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._record: suite.Record | None = None

    def keep(self) -> None:
        """Put back what is gone or makes no sense; what somebody else wrote stands. Never raises for the disk."""
        try:
            self._record = self._record or suite.running(self._conf)
            if self._record and suite.restore(self._record, self._conf):
                log.warning("suite.record_restored", suite_id=self._record.suite_id)
        except (StorageError, LockBusy) as reason:
            log.warning("suite.record_not_restored", reason=str(reason))
