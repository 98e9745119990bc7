"""Bringing permanent agents back, after a reboot or a lost tmux server: what is to be done, and doing it.

    entry + one look at tmux ──▶ Step: open (its command, folder, environment), or why not ──▶ opened, one by one

Each is registered before the next is opened, and what runs is no step to do: called again, or after a kill half-way,
this does what is left. Who may still run, unseen, is left alone: two of one agent are worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from daemons import clock, files, processes, tmux
from daemons.agents import environments
from daemons.agents.opening import open_agent
from daemons.agents.sighting import Look, Sighting
from daemons.agents.trace import trace
from daemons.budget import Budget, Policy
from daemons.files import LockBusy, StorageError
from daemons.registry import Entry, Registry
from daemons.settings import Settings
from daemons.tmux import NameTaken, Seen, TmuxUnavailable, Unknown

Action = Literal["open", "runs", "stopped", "wait", "stuck"]
"""`stopped`: as it was meant. `wait`: its budget is spent. `stuck`: it should run, and can't be brought back."""

# One that ends again and again is not kept alive by calling this again and again. No pauses: a try that was killed
# before it opened anything must not keep the next one waiting.
_POLICY = Policy(first_pause_s=0.0, longest_pause_s=0.0, most_an_hour=5)
_LOCK_S = 1.0
# What a stop of the whole suite writes into `ended_by`: nobody wanted this agent gone for itself.
_WITH_THE_SUITE = "cmux stop"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with one permanent agent, and why. *environment*: the names of what it was given."""

    agent_id: str
    action: Action
    reason: str
    command: str | tuple[str, ...] | None
    cwd: str
    environment: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of *step*: *pid* of what was opened, or the *problem* that kept it from being."""

    step: Step
    pid: int | None = None
    problem: str | None = None


def plan(conf: Settings, registry: Registry) -> list[Step]:
    """A step for each permanent agent that ever had a window, by its id. Changes nothing. StorageError, LockBusy."""
    observation = tmux.observe(conf)
    look, planner = Look(conf, observation), _Planner(conf, observation)
    permanent = [
        (a, entry) for a, entry in sorted(registry.snapshot().agents.items()) if entry.get("permanent") is True
    ]
    seen = [(agent_id, entry, look.at(agent_id, entry)) for agent_id, entry in permanent]
    return [planner.step(*each) for each in seen if each[2].state != "unwatched"]


def recover(conf: Settings, registry: Registry, *, by: str = "system") -> Iterator[Done]:
    """Take the steps of the plan, and yield each as it is done. One at a time in a home: LockBusy, StorageError."""
    files.private_dir(conf.run_dir)
    with files.lock(conf.run_dir / "recover.lock", timeout_s=_LOCK_S):
        environments.forget_others(conf, registry.snapshot().agents)
        for step in plan(conf, registry):
            yield _opened(conf, registry, step, by) if step.action == "open" else Done(step)


def _opened(conf: Settings, registry: Registry, step: Step, by: str) -> Done:
    entry = registry.snapshot().agents.get(step.agent_id, {})
    budget = _budget(conf)
    budget.spend(step.agent_id, clock.now())
    try:
        opened = open_agent(
            conf,
            registry,
            step.agent_id,
            command=step.command,
            cwd=step.cwd,
            created_by=str(entry.get("created_by", "system")),
            environment=environments.kept(conf, step.agent_id),
            permanent=True,
            agent_type=str(entry.get("type", "worker")),
        )
    except (NameTaken, TmuxUnavailable, ValueError, StorageError, LockBusy) as cause:
        budget.give_back(step.agent_id)
        return Done(step, problem=str(cause))
    trace(conf, by, "agent.recovered", agent=step.agent_id, why=step.reason)
    return Done(step, pid=int(opened["pid"]))


def _budget(conf: Settings) -> Budget:
    return Budget(conf.state / "recoveries.json", _POLICY)


# -- what is to be done -----------------------------------------------------------------------------------------------


class _Planner:
    """Plans by one look at tmux, one folder and one budget."""

    def __init__(self, conf: Settings, observation: Seen | Unknown) -> None:
        self._conf = conf
        self._observation = observation
        self._budget = _budget(conf)
        self._now = clock.now()

    def step(self, agent_id: str, entry: Entry, sighting: Sighting) -> Step:
        environment = environments.kept(self._conf, agent_id)
        cwd = str(self._conf.home / str(entry.get("cwd", ".")))
        action, reason = _meant(entry, sighting, self._observation)
        if action == "open":
            action, reason = self._possible(agent_id, reason, _problem(entry, cwd, environment))
        return Step(agent_id, action, reason, _command(entry), cwd, tuple(sorted(environment or ())))

    def _possible(self, agent_id: str, reason: str, problem: str | None) -> tuple[Action, str]:
        if problem:
            return "stuck", problem
        if not self._budget.may(agent_id, self._now):
            again = self._budget.next_at(agent_id, self._now).astimezone()
            return "wait", f"it was brought back too often; again after {again:%H:%M:%S}"
        return "open", reason


def _meant(entry: Mapping[str, Any], sighting: Sighting, observation: Seen | Unknown) -> tuple[Action, str]:
    """Whether it should be opened, by what is meant and what is so."""
    pane = sighting.pane
    if sighting.state == "running":
        return "runs", sighting.evidence
    was_ended_with_the_suite = entry.get("ended_by") == _WITH_THE_SUITE
    if entry.get("expected") == "stopped" and not was_ended_with_the_suite:
        return "stopped", "it was stopped on purpose"
    if pane is not None and pane.dead_status == 0:
        return "stopped", sighting.evidence  # it did what it was for
    if isinstance(observation, Unknown) and (observation.kind != "no_server" or observation.lost_server):
        return "stuck", observation.reason
    return "open", "it was ended with the suite" if was_ended_with_the_suite else sighting.evidence


def _problem(entry: Mapping[str, Any], cwd: str, environment: Mapping[str, str] | None) -> str | None:
    """Why it can't be brought back as it was."""
    if not _is_ours(entry):
        return "its command is not known: it was not opened by `cmux agents new`"
    if environment is None:
        return "the environment that it was given can't be read"
    if not Path(cwd).is_dir():
        return f"its folder {cwd} is not there"
    pid, started = entry.get("pid"), entry.get("pid_started")
    process = processes.read(pid) if isinstance(pid, int) else None
    if process is not None and process.started == started and not process.ended:
        return f"its process, pid {pid}, still runs without a window: end that first"
    return None


def _is_ours(entry: Mapping[str, Any]) -> bool:
    # Without a command it runs the default shell, if it was us who opened its window.
    if "command" in entry:
        return _command(entry) is not None
    return "pane_id" in entry and "cwd" in entry and entry.get("adopted") is not True


def _command(entry: Mapping[str, Any]) -> str | tuple[str, ...] | None:
    command = entry.get("command")
    if isinstance(command, list):
        return tuple(map(str, command))
    return command if isinstance(command, str) else None
