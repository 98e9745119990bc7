"""What each agent uses with all that it started, and whether that is more than it should.

Measured less often than tmux is looked at: one pass over /proc costs 10 ms at 900 processes. Nothing is ended for what
it uses; somebody is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from daemons import clock, processes, suite
from daemons.processes import Meter, TreeUse
from daemons.registry_service.telling import Condition, Wanted
from daemons.registry_service.verdicts import Verdict
from daemons.settings import Settings

EVERY_S = 15.0
# Who has begun is measured sooner.
NEW_AFTER_S = 5.0
BUSY_FOR_S = 300.0
MIB = 1 << 20
MEMORY = "agent-memory"
CPU = "agent-cpu"
# What was told is over when it is a tenth below: an alert must not flutter.
_OVER = 0.9


@dataclass(slots=True)
class Used:
    """One life of an agent: *cores* in use since the last look; *began* is when its first process was started."""

    pid: int
    began: datetime
    tree: TreeUse
    cores: float = 0.0
    cpu: deque[tuple[float, float]] = field(default_factory=deque)
    """(monotonic time, CPU seconds) of the looks within the last five minutes."""

    def told(self) -> dict[str, object]:
        """For the status file."""
        return {
            "cores": round(self.cores, 2),
            "cpu_s": round(self.tree.cpu_s, 1),
            "rss_bytes": self.tree.rss_bytes,
            "processes": len(self.tree.pids),
            "began": clock.stamp(self.began),
        }

    @property
    def cores_for_long(self) -> float | None:
        """Cores in use, averaged over five minutes; None before that."""
        (began, before), (ended, after) = self.cpu[0], self.cpu[-1]
        return (after - before) / (ended - began) if ended - began >= BUSY_FOR_S else None


class Usage:
    """`look` every cycle; it measures when it is time."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._meter = Meter()
        self._used: dict[str, Used] = {}
        self._too_much: list[Condition] = []
        self._is_new = False
        self._last_mono = float("-inf")

    def look(self, verdicts: Mapping[str, Verdict], now: datetime) -> Mapping[str, Used]:
        """What those use who run, as it was at most *EVERY_S* ago."""
        roots = {agent_id: verdict.pid for agent_id, verdict in verdicts.items() if verdict.pid}
        self._used = {agent: used for agent, used in self._used.items() if roots.get(agent) == used.pid}
        mono = clock.monotonic()
        pause_s = NEW_AFTER_S if roots.keys() - self._used.keys() else EVERY_S
        if mono - self._last_mono >= pause_s:
            self._last_mono = mono
            self._is_new = True
            trees = self._meter.measure(roots, suite.known_id(self._conf))
            self._used = {agent: self._measured(agent, roots[agent], tree, mono, now) for agent, tree in trees.items()}
        return self._used

    def _measured(self, agent_id: str, pid: int, tree: TreeUse, mono: float, now: datetime) -> Used:
        used = self._used.get(agent_id) or Used(pid, now - timedelta(seconds=tree.age_s), tree)
        used.tree = tree
        if used.cpu:
            before_mono, before_s = used.cpu[-1]
            # What leaves the tree takes its time along.
            used.cores = max(0.0, tree.cpu_s - before_s) / (mono - before_mono)
        used.cpu.append((mono, tree.cpu_s))
        while len(used.cpu) > 2 and mono - used.cpu[1][0] >= BUSY_FOR_S:
            used.cpu.popleft()
        return used

    # -- what is too much ---------------------------------------------------------------------------------------------

    def conditions(self, wanted: Wanted, told: Collection[str], verdicts: Mapping[str, Verdict]) -> None:
        """Add what should be known now, as it was measured last."""
        if self._is_new:
            self._is_new = False
            self._too_much = [found for agent, used in self._used.items() for found in self._of(agent, used, told)]
        wanted.conditions += [each for each in self._too_much if each.subject in self._used]
        for key in told:
            kind, _, agent_id = key.partition(":")
            if kind in (MEMORY, CPU):
                self._is_it_over(key, kind, agent_id, wanted, verdicts)

    def _is_it_over(self, key: str, kind: str, agent_id: str, wanted: Wanted, verdicts: Mapping[str, Verdict]) -> None:
        used, verdict = self._used.get(agent_id), verdicts.get(agent_id)
        wanted.over[key] = "it uses less now" if used else "it has ended"
        # Who can't be seen uses nobody knows what; and after a start of this service five minutes must pass.
        is_unseen = verdict is not None and verdict.state in ("unknown", "settling")
        if is_unseen or (used is not None and kind == CPU and used.cores_for_long is None):
            wanted.held.add(key)

    def _of(self, agent_id: str, used: Used, told: Collection[str]) -> Iterator[Condition]:
        yield from self._memory(f"{MEMORY}:{agent_id}", agent_id, used, told)
        yield from self._cpu(f"{CPU}:{agent_id}", agent_id, used, told)

    def _memory(self, key: str, agent_id: str, used: Used, told: Collection[str]) -> Iterator[Condition]:
        allowed = self._conf.agent_memory_bytes
        limit = (allowed or 0) * (_OVER if key in told else 1)
        if not allowed or used.tree.rss_bytes < limit:
            return
        # Many processes of one program count the same pages over and over: only this sum is what would be freed.
        bytes_ = processes.pss_bytes(used.tree.pids) or used.tree.rss_bytes
        if bytes_ >= limit:
            headline = f"[ALERT] Agent '{agent_id}' uses {bytes_ // MIB} MiB of memory, more than {allowed // MIB}"
            yield Condition(key, MEMORY, agent_id, headline, lambda: _evidence(agent_id, used))

    def _cpu(self, key: str, agent_id: str, used: Used, told: Collection[str]) -> Iterator[Condition]:
        allowed, cores = self._conf.agent_cores, used.cores_for_long
        if allowed and cores is not None and cores >= allowed * (_OVER if key in told else 1):
            headline = f"[ALERT] Agent '{agent_id}' has kept {cores:.1f} cores busy for {BUSY_FOR_S / 60:.0f} minutes"
            yield Condition(key, CPU, agent_id, headline, lambda: _evidence(agent_id, used))


def _evidence(agent_id: str, used: Used) -> str:
    """Who of its tree it is: the twenty with the lowest pids, each in a line."""
    pids = used.tree.pids
    lines = [f"Agent: {agent_id}", f"Processes: {len(pids)}, since {clock.stamp(used.began)}"]
    lines += [f"- {processes.describe(pid)}" for pid in pids[:20]]
    return "\n".join(lines)
