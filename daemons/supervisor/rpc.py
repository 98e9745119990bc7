"""Asking a home's supervisord: XML-RPC over its unix socket.

supervisord's own client costs 60 ms of imports and `xmlrpc.client` 30 ms, on the way of every `cmux status`; what is
asked here needs five types and one round trip of 0.7 ms.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from daemons import clock
from daemons.settings import Settings
from daemons.supervisor.sockets import poke, socket_path

if TYPE_CHECKING:
    from xml.etree import ElementTree

State = Literal["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"]


class SupervisorDown(Exception):
    """supervisord could not be asked: it does not run, or does not answer. The text is one line."""


class SupervisorRefused(Exception):
    """supervisord answered with a fault. *code* is its number, the text its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What supervisord says of one program. Times are its wall clock's whole seconds, 0 for never."""

    name: str
    state: State
    pid: int
    started: int
    stopped: int
    now: int
    exit_status: int
    problem: str

    @property
    def up_s(self) -> int:
        """For how long it has been running; 0 when it is not."""
        return max(0, self.now - self.started) if self.pid else 0


Answer = str | int | bool | list["Answer"] | dict[str, "Answer"]

_ALREADY_STARTED = 60
_NOT_RUNNING = 70
_STILL_RUNNING = 91


class Rpc:
    """The supervisord of one home. Every call may raise SupervisorDown; a fault raises SupervisorRefused."""

    def __init__(self, conf: Settings, *, timeout_s: float = 3.0) -> None:
        self._socket = socket_path(conf)
        self._timeout_s = timeout_s

    def processes(self) -> list[ProgramState]:
        """All programs, in the order of their names."""
        rows = cast("list[dict[str, Answer]]", self._call("getAllProcessInfo"))
        return sorted((_program(row) for row in rows), key=lambda program: program.name)

    def is_shutting_down(self) -> bool:
        """Whether it has been told to end, so that nothing will be started any more."""
        state = cast("dict[str, Answer]", self._call("getState"))
        return state["statename"] != "RUNNING"

    def start(self, name: str) -> None:
        """Start a program, also out of FATAL; nothing when it runs. Does not wait for it."""
        self._call_unless(_ALREADY_STARTED, "startProcess", name, False)

    def stop(self, name: str, *, wait: bool = False) -> None:
        """Stop a program, and keep it from being restarted; nothing when it does not run."""
        self._call_unless(_NOT_RUNNING, "stopProcess", name, wait)

    def restart(self, name: str, *, within_s: float = 20.0) -> None:
        """Stop a program, wait until it has ended (SIGKILL after its stopwaitsecs), and start it again.

        SupervisorRefused when it has not ended in time; it stays stopped then.
        """
        self.stop(name)
        if not clock.wait_until(lambda: self._has_ended(name), within_s=within_s):
            raise SupervisorRefused(_STILL_RUNNING, f"{name} has not ended within {within_s:g} s, and stays stopped")
        self.start(name)

    def _has_ended(self, name: str) -> bool:
        return all(program.pid == 0 for program in self.processes() if program.name == name)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a program's leader. supervisord is its parent: it can't hit a reused pid."""
        self._call_unless(_NOT_RUNNING, "signalProcess", name, str(number))

    def stop_all(self) -> None:
        """Ask all programs to end, all at once. Does not wait for them."""
        self._call("stopAllProcesses", False)

    def shutdown(self) -> None:
        """Tell supervisord to end with all its programs."""
        self._call("shutdown")

    def poke(self) -> bool:
        """Wake supervisord: it sleeps up to 1 s before it starts programs or hears a signal. False: nobody there."""
        return poke(self._socket, self._timeout_s)

    def _call_unless(self, harmless: int, method: str, *params: str | bool) -> None:
        try:
            self._call(method, *params)
        except SupervisorRefused as fault:
            if fault.code != harmless:
                raise

    def _call(self, method: str, *params: str | bool) -> Answer:
        try:
            reply = _exchange(self._socket, _request(f"supervisor.{method}", params), self._timeout_s)
        except OSError as reason:
            raise SupervisorDown(f"supervisord does not answer on {self._socket}: {reason}") from None
        return _answer(reply)


def _program(row: dict[str, Answer]) -> ProgramState:
    return ProgramState(
        name=str(row["name"]),
        state=cast("State", row["statename"]),
        pid=cast("int", row["pid"]),
        started=cast("int", row["start"]),
        stopped=cast("int", row["stop"]),
        now=cast("int", row["now"]),
        exit_status=cast("int", row["exitstatus"]),
        problem=str(row["spawnerr"]),
    )


def _request(method: str, params: Sequence[str | bool]) -> bytes:
    from xml.etree import ElementTree  # 3 ms that a stop, which only pokes, does without

    call = ElementTree.Element("methodCall")
    ElementTree.SubElement(call, "methodName").text = method
    listed = ElementTree.SubElement(call, "params")
    for param in params:
        value = ElementTree.SubElement(ElementTree.SubElement(listed, "param"), "value")
        kind, text = ("boolean", f"{param:d}") if isinstance(param, bool) else ("string", param)
        ElementTree.SubElement(value, kind).text = text
    body = ElementTree.tostring(call)
    return b"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _exchange(path: Path, request: bytes, timeout_s: float) -> bytes:
    """Send *request*, and read until the other side closes, all of it within *timeout_s*. OSError otherwise."""
    deadline = clock.monotonic() + timeout_s
    pieces = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout_s)
        line.connect(os.fsencode(path))
        line.sendall(request)
        while piece := line.recv(1 << 16):
            pieces.append(piece)
            line.settimeout(max(0.001, deadline - clock.monotonic()))
    return b"".join(pieces)


def _answer(reply: bytes) -> Answer:
    head, _, body = reply.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise SupervisorDown(f"supervisord answered {head[:60]!r}; is another program on its socket?")
    from xml.etree import ElementTree

    document = ElementTree.fromstring(body)  # noqa: S314  # comes from our own supervisord, over a socket of mode 0600
    if (fault := document.find("fault/value")) is not None:
        told = cast("dict[str, Answer]", _decoded(fault))
        raise SupervisorRefused(cast("int", told["faultCode"]), str(told["faultString"]))
    value = document.find("params/param/value")
    return _decoded(value) if value is not None else ""


def _decoded(value: ElementTree.Element) -> Answer:
    inner = value[0] if len(value) else value
    match inner.tag:
        case "int" | "i4":
            return int(inner.text or 0)
        case "boolean":
            return inner.text == "1"
        case "array":
            return [_decoded(item) for item in inner.iterfind("data/value")]
        case "struct":
            return {member[0].text or "": _decoded(member[1]) for member in inner}
        case _:
            return inner.text or ""
