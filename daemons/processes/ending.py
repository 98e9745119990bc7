"""Ending processes so that none is left, and none is hit that isn't meant.

    SIGTERM and SIGCONT -> wait on the handles -> SIGTERM again to newborns -> look again: who is new, is asked too
      -> out of patience: SIGSTOP, look, SIGSTOP … until nobody is new, then SIGKILL -> look again, until nobody is left

Waits on events, never sleeps. A stopped process needs SIGCONT to hear SIGTERM; one that was forked a moment ago still
has its parent's handlers and loses the signal at exec; one killed while its guard runs comes back, hence the freezing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from signal import Signals

from daemons import clock
from daemons.processes import proc
from daemons.processes.cases import Case, is_in, what_a_shell_obeys, why_left
from daemons.processes.handles import Handle, wait_any
from daemons.processes.identity import Identity

# A process younger than this may lose its SIGTERM to a handler of its parent's, between fork and exec: it gets another.
NEWBORN_S = 1.0
REMIND_AFTER_S = 0.3
# What a leader left behind when it went: it would have waited for workers that still had something to do.
LEFT_BEHIND_S = 1.0
LOOK_EVERY_S = 0.5
_SETTLE_S = 0.05
_FREEZE_ROUNDS = 100
_PATIENT_ROUNDS = 2
_NUDGE_EVERY_S = 0.01
# The last of the time is for killing, however long the grace is.
_KILL_BEFORE_DEADLINE_S = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one process. *after_s* counts from the first signal; None: it is still there, *left* says why."""

    identity: Identity
    signals: tuple[str, ...]
    after_s: float | None
    left: str

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def gone(self) -> bool:
        return self.after_s is not None


Look = Callable[[Collection[int]], Iterable[Handle]]
"""Looks again: handles on what belongs to it and is not among the pids that are held already."""


def nobody_else(_held: Collection[int]) -> Iterable[Handle]:
    """The look of one who knows that there can be no others."""
    return ()


def end(
    held: Iterable[Handle],
    *,
    grace_s: float,
    deadline_s: float,
    again: Look = nobody_else,
    wardens: Collection[int] = (),
    nudge: Callable[[], bool] | None = None,
) -> tuple[Ended, ...]:
    """End the processes of *held*, and whatever *again* finds meanwhile. Closes all handles.

    1. SIGTERM and SIGCONT to all at once, in the order of *held*. An interactive shell ignores SIGTERM and gets SIGHUP.
    2. Up to *grace_s*; what a leader left behind gets LEFT_BEHIND_S. Nothing is waited for that may not be signalled.
    3. All that is left is frozen until nobody is new, then killed. Until *again* finds nobody, or *deadline_s* (on the
       monotonic clock) has come.

    *wardens* may go before those below them without hurrying these. *nudge* is called every 10 ms until it says False.
    """
    ending = _Ending(grace_s, deadline_s, again, frozenset(wardens), nudge)
    try:
        ending.run(held)
        return ending.outcome()
    finally:
        ending.close()


class _Ending:
    def __init__(
        self,
        grace_s: float,
        deadline_s: float,
        again: Look,
        wardens: frozenset[int],
        nudge: Callable[[], bool] | None,
    ) -> None:
        self._deadline = deadline_s
        self._again = again
        self._wardens = wardens
        self._nudge = nudge
        self._cases: dict[int, Case] = {}
        self._past: list[Case] = []
        now = clock.monotonic()
        self._kill_at = min(now + grace_s, max(now, deadline_s - _KILL_BEFORE_DEADLINE_S))
        self._look_at = now + REMIND_AFTER_S
        self._killed = 0
        self._came_back = 0  # how often all had gone, and yet there was somebody

    def run(self, held: Iterable[Handle]) -> None:
        self._ask(held)
        while clock.monotonic() < self._deadline:
            if not self._living():
                if not self._look():
                    return
                self._came_back += 1
            self._wait()
            now = clock.monotonic()
            if now >= self._look_at:
                self._remind()
                self._look()
            ripe = [case for case in self._living() if now >= case.kill_at]
            if ripe:
                self._kill(ripe)

    # -- asking

    def _ask(self, held: Iterable[Handle]) -> list[Case]:
        now = clock.monotonic()
        asked = [self._case(handle, now) for handle in held]
        for case in asked:
            self._add(case)
            if case.handle.frozen:
                continue
            # CONT comes last: a stopped process must find the others pending, or it runs on in between.
            case.send(Signals.SIGTERM, *what_a_shell_obeys(case.handle), Signals.SIGCONT)
        return asked

    def _case(self, handle: Handle, now: float) -> Case:
        # One that comes late, from a fork meanwhile, gets a moment to go by itself; not when others came late before.
        moment_s = REMIND_AFTER_S if self._killed < _PATIENT_ROUNDS else 0.0
        is_on_the_run = handle.frozen or self._came_back >= _PATIENT_ROUNDS
        is_newborn = handle.process.age_s < NEWBORN_S
        return Case(
            handle=handle,
            asked_at=now,
            kill_at=now if is_on_the_run else max(self._kill_at, min(now + moment_s, self._deadline)),
            catches_term=is_in("SigCgt", Signals.SIGTERM, handle.pid),
            before_exec=proc.command_line(handle.pid) if is_newborn else None,
        )

    def _add(self, case: Case) -> None:
        if before := self._cases.get(case.handle.pid):
            self._past.append(before)  # ended and reaped, and its pid given again
        self._cases[case.handle.pid] = case

    def _remind(self) -> None:
        for case in self._living():
            if case.before_exec is not None and case.before_exec != proc.command_line(case.handle.pid):
                case.before_exec = None
                case.send(Signals.SIGTERM, Signals.SIGCONT)

    def _look(self) -> list[Case]:
        self._look_at = clock.monotonic() + LOOK_EVERY_S
        return self._ask(self._again(self._held()))

    def _held(self) -> set[int]:
        """Pids that cannot mean anybody else: held, and not seen to have ended."""
        return {pid for pid, case in self._cases.items() if case.ended_at is None}

    # -- waiting

    def _living(self) -> list[Case]:
        return [case for case in self._cases.values() if case.ended_at is None and not case.denied]

    def _wait(self) -> None:
        living = self._living()
        if not living:
            return
        now = clock.monotonic()
        until = min(self._look_at, self._deadline, *(case.kill_at for case in living))
        timeout_s = max(0.0, until - now)
        if self._nudge and self._nudge():
            timeout_s = min(timeout_s, _NUDGE_EVERY_S)
        if wait_any([case.handle for case in living], timeout_s):
            self._note_ends(living)

    def _note_ends(self, living: Iterable[Case]) -> None:
        now = clock.monotonic()
        for case in living:
            case.see(now)
        for case in self._living():
            leader = self._cases.get(case.handle.process.ppid)
            if leader and leader.ended_at is not None and self._hurries(leader, case):
                case.kill_at = min(case.kill_at, max(leader.ended_at, case.asked_at) + LEFT_BEHIND_S)

    def _hurries(self, leader: Case, left: Case) -> bool:
        """Whether *leader*'s end means that *left* has nothing more to do.

        A shell around a server dies of SIGTERM without waiting for it: that says nothing about a server that has
        heard the signal itself and is at work on it.
        """
        return leader.handle.pid not in self._wardens and (leader.catches_term or not left.catches_term)

    # -- killing

    def _kill(self, ripe: list[Case]) -> None:
        self._killed += 1
        frozen: list[Case] = []
        for _ in range(_FREEZE_ROUNDS):
            for case in ripe:
                case.send(Signals.SIGSTOP)
            frozen += ripe
            _settle(case.handle.pid for case in ripe)
            ripe = self._hold_new()
            if not ripe or clock.monotonic() >= self._deadline:
                break
        for case in [*frozen, *ripe]:
            case.send(Signals.SIGKILL)
            case.kill_at = self._deadline

    def _hold_new(self) -> list[Case]:
        now = clock.monotonic()
        fresh = [self._case(handle, now) for handle in self._again(self._held())]
        for case in fresh:
            self._add(case)
        return fresh

    # -- what came of it

    def outcome(self) -> tuple[Ended, ...]:
        now = clock.monotonic()
        cases = [*self._past, *self._cases.values()]
        return tuple(
            Ended(
                case.handle.identity,
                tuple(case.signals),
                case.ended_at - case.asked_at if case.see(now) and case.ended_at is not None else None,
                "" if case.ended_at is not None else why_left(case),
            )
            for case in cases
        )

    def close(self) -> None:
        for case in [*self._past, *self._cases.values()]:
            case.handle.close()


def _settle(pids: Iterable[int]) -> None:
    """Wait until those that were sent SIGSTOP stand still: a fork that had begun shows only then."""
    waiting = list(pids)

    def still() -> bool:
        return all((seen := proc.read(pid)) is None or seen.state in "TtZXD" for pid in waiting)

    clock.wait_until(still, within_s=_SETTLE_S, every_s=0.001)
