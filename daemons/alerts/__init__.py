"""Alerts. `model`: what one is; `sender`: raise, count, clear; `telling`: what is due; `outbox`: sent once; `words`."""

from daemons.alerts.model import Alert, Occurrence
from daemons.alerts.sender import Alerts, acknowledge, all_open, claims

__all__ = ["Alert", "Alerts", "Occurrence", "acknowledge", "all_open", "claims"]
