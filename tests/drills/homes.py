"""The home of a drill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import settings
from daemons.settings import Settings


def conf_of(home: Path) -> Settings:
    """The settings of *home*, which is made; its tmux server does not exist."""
    home.mkdir(parents=True, exist_ok=True)
    return settings.load({"CMUX_HOME": str(home), "CMUX_TMUX_SOCKET": "cmux-drill-none"})


class TmuxHome:
    """A home with a tmux server of its own, which is started by the first that needs it."""

    def __init__(self, folder: Path, **own: str) -> None:
        folder.mkdir(parents=True)
        socket = f"cmux-drill-{os.getpid()}-{folder.parent.name}-{folder.name}"
        self.own = {"CMUX_HOME": str(folder), "CMUX_TMUX_SOCKET": socket, "PYTHONPATH": str(settings.CODE), **own}
        self.environ = {**os.environ, **self.own}
        self.conf = settings.load(self.own)

    def shell(self, *words: str) -> str:
        """What tmux says to *words*; nothing when it fails."""
        command = ["tmux", "-u", "-f", "/dev/null", "-L", str(self.conf.tmux_socket), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()

    def python(self, *words: str, **other: str) -> subprocess.Popen[bytes]:
        """Start one of our programs in this home; what it prints is not looked at."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([sys.executable, *words], env={**self.environ, **other}, **quiet)


def end_tmux(socket: str) -> None:
    """End the server of that name, and remove what it leaves of itself."""
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True, timeout=10, check=False)
    folder = Path(os.environ.get("TMUX_TMPDIR") or "/tmp")
    (folder / f"tmux-{os.getuid()}" / socket).unlink(missing_ok=True)


@contextmanager
def tmux_home(folder: Path, **own: str) -> Iterator[TmuxHome]:
    """One, whose server is ended also when the drill is told to end."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    home = TmuxHome(folder, **own)
    try:
        yield home
    finally:
        end_tmux(str(home.conf.tmux_socket))
        signal.signal(signal.SIGTERM, before)
