"""A cgroup of the suite's own, where one can be made: what is in it can't leave by forking, renaming or `env -i`.

Only the unified hierarchy (v2), and only below the one that we are in: as root, or where systemd delegated it. It is
evidence, never a hammer: a program that the suite once started for its user may be in it too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from daemons.processes import proc

PREFIX = "cmux-"


def enter_cgroup(suite_id: str) -> Path | None:
    """Move this process, and so all that it starts from now on, into the suite's cgroup. None where that can't be."""
    own = _own()
    if own is None:
        return None
    folder = _without_suite(own) / f"{PREFIX}{suite_id}"
    try:
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.procs").write_text("0")
    except OSError:
        return None
    return folder


def cgroup_pids(folder: Path) -> set[int]:
    """The processes in the cgroup *folder* and below it; empty when it is gone."""
    found: set[int] = set()
    for at, _, names in os.walk(folder):
        if "cgroup.procs" in names:
            found |= {int(pid) for pid in proc.contents(f"{at}/cgroup.procs").split()}
    return found


def remove_cgroup(folder: Path) -> None:
    """Remove *folder* if nothing is in it any more."""
    for at, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(at)
        except OSError:
            return


def frozen_cgroup(pid: int) -> str | None:
    """The folder of the cgroup that holds *pid* frozen, where even SIGKILL waits; None when none does (v1 only)."""
    where = next((path for options, path in _mounts("cgroup") if "freezer" in options.split(",")), None)
    inside = [line.partition(":")[2] for line in proc.contents(f"/proc/{pid}/cgroup").decode().splitlines()]
    own = next((path for names, _, path in (line.partition(":") for line in inside) if names == "freezer"), None)
    if where is None or own is None:
        return None
    state = proc.contents(f"{where}{own}/freezer.state").strip()
    return f"{where}{own}" if state in (b"FROZEN", b"FREEZING") else None


def outside() -> str | None:
    """The file to write a pid to that shall leave the suite's cgroup; None when this process is in none."""
    own = _own()
    if own is None or _without_suite(own) == own:
        return None
    return str(_without_suite(own) / "cgroup.procs")


def _own() -> Path | None:
    """The folder of the cgroup that this process is in."""
    for line in proc.contents("/proc/self/cgroup").decode().splitlines():
        if line.startswith("0::"):
            mount = _mount()
            return Path(mount + line[3:]) if mount else None
    return None


def _without_suite(folder: Path) -> Path:
    """*folder*, or the one above the suite's that it lies in: a suite started out of another one is no part of it."""
    above = [at for at in (folder, *folder.parents) if at.name.startswith(PREFIX)]
    return above[-1].parent if above else folder


def _mount() -> str | None:
    return next((where for _, where in _mounts("cgroup2")), None)


def _mounts(kind: str) -> Iterator[tuple[str, str]]:
    """Options and place of each mount of this kind."""
    for line in proc.contents("/proc/self/mounts").decode().splitlines():
        _, where, mounted, options, *_ = line.split(" ")
        if mounted == kind:
            yield options, where
