from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually

from daemons import agents, clock, processes, settings, suite
from daemons.alerts import all_open
from daemons.clock import Wake
from daemons.mailbox import Message
from daemons.processes import Meter
from daemons.registry import Registry
from daemons.registry_service import usage
from daemons.registry_service.__main__ import RegistryService
from daemons.settings import Settings

MIB = 1 << 20
FOREVER = ["sleep", "300"]
PYTHON = [sys.executable, "-S", "-c"]
# Takes 150 MiB, and gives it back when the file appears.
EATER = """
import os, signal, sys, time
signal.alarm(300)
eaten = bytearray(os.urandom(1)) * (150 << 20)
while not os.path.exists(sys.argv[1]): time.sleep(0.02)
del eaten
time.sleep(300)
"""
BUSY = """
import os, signal, sys
signal.alarm(300)
while not os.path.exists(sys.argv[1]): pass
os.execvp("sleep", ["sleep", "300"])
"""
PARENT = """
import os, subprocess, sys
subprocess.run([sys.executable, "-S", "-c", "import time\\nwhile time.process_time() < 0.3: pass"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "299"])
    os._exit(0)
os.wait()
open(sys.argv[1], "w").close()
os.execvp("sleep", ["sleep", "300"])
"""


@pytest.fixture
def conf(environ: dict[str, str]) -> Settings:
    return settings.load(environ | {"CMUX_AGENT_MEMORY": "100M", "CMUX_AGENT_CPU": "0.4", "CMUX_ALERT_COOLDOWN": "0"})


@pytest.fixture
def registry(conf: Settings) -> Registry:
    return Registry(conf)


@pytest.fixture
def tick(conf: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cycle of the service; it measures in each."""
    monkeypatch.setattr(usage, "EVERY_S", 0.0)
    monkeypatch.setattr(usage, "NEW_AFTER_S", 0.0)
    monkeypatch.setattr(usage, "BUSY_FOR_S", 0.5)
    service = RegistryService(conf, Wake())
    yield lambda: service.tick(clock.now())["agents"]
    service.close()


def alerts(conf: Settings) -> list[str]:
    return [alert.key for alert in all_open(conf)]


def test_a_tree_holds_what_left_it_and_the_time_of_children_that_ended(
    conf: Settings, registry: Registry, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    entry = agents.open_agent(conf, registry, "a", command=[*PYTHON, PARENT, str(ready)])
    other = agents.open_agent(conf, registry, "b", command=FOREVER)
    eventually(ready.exists)

    measured = Meter().measure({"a": entry["pid"], "b": other["pid"], "gone": 1 << 22}, suite.known_id(conf))

    assert sorted(measured) == ["a", "b"]
    commands = sorted(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in measured["a"].pids)
    assert commands == [b"sleep\x00299\x00", b"sleep\x00300\x00"]
    assert measured["a"].cpu_s >= 0.3
    assert measured["b"].pids == (other["pid"],)
    assert 0 < measured["b"].rss_bytes < 20 * MIB
    assert 0 <= measured["b"].age_s < 30


def test_of_another_suite_nothing_is_counted(conf: Settings, registry: Registry, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    entry = agents.open_agent(conf, registry, "a", command=[*PYTHON, PARENT, str(ready)])
    eventually(ready.exists)

    assert Meter().measure({"a": entry["pid"]}, "another")["a"].pids == (entry["pid"],)


def test_an_agent_that_uses_too_much_memory_is_told_once_and_goes_on(
    conf: Settings, registry: Registry, tick: Callable[[], Any], mail: Callable[[], list[Message]], tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    entry = agents.open_agent(conf, registry, "eater", command=[*PYTHON, EATER, str(enough)])
    agents.open_agent(conf, registry, "modest", command=FOREVER)

    eventually(lambda: tick() and alerts(conf) == ["agent-memory:eater"])
    seen = [tick() for _ in range(3)][-1]
    enough.touch()
    eventually(lambda: tick() and not alerts(conf))

    assert seen["eater"]["usage"]["rss_bytes"] > 150 * MIB
    assert seen["modest"]["usage"]["processes"] == 1
    subjects = [message.subject for message in mail()]
    assert len(subjects) == 2
    assert re.search(r"Agent 'eater' uses 1\d\d MiB .*more than 100", subjects[0])  # told while it still grows, maybe
    assert subjects[1] == "[CLEARED] eater: it uses less now"
    assert processes.read(entry["pid"])


def test_many_processes_that_share_their_pages_are_not_too_much(
    conf: Settings, registry: Registry, tick: Callable[[], Any], tmp_path: Path
) -> None:
    sharing = (
        "import os, signal, time\nsignal.alarm(300)\neaten = b'x' * (60 << 20)\n"
        f"if os.fork() == 0: open({str(tmp_path / 'ready')!r}, 'w')\nsignal.alarm(300)\ntime.sleep(300)"
    )
    agents.open_agent(conf, registry, "sharer", command=[*PYTHON, sharing])
    eventually((tmp_path / "ready").exists)

    seen = eventually(lambda: (now := tick()["sharer"])["usage"]["processes"] == 2 and now)

    assert seen["usage"]["rss_bytes"] > 120 * MIB
    assert alerts(conf) == []


def test_one_that_keeps_cores_busy_is_told_once_it_lasts(
    conf: Settings, registry: Registry, tick: Callable[[], Any], mail: Callable[[], list[Message]], tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    agents.open_agent(conf, registry, "busy", command=[*PYTHON, BUSY, str(enough)])

    seen = eventually(lambda: (now := tick()) and alerts(conf) == ["agent-cpu:busy"] and now, within_s=10)
    enough.touch()
    eventually(lambda: tick() and not alerts(conf), within_s=10)

    assert seen["busy"]["usage"]["cores"] > 0
    assert [subject.split(" has ")[0] for subject in (message.subject for message in mail())] == [
        "[ALERT] Agent 'busy'",
        "[CLEARED] busy: it uses less now",
    ]


def test_who_ends_or_can_not_be_seen_is_not_said_to_use_less(
    conf: Settings, registry: Registry, tick: Callable[[], Any], mail: Callable[[], list[Message]], tmp_path: Path
) -> None:
    entry = agents.open_agent(conf, registry, "eater", command=[*PYTHON, EATER, str(tmp_path / "never")])
    eventually(lambda: tick() and alerts(conf))
    os.kill(int(entry["tmux_server"].split("@")[0]), 19)
    try:
        assert tick()["eater"]["state"] == "unknown"
        assert alerts(conf) == ["agent-memory:eater"]
    finally:
        os.kill(int(entry["tmux_server"].split("@")[0]), 18)

    agents.end_agent(conf, registry, "eater")
    eventually(lambda: "eater" not in tick() and not alerts(conf))

    assert mail()[-1].subject == "[CLEARED] eater: it has ended"


def test_after_a_start_of_the_service_what_was_told_stays_told(
    conf: Settings, registry: Registry, tick: Callable[[], Any], mail: Callable[[], list[Message]], tmp_path: Path
) -> None:
    agents.open_agent(conf, registry, "eater", command=[*PYTHON, EATER, str(tmp_path / "never")])
    eventually(lambda: tick() and alerts(conf))

    again = RegistryService(conf, Wake())
    again.tick(clock.now())
    again.close()

    assert alerts(conf) == ["agent-memory:eater"]
    assert len(mail()) == 1
