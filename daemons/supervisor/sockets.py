"""Where a home's unix sockets are: in `run/`, or in a short private folder when that path is too long for one."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from daemons import files
from daemons.settings import Settings

# A unix socket's path holds 107 bytes, and supervisord first binds `PATH.PID`, a dot and up to 7 digits longer.
LONGEST_SOCKET_PATH_BYTES = 99

_NAMES = ("supervisor.sock", "api.sock", "log_keeper.sock")
_ELSEWHERE = Path("/tmp")  # noqa: S108  # holds only a folder that is checked to be ours alone


def socket_path(conf: Settings, name: str = "supervisor.sock") -> Path:
    """Where this home's unix socket *name* is: in `run/`, or in a short private folder when that path is too long.

    The same answer in every process of the user, whatever its environment. Creates nothing.
    """
    usual = conf.run_dir / name
    if len(os.fsencode(usual)) <= LONGEST_SOCKET_PATH_BYTES:
        return usual
    return _short_folder(conf) / name


def poke(path: Path, timeout_s: float = 0.0) -> bool:
    """Wake the supervisord that serves on *path*: it sleeps up to 1 s before it hears a signal. False: nobody there."""
    import _socket  # `socket` on top of it takes 2 ms, by which everything would end later that a stop has asked to

    line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        line.settimeout(timeout_s)
        line.connect(os.fsencode(path))
    except OSError:
        return False
    finally:
        line.close()
    return True


def prepare_socket(conf: Settings, name: str = "supervisor.sock") -> Path:
    """Make the folder of `socket_path`, 0700 and proven ours, and return that path. StorageError when it cannot be."""
    path = socket_path(conf, name)
    if path.parent == conf.run_dir:
        files.private_dir(conf.run_dir)
    else:
        _own_folder(path.parent.parent)
        _own_folder(path.parent)
    return path


def remove_sockets(conf: Settings) -> None:
    """Remove this home's sockets, and their short folder where there was one. Only when nobody serves on them."""
    for place in (conf.run_dir, _short_folder(conf)):
        for name in _NAMES:
            files.discard(place / name)
    # Strange files in it, or another start that fills it: then it stays.
    with suppress(OSError):
        _short_folder(conf).rmdir()


def _short_folder(conf: Settings) -> Path:
    import hashlib  # 3 ms, and most paths are short enough

    home = hashlib.blake2b(os.fsencode(conf.home), digest_size=8).hexdigest()
    return _ELSEWHERE / f"cmux-{os.getuid()}" / home


def _own_folder(folder: Path) -> None:
    # /tmp is everybody's: a folder or link that another user planted there would hand him our socket.
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(errno.EACCES, "another user made it, or others may enter it")
    except OSError as cause:
        raise files.StorageError("keep sockets in", folder, cause) from cause
