"""What tells that a file is still the one that was read: its inode, size and times. None of them alone does."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple


class Signature(NamedTuple):
    """One state of one file."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)


def of(found: os.stat_result) -> Signature:
    return Signature(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode
    )  # fmt: skip
