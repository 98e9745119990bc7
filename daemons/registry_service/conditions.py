"""What the service's findings mean to people: which alert, in which words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from daemons import clock, processes
from daemons.registry import Trouble
from daemons.registry_service.mail import MailState
from daemons.registry_service.telling import Condition, Wanted
from daemons.registry_service.verdicts import ABSENT, Entries, Verdict
from daemons.settings import Settings
from daemons.text import safe
from daemons.tmux import Pane, Seen, Unknown

# A server that is being started anew, or is busy for a moment, is no incident.
_UNKNOWN_TOLD_AFTER_CYCLES = 3
_TROUBLE_OPEN_S = 86400.0

AGENT_MISSING = "agent-missing"
AGENT_STALE = "agent-stale"
TMUX = "tmux-unknown"
REGISTRY = "registry-trouble"
MAIL_LINE = "mailbox-unparsable"


def of_agents(entries: Entries, verdicts: Mapping[str, Verdict], last_words: Callable[[Pane | None], str]) -> Wanted:
    """Who is missing or stale. *last_words*: what the pane of one whose command has ended showed last."""
    wanted = Wanted()
    for agent_id, verdict in verdicts.items():
        missing, stale = f"{AGENT_MISSING}:{agent_id}", f"{AGENT_STALE}:{agent_id}"
        if verdict.state in ABSENT:
            wanted.conditions.append(_missing(missing, agent_id, entries[agent_id], verdict, last_words))
        elif verdict.state == "stale":
            wanted.conditions.append(_stale(stale, agent_id, verdict))
        elif verdict.state in ("unknown", "settling"):
            wanted.held |= {missing, stale}
        wanted.over[missing] = "stopped on purpose" if verdict.state == "stopped" else "there again"
        wanted.over[stale] = "heard of again"
    return wanted


def of_others(wanted: Wanted, told: Iterable[str], registered: Entries, verdicts: Mapping[str, Verdict]) -> None:
    """Alerts on agents without a verdict: those that registered just now wait; those of the unregistered are over,
    without alarm: someone, or the grace time, removed them."""
    for key in told:
        kind, _, agent_id = key.partition(":")
        if kind not in (AGENT_MISSING, AGENT_STALE) or agent_id in verdicts:
            continue
        if agent_id in registered:
            wanted.held.add(key)
        else:
            wanted.over[key] = "no longer registered"


def _missing(
    key: str,
    agent_id: str,
    entry: Mapping[str, Any],
    verdict: Verdict,
    last_words: Callable[[Pane | None], str],
) -> Condition:
    def evidence() -> str:
        place = f"{entry.get('session')}:{entry.get('window')}, pane {entry.get('pane_id')}, pid {entry.get('pid')}"
        facts = [f"Agent: {agent_id}", f"Found: {verdict.evidence}"]
        facts += [f"Last place: {place}", f"Command: {_command(entry)}"] if where else []
        facts.append(f"Folder: {entry.get('cwd')}")
        words = last_words(verdict.pane) if verdict.state == "exited" else ""
        return _joined([*facts, *(["", "The last lines in its window:", words] if words else [])])

    # The line that its readers know; how a command ended is added where it is known.
    where = " from tmux" if "pane_id" in entry or "window" in entry else ""
    how = f": {verdict.evidence}" if verdict.state == "exited" or not where else ""
    headline = f"[ALERT] Registered agent '{agent_id}' missing{where}{how}"
    return Condition(key, AGENT_MISSING, agent_id, headline, evidence)


def _stale(key: str, agent_id: str, verdict: Verdict) -> Condition:
    headline = f"[ALERT] Agent '{agent_id}' is stale: {verdict.evidence}"
    facts = [f"Agent: {agent_id}", f"Found: {verdict.evidence}"]
    return Condition(key, AGENT_STALE, agent_id, headline, lambda: _joined(facts))


def of_tmux(
    wanted: Wanted,
    told: Collection[str],
    conf: Settings,
    entries: Entries,
    verdicts: Mapping[str, Verdict],
    observation: Seen | Unknown,
) -> None:
    """The one incident for all agents of whom nothing can be known, once that has lasted."""
    wanted.over[TMUX] = "it answers again, and all its agents are known"
    unknown = {agent_id: verdict for agent_id, verdict in verdicts.items() if verdict.state == "unknown"}
    if not unknown:
        return
    longest_s = clock.monotonic() - min(verdict.since_mono for verdict in unknown.values())
    if longest_s >= _UNKNOWN_TOLD_AFTER_CYCLES * conf.agents_interval_s:
        wanted.conditions.append(_incident(entries, unknown, observation))
    elif TMUX in told:
        wanted.held.add(TMUX)  # after a restart: it lasts, but not yet by our own clock


def _incident(entries: Entries, unknown: Mapping[str, Verdict], observation: Seen | Unknown) -> Condition:
    since = min(verdict.since for verdict in unknown.values())
    count = "1 agent" if len(unknown) == 1 else f"{len(unknown)} agents"
    headline = f"[ALERT] {_what(observation)} since {since:%H:%M:%S} UTC: {count} unknown"
    reason = next(iter(unknown.values())).evidence if isinstance(observation, Seen) else observation.reason

    def evidence() -> str:
        return _joined(
            [
                f"What is so: {reason}",
                "Nothing is known about these agents, so none counts as missing and none is removed:",
                *(f"- {agent_id}: {_process(entries[agent_id])}" for agent_id in unknown),
                "What will not come back: `cmux recover` opens permanent ones anew, `cmux agents rm NAME` forgets one.",
            ]
        )

    return Condition(TMUX, TMUX, "tmux", headline, evidence)


def _what(observation: Seen | Unknown) -> str:
    if isinstance(observation, Seen):
        return "tmux server replaced by another"
    if observation.lost_server:
        return f"tmux server not reachable (its socket was removed, pid {observation.lost_server} lives)"
    return {
        "absent": "tmux not installed",
        "no_server": "tmux server gone",
        "timeout": "tmux server not answering",
        "denied": "tmux server not open to us",
        "failed": "tmux failing",
    }[observation.kind]


def _process(entry: Mapping[str, Any]) -> str:
    """Whether the process that ran in its pane still does: a fact that needs no tmux."""
    pid, started = entry.get("pid"), entry.get("pid_started")
    if not isinstance(pid, int) or not isinstance(started, int):
        return "its process is not known"
    process = processes.read(pid)
    runs = process is not None and process.started == started and not process.ended
    return f"its process, pid {pid}, {'still runs' if runs else 'has ended'}"


def of_registry(wanted: Wanted, troubles: Iterable[Trouble], now: datetime) -> None:
    """What happened to the registry's file: open for a day, each told once."""
    wanted.conditions += [_trouble(each) for each in troubles if _age_s(each, now) < _TROUBLE_OPEN_S]


def _trouble(trouble: Trouble) -> Condition:
    restored = "1 agent" if trouble.agents == 1 else f"{trouble.agents} agents"
    what = {
        "quarantined": f"was no registry; its last good copy was restored, {restored}",
        "missing": f"was gone; its last good copy was restored, {restored}",
        "twice": "held an agent twice; the last one counts",
    }[trouble.kind]
    kept = f"Kept as: {trouble.kept}" if trouble.kept else "Nothing was left to keep."
    facts = [f"When: {trouble.at}", f"Why: {trouble.reason}", kept]
    headline = f"[ALERT] agent_registry.json {what}"
    return Condition(f"{REGISTRY}:{trouble.key}", REGISTRY, "agent_registry.json", headline, lambda: _joined(facts))


def _age_s(trouble: Trouble, now: datetime) -> float:
    try:
        return (now - clock.parse_stamp(trouble.at)).total_seconds()
    except ValueError:
        return 0.0


def of_mailbox(wanted: Wanted, told: Iterable[str], mail: MailState | None) -> None:
    """Lines of the mailbox that are no messages: kept, skipped by every reader, told. Held while it can't be read."""
    lines = {key for key in told if key.startswith(f"{MAIL_LINE}:")}
    if mail is None:
        wanted.held |= lines
        return
    wanted.over |= dict.fromkeys(lines, "it is in the archive now, or was removed")
    wanted.conditions += [_unreadable(mail.file, number) for number in mail.unparsable]


def _unreadable(file: int, number: int) -> Condition:
    headline = f"[ALERT] mailbox: line {number} cannot be read as a message"
    evidence = f"Line {number} of the mailbox is no message. It is kept, and every reader skips it."
    key = f"{MAIL_LINE}:{file}:{number}"
    return Condition(key, MAIL_LINE, f"mailbox line {number}", headline, lambda: evidence)


def _command(entry: Mapping[str, Any]) -> str:
    command = entry.get("command")
    return " ".join(map(str, command)) if isinstance(command, list) else str(command or "the default shell")


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(safe(line) for line in lines)
