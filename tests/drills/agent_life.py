"""Lives of agents in a real tmux, in any order that hypothesis finds: registry, tmux and alerts agree after each step.

    python -m tests.drills agents LIVES        of up to 30 steps each

The steps are what people and accidents do: open, register, rename, move, end a process, close a window, end on purpose,
unregister, adopt, recover, a window of the user's own, tmux killed, the service restarted. What is so is asked of tmux
by libtmux, not by the suite.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import libtmux
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from daemons import agents, clock, mailbox, settings, tmux
from daemons.alerts import all_open
from daemons.clock import Wake
from daemons.registry import Registry
from daemons.registry_service import __main__ as registry_service
from daemons.registry_service.__main__ import RegistryService
from tests.drills.homes import end_tmux
from tests.drills.report import Report

FOREVER = ["sleep", "300"]
NAMES = st.sampled_from(["ann", "bob", "cid"])
STEPS = 30
SAID_EVERY = 10


class Life(RuleBasedStateMachine):
    """Each agent as it should be: the pane that it lives in (by its server's life), and what was meant."""

    lived = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="cmux-life-"))
        self.socket = f"cmux-life-{os.getpid()}-{self.home.name[-8:]}"
        self.conf = settings.load(
            {
                "CMUX_HOME": str(self.home),
                "CMUX_TMUX_SOCKET": self.socket,
                "CMUX_AGENT_SETTLE": "0",
                "CMUX_ALERT_COOLDOWN": "0",
                "CMUX_AGENTS_INTERVAL": "0.001",
                "CMUX_STOP_GRACE": "0.2",
            }
        )
        self.registry = Registry(self.conf)
        self.service = RegistryService(self.conf, Wake())
        self.panes: dict[str, tuple[str, str] | None] = {}
        self.opened: set[str] = set()
        self._shell("new-session", "-d", "-s", "notes", *FOREVER)

    def teardown(self) -> None:
        self.service.close()
        end_tmux(self.socket)
        shutil.rmtree(self.home, ignore_errors=True)
        Life.lived += 1
        if Life.lived % SAID_EVERY == 0:
            print(f"{Life.lived} lives, {Life.steps} steps: all agreed", flush=True)

    # -- what happens

    @rule(name=NAMES, permanent=st.booleans())
    def open(self, name: str, permanent: bool) -> None:
        taken = name in self.panes and self._lives(name) is not False
        try:
            entry = agents.open_agent(self.conf, self.registry, name, command=FOREVER, permanent=permanent)
        except tmux.NameTaken:
            assert taken or self._windows_called(name), f"{name} was free"
            return
        self.panes[name] = (entry["tmux_server"], entry["pane_id"])
        self.opened.add(name)

    @rule(name=NAMES)
    def register(self, name: str) -> None:
        self.registry.register(name, {}, clock.now())
        self.panes.setdefault(name, None)

    @rule(name=NAMES)
    def user_opens_a_window(self, name: str) -> None:
        if not self._has_session("cmux"):
            self._shell("new-session", "-d", "-s", "cmux", "-n", name, *FOREVER)
        else:
            self._shell("new-window", "-d", "-t", "=cmux:", "-n", name, *FOREVER)

    @rule(name=NAMES, new=st.sampled_from(["other", "ann", "x y\n#{pid}"]))
    def rename(self, name: str, new: str) -> None:
        if pane := self._living_pane(name):
            self._shell("rename-window", "-t", pane.window_id, "--", new)

    @rule(name=NAMES)
    def move(self, name: str) -> None:
        pane = self._living_pane(name)
        if pane and pane.session_name != "notes":
            self._shell("move-window", "-s", pane.window_id, "-t", "=notes:")

    @rule(name=NAMES)
    def close_window(self, name: str) -> None:
        if pane := self._living_pane(name):
            self._shell("kill-window", "-t", pane.window_id)

    @rule(name=NAMES)
    def kill_process(self, name: str) -> None:
        if pane := self._living_pane(name):
            os.kill(int(pane.pane_pid), signal.SIGKILL)

    @precondition(lambda self: self.panes)
    @rule(name=NAMES)
    def end_on_purpose(self, name: str) -> None:
        if name in self.panes:
            agents.end_agent(self.conf, self.registry, name)
            del self.panes[name]

    @rule(name=NAMES)
    def unregister(self, name: str) -> None:
        assert self.registry.unregister(name) == (name in self.panes)
        self.panes.pop(name, None)

    @rule(name=NAMES)
    def adopt(self, name: str) -> None:
        try:
            entry = agents.adopt_agent(self.conf, self.registry, "notes:0", name=name)
        except (tmux.NameTaken, agents.NoSuchWindow):
            return
        self.panes[name] = (entry["tmux_server"], entry["pane_id"])

    @rule()
    def recover(self) -> None:
        for done in agents.recover(self.conf, self.registry):
            name = done.step.agent_id
            if done.pid:
                assert self._lives(name) is not True, f"{name} was opened although it lived"
                entry = self.registry.snapshot().agents[name]
                self.panes[name] = (entry["tmux_server"], entry["pane_id"])
            elif done.problem:
                assert self._windows_called(name), f"{name} could have been opened: {done.problem}"

    @rule()
    def service_is_restarted(self) -> None:
        self.service.close()
        self.service = RegistryService(self.conf, Wake())

    @rule()
    def tmux_is_killed(self) -> None:
        self._shell("kill-server")
        clock.wait_until(lambda: self._starts(), within_s=5)

    # -- what must hold

    @invariant()
    def all_agree(self) -> None:
        Life.steps += 1
        seen = self._settled()
        open_keys = {alert.key for alert in all_open(self.conf)}
        assert set(self.registry.snapshot().agents) == set(self.panes) == set(seen)
        for name, state in seen.items():
            self._follow_a_new_life(name, state)
            self._agrees(name, state, f"agent-missing:{name}" in open_keys)
        assert {key.partition(":")[2] for key in open_keys if key.startswith("agent-")} <= set(self.panes)
        assert ("tmux-unknown" in open_keys) == ("unknown" in seen.values())
        self._nothing_was_told_twice()

    def _settled(self) -> dict[str, str]:
        """States once three cycles in a row agree: three are what an unknown one needs to be told."""
        before: list[dict[str, str]] = []
        for _ in range(20):
            before.append({name: each["state"] for name, each in self._tick().items()})
            if len(before) > 3 and before[-1] == before[-2] == before[-3]:
                return before[-1]
        raise AssertionError(f"never settled: {before[-4:]}")

    def _tick(self) -> dict[str, Any]:
        return dict(self.service.tick(clock.now())["agents"])  # type: ignore[call-overload]

    def _follow_a_new_life(self, name: str, state: str) -> None:
        """A living window of the old name takes the place of a pane that is gone."""
        if state == "running" and self._lives(name) is not True:
            entry = self.registry.snapshot().agents[name]
            assert any(pane.pane_id == entry["pane_id"] for pane in self._living_panes()), "running, but no pane lives"
            self.panes[name] = (entry["tmux_server"], entry["pane_id"])

    def _agrees(self, name: str, state: str, is_told_missing: bool) -> None:
        lives = self._lives(name)
        if lives is True:
            assert state == "running"
        elif lives is False:
            assert state in ("missing", "exited"), f"{name}: {state}"
        else:
            was_gone = state in ("missing", "exited") and is_told_missing
            assert was_gone or state in ("unknown", "registered"), f"{name}: {state}"
        if state in ("missing", "exited"):
            assert is_told_missing, f"{name} is {state} and nobody was told"
        if state in ("running", "registered"):
            assert not is_told_missing, f"{name} is {state} and told as missing"

    def _nothing_was_told_twice(self) -> None:
        believed: set[str] = set()
        for delivery in mailbox.of(self.conf).after(None):
            assert delivery.message
            subject = delivery.message.subject
            told = {name for name in ("ann", "bob", "cid") if f"'{name}'" in subject or f" {name}" in subject}
            if "missing" in subject and "more" not in subject:
                assert not told & believed, f"told twice: {subject}"
                believed |= told
            elif subject.startswith("[CLEARED]"):
                believed -= told

    # -- asking tmux, without the suite

    def _shell(self, *words: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-L", self.socket, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    def _starts(self) -> bool:
        try:
            self._shell("new-session", "-d", "-s", "notes", *FOREVER)
        except subprocess.CalledProcessError:
            return False
        return True

    def _server(self) -> str:
        return self._shell("display-message", "-p", "#{pid}@#{start_time}")

    def _living_panes(self) -> list[Any]:
        return [pane for pane in libtmux.Server(socket_name=self.socket).panes if pane.pane_dead == "0"]

    def _living_pane(self, name: str) -> Any:
        place = self.panes.get(name)
        found = [pane for pane in self._living_panes() if place == (self._server(), pane.pane_id)]
        return found[0] if found else None

    def _lives(self, name: str) -> bool | None:
        """Whether the pane of *name* lives; None where its server can't tell any more, or it never had one."""
        place = self.panes[name]
        if place is None or place[0] != self._server():
            return None
        return self._living_pane(name) is not None

    def _windows_called(self, name: str) -> bool:
        return any((pane.session_name, pane.window_name) == ("cmux", name) for pane in self._living_panes())

    def _has_session(self, name: str) -> bool:
        return any(pane.session_name == name for pane in libtmux.Server(socket_name=self.socket).panes)


def run(lives: int, _folder: Path) -> Report:
    """So many lives; what they find is raised with the steps to it. Each has a home of its own."""
    signal.signal(signal.SIGTERM, _end)
    registry_service._SHORTEST_CYCLE_S = 0.01  # four cycles a step: else most of a life is that pause
    how = hypothesis_settings(
        max_examples=lives,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Life, settings=how)
    report = Report("agents")
    report.count("registry, tmux and alerts agreed after every step", "")
    report.add("lives", Life.lived)
    report.add("steps", Life.steps)
    return report


def _end(*_: object) -> None:
    """Told to end, a life is torn down first. Hypothesis takes any other exception for a find."""
    raise KeyboardInterrupt
