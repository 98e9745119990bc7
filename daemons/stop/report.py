"""What a stop found and did: for a person a line a process, for a program the same as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Outcome = Literal["stopped", "already stopped", "would stop", "not proven"]

DONE, FAILED, PARTLY = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Stopped:
    """One process of ours. *signals* in the order they were sent; *after_s* None: still there, *left* says why."""

    pid: int
    user: str
    command: str
    why: str
    signals: tuple[str, ...]
    after_s: float | None
    left: str

    @property
    def gone(self) -> bool:
        return self.after_s is not None

    def line(self) -> str:
        """`pid 12 (root) python -m daemons.api - program api: SIGTERM, gone after 0.04 s`."""
        return f"{self._name()} - {self.why}: {self._fate()}"

    def _name(self) -> str:
        return f"pid {self.pid} ({self.user}) {self.command}"

    def _fate(self) -> str:
        signals = ", ".join(name for name in self.signals if name != "SIGCONT") or "no signal"
        if self.after_s is None:
            return f"STILL THERE after {signals}: {self.left}" if self.left else "would end"
        return f"{signals}, gone after {self.after_s:.2f} s"


@dataclass(frozen=True, slots=True)
class Window:
    """A tmux session, window or pane of ours. *kind* says which; *left* is why it is still there, or empty."""

    kind: Literal["session", "window", "pane"]
    name: str
    id: str
    why: str
    left: str


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the suite. *free*: servers can take it, on IPv4 and IPv6."""

    port: int
    free: bool


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody else on a port of ours. *pid* is None where it is hidden from us; *advice* is what to do."""

    port: int
    address: str
    pid: int | None
    user: str
    command: str
    advice: str

    def line(self) -> str:
        who = f"pid {self.pid or '?'} ({self.user}) {self.command}"
        return f"port {self.port} on {self.address} is held by {who}: {self.advice}"


@dataclass(frozen=True, slots=True)
class Report:
    """How a stop went.

    *problems* are lines that say what else keeps it from being proven; *notes* what else is worth knowing. *unknown*:
    tmux could not be asked, so that windows of ours may be left. *inside*: the caller ran in a window of the suite,
    which is gone now. *joined*: another stop did it, and this is its report.
    """

    outcome: Outcome
    at: str
    took_s: float
    processes: tuple[Stopped, ...] = ()
    windows: tuple[Window, ...] = ()
    ports: tuple[Port, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: bool = False
    inside: bool = False
    joined: bool = False

    @property
    def proven(self) -> bool:
        """A last look found no process and no window of ours, no supervisord answering, and every port can be taken."""
        return self.outcome in ("stopped", "already stopped")

    @property
    def problem(self) -> str:
        """Why it is not proven, on one line; empty when it is."""
        return "; ".join(self.wrong)

    @property
    def exit_code(self) -> int:
        """0 proven, or only looked. 3 all that could be seen has gone, but tmux could not be asked. 1 otherwise."""
        if self.proven or self.outcome == "would stop":
            return DONE
        return PARTLY if self.unknown and len(self.wrong) == 1 else FAILED

    @property
    def wrong(self) -> tuple[str, ...]:
        """What keeps it from being proven, a line each."""
        named = {each.port for each in self.foreign}
        return (
            *(each.line() for each in self.processes if not each.gone and each.left),
            *(f"tmux {each.kind} {each.name} is still there: {each.left}" for each in self.windows if each.left),
            *(each.line() for each in self.foreign),
            *(f"port {each.port} {_TAKEN}" for each in self.ports if not each.free and each.port not in named),
            *self.problems,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data; `from_json` reads it."""
        return {**asdict(self), "proven": self.proven, "problem": self.problem, "exit_code": self.exit_code}

    @classmethod
    def from_json(cls, raw: bytes) -> Report:
        """The report that was written down. ValueError when it is none."""
        try:
            told = json.loads(raw)
            known = {field.name: told[field.name] for field in fields(cls)}
            kinds = {"processes": Stopped, "windows": Window, "ports": Port, "foreign": Foreign}
            for name, kind in kinds.items():
                known[name] = tuple(kind(**_tuples(each)) for each in known[name])
            return cls(**_tuples(known))
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"no report of a stop: {wrong}") from None


def _tuples(told: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


_TAKEN = "cannot be taken: a connection was made from it, or a socket that is hidden from you is bound to it"
