"""Whether every part of a suite that was just started is well, and which one is not, and why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemons import asking, clock, loop, processes, supervisor, text
from daemons.settings import Settings
from daemons.suite import Record
from daemons.supervisor import ProgramState, Rpc, SupervisorDown, SupervisorRefused

_LOOK_EVERY_S = 0.02
# A program that could not be kept up for so long will not be: its first pauses (1, 2, 3 s) are over.
_HOPELESS_AFTER_S = 6.0
_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the suite. *detail* is its pid while it is healthy, otherwise what is wrong, on one line.

    *fails*: it was tried and ended, so waiting alone will not help.
    """

    name: str
    healthy: bool
    detail: str
    fails: bool = False


class Waiting:
    """Looks at a running suite until it is healthy, or will not become so."""

    def __init__(self, conf: Settings, record: Record) -> None:
        self._conf = conf
        self._record = record
        self._rpc = Rpc(conf)
        self._failing_since: dict[str, float] = {}
        self._asked_to_start: set[str] = set()

    def until_healthy(self, deadline_s: float) -> tuple[tuple[Part, ...], str]:
        """All parts as they were seen last, and the problem in one line: empty when all of them are healthy."""
        while True:
            parts = self._look()
            problem = _problem(parts)
            if not problem or self._is_hopeless() or clock.monotonic() >= deadline_s:
                return parts, problem
            if not processes.is_alive(self._record.supervisord):
                return parts, self._gone()
            clock.pause(_LOOK_EVERY_S)

    def _look(self) -> tuple[Part, ...]:
        try:
            # Each question wakes supervisord, which else sleeps for its first second.
            found = self._rpc.processes()
        except (SupervisorDown, SupervisorRefused) as down:
            return (Part("supervisord", healthy=False, detail=str(down)),)
        parts = [self._program(program) for program in found]
        pids = {program.name: program.pid for program in found}
        if "api" in pids and all(part.healthy for part in parts):
            parts.append(self._served(pids["api"]))
        return (Part("supervisord", healthy=True, detail=f"pid {self._record.supervisord.pid}"), *parts)

    def _program(self, program: ProgramState) -> Part:
        self._start_again(program)
        problem = self._problem_of(program)
        if not problem:
            return Part(program.name, healthy=True, detail=f"pid {program.pid}" if program.pid else "not started")
        fails = program.state in ("BACKOFF", "FATAL") or program.name in self._failing_since
        if fails:
            self._failing_since.setdefault(program.name, clock.monotonic())
        return Part(program.name, healthy=False, detail=problem, fails=fails)

    def _start_again(self, program: ProgramState) -> None:
        # Once: what is stopped a second time meanwhile, somebody wants stopped.
        if program.state in ("STOPPED", "EXITED", "FATAL") and self._is_wanted(program.name):
            if program.name not in self._asked_to_start and program.started:
                self._rpc.start(program.name)
            self._asked_to_start.add(program.name)

    def _is_wanted(self, name: str) -> bool:
        optional = {f"service-{service.name}" for service in self._conf.services if not service.autostart}
        return name not in optional

    def _problem_of(self, program: ProgramState) -> str:
        if program.state in ("BACKOFF", "FATAL") or (
            program.state == "STARTING" and program.name in self._failing_since
        ):
            return f"fails to start: {_last_words(self._conf, program.name) or program.problem}"
        if program.name not in supervisor.PROGRAMS:
            wanted = self._is_wanted(program.name)
            return "" if program.state == "RUNNING" or not wanted else f"is {program.state.lower()}"
        if program.state not in ("STARTING", "RUNNING"):
            return f"is {program.state.lower()}"
        status = loop.read_status(self._conf, program.name)
        has_cycled = status is not None and status.pid == program.pid
        return "" if has_cycled else f"pid {program.pid} has not completed a cycle yet"

    def _served(self, api_pid: int) -> Part:
        """What a user's first request finds, and whether it was our API that answered."""
        try:
            reply = asking.get(self._conf, "/api/webhooks/health")
        except asking.NoAnswer as silence:
            return Part("health", healthy=False, detail=str(silence))
        inodes = [each.inode for each in processes.listeners(self._conf.port) if each.listening]
        if not any(processes.holders(inodes, [api_pid]).values()):
            return Part("health", healthy=False, detail=f"port {self._conf.port} is answered, but not by our API")
        return Part("health", healthy=reply.code == 200, detail=_said(reply))

    def _is_hopeless(self) -> bool:
        now = clock.monotonic()
        return any(now - since > _HOPELESS_AFTER_S for since in self._failing_since.values())

    def _gone(self) -> str:
        words = _last_line(self._conf.logs_dir / "supervisord.out")
        return f"supervisord ended: {words}" if words else "the suite was stopped meanwhile"


def _problem(parts: tuple[Part, ...]) -> str:
    """The first thing that is not well; what fails counts more than what is still on its way."""
    unwell = sorted((part for part in parts if not part.healthy), key=lambda part: not part.fails)
    return f"{unwell[0].name}: {unwell[0].detail}" if unwell else ""


def _said(reply: asking.Reply) -> str:
    """What the health answer says, and of the parts in it those that are not well."""
    words = [f"HTTP {reply.code} {reply.body.get('status')}", *_unwell(reply.body)]
    return text.safe(", ".join(words), one_line=True)


def _unwell(parts: Mapping[str, object]) -> Iterator[str]:
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            continue
        if "status" not in part:
            yield from _unwell(part)
        elif part["status"] not in ("healthy", "absent"):
            yield f"{name} is {part['status']}" + (f" ({part['evidence']})" if part.get("evidence") else "")


# -- last words -------------------------------------------------------------------------------------------------------


def _last_words(conf: Settings, program: str) -> str:
    """The last line that *program* logged, as a person reads it: an event with its reason, or the line itself."""
    line = _last_line(conf.logs_dir / f"{program}.log")
    try:
        told = json.loads(line)
        words = [str(told[key]) for key in ("event", "reason", "error") if key in told]
    except (ValueError, TypeError):
        return line
    return text.safe(": ".join(words), one_line=True)


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as lines:
            lines.seek(max(0, os.fstat(lines.fileno()).st_size - _TAIL_BYTES))
            written = lines.read().splitlines()
    except OSError:
        return ""
    last = written[-1].decode(errors="replace") if written else ""
    return text.mask(text.safe(last, one_line=True))
