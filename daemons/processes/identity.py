"""Which process a pid means: pids are given again, sometimes within the same clock tick.

A start time alone is not enough (reused in the same 10 ms tick: 53 of 60 tries). Since Linux 6.9 the inode of a pidfd
names a process for good within one boot, so a record holds pid, start, that inode and the boot.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from daemons.processes import proc


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, in no danger of being taken for a later one of the same pid.

    *started* is in clock ticks since boot; *handle* is the inode of its pidfd, None where the kernel gives all the
    same one; *boot* names the boot that both count from.
    """

    pid: int
    started: int
    handle: int | None
    boot: str

    def to_json(self) -> dict[str, object]:
        return {"pid": self.pid, "started": self.started, "handle": self.handle, "boot": self.boot}

    @classmethod
    def from_json(cls, fields: object) -> Identity:
        """The identity that `to_json` gave. ValueError when *fields* is nothing of the kind."""
        if isinstance(fields, dict):
            pid, started, handle, boot = (fields.get(key) for key in ("pid", "started", "handle", "boot"))
            if isinstance(pid, int) and isinstance(started, int) and isinstance(boot, str):
                return cls(pid, started, handle if isinstance(handle, int) else None, boot)
        raise ValueError(f"{fields!r} is no identity of a process")


@functools.cache
def boot_id() -> str:
    """Names this boot of the machine: a start time from before it means nothing."""
    return proc.contents("/proc/sys/kernel/random/boot_id").decode().strip() or os.uname().nodename
