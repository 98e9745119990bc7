"""Alerts. `model`: what one is; `sender`: raise, count, clear; `telling`: what is due; `outbox`: sent once; `words`;
`mutes`: of what nobody wants to hear."""

from daemons.alerts.model import Alert, Occurrence
from daemons.alerts.mutes import Mute, Mutes, mute, unmute
from daemons.alerts.sender import Alerts, acknowledge, all_open, claims, needed_days
from daemons.alerts.series import Series

__all__ = [
    "Alert",
    "Alerts",
    "Mute",
    "Mutes",
    "Occurrence",
    "Series",
    "acknowledge",
    "all_open",
    "claims",
    "mute",
    "needed_days",
    "unmute",
]
