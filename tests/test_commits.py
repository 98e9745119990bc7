"""The commit thread: whatever happens to it, nobody who asked waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import eventually

from daemons import clock, files
from daemons.api.commits import Commits
from daemons.api.problems import Problem
from daemons.registry import Draft, InvalidAgent, Registry, registration
from daemons.settings import Settings

NO_MEMORY = MemoryError("no memory for the next version")


@pytest.fixture
def registry(conf: Settings) -> Registry:
    return Registry(conf)


@pytest.fixture
def commits(registry: Registry) -> Iterator[Commits]:
    begun = Commits(registry)
    yield begun
    begun.close()


def register(commits: Commits, name: str) -> dict[str, object]:
    return commits.change(registration(name, {}, clock.now()))


class Caller:
    """A request's thread: registers *name*, and keeps what it got or what was raised."""

    def __init__(self, commits: Commits, name: str) -> None:
        self.got: object = None
        self._thread = threading.Thread(target=self._ask, args=(commits, name), daemon=True)
        self._thread.start()

    def _ask(self, commits: Commits, name: str) -> None:
        try:
            self.got = register(commits, name)
        except Exception as raised:  # noqa: BLE001 - the test looks at it
            self.got = raised


@contextmanager
def at_work(commits: Commits) -> Iterator[None]:
    """While this lasts, a change of nothing is being made; all others wait, one of them in the thread's hand."""
    begun, may_end = threading.Event(), threading.Event()

    def edit(_agents: Draft) -> None:
        begun.set()
        may_end.wait(10)

    thread = threading.Thread(target=commits.change, args=(edit,), daemon=True)
    thread.start()
    begun.wait(10)
    try:
        yield
    finally:
        may_end.set()
        thread.join()


def fail_once(monkeypatch: pytest.MonkeyPatch, step: str, fault: BaseException) -> None:
    """Raise *fault* the first time that a change comes to *step*."""
    left = [fault]

    def reached(at: str) -> None:
        if at == step and left:
            raise left.pop()

    monkeypatch.setattr(files, "reached", reached)


@pytest.mark.parametrize("step", ["replace.written", "registry.intended", "exchange.done"])
def test_a_fault_that_nobody_foresaw_is_told_to_who_asked_and_the_next_change_is_made(
    commits: Commits, registry: Registry, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    register(commits, "before")
    fail_once(monkeypatch, step, NO_MEMORY)

    caller = Caller(commits, "a")
    fault = eventually(lambda: caller.got)
    assert isinstance(fault, Problem)
    assert (fault.status, "no memory" in fault.detail) == (500, False)

    assert register(commits, "b")["type"] == "worker"
    # Whether "a" was made is not known: it was where the fault came after the exchange.
    assert set(Registry(registry.path).snapshot().agents) - {"a"} == {"before", "b"}
    assert set(registry.snapshot().agents) == set(Registry(registry.path).snapshot().agents)


def test_a_fault_is_told_to_everybody_in_the_same_group(commits: Commits, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_work(commits):
        callers = [Caller(commits, f"agent-{number}") for number in range(8)]
        eventually(lambda: commits.waiting >= 7)
        fail_once(monkeypatch, "replace.written", NO_MEMORY)

    eventually(lambda: all(caller.got for caller in callers), but=lambda: [caller.got for caller in callers])
    assert {type(caller.got) for caller in callers} == {Problem}


def test_an_edit_that_fails_fails_alone(commits: Commits) -> None:
    with pytest.raises(InvalidAgent):
        commits.change(registration("a", {"type": {1, 2}}, clock.now()))

    assert register(commits, "b")["type"] == "worker"


def test_who_asks_an_ended_commit_thread_is_told_so(registry: Registry) -> None:
    commits = Commits(registry)
    register(commits, "a")
    commits.close()

    caller = Caller(commits, "b")
    refusal = eventually(lambda: caller.got)
    with pytest.raises(RuntimeError, match="started anew"):
        commits.check()
    assert isinstance(refusal, Problem)
    assert refusal.status == 503
    assert set(registry.snapshot().agents) == {"a"}


def test_what_waits_at_the_end_is_made(registry: Registry) -> None:
    commits = Commits(registry)
    with at_work(commits):
        callers = [Caller(commits, f"agent-{number}") for number in range(4)]
        eventually(lambda: commits.waiting >= 3)
    commits.close()

    eventually(lambda: all(caller.got for caller in callers), but=lambda: [caller.got for caller in callers])
    assert len(registry.snapshot().agents) == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_all_the_same_leaves_nobody_waiting(
    commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(commits):
        callers = [Caller(commits, "a"), Caller(commits, "b")]
        eventually(lambda: commits.waiting >= 1)
        fail_once(monkeypatch, "replace.written", SystemExit("not even a fault"))

    eventually(lambda: all(caller.got for caller in callers), but=lambda: [caller.got for caller in callers])


def test_who_has_no_thread_is_called_when_the_change_is_durable(commits: Commits, registry: Registry) -> None:
    told: list[object] = []
    wanted = commits.begin(
        registration("a", {}, clock.now()), lambda: told.append(set(Registry(registry.path).snapshot().agents))
    )

    eventually(lambda: told)
    assert told == [{"a"}]
    assert wanted is not None
    assert wanted.result()["type"] == "worker"


def test_an_answer_that_cannot_be_sent_does_not_end_the_thread(commits: Commits) -> None:
    def fail() -> None:
        raise OSError("the line is dead")

    commits.begin(registration("a", {}, clock.now()), fail)

    assert register(commits, "b")["type"] == "worker"
    commits.check()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_all_the_same_tells_who_has_none(commits: Commits, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with at_work(commits):
        Caller(commits, "a")
        eventually(lambda: commits.waiting == 0 and commits._is_wanted)
        commits.begin(registration("b", {}, clock.now()), lambda: told.append("b"))
        fail_once(monkeypatch, "replace.written", SystemExit("not even a fault"))

    eventually(lambda: told)
    assert commits.begin(registration("c", {}, clock.now()), lambda: None) is None
