"""How the suite is, as `status`, `why`, `wait` and `restart` tell it: what runs, what is not well, since when.

Asked of supervisord, of the status files, and of the API as a user would ask it. Nothing here waits for tmux, and
nothing changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal, TypeGuard, TypeVar

from daemons import asking, clock, heartbeat, loop, suite, supervisor
from daemons.asking import NoAnswer, Reply
from daemons.cli.screen import Sign
from daemons.files import LockBusy, StorageError
from daemons.loop import Status
from daemons.settings import Settings
from daemons.suite import Record
from daemons.supervisor import ProgramState

T = TypeVar("T")
Verdict = Literal["healthy", "degraded", "stopped"]

# The API's parts that are files all share: what it means when one of them has evidence, and what to do.
WORKS_AGAIN = "the rest works again by itself"
CURE = f"do what this line says; {WORKS_AGAIN}"
STORES = (
    ("agents", "the agents are unknown", CURE),
    ("alerts", "the open alerts are unknown", CURE),
    ("mailbox", "messages cannot be sent", CURE),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not well: what, since when as far as known, the evidence, what one can do.

    A *notice* is worth knowing, but what runs is well all the same.
    """

    sign: Sign
    what: str
    evidence: str
    todo: str
    since: datetime | None = None
    is_notice: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program: what supervisord says of it, and the last cycle that it completed."""

    name: str
    told: ProgramState
    status: Status | None
    current_code: str

    @property
    def is_up(self) -> bool:
        return self.told.state == "RUNNING"

    @property
    def own_status(self) -> Status | None:
        """The status file, if this very process wrote it."""
        return self.status if self.status and self.status.pid == self.told.pid else None

    @property
    def hangs(self) -> bool:
        status = self.own_status
        return self.is_up and status is not None and heartbeat.is_overdue(status)

    @property
    def is_outdated(self) -> bool:
        return self.own_status is not None and self.own_status.code != self.current_code

    @property
    def sign(self) -> Sign:
        if self.hangs or self.told.state in ("FATAL", "UNKNOWN"):
            return "bad"
        if self.is_up:
            return "degraded" if self.is_outdated else "ok"
        return "busy" if self.told.state in ("STARTING", "BACKOFF", "STOPPING") else "off"


@dataclass(frozen=True)
class Condition:
    """The suite of one home at one moment. *record* is None when nothing runs, as far as is known: see *unproven*."""

    conf: Settings
    now: datetime
    record: Record | None
    unproven: str = ""  # who is on supervisord's socket, without a record that says whose suite that is
    programs: tuple[Program, ...] = ()
    unreachable: str = ""
    health: Reply | None = None
    unanswered: str = ""

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(_findings(self)) if self.record else tuple(_about_the_unproven(self))

    @property
    def verdict(self) -> Verdict:
        if self.record is None and not self.unproven:
            return "stopped"
        return "healthy" if all(finding.is_notice for finding in self.findings) else "degraded"


def look(conf: Settings) -> Condition:
    """How the suite of this home is now. Within a few milliseconds when all is well, about 3 s when something hangs."""
    record = suite.running(conf)
    if record is None:
        from daemons.stop import answering  # 20 ms, and only for a home in which nothing seems to run

        return Condition(conf, clock.now(), None, answering.problem(conf))
    try:
        programs, unreachable = _programs(conf), ""
    except supervisor.SupervisorDown as down:
        programs, unreachable = (), str(down)
    try:
        health, unanswered = asking.get(conf, "/api/webhooks/health"), ""
    except NoAnswer as silence:
        health, unanswered = None, str(silence)
    return Condition(conf, clock.now(), record, "", programs, unreachable, health, unanswered)


def or_reason(read: Callable[[], T]) -> tuple[T | None, str | None]:
    """What *read* gives; or None, why it cannot be read and what to do, on one line."""
    try:
        return read(), None
    except (LockBusy, StorageError) as cause:
        return None, str(cause)


def _programs(conf: Settings) -> tuple[Program, ...]:
    current = loop.code_hash(conf.code)
    told = supervisor.Rpc(conf).processes()
    # Ours in their order, then the user's services.
    order = {name: index for index, name in enumerate(supervisor.PROGRAMS)}
    told.sort(key=lambda program: (order.get(program.name, len(order)), program.name))
    return tuple(Program(state.name, state, loop.read_status(conf, state.name), current) for state in told)


def told(condition: Condition) -> list[dict[str, object]]:
    """The findings, for a program."""
    return [
        {
            "what": finding.what,
            "evidence": finding.evidence,
            "todo": finding.todo,
            "since": clock.stamp(finding.since) if finding.since else None,
            "notice": finding.is_notice,
        }
        for finding in condition.findings
    ]


# -- what is not well -------------------------------------------------------------------------------------------------


def _findings(condition: Condition) -> Iterator[Finding]:
    if condition.unreachable:
        yield Finding("bad", "supervisord does not answer", condition.unreachable, "cmux restart")
    for program in condition.programs:
        yield from _about(program, condition.now)
    yield from _about_health(condition)
    yield from _about_code(condition.programs)


def _about_the_unproven(condition: Condition) -> Iterator[Finding]:
    if condition.unproven:
        what = "a supervisord runs here that is not known to be this suite's"
        yield Finding("bad", what, condition.unproven, "ask again in 10 s: a suite writes a lost record anew")


def _about(program: Program, now: datetime) -> Iterator[Finding]:
    told = program.told
    log = f"cmux logs {program.name}"
    if not program.is_up:
        stopped = datetime.fromtimestamp(told.stopped, UTC) if told.stopped else None
        evidence = told.problem or (f"exit code {told.exit_status}" if told.stopped else "it has not run yet")
        todo = log if told.state in ("STARTING", "BACKOFF") else f"cmux restart {program.name}; {log}"
        yield Finding(program.sign, f"{program.name} is {told.state.lower()}", evidence, todo, stopped)
    status = program.own_status
    if program.hangs and status:
        evidence = f"pid {told.pid}, cycle {status.cycle} was the last, one is due every {status.interval_s:g} s"
        since = now - timedelta(seconds=status.age_s)
        yield Finding("bad", f"{program.name} completes no cycles", evidence, f"cmux restart {program.name}", since)


def _about_code(programs: Sequence[Program]) -> Iterator[Finding]:
    outdated = [program.name for program in programs if program.is_outdated]
    if outdated:
        todo = f"cmux restart {outdated[0]}" if len(outdated) == 1 else "cmux restart"
        evidence = f"the code on the disk is another than what they run: {', '.join(outdated)}"
        yield Finding("degraded", "older code is running", evidence, todo, is_notice=True)


def _about_health(condition: Condition) -> Iterator[Finding]:
    if condition.health is None:
        yield Finding("bad", "the API does not answer", condition.unanswered, "cmux logs api")
        return
    body = condition.health.body
    if body.get("service") != "cmux":
        evidence = f"{condition.conf.host}:{condition.conf.port} answers, but says nothing of cmux"
        yield Finding("bad", "a stranger answers on our port", evidence, "cmux doctor")
    frontend = body.get("frontend")
    if isinstance(frontend, dict) and frontend.get("status") not in ("healthy", "absent"):
        yield _about_frontend(frontend)
    for name, what, todo in STORES:
        part = body.get(name)
        if isinstance(part, dict) and part.get("evidence"):
            yield Finding("degraded", what, str(part["evidence"]), todo)
    if _is_full(disk := body.get("disk")):
        yield Finding("bad", "the disk is full", str(disk.get("evidence")), "free some space; " + WORKS_AGAIN)
    if body.get("status") != "healthy" and not _is_explained(body):
        yield Finding("degraded", f"the API says {body.get('status')}", f"HTTP {condition.health.code}", "cmux health")


def _about_frontend(frontend: Mapping[str, Any]) -> Finding:
    why = frontend.get("reason") or frontend.get("evidence") or frontend.get("status")
    return Finding("degraded", f"the frontend is {frontend.get('status')}", str(why), "cmux logs health_checker")


def _is_explained(body: Mapping[str, Any]) -> bool:
    """Whether the findings before this one say already why the API is not content."""
    frontend = body.get("frontend")
    parts = [body.get(name) for name, _, _ in STORES]
    return (
        (isinstance(frontend, dict) and frontend.get("status") not in ("healthy", "absent"))
        or any(isinstance(part, dict) and part.get("evidence") for part in parts)
        or _is_full(body.get("disk"))
    )


def _is_full(disk: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(disk, dict) and disk.get("status") == "full"
