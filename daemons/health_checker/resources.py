"""What each program uses, against what it may: told before a limit is met, because at the limit it is an outage.

    memory   our daemons: 300 MiB, several times what they use; a service: what its section allows; the machine: its
             last 5 %
    files    four fifths of what a process may open           inotify   four fifths of what its user may watch
    CPU      one of our daemons with a whole core for five minutes

Read from /proc: a look costs 0.3 ms a process, once in half a minute; the inotify count, which has to look at every
open file of the user, once in five minutes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from daemons import clock, processes
from daemons.health_checker.alarms import Condition
from daemons.settings import Service
from daemons.supervisor import PROGRAMS

MIB = 1 << 20
LOOK_EVERY_S = 30.0
INOTIFY_EVERY_S = 300.0
OWN_MEMORY_BYTES = 300 * MIB
MACHINE_MEMORY_PART = 0.05
NEAR = 0.8
BUSY_CORES = 0.9
BUSY_FOR_S = 300.0
# What was told is over when it is a tenth below: an alert must not flutter.
_OVER = 0.9

Trees = Mapping[str, Collection[int]]


@dataclass(slots=True)
class _Used:
    """One program with all that it started, as the last look saw it."""

    rss_bytes: int = 0
    files: int = 0
    files_limit: int = 0
    cpu: deque[tuple[float, float]] = field(default_factory=deque)
    """(monotonic time, CPU seconds) of the looks within the last five minutes."""

    @property
    def cores(self) -> float | None:
        """Cores in use, averaged over five minutes; None before that."""
        (began, before), (ended, after) = self.cpu[0], self.cpu[-1]
        return (after - before) / (ended - began) if ended - began >= BUSY_FOR_S else None


class Resources:
    """`look` as often as you like, then `conditions` and `detail`."""

    def __init__(self, services: Collection[Service]) -> None:
        self._allowed = dict.fromkeys(PROGRAMS, OWN_MEMORY_BYTES)
        self._allowed |= {f"service-{each.name}": each.memory_bytes for each in services if each.memory_bytes}
        self._used: dict[str, _Used] = {}
        self._machine: tuple[int, int] | None = None
        self._inotify: dict[str, tuple[int, int]] = {}
        self._looked_mono = self._counted_mono = float("-inf")
        self._told: dict[str, Condition] = {}

    def look(self, trees: Trees) -> None:
        """*trees* are the pids of each program. Nothing within half a minute of the last look."""
        now = clock.monotonic()
        if now - self._looked_mono < LOOK_EVERY_S or not trees:
            return
        self._looked_mono = now
        self._used = {name: self._measured(name, pids, now) for name, pids in trees.items()}
        self._machine = processes.machine_memory()
        if now - self._counted_mono >= INOTIFY_EVERY_S:
            self._counted_mono = now
            self._inotify = processes.inotify_use(os.getuid())
        self._told = {found.about: found for found in self._found()}

    def conditions(self) -> list[Condition]:
        return list(self._told.values())

    def detail(self) -> dict[str, object]:
        """For the status file: numbers by program, and of the machine."""
        programs = {
            name: {"rss_bytes": used.rss_bytes, "files": used.files, "files_limit": used.files_limit,
                   "cpu_s": round(used.cpu[-1][1], 2)}
            for name, used in self._used.items()
        }  # fmt: skip
        available, total = self._machine or (None, None)
        machine = {"memory_available_bytes": available, "memory_bytes": total}
        return {"programs": programs, **machine, "inotify": {what: list(of) for what, of in self._inotify.items()}}

    def _measured(self, name: str, pids: Collection[int], now: float) -> _Used:
        used = self._used.get(name, _Used())
        looked = processes.usage(pids)
        used.rss_bytes = looked.rss_bytes
        used.files, used.files_limit = max(map(processes.files_of, pids), key=_part, default=(0, 0))
        if used.cpu and looked.cpu_s < used.cpu[-1][1]:
            used.cpu.clear()  # it was started anew, or something that it started has ended
        used.cpu.append((now, looked.cpu_s))
        while len(used.cpu) > 2 and now - used.cpu[1][0] >= BUSY_FOR_S:
            used.cpu.popleft()
        return used

    # -- what is too much ---------------------------------------------------------------------------------------------

    def _found(self) -> Iterator[Condition]:
        for name, used in self._used.items():
            yield from self._memory_of(name, used)
            yield from self._files_of(name, used)
            yield from self._cpu_of(name, used)
        yield from self._memory_of_the_machine()
        for what, (count, limit) in self._inotify.items():
            about = f"inotify {what}"
            if self._exceeds(about, count, NEAR * limit):
                advice = f"sysctl fs.inotify.max_user_{what} raises it; beyond it changes are seen late, by looking"
                yield Condition(about, "near_limit", f"{count} of {limit} inotify {what} are in use", advice)

    def _memory_of(self, name: str, used: _Used) -> Iterator[Condition]:
        about, allowed = f"memory of {name}", self._allowed.get(name)
        if allowed and self._exceeds(about, used.rss_bytes, allowed):
            headline = f"{name} uses {used.rss_bytes // MIB} MiB of memory, more than {allowed // MIB}"
            yield Condition(about, "high", headline, f"{headline}; cmux restart {name} starts it afresh")

    def _files_of(self, name: str, used: _Used) -> Iterator[Condition]:
        about = f"files of {name}"
        if used.files_limit and self._exceeds(about, used.files, NEAR * used.files_limit):
            headline = f"{name} has {used.files} files open, and may have {used.files_limit}"
            yield Condition(about, "near_limit", headline, f"{headline}; ulimit -n before cmux start raises it")

    def _cpu_of(self, name: str, used: _Used) -> Iterator[Condition]:
        about, cores = f"CPU of {name}", used.cores
        if name in PROGRAMS and cores is not None and self._exceeds(about, cores, BUSY_CORES):
            headline = f"{name} has kept {cores:.1f} cores busy for {BUSY_FOR_S / 60:.0f} minutes"
            yield Condition(about, "high", headline, f"{headline}; its log may say with what: .cmux/logs/{name}.log")

    def _memory_of_the_machine(self) -> Iterator[Condition]:
        if self._machine is None:
            return
        available, total = self._machine
        if self._exceeds("memory", total - available, (1 - MACHINE_MEMORY_PART) * total):
            most = sorted(self._used.items(), key=lambda item: -item[1].rss_bytes)[:5]
            ours = ", ".join(f"{name} {used.rss_bytes // MIB} MiB" for name, used in most)
            headline = f"{available // MIB} MiB of {total // MIB} MiB of memory are left"
            yield Condition("memory", "low", headline, f"{headline}; of ours: {ours}")

    def _exceeds(self, about: str, amount: float, threshold: float) -> bool:
        return amount >= (threshold * _OVER if about in self._told else threshold)


def _part(of: tuple[int, int]) -> float:
    return of[0] / of[1] if of[1] > 0 else 0.0
