"""The programs under supervisord, each with the question that shows whether it works, and what to make of the answer.

api          its health call, asked like a user         listener    its heartbeat: it watches ours, we watch its
service-…    its health URL, its check, or its port
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from daemons import heartbeat, loop, processes, suite
from daemons.budget import Budget
from daemons.health_checker import fetch, probes
from daemons.health_checker.alarms import Condition
from daemons.health_checker.fetch import Target
from daemons.health_checker.notes import Notes
from daemons.health_checker.restarts import Restarts
from daemons.health_checker.steadiness import Track, Verdict
from daemons.settings import Service, Settings, SettingsError
from daemons.supervisor import ProgramState, Rpc, SupervisorDown, SupervisorRefused

HEALTH_PATH = "/api/webhooks/health"
API_GRACE_S = 10.0
SERVICE_GRACE_S = 30.0
FIRST_HEARTBEAT_S = 30.0
GIVEN_UP_AFTER = 3
LISTENER = "listener"
_AT_ONCE = 8

Pids = frozenset[int]
Question = Callable[[Pids | None, ProgramState | None], Verdict]
_MENDED_BY_RESTART = ("frozen", "degraded", "refused")
_WORDS = {"frozen": "does not answer", "degraded": "answers wrong", "refused": "does not listen"}


@dataclass(slots=True)
class Watched:
    """One program: how to ask it, how long it may take to start, and what was seen."""

    name: str
    about: str
    ask: Question
    grace_s: float
    track: Track = field(default_factory=Track)
    proven_pid: int | None = None
    """The process that has answered well once: it has started, and is given no more time for that."""
    restarted_for: Verdict | None = None
    """Why it was restarted, until it is healthy again: what was done about it doesn't make it known to anybody."""


class Programs:
    """All of them. `look` once an interval, then `detail` and `conditions`."""

    def __init__(self, conf: Settings, budget: Budget, notes: Notes) -> None:
        self._conf = conf
        self._suite_id = suite.suite_id(conf)
        self._rpc = Rpc(conf)
        self._budget = budget
        self._restarts = Restarts(conf, self._rpc, budget, notes)
        self._states: Mapping[str, ProgramState] | None = None
        self._trees: Mapping[str, Pids] = {}
        self._watched = [self._api(), self._listener(), *(self._service(service) for service in conf.services)]

    def look(self, now: datetime) -> None:
        """Ask all at once, then have restarted what enough looks agree is broken."""
        self._states = self._supervised()
        if self._states is not None:
            self._restarts.pursue(self._states)  # before anything new is asked for: these states know nothing of that
        answers = self._answers()
        for watched in self._watched:
            self._take_in(watched, answers[watched.name], now)

    @property
    def trees(self) -> Mapping[str, Pids]:
        """The processes of every program that runs, its own and what they started, as of the last look."""
        return self._trees

    @property
    def is_unsteady(self) -> bool:
        """Whether the next look should come soon: something has just changed, or is being restarted."""
        return any(not w.track.is_steady or self._restarts.is_owed(w.name) for w in self._watched)

    @property
    def overdue_in_s(self) -> float:
        """When the listener's heartbeat will be overdue, if none comes: time for a look then."""
        status = loop.read_status(self._conf, LISTENER)
        left_s = heartbeat.look_in_s(status) if status else 0.0
        return left_s if left_s > 0 else float("inf")

    @property
    def api_is_healthy(self) -> bool:
        return next(w for w in self._watched if w.name == "api").track.verdict.kind == "healthy"

    def detail(self) -> dict[str, object]:
        """For the status file."""
        told = {watched.about: watched.track.detail() for watched in self._watched}
        services = {service.name: told.pop(f"service {service.name}") for service in self._conf.services}
        return {**told, "services": services}

    def conditions(self) -> list[Condition]:
        return [condition for watched in self._watched for condition in self._condition(watched)]

    def unsure(self) -> set[str]:
        """What can't be judged now, so that nothing told of it is taken back."""
        return {w.about for w in self._watched if w.track.believed.kind == "unknown" or self._is_left_to_supervisord(w)}

    # -- what there is to ask -----------------------------------------------------------------------------------------

    def _api(self) -> Watched:
        target = Target(fetch.reachable(self._conf.host), self._conf.port, HEALTH_PATH)
        judge = probes.api_judge(self._suite_id)
        return Watched("api", "api", lambda ours, _: probes.http(target, ours, judge), API_GRACE_S)

    def _service(self, service: Service) -> Watched:
        return Watched(f"service-{service.name}", f"service {service.name}", _question(service), SERVICE_GRACE_S)

    def _listener(self) -> Watched:
        # Two missed cycles are several looks already, so the second look is believed.
        track = Track(needed=2, looks=2)
        return Watched(LISTENER, LISTENER, lambda _, state: self._heartbeat(state), FIRST_HEARTBEAT_S, track)

    def _heartbeat(self, state: ProgramState | None) -> Verdict:
        if state is None or state.state != "RUNNING":
            return Verdict("unknown", "does not run under supervisord")
        status = loop.read_status(self._conf, LISTENER)
        if status is None or status.pid != state.pid:
            return Verdict("frozen", f"has completed no cycle in the {state.up_s} s since it was started")
        if heartbeat.is_overdue(status):
            allowed = f"{heartbeat.allowed_s(status):.0f} s are allowed"
            return Verdict("frozen", f"completed its last cycle {status.age_s:.0f} s ago; {allowed}")
        return Verdict("healthy", "completes its cycles")

    # -- asking -------------------------------------------------------------------------------------------------------

    def _supervised(self) -> Mapping[str, ProgramState] | None:
        try:
            return {program.name: program for program in self._rpc.processes()}
        except (SupervisorDown, SupervisorRefused):
            return None

    def _answers(self) -> dict[str, Verdict]:
        looked = processes.table()
        running = [state for state in (self._states or {}).values() if state.pid]
        self._trees = {state.name: frozenset(processes.tree([state.pid], looked)) for state in running}
        marked = None if self._states is not None else frozenset(processes.marked(self._suite_id, looked))
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="probe") as pool:
            asked = {w.name: pool.submit(self._answer, w, marked) for w in self._watched}
        return {name: answer.result() for name, answer in asked.items()}

    def _answer(self, watched: Watched, marked: Pids | None) -> Verdict:
        state = self._state(watched)
        if state and state.state == "STOPPED":
            return Verdict("unknown", "is being restarted" if self._restarts.is_owed(watched.name) else "is stopped")
        # Without supervisord the marker says whose a process is.
        ours = marked if state is None else self._trees.get(state.name, frozenset())
        try:
            verdict = watched.ask(ours, state)
        except OSError as cause:
            return Verdict("unknown", f"could not look: {cause}")
        starts = state is not None and state.up_s < watched.grace_s and state.pid != watched.proven_pid
        if state and starts and verdict.kind in _MENDED_BY_RESTART:
            return Verdict("unknown", f"started {state.up_s} s ago; {verdict.evidence}")
        return verdict

    # -- what follows -------------------------------------------------------------------------------------------------

    def _take_in(self, watched: Watched, verdict: Verdict, now: datetime) -> None:
        watched.track.see(verdict, now)
        believed = watched.track.believed
        state = self._state(watched)
        if state and verdict.kind == "healthy":
            watched.proven_pid = state.pid
        if believed.kind == "healthy":
            watched.restarted_for = None
            self._settle_budget(watched, now)
            return
        fails = watched.track.is_steady and believed.kind in _MENDED_BY_RESTART
        if state and state.state == "RUNNING" and fails and self._restarts.ask(state, believed, now):
            watched.restarted_for = believed
            watched.track.start_anew()

    def _state(self, watched: Watched) -> ProgramState | None:
        return self._states.get(watched.name) if self._states is not None else None

    def _settle_budget(self, watched: Watched, now: datetime) -> None:
        """A restart has helped once the program has been healthy for as long as the pause after it."""
        since = watched.track.since
        if self._budget.failures(watched.name) and since and self._budget.may(watched.name, now):
            self._budget.succeeded(watched.name)

    def _condition(self, watched: Watched) -> list[Condition]:
        believed = watched.track.believed
        wrong = watched.restarted_for if believed.kind == "unknown" else believed
        if wrong is None or wrong.kind in ("healthy", "unknown") or self._is_left_to_supervisord(watched):
            return []
        # Who a stranger is must be read at once; what a server says is a stranger's text, and stands in the body.
        words = _WORDS.get(wrong.kind, wrong.evidence)
        tries = self._budget.failures(watched.name)
        if tries >= GIVEN_UP_AFTER:
            headline = f"{watched.about} {words}, and {tries} restarts have not helped"
            return [Condition(watched.about, "given_up", headline, f"{wrong.evidence}; it is tried more rarely now")]
        done = ", and is restarted" if watched.restarted_for else ""
        return [Condition(watched.about, wrong.kind, f"{watched.about}: {words}{done}", wrong.evidence)]

    def _is_left_to_supervisord(self, watched: Watched) -> bool:
        """A program that does not run is the listener's to tell about, unless it is us who stopped it."""
        state = self._state(watched)
        stands_still = state is not None and state.state != "RUNNING"
        return stands_still and not watched.restarted_for and watched.track.believed.kind != "foreign"


def _question(service: Service) -> Question:
    if service.health_url:
        target = _target(service)
        return lambda ours, _: probes.http(target, ours, probes.service_judge)
    if service.check:
        argv = service.check
        return lambda _, state: probes.command(argv, service.directory) if _is_up(state) else _runs(state)
    if service.port:
        target = Target("localhost", service.port)
        return lambda ours, _: probes.tcp(target, ours)
    return lambda _, state: _runs(state)


def _target(service: Service) -> Target:
    try:
        return Target.parse(service.health_url or "")
    except ValueError as wrong:
        raise SettingsError(f"health = {service.health_url} of [service:{service.name}]: {wrong}") from None


def _is_up(state: ProgramState | None) -> bool:
    """Whether there is anything for a check to ask; None: nobody knows, so it is asked."""
    return state is None or state.state == "RUNNING"


def _runs(state: ProgramState | None) -> Verdict:
    """All that can be said of a service with neither port nor URL."""
    if state is None:
        return Verdict("unknown", "supervisord cannot be asked")
    if state.state == "RUNNING":
        return Verdict("healthy", "runs")
    return Verdict("unknown", f"is {state.state} for supervisord")
