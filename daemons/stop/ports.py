"""The suite's ports: free for servers, held by ours, or by somebody else, who is named and left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from daemons import processes
from daemons.processes import Listener
from daemons.settings import Settings
from daemons.stop.report import Foreign, Port
from daemons.suite import Record

# The wildcards conflict with a socket on any address.
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  # tried, never listened on


def of(conf: Settings, record: Record | None) -> tuple[int, ...]:
    """The ports of the suite: those of the settings, and those that the one that runs was started with."""
    declared = [service.port for service in conf.services if service.port]
    return tuple(sorted({conf.port, *declared, *(record.ports if record else ())}))


def state(ports: Iterable[int]) -> tuple[Port, ...]:
    """Which of *ports* a server can take now."""
    return tuple(Port(port, all(processes.can_bind(host, port) for host in _ANYWHERE)) for port in ports)


def strangers(conf: Settings, ports: Iterable[int], ours: Collection[int]) -> tuple[Foreign, ...]:
    """Who occupies *ports* and is none of *ours*. Clients of a port don't occupy it."""
    found = [
        stranger for port in ports for each in processes.occupants(port) for stranger in _holders(conf, each, ours)
    ]
    return tuple({(each.port, each.pid, each.user): each for each in found}.values())


def _holders(conf: Settings, found: Listener, ours: Collection[int]) -> list[Foreign]:
    ours_alone = processes.holders([found.inode], ours)[found.inode]
    if ours_alone:
        return []
    return [_foreign(conf, found, pid) for pid in processes.holders([found.inode])[found.inode] or (None,)]


def _foreign(conf: Settings, found: Listener, pid: int | None) -> Foreign:
    process = processes.read(pid) if pid else None
    user = processes.user_name(process.uid if process else found.uid)
    command = process.command if process else "(hidden from you; as root: ss -ltnp)"
    advice = f"not ours, left alone; end it yourself (kill {pid or 'PID'}), {_elsewhere(conf, found.port)}, or --force"
    return Foreign(found.port, found.address, pid, user, command, advice)


def _elsewhere(conf: Settings, port: int) -> str:
    service = next((service.name for service in conf.services if service.port == port), None)
    return f"give [service:{service}] another port" if service else "set CMUX_PORT to another port"
