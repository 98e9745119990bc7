"""Who holds a port that the suite needs."""

from __future__ import annotations

from collections.abc import Iterator

from daemons import processes
from daemons.processes import Listener
from daemons.settings import Settings


def strangers(conf: Settings) -> list[str]:
    """One line for each port of the suite that somebody else holds: who, and what to do. Empty when all are free.

    Call it when nothing of the suite runs any more: whoever listens then is not ours.
    """
    return list(_on_our_ports(conf))


def _on_our_ports(conf: Settings) -> Iterator[str]:
    if not processes.can_bind(conf.host, conf.port):
        yield f"port {conf.port} is taken by {_holders(conf.port)}: end it, or set CMUX_PORT to another port"
    for service in conf.services:
        if service.port and processes.listeners(service.port):
            who = _holders(service.port)
            yield f"port {service.port} is taken by {who}: end it, or give [service:{service.name}] another port"


def _holders(port: int) -> str:
    found = processes.listeners(port)
    pids = sorted({pid for who in processes.holders([each.inode for each in found]).values() for pid in who})
    if pids:
        return " and ".join(processes.describe(pid) for pid in pids)
    return " and ".join(sorted({_unseen(each) for each in found})) or "an outgoing connection"


def _unseen(listener: Listener) -> str:
    # Its files are shown to its own user and to root alone.
    return f"a program of {processes.user_name(listener.uid)} (its pid is hidden from you; as root: ss -ltnp)"
