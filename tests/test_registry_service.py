from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
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


@pytest.fixture
def workers(conf: Settings, registry: Registry) -> Callable[[int], list[str]]:
    def open_some(count: int) -> list[str]:
        names = [f"w{number:02}" for number in range(count)]
        for name in names:
            agents.open_agent(conf, registry, name, command=FOREVER)
        return names

    return open_some


@pytest.fixture
def cycles(conf: Settings) -> Callable[[int], None]:
    """Wait until the service has completed so many further cycles."""

    def wait(count: int) -> None:
        start = cycle(conf)
        eventually(lambda: cycle(conf) >= start + count, within_s=20, but=lambda: cycle(conf))

    return wait


def cycle(conf: Settings) -> int:
    status = loop.read_status(conf, NAME)
    return status.cycle if status else 0


def detail(conf: Settings) -> dict[str, Any]:
    status = loop.read_status(conf, NAME)
    return dict(status.detail) if status else {}


def states(conf: Settings) -> dict[str, str]:
    return {agent_id: str(seen["state"]) for agent_id, seen in agents.last_observed(conf).items()}


def all_are(conf: Settings, state: str, count: int) -> bool:
    return list(states(conf).values()) == [state] * count


def subjects(mail: Mail) -> list[str]:
    return [message.subject for message in mail()]


def entry(registry: Registry, agent_id: str) -> dict[str, Any]:
    return dict(registry.snapshot().agents[agent_id])


def kill(shell: Tmux, *names: str) -> None:
    words = [word for name in names for word in (";", "kill-window", "-t", f"=cmux:={name}")]
    shell(*words[1:])


# -- missing ----------------------------------------------------------------------------------------------------------


def test_an_agent_whose_window_is_closed_is_told_once_and_marked(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
    cycles: Callable[[int], None],
) -> None:
    workers(3)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 3), but=lambda: states(conf))

    kill(shell, "w01")

    eventually(lambda: len(mail()) == 1, but=mail)
    [message] = mail()
    assert message.subject == "[ALERT] Registered agent 'w01' missing from tmux"
    assert (message.sender, message.to) == ("system:registry-service", "cmux:supervisor")
    assert message.body
    assert "has no pane" in (conf.home / message.body).read_text()
    eventually(lambda: entry(registry, "w01").get("status") == "missing")
    assert entry(registry, "w01")["missing_since"]
    cycles(5)
    assert len(mail()) == 1
    assert sorted(registry.snapshot().agents) == ["w00", "w01", "w02"]


def test_it_is_told_once_when_it_is_back(
    conf: Settings, registry: Registry, workers: Callable[[int], list[str]], start: Start, shell: Tmux, mail: Mail
) -> None:
    workers(2)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 2), but=lambda: states(conf))
    kill(shell, "w01")
    eventually(lambda: len(mail()) == 1, but=mail)

    shell("new-window", "-d", "-t", "=cmux:", "-n", "w01", *FOREVER)

    eventually(lambda: len(mail()) == 2, but=mail)
    assert subjects(mail)[1] == "[CLEARED] agent 'w01': back in tmux"
    back = eventually(lambda: "missing_since" not in entry(registry, "w01") and entry(registry, "w01"))
    assert back["status"] == "running"
    assert back["pane_id"] != "%1"


def test_a_death_is_told_within_a_second_however_long_the_cycle(
    conf: Settings, environ: dict[str, str], workers: Callable[[int], list[str]], start: Start, shell: Tmux, mail: Mail
) -> None:
    workers(2)
    start(NAME, CMUX_AGENTS_INTERVAL="30")
    eventually(lambda: all_are(conf, "running", 2), but=lambda: states(conf))

    kill(shell, "w01")

    eventually(lambda: len(mail()) == 1, within_s=2, but=mail)


def test_eighteen_that_vanish_together_are_one_message_and_so_is_their_return(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
    cycles: Callable[[int], None],
) -> None:
    names = workers(20)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 20), within_s=10, but=lambda: states(conf))

    for name in names[:18]:
        kill(shell, name)

    eventually(lambda: list(states(conf).values()).count("missing") == 18, but=lambda: states(conf))
    cycles(3)
    assert len(mail()) <= 2
    assert sum(int(subject.split()[1]) for subject in subjects(mail)) == 18
    assert all("agents missing: w0" in subject or "agents missing: w1" in subject for subject in subjects(mail))

    told = len(mail())
    shell(
        *[word for name in names[:18] for word in (";", "new-window", "-d", "-t", "=cmux:", "-n", name, *FOREVER)][1:]
    )

    eventually(lambda: len(mail()) > told, but=mail)
    cycles(3)
    assert len(mail()) == told + 1
    assert subjects(mail)[-1].startswith("[CLEARED] 18 agents: w00, w01")


def test_an_agent_that_was_ended_or_unregistered_on_purpose_raises_no_alert(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
    cycles: Callable[[int], None],
) -> None:
    workers(4)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 4), but=lambda: states(conf))

    agents.end_agent(conf, registry, "w00")
    registry.unregister("w01")
    registry.update("w02", {"expected": "stopped"})
    kill(shell, "w01", "w02")

    eventually(lambda: states(conf) == {"w02": "stopped", "w03": "running"}, but=lambda: states(conf))
    cycles(4)
    assert mail() == []


def test_a_missing_agent_that_is_unregistered_ends_its_alert(
    conf: Settings, registry: Registry, workers: Callable[[int], list[str]], start: Start, shell: Tmux, mail: Mail
) -> None:
    workers(2)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 2), but=lambda: states(conf))
    kill(shell, "w01")
    eventually(lambda: len(mail()) == 1, but=mail)

    registry.unregister("w01")

    eventually(lambda: len(mail()) == 2, but=mail)
    assert subjects(mail)[1] == "[CLEARED] agent 'w01': no longer registered"
    assert not alerts.all_open(conf)


def test_a_command_that_ends_is_told_with_how_it_ended_and_its_last_words(
    conf: Settings, registry: Registry, start: Start, mail: Mail
) -> None:
    agents.open_agent(conf, registry, "other", command=FOREVER)
    start(NAME)
    agents.open_agent(conf, registry, "w01", command="echo disk on fire; exit 3")

    eventually(lambda: len(mail()) == 1, but=mail)

    [message] = mail()
    assert message.subject == "[ALERT] Registered agent 'w01' missing from tmux: its command ended with exit status 3"
    assert message.body
    assert "disk on fire" in (conf.home / message.body).read_text()
    eventually(lambda: entry(registry, "w01").get("status") == "exited")


def test_the_dead_are_removed_after_their_time_but_permanent_ones_never(
    conf: Settings, registry: Registry, start: Start, shell: Tmux, mail: Mail
) -> None:
    for name in ("w00", "w01", "w02"):
        agents.open_agent(conf, registry, name, command=FOREVER, permanent=name == "w01")
    start(NAME, CMUX_MISSING_GRACE="1")
    eventually(lambda: all_are(conf, "running", 3), but=lambda: states(conf))

    kill(shell, "w01", "w02")

    eventually(lambda: sorted(registry.snapshot().agents) == ["w00", "w01"], within_s=10)
    assert entry(registry, "w01")["status"] == "missing"
    eventually(lambda: [line["evidence"]["agent"] for line in removals(conf)] == ["w02"])


def removals(conf: Settings) -> list[dict[str, Any]]:
    return [line for line in Journal(conf, NAME).entries() if line["event"] == "agent.removed"]


def test_a_registration_shortly_before_its_window_is_not_missing(
    conf: Settings, registry: Registry, start: Start, shell: Tmux, mail: Mail, cycles: Callable[[int], None]
) -> None:
    shell("new-session", "-d", "-s", "cmux", "-n", "other", *FOREVER)
    start(NAME)
    registry.register("early", {"window": "early"}, clock.now())
    registry.register("never", {"window": "never"}, clock.now())
    eventually(lambda: states(conf) == {"early": "settling", "never": "settling"}, but=lambda: states(conf))

    shell("new-window", "-d", "-t", "=cmux:", "-n", "early", *FOREVER)

    eventually(lambda: states(conf) == {"early": "running", "never": "missing"}, but=lambda: states(conf))
    eventually(lambda: subjects(mail) == ["[ALERT] Registered agent 'never' missing from tmux"], but=mail)
    assert entry(registry, "early")["pane_id"] == "%1"


def test_a_window_that_is_renamed_or_moved_stays_the_same_agent(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
    cycles: Callable[[int], None],
) -> None:
    workers(2)
    shell("new-session", "-d", "-s", "notes", *FOREVER)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 2), but=lambda: states(conf))

    shell("rename-window", "-t", "=cmux:=w01", "better name")
    shell("move-window", "-s", "=cmux:=better name", "-t", "=notes:")

    eventually(lambda: entry(registry, "w01")["window"] == "better name")
    eventually(lambda: entry(registry, "w01")["session"] == "notes")
    cycles(3)
    assert states(conf)["w01"] == "running"
    assert mail() == []


def test_nothing_is_written_while_nothing_happens(
    conf: Settings, workers: Callable[[int], list[str]], start: Start, cycles: Callable[[int], None]
) -> None:
    workers(3)
    start(NAME)
    cycles(2)
    before = {path: path.stat().st_mtime_ns for path in written(conf)}

    cycles(5)

    assert {path: path.stat().st_mtime_ns for path in written(conf)} == before


def written(conf: Settings) -> Iterator[Path]:
    return (path for path in conf.state.rglob("*") if path.is_file() and path.parent.name != "status")


# -- could not look ---------------------------------------------------------------------------------------------------


def lose_server(shell: Tmux) -> None:
    os.kill(int(shell("display-message", "-p", "#{pid}")), signal.SIGKILL)


def remove_socket(shell: Tmux) -> None:
    Path(shell("display-message", "-p", "#{socket_path}")).unlink()


def replace_server(shell: Tmux) -> None:
    shell("kill-server")
    eventually(lambda: is_started(shell))


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
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
    cycles: Callable[[int], None],
    fault: Callable[[Tmux], None],
    what: str,
) -> None:
    workers(18)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 18), within_s=10, but=lambda: states(conf))
    server = int(shell("display-message", "-p", "#{pid}"))

    fault(shell)

    eventually(lambda: len(mail()) == 1, within_s=10, but=mail)
    cycles(5)
    [message] = mail()
    assert what in message.subject
    assert message.subject.endswith("18 agents unknown")
    assert all_are(conf, "unknown", 18)
    assert len(registry.snapshot().agents) == 18
    assert not any("missing_since" in agent for agent in registry.snapshot().agents.values())
    if fault is remove_socket:
        os.kill(server, signal.SIGUSR1)
        eventually(lambda: len(mail()) == 2, but=mail)
        assert subjects(mail)[1].startswith("[CLEARED] tmux")


def test_a_server_that_does_not_answer_is_one_incident_and_one_clearing(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
) -> None:
    workers(2)
    start(NAME)
    eventually(lambda: all_are(conf, "running", 2), but=lambda: states(conf))
    server = int(shell("display-message", "-p", "#{pid}"))

    os.kill(server, signal.SIGSTOP)
    try:
        eventually(lambda: len(mail()) == 1, within_s=15, but=mail)
        assert "tmux server not answering since" in subjects(mail)[0]
        assert detail(conf)["tmux"]["answer"] == "timeout"
    finally:
        os.kill(server, signal.SIGCONT)

    eventually(lambda: len(mail()) == 2, but=mail)
    assert subjects(mail)[1].startswith("[CLEARED] tmux")
    eventually(lambda: all_are(conf, "running", 2), but=lambda: states(conf))
    assert not any("missing_since" in agent for agent in registry.snapshot().agents.values())


def test_a_server_that_does_not_answer_keeps_nobody_from_ending(
    conf: Settings, workers: Callable[[int], list[str]], start: Start, shell: Tmux, cycles: Callable[[int], None]
) -> None:
    workers(1)
    service = start(NAME)
    cycles(1)
    server = int(shell("display-message", "-p", "#{pid}"))
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


def test_without_tmux_the_others_are_followed_and_it_is_said(
    conf: Settings, environ: dict[str, str], registry: Registry, start: Start, tmp_path: Path, mail: Mail
) -> None:
    registry.register("over-http", {}, clock.now())
    (tmp_path / "bin").mkdir()

    start(NAME, PATH=str(tmp_path / "bin"))

    eventually(lambda: states(conf) == {"over-http": "registered"}, but=lambda: states(conf))
    assert detail(conf)["tmux"]["answer"] == "absent"
    assert "apt install tmux" in detail(conf)["tmux"]["reason"]
    assert mail() == []


# -- heartbeats, registry, mailbox ------------------------------------------------------------------------------------


def test_who_is_silent_for_longer_than_his_ttl_is_stale_once(
    conf: Settings, registry: Registry, start: Start, mail: Mail, cycles: Callable[[int], None]
) -> None:
    registry.register("beating", {"ttl": 0.6}, clock.now())
    registry.register("patient", {"ttl": 3600}, clock.now())
    start(NAME)

    stale = {"beating": "stale", "patient": "registered"}
    eventually(lambda: states(conf) == stale, within_s=15, but=lambda: states(conf))
    eventually(lambda: len(mail()) == 1, but=mail)
    cycles(3)
    assert len(mail()) == 1
    assert "Agent 'beating' is stale" in subjects(mail)[0]

    files.replace(agents.heartbeats_path(conf), json.dumps({"beating": {"at": "2999-01-01T00:00:00+00:00"}}).encode())

    eventually(lambda: len(mail()) == 2, but=mail)
    assert "heard of again" in subjects(mail)[1]


def test_a_registry_that_is_none_is_restored_and_told_once(
    conf: Settings, registry: Registry, start: Start, mail: Mail, cycles: Callable[[int], None]
) -> None:
    registry.register("kept", {}, clock.now())
    start(NAME)
    cycles(1)

    conf.registry.write_text("{ this is no JSON")

    eventually(lambda: len(mail()) == 1, but=mail)
    cycles(3)
    assert len(mail()) == 1
    assert subjects(mail) == ["[ALERT] agent_registry.json was no registry; its last good copy was restored, 1 agent"]
    assert list(registry.snapshot().agents) == ["kept"]


def test_lines_of_the_mailbox_that_are_no_messages_are_told_with_their_numbers(
    conf: Settings, start: Start, cycles: Callable[[int], None]
) -> None:
    conf.mailbox.parent.mkdir(mode=0o700)
    conf.mailbox.write_text("garbage\n[2026-01-31T18:54:00+05:30] cmux:a -> cmux:nobody: hello\n")
    start(NAME)

    eventually(lambda: "mailbox: line 1 cannot be read as a message" in conf.mailbox.read_text())
    cycles(2)
    assert conf.mailbox.read_text().startswith("garbage\n")
    assert conf.mailbox.read_text().count("cannot be read") == 1
    assert detail(conf)["mailbox"]["unparsable"] == 1
    assert detail(conf)["mailbox"]["undelivered"] >= 1


def test_a_killed_service_repeats_and_forgets_nothing(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    start: Start,
    shell: Tmux,
    mail: Mail,
    cycles: Callable[[int], None],
) -> None:
    workers(3)
    first = start(NAME)
    eventually(lambda: all_are(conf, "running", 3), but=lambda: states(conf))
    kill(shell, "w01")
    eventually(lambda: len(mail()) == 1, but=mail)
    first.kill()
    first.wait()
    kill(shell, "w02")

    start(NAME)

    eventually(lambda: len(mail()) == 2, but=mail)
    cycles(3)
    assert subjects(mail) == [f"[ALERT] Registered agent '{name}' missing from tmux" for name in ("w01", "w02")]


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
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    service: RegistryService,
    mail: Mail,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers(2)
    observed(service)
    look = tmux.observe

    def end_and_look(*args: Any, **kwargs: Any) -> Seen | Unknown:
        if "w00" in registry.snapshot().agents:
            registry.update("w00", {"expected": "stopped"})
            tmux.end_window(conf, entry(registry, "w00")["window_id"])
        return look(*args, **kwargs)

    monkeypatch.setattr(tmux, "observe", end_and_look)

    assert observed(service)["w00"]["state"] == "stopped"
    assert mail() == []


def test_who_is_opened_while_tmux_is_being_looked_at_is_not_missing(
    conf: Settings,
    registry: Registry,
    workers: Callable[[int], list[str]],
    service: RegistryService,
    mail: Mail,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers(1)
    observed(service)
    look = tmux.observe
    registry.register("again", {}, clock.now())

    def look_and_open(*args: Any, **kwargs: Any) -> Seen | Unknown:
        seen = look(*args, **kwargs)
        monkeypatch.undo()
        agents.open_agent(conf, registry, "new", command=FOREVER)
        registry.unregister("again")
        agents.open_agent(conf, registry, "again", command=FOREVER)
        return seen

    monkeypatch.setattr(tmux, "observe", look_and_open)

    assert list(observed(service)) == ["w00"]
    assert {agent_id: seen["state"] for agent_id, seen in observed(service).items()} == {
        "w00": "running",
        "new": "running",
        "again": "running",
    }
    assert mail() == []


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
