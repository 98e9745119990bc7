"""Alerts. `model`: what one is; `sender`: raise, count, clear; `telling`: what is due; `outbox`: sent once; `words`;
`mutes`: of what nobody wants to hear."""

from daemons.alerts.model import Alert, Occurrence
from daemons.alerts.mutes import Mute, Mutes, mute, unmute
from daemons.alerts.sender import Alerts, acknowledge, all_open, claims, needed_days

__all__ = [
    "Alert",
    "Alerts",
    "Mute",
    "Mutes",
    "Occurrence",
    "acknowledge",
    "all_open",
    "claims",
    "mute",
    "needed_days",
    "unmute",
]
