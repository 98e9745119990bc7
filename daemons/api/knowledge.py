"""What the other daemons have left to know: their last cycles, the frontend's truth, the open alerts. From files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemons import alerts, loop
from daemons.alerts import Alert
from daemons.api.listing import Cached
from daemons.loop import Status
from daemons.settings import Settings

DAEMONS = ("log_keeper", "log_watcher", "health_checker", "registry_service")


class Knowledge:
    """The others' files, each read again only when it changed."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._status = {
            name: Cached(loop.status_path(conf, name), lambda name=name: loop.read_status(conf, name))  # type: ignore[misc]
            for name in DAEMONS
        }
        self._alerts_seen: object = None
        self._alerts: list[Alert] = []

    def status(self, daemon: str) -> Status | None:
        """The last completed cycle of *daemon*, None when it never had one."""
        return self._status[daemon].get()

    def detail(self, daemon: str) -> Mapping[str, Any]:
        """What *daemon* published about its work in its last cycle; empty when it never had one."""
        status = self.status(daemon)
        return status.detail if status else {}

    def open_alerts(self) -> list[Alert]:
        """All alerts that are open, whoever raised them, the oldest first."""
        seen = self._alert_files()
        if seen != self._alerts_seen:
            self._alerts = sorted(alerts.all_open(self._conf), key=lambda alert: alert.first)
            self._alerts_seen = seen
        return self._alerts

    def stamp(self) -> object:
        """Something that differs once alerts or mailbox do."""
        return self._alert_files(), _state_of(self._conf.mailbox)

    def _alert_files(self) -> object:
        try:
            names = sorted(name for name in os.listdir(self._conf.alerts_dir) if name.endswith(".json"))
        except OSError:
            return None
        return [(name, _state_of(self._conf.alerts_dir / name)) for name in names]


def _state_of(path: Path) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
