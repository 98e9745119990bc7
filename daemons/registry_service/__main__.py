"""tmux and the registry agree: who is gone is marked and told once, who is back too; who can't be seen is kept.

    tick:  what hooks left ─▶ registry ─▶ one look at tmux (woken by a death, asked again before "gone" is believed)
             ─▶ verdicts (and what they use) ─▶ alerts ─▶ registry (only what changed) ─▶ status

Alerts come before the registry: killed in between, the next life finds the alert told and the mark missing.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemons import clock, log, loop
from daemons.alerts import Alerts
from daemons.clock import Wake
from daemons.journal import Journal
from daemons.registry import Draft, LockBusy, Registry
from daemons.registry_service import conditions, keeping, windows
from daemons.registry_service.beats import Beats
from daemons.registry_service.deaths import Deaths
from daemons.registry_service.delivery import Delivery
from daemons.registry_service.findings import Detail, Findings
from daemons.registry_service.looking import Looker
from daemons.registry_service.mail import MailWatch
from daemons.registry_service.spool import Spool
from daemons.registry_service.telling import reconcile
from daemons.registry_service.usage import Usage
from daemons.registry_service.verdicts import Entries, Judge
from daemons.registry_service.windows import EndedWindows
from daemons.settings import Settings

NAME = "registry_service"
# Deaths wake us: of a hundred in a second, not every one is worth a look of its own.
_SHORTEST_CYCLE_S = 0.2


class RegistryService:
    """One cycle after the other: see the module."""

    def __init__(self, conf: Settings, wake: Wake) -> None:
        self.interval_s = conf.agents_interval_s
        self._conf = conf
        self._registry = Registry(conf)
        self._alerts = Alerts(conf, sender="system:registry-service")
        self._journal = Journal(conf, NAME)
        self._deaths = Deaths(wake)
        self._looker = Looker(conf, self._deaths.ended, lambda: wake.stop_requested)
        self._judge = Judge(conf)
        self._windows = EndedWindows(conf, self._journal)
        self._usage = Usage(conf)
        self._mail = MailWatch(conf)
        self._delivery = Delivery(conf, self._journal)
        self._beats = Beats(conf)
        self._spool = Spool(conf, self._registry)
        self._detail = Detail()
        self._last_words = functools.partial(windows.last_words, conf)
        self._last_mono = 0.0

    def tick(self, now: datetime) -> Mapping[str, object]:
        """Look, judge, tell, write down."""
        self._pace()
        self._settle()
        found = self._find(now)
        self._tell(found, now)
        self._write_down(found, now)
        self._windows.close_old(found.observation, now)
        self._delivery.announce(found.entries, found.verdicts, found.mail, now)
        self._deaths.follow([v.pid for v in found.verdicts.values() if v.pid and v.state == "running"])
        return {**self._detail.of(found), "alerts_waiting": self._alerts.stuck}

    def close(self) -> None:
        self._deaths.close()

    def _pace(self) -> None:
        clock.pause(max(0.0, self._last_mono + _SHORTEST_CYCLE_S - clock.monotonic()))
        self._last_mono = clock.monotonic()

    def _settle(self) -> None:
        try:
            self._registry.settle()
            self._spool.drain(clock.now())
        except LockBusy as busy:
            log.warning("registry.busy", reason=str(busy))

    def _find(self, now: datetime) -> Findings:
        before = self._registry.snapshot().agents
        looked = self._looker.look(before)
        registered = self._registry.snapshot().agents
        entries = _seen_by_both(before, registered)
        verdicts = self._judge.judge(entries, looked.sightings, self._beats.heard(entries), now)
        used, mail = self._usage.look(verdicts, now), self._mail.look(registered)
        return Findings(registered, entries, verdicts, looked.observation, used, mail)

    def _tell(self, found: Findings, now: datetime) -> None:
        told = {alert.key for alert in self._alerts.open()}
        wanted = conditions.of_agents(found.entries, found.verdicts, self._last_words)
        conditions.of_others(wanted, told, found.registered, found.verdicts)
        conditions.of_tmux(wanted, told, self._conf, found.entries, found.verdicts, found.observation)
        conditions.of_registry(wanted, self._registry.troubles(), now)
        conditions.of_mailbox(wanted, told, found.mail)
        self._usage.conditions(wanted, told, found.verdicts)
        reconcile(self._alerts, wanted, told, now)
        self._alerts.tick(now)

    def _write_down(self, found: Findings, now: datetime) -> None:
        entries, verdicts = found.entries, found.verdicts
        changes = keeping.changes(entries, verdicts, now)
        expired = keeping.expired(self._conf, entries, verdicts, now)
        if not changes and not expired:
            return
        try:
            removed = self._registry.change(lambda agents: _apply(agents, entries, changes, expired))
        except LockBusy as busy:
            log.warning("registry.busy", reason=str(busy))
            return
        for agent_id in removed:
            self._journal.record(
                "agent.removed", reason=expired[agent_id], agent=agent_id, entry=dict(entries[agent_id])
            )
        for agent_id, fields in changes.items():
            log.info("agent.changed", agent=agent_id, state=verdicts[agent_id].state, fields=fields)


def _seen_by_both(before: Entries, registered: Entries) -> dict[str, Mapping[str, Any]]:
    """Those of whom a look between the two snapshots can say something, as they are registered after it.

    After: who ends an agent writes that down first, so a window that the look misses was meant to go by what is read
    now. But who came, or moved, since the look began may have a window that it could not see: the next one will.
    """

    def is_same_place(agent_id: str) -> bool:
        return all(before[agent_id].get(name) == registered[agent_id].get(name) for name in ("pane_id", "tmux_server"))

    return {agent_id: registered[agent_id] for agent_id in before.keys() & registered if is_same_place(agent_id)}


def _apply(
    agents: Draft, entries: Entries, changes: Mapping[str, keeping.Fields], expired: Mapping[str, str]
) -> list[str]:
    """Set what changed, unless the agent began another life while we looked; who was removed."""
    same = [agent_id for agent_id in {**changes, **expired} if _is_same_life(agents, agent_id, entries)]
    removed = [agent_id for agent_id in same if agent_id in expired]
    for agent_id in removed:
        del agents[agent_id]
    for agent_id in set(same) - set(removed):
        entry = {**agents[agent_id], **changes[agent_id]}
        agents[agent_id] = {name: value for name, value in entry.items() if value is not None}
    return removed


_LIFE = ("pane_id", "tmux_server", "expected", "status", "missing_since")


def _is_same_life(agents: Draft, agent_id: str, entries: Entries) -> bool:
    if agent_id not in agents:
        return False
    return all(agents[agent_id].get(name) == entries[agent_id].get(name) for name in _LIFE)


def main() -> int:
    return loop.run(NAME, RegistryService)


if __name__ == "__main__":
    sys.exit(main())
