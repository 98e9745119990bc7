"""What processes and the machine may use, beside what they do use: open files, inotify, memory. Read from /proc."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from daemons.processes import proc


def files_of(pid: int) -> tuple[int, int]:
    """How many files *pid* has open and may have; zeros when it is gone, not ours to look at, or has no limit."""
    try:
        limit, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        return (len(os.listdir(f"/proc/{pid}/fd")), limit) if limit > 0 else (0, 0)
    except OSError:
        return 0, 0


def machine_memory() -> tuple[int, int] | None:
    """Bytes available and in all: our cgroup's where that is the tighter one. None where the kernel doesn't tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        told = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}
        available, total = told["MemAvailable"], told["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is None or used is None or limit >= total:
        return available, total
    return min(available, limit - used + _reclaimable()), limit


def _cgroup(name: str) -> int | None:
    """A number of this process's cgroup (v2); None where there is none."""
    try:
        return int(_cgroup_file(name))
    except (OSError, ValueError):
        return None


def _reclaimable() -> int:
    """Bytes of file cache that the kernel drops before it runs out."""
    try:
        words = _cgroup_file("memory.stat").split()
        return int(words[words.index("inactive_file") + 1])
    except (OSError, ValueError, IndexError):
        return 0


def _cgroup_file(name: str) -> str:
    own = Path("/proc/self/cgroup").read_text(encoding="ascii").partition("0::")[2].strip()
    return Path(f"/sys/fs/cgroup{own}/{name}").read_text(encoding="ascii")


def inotify_use(uid: int) -> dict[str, tuple[int, int]]:
    """`watches` and `instances`: how many the processes of *uid* hold, and may hold. Looks at all their open files."""
    held = [path for process in proc.table().values() if process.uid == uid for path in _inotify_files(process.pid)]
    counts = {"instances": len(held), "watches": sum(map(_watches, held))}
    limits = {what: _inotify_limit(what) for what in counts}
    return {what: (count, limits[what]) for what, count in counts.items() if limits[what]}


def _inotify_files(pid: int) -> Iterator[str]:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:inotify":
                yield f"/proc/{pid}/fdinfo/{fd}"
    except OSError:
        return


def _watches(path: str) -> int:
    return proc.contents(path).count(b"\ninotify wd:")


def _inotify_limit(what: str) -> int:
    try:
        return int(Path(f"/proc/sys/fs/inotify/max_user_{what}").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
