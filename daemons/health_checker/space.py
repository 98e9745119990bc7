"""Room on the disk of the home: told before it is used up, because afterwards nothing can be told any more."""

from __future__ import annotations

import os
from pathlib import Path

from daemons.health_checker.alarms import Condition

MIB = 1 << 20
GIB = 1 << 30
LOW_BYTES = GIB
LOW_PART = 0.1
LOW_NAMES_PART = 0.02
_ENOUGH_AGAIN = 1.25


class Space:
    """The file system that *folder* lies on. Low: less than 1 GiB (or a tenth of a small one), or few names left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_low = False
        self.free_bytes = 0
        self.free_part_of_names = 1.0

    def look(self) -> None:
        """Look now. What was low is so until there is a quarter more than enough: an alert must not flutter."""
        found = os.statvfs(self._folder)
        self.free_bytes = found.f_bavail * found.f_frsize
        self.free_part_of_names = found.f_favail / found.f_files if found.f_files else 1.0
        wanted_bytes = min(LOW_BYTES, LOW_PART * found.f_blocks * found.f_frsize)
        margin = _ENOUGH_AGAIN if self._is_low else 1.0
        few_bytes = self.free_bytes < wanted_bytes * margin
        few_names = self.free_part_of_names < LOW_NAMES_PART * margin
        self._is_low = few_bytes or few_names

    def conditions(self) -> list[Condition]:
        if not self._is_low:
            return []
        left = f"{self.free_bytes // MIB} MiB and {self.free_part_of_names:.0%} of the file names left"
        advice = "free some space: without it no message, no registration and no build can be kept"
        return [Condition("disk", "low", f"the disk of {self._folder} has {left}", f"{left}; {advice}")]

    def detail(self) -> dict[str, object]:
        return {"status": "low" if self._is_low else "healthy", "free_bytes": self.free_bytes,
                "free_part_of_names": round(self.free_part_of_names, 3)}  # fmt: skip
