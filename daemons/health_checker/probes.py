"""Is a server healthy? Asked as a user would, and by whom it is answered is checked with the kernel.

    healthy   ours answers, and what it says is right       degraded  ours answers, and it is not
    foreign   somebody else's process has the port          frozen    takes connections, gives no whole answer
    refused   nobody listens                                unknown   could not look

A stranger that answers 200 is not healthy; neither is one that repeats our instance, which anybody can read.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from daemons import clock, processes, text
from daemons.health_checker import fetch
from daemons.health_checker.fetch import Answer, NoAnswer, Target
from daemons.health_checker.steadiness import Kind, Verdict
from daemons.health_checker.tail import Tail

WITHIN_S = 2.0
_SHOWN = 120

Judge = Callable[[Answer], Verdict]

_WITHOUT_ANSWER: dict[fetch.Why, Kind] = {
    "refused": "refused",
    "frozen": "frozen",
    "garbled": "degraded",
    "unknown": "unknown",
}


def http(target: Target, ours: frozenset[int] | None, judge: Judge, *, within_s: float = WITHIN_S) -> Verdict:
    """Ask *target*; *judge* says what the answer of one of *ours* (pids; None: nobody knows which) is worth."""
    try:
        answer = fetch.get(target, within_s=within_s)
    except NoAnswer as none:
        return _owned(target, ours, Verdict(_WITHOUT_ANSWER[none.why], str(none)), "gives no answer")
    return _owned(target, ours, judge(answer), f"answers {answer.status}")


def tcp(target: Target, ours: frozenset[int] | None, *, within_s: float = WITHIN_S) -> Verdict:
    """See whether one of *ours* takes connections at *target*. A server that hangs after that shows only by HTTP."""
    try:
        fetch.connect(target, within_s=within_s)
    except NoAnswer as none:
        return _owned(target, ours, Verdict(_WITHOUT_ANSWER[none.why], str(none)), "takes no connection")
    return _owned(target, ours, Verdict("healthy", f"takes connections at port {target.port}"), "takes connections")


def command(argv: Sequence[str], directory: Path, *, within_s: float = WITHIN_S) -> Verdict:
    """Run *argv* in *directory*, without a shell: exit code 0 is healthy. After *within_s* its tree is ended."""
    try:
        child = subprocess.Popen(
            argv,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as cause:
        return Verdict("unknown", f"its check {argv[0]} could not be run: {cause.strerror}")
    # Not `with child`, which waits for it: for ever, when the kernel doesn't let it go.
    with cast("IO[bytes]", child.stdout) as output:
        tail = Tail(output)
        ended = clock.wait_until(lambda: _has_ended(child, tail), within_s=within_s)
        if not ended:
            processes.end_tree([child.pid], grace_s=0.0, deadline_s=clock.monotonic() + 1.0)
            child.poll()
    said = _shown(tail.shown().strip())
    if not ended:
        return Verdict("frozen", f"its check has not ended within {within_s:g} s; it said {said!r}")
    if child.returncode == 0:
        return Verdict("healthy", "its check ends with 0")
    return Verdict("degraded", f"its check ends with {child.returncode} and says {said!r}")


def _has_ended(child: subprocess.Popen[bytes], tail: Tail) -> bool:
    tail.drain()
    return child.poll() is not None


def _owned(target: Target, ours: frozenset[int] | None, verdict: Verdict, does: str) -> Verdict:
    """*verdict*, if it is about one of ours."""
    if verdict.kind in ("refused", "unknown"):
        return verdict
    owner = owner_of(target, ours)
    if owner.is_ours:
        return Verdict("degraded", verdict.evidence) if verdict.kind == "foreign" else verdict
    if owner.kind == "foreign":
        return Verdict("foreign", f"{owner.evidence} holds port {target.port} and {does}; it is not ours")
    if verdict.kind == "healthy":
        return Verdict("unknown", f"{does}, but {owner.evidence}")
    return Verdict(verdict.kind, f"{verdict.evidence}; {owner.evidence}")


# -- what our API answers ---------------------------------------------------------------------------------------------


def api_judge(instance: str) -> Judge:
    """What the answer of the health call of the API of the suite *instance* is worth.

    503 is right when the suite is degraded for another reason than the API: the frontend, say.
    """

    def judge(answer: Answer) -> Verdict:
        told = _json_object(answer)
        if told is None or told.get("service") != "cmux":
            return Verdict("degraded", f"answers {answer.status} with {_shown(answer.body)!r}: no health of a suite")
        if told.get("instance") != instance:
            return Verdict("foreign", f"answers for the suite {_shown(told.get('instance'))}, not for {instance}")
        if answer.status not in (200, 503) or told.get("api") != "healthy":
            return Verdict("degraded", f"answers {answer.status}, and says of itself: {_shown(told.get('api'))}")
        return Verdict("healthy", f"answers {answer.status} for this suite")

    return judge


def service_judge(answer: Answer) -> Verdict:
    """What the answer of a user's service is worth: any 2xx is healthy. A redirect is not followed, so it is none."""
    if 200 <= answer.status < 300:
        return Verdict("healthy", f"answers {answer.status}")
    return Verdict("degraded", f"answers {answer.status} with {_shown(answer.body)!r}")


def _json_object(answer: Answer) -> dict[str, object] | None:
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _shown(found: object) -> str:
    words = text.decode(found) if isinstance(found, bytes) else str(found)
    shown = text.mask(text.safe(words, one_line=True))
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


# -- who listens ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose the listening socket is, and how we know."""

    kind: Literal["ours", "foreign", "nobody", "unknown"]
    evidence: str

    @property
    def is_ours(self) -> bool:
        return self.kind == "ours"


def owner_of(target: Target, ours: frozenset[int] | None) -> Owner:
    """Who would take a connection to *target*: all the sockets that listen there must be held by some of *ours*."""
    if ours is None:
        return Owner("unknown", "supervisord cannot be asked which process should listen")
    sockets = {found.inode: found for found in processes.listeners(target.port) if _takes(found, target)}
    if not sockets:
        return Owner("nobody", f"nobody listens on port {target.port} any more")
    held = processes.holders(sockets, ours)
    strange = [inode for inode in sockets if not held[inode]]
    if not strange:
        return Owner("ours", "held by the supervised process")
    who = sorted({pid for pids in processes.holders(strange).values() for pid in pids})
    if who:
        return Owner("foreign", ", ".join(processes.describe(pid) for pid in who[:3]))
    uid = sockets[strange[0]].uid
    return Owner("foreign", f"a process of {processes.user_name(uid)} that cannot be seen")


def _takes(found: processes.Listener, target: Target) -> bool:
    everywhere = found.address in ("0.0.0.0", "::")  # noqa: S104  # recognised, not bound
    return found.listening and (everywhere or found.address.removeprefix("::ffff:") in target.addresses)
