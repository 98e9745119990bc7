"""A daemon of its own for a drill."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Files that root may read whatever their mode would hide the loss of a permission.
AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")


@contextmanager
def running(environ: dict[str, str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon *name*, without root's power over permissions, until the block ends."""
    wrapped = list(AS_ANYBODY) if os.getuid() == 0 and shutil.which("setpriv") else []
    child = subprocess.Popen(
        [*wrapped, sys.executable, "-m", f"daemons.{name}"], env=environ, stderr=subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait()
