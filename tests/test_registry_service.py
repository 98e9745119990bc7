from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Start, eventually

from daemons import agents, alerts, clock, files, loop, processes, tmux
from daemons.agents import Sighting
from daemons.clock import Wake
from daemons.journal import Journal
from daemons.mailbox import Message
from daemons.registry import Registry
from daemons.registry_service import keeping
from daemons.registry_service.__main__ import RegistryService
from daemons.registry_service.deaths import Deaths
from daemons.registry_service.verdicts import Judge, Verdict
from daemons.registry_service.windows import EndedWindows
from daemons.settings import Settings
from daemons.tmux import Seen, Unknown

NAME = "registry_service"
FOREVER = ["sleep", "1000"]
NOW = datetime(2026, 1, 31, 18, 54, tzinfo=UTC)
Mail = Callable[[], list[Message]]
Tmux = Callable[..., str]

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(environ: dict[str, str]) -> None:
    environ |= {"CMUX_AGENTS_INTERVAL": "0.2", "CMUX_AGENT_SETTLE": "1", "CMUX_STOP_GRACE": "0.3"}


@pytest.fixture
def conf(environ: dict[str, str], quick: None) -> Settings:
    from daemons import settings

    return settings.load(environ)


@pytest.fixture
def registry(conf: Settings) -> Registry:
    return Registry(conf)


@pytest.fixture
def shell(conf: Settings) -> Tmux:
    def run(*words: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-L", str(conf.tmux_socket), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    return run


@dataclass
class Scene:
    """A home with agents in a real tmux, the service as a real process, and what both show."""

    conf: Settings
    registry: Registry
    shell: Tmux
    start_daemon: Start
    mail: Mail
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, **extra: str) -> None:
        self.running.append(self.start_daemon(NAME, **extra))

    def kill(self) -> None:
        self.running[-1].kill()
        self.running[-1].wait()

    def start_with(self, count: int, **extra: str) -> list[str]:
        """Open agents w00, w01 …, start the service, wait until it sees them run."""
        names = [f"w{number:02}" for number in range(count)]
        for name in names:
            agents.open_agent(self.conf, self.registry, name, command=FOREVER)
        self.start(**extra)
        self.shows(dict.fromkeys(self.ids(), "running"))
        return names

    def close(self, *names: str) -> None:
        """Close windows, as a person does."""
        words = [word for name in names for word in (";", "kill-window", "-t", f"=cmux:={name}")]
        self.shell(*words[1:])

    def open_again(self, *names: str) -> None:
        words = [w for name in names for w in (";", "new-window", "-d", "-t", "=cmux:", "-n", name, *FOREVER)]
        self.shell(*words[1:])

    @property
    def server(self) -> int:
        return int(self.shell("display-message", "-p", "#{pid}"))

    def states(self) -> dict[str, str]:
        return {agent_id: str(seen["state"]) for agent_id, seen in agents.last_observed(self.conf).items()}

    def shows(self, states: dict[str, str], within_s: float = 10) -> None:
        eventually(lambda: self.states() == states, within_s, but=self.states)

    def detail(self) -> dict[str, Any]:
        status = loop.read_status(self.conf, NAME)
        return dict(status.detail) if status else {}

    def cycle(self) -> int:
        status = loop.read_status(self.conf, NAME)
        return status.cycle if status else 0

    def cycles(self, count: int) -> None:
        """Wait until the service has completed so many further cycles."""
        begin = self.cycle()
        eventually(lambda: self.cycle() >= begin + count, 20, but=self.cycle)

    def subjects(self) -> list[str]:
        return [message.subject for message in self.mail()]

    def tells(self, count: int, within_s: float = 10) -> list[str]:
        """The subjects of the mail, once there are that many, and still after some cycles."""
        eventually(lambda: len(self.mail()) >= count, within_s, but=self.subjects)
        self.cycles(3)
        assert len(self.mail()) == count, self.subjects()
        return self.subjects()

    def entry(self, agent_id: str) -> dict[str, Any]:
        return dict(self.registry.snapshot().agents[agent_id])

    def ids(self) -> list[str]:
        return sorted(self.registry.snapshot().agents)

    def body(self, number: int = 0) -> str:
        body = self.mail()[number].body
        assert body
        return (self.conf.home / body).read_text()


@pytest.fixture
def scene(conf: Settings, registry: Registry, shell: Tmux, start: Start, mail: Mail) -> Scene:
    return Scene(conf, registry, shell, start, mail)


# -- missing ----------------------------------------------------------------------------------------------------------


def test_an_agent_whose_window_is_closed_is_told_once_and_marked(scene: Scene) -> None:
    scene.start_with(3)

    scene.close("w01")

    assert scene.tells(1) == ["[ALERT] Registered agent 'w01' missing from tmux"]
    [message] = scene.mail()
    assert (message.sender, message.to) == ("system:registry-service", "cmux:supervisor")
    assert "has no pane" in scene.body()
    assert scene.entry("w01")["status"] == "missing"
    assert scene.entry("w01")["missing_since"]
    assert scene.ids() == ["w00", "w01", "w02"]


def test_it_is_told_once_when_it_is_back(scene: Scene) -> None:
    scene.start_with(2)
    scene.close("w01")
    scene.tells(1)

    scene.open_again("w01")

    assert scene.tells(2)[1] == "[CLEARED] agent 'w01': there again"
    assert "missing_since" not in scene.entry("w01")
    assert scene.entry("w01")["status"] == "running"
    assert scene.entry("w01")["pane_id"] != "%1"


def test_a_death_is_told_at_once_however_long_the_cycle(scene: Scene) -> None:
    scene.start_with(2, CMUX_AGENTS_INTERVAL="60")

    scene.close("w01")

    eventually(lambda: len(scene.mail()) == 1, but=scene.mail)


def test_eighteen_that_vanish_together_are_one_message_and_so_is_their_return(scene: Scene) -> None:
    names = scene.start_with(20)

    for name in names[:18]:
        scene.close(name)

    eventually(lambda: list(scene.states().values()).count("missing") == 18, 10, but=scene.states)
    scene.cycles(3)
    told = scene.subjects()
    assert len(told) <= 2
    assert sum(int(subject.split()[1]) for subject in told) == 18
    assert all("agents missing: w0" in subject or "agents missing: w1" in subject for subject in told)

    scene.open_again(*names[:18])

    assert scene.tells(len(told) + 1)[-1].startswith("[CLEARED] 18 agents: w00, w01")


def test_an_agent_that_was_ended_or_unregistered_on_purpose_raises_no_alert(scene: Scene) -> None:
    scene.start_with(4)

    agents.end_agent(scene.conf, scene.registry, "w00")
    scene.registry.unregister("w01")
    scene.registry.update("w02", {"expected": "stopped"})
    scene.close("w01", "w02")

    scene.shows({"w02": "stopped", "w03": "running"})
    scene.cycles(4)
    assert scene.mail() == []


def test_a_missing_agent_that_is_unregistered_ends_its_alert(scene: Scene) -> None:
    scene.start_with(2)
    scene.close("w01")
    scene.tells(1)

    scene.registry.unregister("w01")

    assert scene.tells(2)[1] == "[CLEARED] agent 'w01': no longer registered"
    assert not alerts.all_open(scene.conf)


def test_a_command_that_ends_is_told_with_how_it_ended_and_its_last_words(scene: Scene) -> None:
    scene.start_with(1)

    agents.open_agent(scene.conf, scene.registry, "short", command="echo disk on fire; exit 3")

    subject = "[ALERT] Registered agent 'short' missing from tmux: its command ended with exit status 3"
    assert scene.tells(1) == [subject]
    assert "disk on fire" in scene.body()
    assert scene.entry("short")["status"] == "exited"


def test_the_dead_are_removed_after_their_time_but_permanent_ones_never(scene: Scene) -> None:
    agents.open_agent(scene.conf, scene.registry, "for-ever", command=FOREVER, permanent=True)
    scene.start_with(2, CMUX_MISSING_GRACE="1")

    scene.close("for-ever", "w01")

    eventually(lambda: scene.ids() == ["for-ever", "w00"], 10, but=scene.ids)
    assert scene.entry("for-ever")["status"] == "missing"
    eventually(lambda: [line["evidence"]["agent"] for line in removals(scene.conf)] == ["w01"])


def removals(conf: Settings) -> list[dict[str, Any]]:
    return [line for line in Journal(conf, NAME).entries() if line["event"] == "agent.removed"]


def test_a_registration_shortly_before_its_window_is_not_missing(scene: Scene) -> None:
    scene.shell("new-session", "-d", "-s", "cmux", "-n", "other", *FOREVER)
    scene.start()
    scene.registry.register("early", {"window": "early"}, clock.now())
    scene.registry.register("never", {"window": "never"}, clock.now())
    scene.shows({"early": "settling", "never": "settling"})

    scene.open_again("early")

    scene.shows({"early": "running", "never": "missing"})
    assert scene.tells(1) == ["[ALERT] Registered agent 'never' missing from tmux"]
    assert scene.entry("early")["pane_id"] == "%1"


def test_a_window_that_is_renamed_or_moved_stays_the_same_agent(scene: Scene) -> None:
    scene.start_with(2)
    scene.shell("new-session", "-d", "-s", "notes", *FOREVER)

    scene.shell("rename-window", "-t", "=cmux:=w01", "better name")
    scene.shell("move-window", "-s", "=cmux:=better name", "-t", "=notes:")

    eventually(lambda: scene.entry("w01")["window"] == "better name")
    eventually(lambda: scene.entry("w01")["session"] == "notes")
    scene.cycles(3)
    assert scene.states()["w01"] == "running"
    assert scene.mail() == []


def test_nothing_is_written_while_nothing_happens(scene: Scene) -> None:
    scene.start_with(3)
    scene.cycles(2)
    before = {path: path.stat().st_mtime_ns for path in written(scene.conf)}

    scene.cycles(5)

    assert {path: path.stat().st_mtime_ns for path in written(scene.conf)} == before


def written(conf: Settings) -> Iterator[Path]:
    return (path for path in conf.state.rglob("*") if path.is_file() and path.parent.name != "status")


def test_a_killed_service_repeats_and_forgets_nothing(scene: Scene) -> None:
    scene.start_with(2)
    agents.open_agent(scene.conf, scene.registry, "w02", command=FOREVER)
    scene.close("w01")
    scene.tells(1)
    scene.kill()
    scene.close("w02")

    scene.start()

    told = scene.tells(2)
    assert told == [f"[ALERT] Registered agent '{name}' missing from tmux" for name in ("w01", "w02")]


# -- could not look ---------------------------------------------------------------------------------------------------


def lose_server(scene: Scene) -> None:
    os.kill(scene.server, signal.SIGKILL)


def remove_socket(scene: Scene) -> None:
    Path(scene.shell("display-message", "-p", "#{socket_path}")).unlink()


def replace_server(scene: Scene) -> None:
    scene.shell("kill-server")
    eventually(lambda: is_started(scene.shell))


def is_started(shell: Tmux) -> bool:
    try:
        shell("new-session", "-d", "-s", "notes", *FOREVER)
    except subprocess.CalledProcessError:
        return False
    return True


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (lose_server, "tmux server gone since"),
        (remove_socket, "tmux server not reachable (its socket was removed, pid"),
        (replace_server, "tmux server replaced by another since"),
    ],
)
def test_a_server_that_is_lost_is_one_incident_and_nobody_counts_as_missing(
    scene: Scene, fault: Callable[[Scene], None], what: str
) -> None:
    names = scene.start_with(18)
    server = scene.server

    fault(scene)

    [subject] = scene.tells(1)
    assert what in subject
    assert subject.endswith("18 agents unknown")
    assert scene.states() == dict.fromkeys(names, "unknown")
    assert scene.ids() == names
    assert not any("missing_since" in scene.entry(name) for name in names)
    if fault is remove_socket:
        os.kill(server, signal.SIGUSR1)
        assert scene.tells(2)[1].startswith("[CLEARED] tmux")


def test_a_server_that_does_not_answer_is_one_incident_and_one_clearing(scene: Scene) -> None:
    names = scene.start_with(2)
    server = scene.server

    os.kill(server, signal.SIGSTOP)
    try:
        eventually(lambda: len(scene.mail()) == 1, 20, but=scene.mail)
        assert "tmux server not answering since" in scene.subjects()[0]
        assert scene.detail()["tmux"]["answer"] == "timeout"
    finally:
        os.kill(server, signal.SIGCONT)

    assert scene.tells(2)[1].startswith("[CLEARED] tmux")
    scene.shows(dict.fromkeys(names, "running"))
    assert not any("missing_since" in scene.entry(name) for name in names)


def test_a_server_that_does_not_answer_keeps_nobody_from_ending(scene: Scene) -> None:
    scene.start_with(1)
    service, server = scene.running[0], scene.server
    os.kill(server, signal.SIGSTOP)
    try:
        eventually(lambda: clients_of(service.pid))
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=2) == 0
        assert not clients_of(service.pid)
    finally:
        os.kill(server, signal.SIGCONT)


def clients_of(pid: int) -> list[int]:
    return [each.pid for each in processes.table().values() if each.ppid == pid and each.name.startswith("tmux")]


def test_without_tmux_the_others_are_followed_and_it_is_said(scene: Scene, tmp_path: Path) -> None:
    scene.registry.register("over-http", {}, clock.now())
    (tmp_path / "bin").mkdir()

    scene.start(PATH=str(tmp_path / "bin"))

    scene.shows({"over-http": "registered"})
    assert scene.detail()["tmux"]["answer"] == "absent"
    assert "apt install tmux" in scene.detail()["tmux"]["reason"]
    assert scene.mail() == []


# -- heartbeats, registry, mailbox ------------------------------------------------------------------------------------


def test_who_is_silent_for_longer_than_his_ttl_is_stale_once(scene: Scene) -> None:
    scene.registry.register("beating", {"ttl": 0.6}, clock.now())
    scene.registry.register("patient", {"ttl": 3600}, clock.now())
    scene.start()

    scene.shows({"beating": "stale", "patient": "registered"}, within_s=15)
    assert "Agent 'beating' is stale" in scene.tells(1)[0]

    beat = {"beating": {"at": "2999-01-01T00:00:00+00:00"}}
    files.replace(agents.heartbeats_path(scene.conf), json.dumps(beat).encode())

    assert "heard of again" in scene.tells(2)[1]


def test_a_touched_file_counts_as_a_heartbeat(scene: Scene) -> None:
    scene.registry.register("beating", {"ttl": 0.6}, clock.now())
    scene.start()
    scene.shows({"beating": "stale"}, within_s=15)

    touched = files.private_dir(agents.touches_dir(scene.conf)) / "beating"
    touched.touch()
    os.utime(touched, (32472144000, 32472144000))

    assert "heard of again" in scene.tells(2)[1]


def test_an_agent_without_a_window_is_seen_by_its_process(scene: Scene) -> None:
    with subprocess.Popen(["sleep", "60"]) as outside:
        identity = processes.identify(outside.pid)
        assert identity
        scene.registry.register("outside", {"pid": identity.pid, "pid_started": identity.started}, clock.now())
        scene.registry.register("earlier", {"pid": identity.pid, "pid_started": 1}, clock.now())
        scene.start(CMUX_AGENTS_INTERVAL="60", CMUX_AGENT_SETTLE="0")
        scene.shows({"outside": "running", "earlier": "missing"})

        outside.kill()

    # A death wakes the service, however long its cycle.
    eventually(lambda: len(scene.mail()) == 2, but=scene.subjects)
    wanted = f"[ALERT] Registered agent 'outside' missing: its process {identity.pid} has ended"
    assert wanted in scene.subjects()
    eventually(lambda: scene.entry("outside").get("status") == "missing")


def test_a_registry_that_is_none_is_restored_and_told_once(scene: Scene) -> None:
    scene.registry.register("kept", {}, clock.now())
    scene.start()
    scene.cycles(1)

    scene.conf.registry.write_text("{ this is no JSON")

    what = "[ALERT] agent_registry.json was no registry; its last good copy was restored, 1 agent"
    assert scene.tells(1) == [what]
    assert scene.ids() == ["kept"]


def test_lines_of_the_mailbox_that_are_no_messages_are_told_with_their_numbers(scene: Scene) -> None:
    mailbox = scene.conf.mailbox
    mailbox.parent.mkdir(mode=0o700)
    mailbox.write_text("garbage\n[2026-01-31T18:54:00+05:30] cmux:a -> cmux:nobody: hello\n")
    scene.start()

    eventually(lambda: "mailbox: line 1 cannot be read as a message" in mailbox.read_text())
    scene.cycles(2)
    assert mailbox.read_text().startswith("garbage\n")
    assert mailbox.read_text().count("cannot be read") == 1
    assert scene.detail()["mailbox"]["unparsable"] == 1
    assert scene.detail()["mailbox"]["undelivered"] >= 1


# -- races ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def service(conf: Settings) -> Iterator[RegistryService]:
    """The service, ticked by the test itself."""
    service = RegistryService(conf, Wake())
    yield service
    service.close()


def observed(service: RegistryService) -> Mapping[str, Any]:
    return service.tick(clock.now())["agents"]  # type: ignore[return-value]


def test_who_is_ended_on_purpose_while_tmux_is_being_looked_at_is_no_alert(
    scene: Scene, service: RegistryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = [agents.open_agent(scene.conf, scene.registry, name, command=FOREVER) for name in ("w00", "w01")]
    observed(service)
    look = tmux.observe_places

    def end_and_look(*args: Any, **kwargs: Any) -> Seen | Unknown:
        scene.registry.update("w00", {"expected": "stopped"})
        tmux.end_window(scene.conf, opened[0]["window_id"])
        return look(*args, **kwargs)

    monkeypatch.setattr(tmux, "observe_places", end_and_look)

    assert observed(service)["w00"]["state"] == "stopped"
    assert scene.mail() == []


def test_who_is_opened_while_tmux_is_being_looked_at_is_not_missing(
    scene: Scene, service: RegistryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, registry = scene.conf, scene.registry
    agents.open_agent(conf, registry, "w00", command=FOREVER)
    observed(service)
    look = tmux.observe_places
    registry.register("again", {}, clock.now())

    def look_and_open(*args: Any, **kwargs: Any) -> Seen | Unknown:
        seen = look(*args, **kwargs)
        monkeypatch.undo()
        agents.open_agent(conf, registry, "new", command=FOREVER)
        registry.unregister("again")
        agents.open_agent(conf, registry, "again", command=FOREVER)
        return seen

    monkeypatch.setattr(tmux, "observe_places", look_and_open)

    assert list(observed(service)) == ["w00"]
    assert {agent_id: seen["state"] for agent_id, seen in observed(service).items()} == {
        "w00": "running",
        "new": "running",
        "again": "running",
    }
    assert scene.mail() == []


# -- parts ------------------------------------------------------------------------------------------------------------

GONE = Sighting("gone", "tmux has no pane %1")
BOUND = {"tmux_server": "1@1", "pane_id": "%1", "registered_at": "2026-01-31T18:00:00+00:00"}


@pytest.fixture
def mono(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    at = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: at[0])

    def advance(seconds: float) -> None:
        at[0] += seconds

    return advance


def judged(judge: Judge, entry: dict[str, Any], sighting: Sighting, now: datetime = NOW) -> Verdict:
    return judge.judge({"a": entry}, {"a": sighting}, {}, now)["a"]


def test_who_had_a_window_is_missing_at_once_and_who_had_none_after_a_while(
    conf: Settings, mono: Callable[[float], None]
) -> None:
    judge = Judge(conf)

    assert judged(judge, BOUND, GONE).state == "missing"

    fresh = Judge(conf)
    assert judged(fresh, {"window": "a"}, GONE).state == "settling"
    mono(conf.agent_settle_s + 0.1)
    assert judged(fresh, {"window": "a"}, GONE).state == "missing"


def test_who_registers_again_shortly_before_his_window_is_given_time_too(
    conf: Settings, mono: Callable[[float], None]
) -> None:
    judge = Judge(conf)
    assert judged(judge, {**BOUND, "expected": "stopped"}, GONE).state == "stopped"

    assert judged(judge, BOUND, GONE).state == "settling"


def test_who_is_meant_to_be_stopped_is_no_riddle_when_tmux_is_gone_with_him(
    conf: Settings, mono: Callable[[float], None]
) -> None:
    stopped = {**BOUND, "expected": "stopped", "status": "stopped"}

    verdict = judged(Judge(conf), stopped, Sighting("unknown", "no server"))

    assert verdict.state == "stopped"
    assert keeping.changes({"a": stopped}, {"a": verdict}, NOW) == {"a": {"missing_since": clock.stamp(NOW)}}
    mono(1000)
    assert keeping.expired(conf, {"a": {**stopped, "status": "ending"}}, {"a": verdict}, NOW) == {}


def test_who_was_proven_gone_is_no_riddle_when_tmux_goes_too(conf: Settings, mono: Callable[[float], None]) -> None:
    since = clock.stamp(NOW)
    later = NOW + timedelta(days=2)

    for status in ("missing", "exited"):
        gone = {**BOUND, "status": status, "missing_since": since}
        verdict = judged(Judge(conf), gone, Sighting("unknown", "no server"), later)
        assert (verdict.state, verdict.is_known) == (status, False)
        assert keeping.changes({"a": gone}, {"a": verdict}, later) == {}
        mono(1000)
        assert keeping.expired(conf, {"a": gone}, {"a": verdict}, later) == {}


def test_an_ending_that_was_not_finished_is_finished(conf: Settings, mono: Callable[[float], None]) -> None:
    judge = Judge(conf)
    ending = {**BOUND, "expected": "stopped", "status": "ending"}
    verdict = judged(judge, ending, GONE)
    assert keeping.expired(conf, {"a": ending}, {"a": verdict}, NOW) == {}

    mono(conf.stop_timeout_s + 10)

    assert list(keeping.expired(conf, {"a": ending}, {"a": judged(judge, ending, GONE)}, NOW)) == ["a"]


def test_a_clock_that_jumps_makes_nobody_stale(conf: Settings, mono: Callable[[float], None]) -> None:
    judge = Judge(conf)
    silent = {"ttl": 60, "registered_at": clock.stamp(NOW)}
    unwatched = Sighting("unwatched", "")
    later = NOW + timedelta(days=2)

    assert judged(judge, silent, unwatched, later).state == "registered"
    mono(29)
    assert judged(judge, silent, unwatched, later).state == "registered"
    mono(2)
    assert judged(judge, silent, unwatched, later).state == "stale"


@pytest.mark.parametrize("ttl", [None, 0, -1, "60", True, [], 1e300])
def test_a_ttl_that_is_none_makes_nobody_stale(conf: Settings, mono: Callable[[float], None], ttl: object) -> None:
    judge = Judge(conf)
    for _ in range(3):
        assert judged(judge, {"ttl": ttl}, Sighting("unwatched", "")).state == "registered"
        mono(1000)


def test_a_clock_that_jumps_removes_nobody(conf: Settings, mono: Callable[[float], None]) -> None:
    missing = {**BOUND, "status": "missing", "missing_since": clock.stamp(NOW)}
    later = NOW + timedelta(days=2)
    verdict = Verdict("missing", "", None, since_mono=100.0, since=NOW)

    assert keeping.expired(conf, {"a": missing}, {"a": verdict}, later) == {}
    mono(61)
    assert list(keeping.expired(conf, {"a": missing}, {"a": verdict}, later)) == ["a"]
    assert keeping.expired(conf, {"a": {**missing, "permanent": True}}, {"a": verdict}, later) == {}
    unknown = dataclasses.replace(verdict, state="unknown")
    assert keeping.expired(conf, {"a": missing}, {"a": unknown}, later) == {}


def test_a_mark_from_the_future_is_set_anew(conf: Settings) -> None:
    entry = {**BOUND, "status": "missing", "missing_since": "2999-01-01T00:00:00+00:00"}
    verdict = Verdict("missing", "", None, 0.0, NOW)

    assert keeping.changes({"a": entry}, {"a": verdict}, NOW) == {"a": {"missing_since": clock.stamp(NOW)}}


def test_a_followed_process_wakes_when_it_ends_and_a_dropped_one_does_not() -> None:
    wake = Wake()
    deaths = Deaths(wake)
    first, second = (subprocess.Popen(["sleep", "1000"]) for _ in range(2))
    try:
        deaths.follow([first.pid, second.pid])
        assert deaths.ended() == set()

        first.kill()
        first.wait()
        assert wake.wait(5)
        assert deaths.ended() == {first.pid}

        deaths.follow([])
        second.kill()
        second.wait()
        assert not wake.wait(0.1)
    finally:
        deaths.close()


def test_an_ended_window_is_closed_after_a_while_and_only_our_own(conf: Settings, registry: Registry) -> None:
    agents.open_agent(conf, registry, "other", command=FOREVER)
    agents.open_agent(conf, registry, "w01", command="exit 0")
    observation = eventually(lambda: with_dead_pane(conf))
    cleaner = EndedWindows(conf, Journal(conf, NAME), kept_s=10)

    cleaner.close_old(observation, clock.now())
    assert with_dead_pane(conf)

    not_ours = Seen(observation.server, tuple(dataclasses.replace(p, suite="x") for p in observation.panes))
    cleaner.close_old(not_ours, clock.now() + timedelta(seconds=20))
    assert with_dead_pane(conf)

    cleaner.close_old(observation, clock.now() + timedelta(seconds=20))
    assert not with_dead_pane(conf)


def with_dead_pane(conf: Settings) -> Seen | None:
    seen = tmux.observe(conf)
    return seen if isinstance(seen, Seen) and any(pane.dead for pane in seen.panes) else None
