"""A supervisord on the suite's socket that nothing proves ours: its id and its record were lost, or it is a stranger.

It is left alone, as every stranger is; but as long as somebody answers there, nothing is proven gone.
"""

from __future__ import annotations

import os
import socket
import struct

from daemons import processes, supervisor
from daemons.settings import Settings

# Connecting takes no time, unless the one who listens is frozen with a full queue.
_WITHIN_S = 0.3
_PEER = struct.Struct("3i")  # pid, uid, gid


def problem(conf: Settings) -> str:
    """Who answers on the suite's socket and what to do about it, on one line; empty when nobody does."""
    place = supervisor.socket_path(conf)
    pid = _listener(os.fsencode(place))
    if pid is None:
        return ""
    who = processes.describe(pid) if pid else "somebody hidden from you (as root: ss -xlp)"
    how = f"end it yourself (kill {pid or 'PID'}), then stop again"
    return f"a supervisord that is not known to be this suite's answers on {place}: {who}; {how}"


def _listener(path: bytes) -> int | None:
    """Who listens on the socket *path*: the kernel keeps that, whatever became of its name. 0: hidden. None: nobody."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_WITHIN_S)
            line.connect(path)
            return int(_PEER.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0])
    except OSError:
        return None
