"""What one cycle found, and what its status file tells of that.

Of three hundred agents hardly one is told otherwise than in the cycle before: what is told of each is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from daemons import clock
from daemons.processes import TreeUse
from daemons.registry_service.mail import MailState
from daemons.registry_service.usage import Used
from daemons.registry_service.verdicts import Entries, Verdict
from daemons.text import safe
from daemons.tmux import Seen, Unknown


@dataclass(frozen=True, slots=True)
class Findings:
    """What one cycle found: all that are registered, those of whom something can be said, and what it is."""

    registered: Entries
    entries: Entries
    verdicts: Mapping[str, Verdict]
    observation: Seen | Unknown
    used: Mapping[str, Used]
    mail: MailState | None


_Known = tuple[str, str, datetime, int, TreeUse | None]


class Detail:
    """The part of the status file that is about agents, tmux and the mailbox."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[_Known, Mapping[str, object]]] = {}

    def of(self, found: Findings) -> dict[str, object]:
        unread: Mapping[str, int] = found.mail.unread if found.mail else {}
        states = [verdict.state for verdict in found.verdicts.values()]
        self._told = {
            agent_id: self._one(agent_id, verdict, unread.get(agent_id, 0), found.used.get(agent_id))
            for agent_id, verdict in found.verdicts.items()
        }
        return {
            "tmux": _answer(found.observation),
            "counts": {state: states.count(state) for state in sorted(set(states))},
            "agents": {agent_id: told for agent_id, (_, told) in self._told.items()},
            "unregistered": _unregistered(found),
            "mailbox": _mail(found.mail),
        }

    def _one(
        self, agent_id: str, verdict: Verdict, unread: int, used: Used | None
    ) -> tuple[_Known, Mapping[str, object]]:
        known = (verdict.state, verdict.evidence, verdict.since, unread, used.tree if used else None)
        before = self._told.get(agent_id)
        return before if before and before[0] == known else (known, _told(verdict, unread, used))


def _told(verdict: Verdict, unread: int, used: Used | None) -> Mapping[str, object]:
    evidence = safe(verdict.evidence, one_line=True)
    told = {"state": verdict.state, "evidence": evidence, "since": clock.stamp(verdict.since)}
    return {**told, **({"unread": unread} if unread else {}), **({"usage": used.told()} if used else {})}


def _answer(observation: Seen | Unknown) -> dict[str, object]:
    if isinstance(observation, Seen):
        return {"answer": "seen", "server": observation.server, "panes": len(observation.panes)}
    return {"answer": observation.kind, "reason": observation.reason}


def _unregistered(found: Findings) -> list[str]:
    """Windows that were opened for agents of which the registry knows nothing (any more)."""
    panes = found.observation.panes if isinstance(found.observation, Seen) else ()
    strays = [pane for pane in panes if pane.agent and not pane.dead and pane.agent not in found.registered]
    return [safe(f"{pane.session}:{pane.window}", one_line=True) for pane in strays]


def _mail(mail: MailState | None) -> dict[str, int] | None:
    if mail is None:
        return None
    return {"messages": mail.messages, "unparsable": mail.unparsable_total, "undelivered": mail.undelivered}
