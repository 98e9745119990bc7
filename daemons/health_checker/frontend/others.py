"""Who else builds the frontend right now: `npm run build` in a terminal, say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemons import processes
from daemons.health_checker.frontend import npm

_WATCHING = ("--watch", "-w")


def building(folder: Path, *, at_most_s: float) -> Iterator[int]:
    """The pids of builds in *folder* that are not ours. One that never ends (`--watch`, or too old) is none."""
    for pid, process in processes.table().items():
        if process.kernel or process.ended or processes.working_folder(pid) != folder:
            continue
        words = process.command.split()
        if not any(Path(word).name.startswith("build") for word in words) or set(words) & set(_WATCHING):
            continue
        if process.age_s < at_most_s and processes.environment_value(process, npm.ATTEMPT) is None:
            yield pid
