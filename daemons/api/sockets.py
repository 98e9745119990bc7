"""Where the API listens: a port and a socket file; and how many connections the system lets it have."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

from daemons import processes
from daemons.settings import Settings, SettingsError


def allow_many_files(connections: int) -> None:
    """Let this process hold all connections that it takes, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * connections if hard == resource.RLIM_INFINITY else min(4 * connections, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen_tcp(conf: Settings) -> socket.socket:
    """Listen on the settings' host and port. SettingsError, naming who has the port, when that cannot be."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            conf.host, conf.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as cause:
        raise SettingsError(f"CMUX_HOST={conf.host!r} is no address of this machine ({cause}); try 127.0.0.1") from None
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as cause:
        listening.close()
        raise SettingsError(f"CMUX_PORT={conf.port} cannot be had: {_who_has(conf, cause)}") from None
    return listening


def _who_has(conf: Settings, cause: OSError) -> str:
    inodes = [each.inode for each in processes.listeners(conf.port)]
    pids = sorted({pid for pids in processes.holders(inodes).values() for pid in pids})
    if not pids:
        return f"{os.strerror(cause.errno or 0)} on {conf.host}; choose another port or host"
    return f"{', '.join(map(processes.describe, pids))} listens there; end it, or choose another CMUX_PORT"


def listen_unix(path: Path) -> socket.socket:
    """Listen on *path*, for nobody but this user. What an earlier API left there is removed: one lives per home."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        listening.listen(256)
    except OSError as cause:
        listening.close()
        raise SettingsError(f"the API's socket {path} cannot be made: {cause.strerror}") from None
    finally:
        os.umask(before)
    return listening
