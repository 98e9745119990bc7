"""What an agent's hooks run, `scripts/cmux-hook`: against a real API, without one, and at speed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemons import agents, clock, files, mailbox, processes, settings, tmux
from daemons.mailbox import Message
from daemons.registry import Registry
from daemons.registry_service.spool import Spool, spool_dir
from daemons.settings import Settings
from tests.conftest import Start, eventually

HOOK = settings.CODE / "scripts" / "cmux-hook"


@pytest.fixture
def hook(conf: Settings) -> Callable[..., str]:
    """Run the hook as an agent does; what it printed. It ends with 0 and a silent stderr, whatever happens."""
    files.private_dir(conf.state)

    def run(event: str, agent: str = "worker-a", **environ: str) -> str:
        done = subprocess.run(
            [HOOK, event, conf.home, agent], capture_output=True, text=True, check=False, cwd=conf.home,
            env={**os.environ, "CMUX_HOOK_WITHIN_S": "5", **environ},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture
def served(start: Start, conf: Settings) -> Settings:
    start("api")
    eventually(lambda: (conf.run_dir / "api.sock").exists() and processes.listeners(conf.port), within_s=15)
    return conf


def spooled(conf: Settings) -> list[dict[str, object]]:
    return [json.loads(path.read_bytes()) for path in sorted(spool_dir(conf).glob("*.json"))]


def test_an_agent_that_begins_and_ends_is_registered_and_unregistered(
    served: Settings, hook: Callable[..., str]
) -> None:
    hook("start")

    entry = Registry(served).snapshot().agents["worker-a"]
    assert (entry["created_by"], entry["cwd"]) == ("hook", str(served.home))
    identity = processes.identify(os.getpid())
    assert identity
    assert (entry["pid"], entry["pid_started"]) == (identity.pid, identity.started)
    assert agents.Touches(served).read()["worker-a"].state == "running"

    hook("stop")
    assert "worker-a" not in Registry(served).snapshot().agents
    assert agents.Touches(served).read() == {}
    assert spooled(served) == []


def test_what_happens_while_the_api_is_down_is_taken_up_in_its_order(conf: Settings, hook: Callable[..., str]) -> None:
    registry = Registry(conf)
    hook("start", "a")
    hook("start", "b")
    hook("stop", "a")
    assert [told["call"] for told in spooled(conf)] == ["register", "register", "unregister"]

    assert Spool(conf, registry).drain(clock.now()) == 3

    assert set(registry.snapshot().agents) == {"b"}
    assert list(spool_dir(conf).iterdir()) == []


def test_while_something_waits_in_the_spool_nothing_overtakes_it(served: Settings, hook: Callable[..., str]) -> None:
    files.private_dir(spool_dir(served))
    (spool_dir(served) / "1-1.json").write_text('{"call": "register", "agent_id": "worker-a"}')

    hook("stop")

    assert [told["call"] for told in spooled(served)] == ["register", "unregister"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"call": "stop"}', '{"call": "register", "agent_id": "../x"}'])
def test_what_is_no_call_is_kept_aside_and_stops_no_other(conf: Settings, content: str) -> None:
    files.private_dir(spool_dir(conf))
    (spool_dir(conf) / "1-1.json").write_text(content)
    (spool_dir(conf) / "2-1.json").write_text('{"call": "register", "agent_id": "b"}')
    registry = Registry(conf)

    Spool(conf, registry).drain(clock.now())

    assert set(registry.snapshot().agents) == {"b"}
    assert (conf.quarantine_dir / "spool-1-1.json").read_text() == content


def test_new_mail_is_printed_once_it_is_there_and_not_again(served: Settings, hook: Callable[..., str]) -> None:
    box = mailbox.of(served)
    assert hook("mail") == ""
    box.post(Message(clock.now(), "cmux:supervisor", "worker-a", "[TASK] run the tests"))

    assert "cmux:supervisor: [TASK] run the tests" in hook("mail")
    assert hook("mail") == ""
    assert box.inbox("worker-a") == []


@pytest.mark.parametrize("event", ["start", "beat", "idle", "waiting", "mail", "stop", "nonsense"])
def test_a_hook_never_fails_its_agent(conf: Settings, hook: Callable[..., str], event: str) -> None:
    assert hook(event, "../../etc/passwd") == ""
    assert hook(event, "a\nb") == ""
    assert hook(event, PATH="/nonexistent") == ""
    assert not list(conf.home.glob("**/passwd"))


def test_without_a_home_it_makes_none(tmp_path: Path) -> None:
    subprocess.run([HOOK, "start", tmp_path / "gone", "a"], check=True)

    assert list(tmp_path.iterdir()) == []


# -- any program as an agent ------------------------------------------------------------------------------------------


def run_as_agent(conf: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "CMUX_HOOK_WITHIN_S": "5"}
    command = [str(HOOK), "run", str(conf.home), "tool", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environ, input="in\n", cwd=conf.home
    )


def test_a_program_runs_as_it_does_alone(served: Settings) -> None:
    done = run_as_agent(served, "sh", "-c", "read word; echo $word; echo err >&2")

    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "err\n")
    assert "tool" not in Registry(served).snapshot().agents


def test_one_that_fails_stays_registered_and_its_process_is_gone(served: Settings) -> None:
    assert run_as_agent(served, "sh", "-c", "exit 3").returncode == 3

    entry = Registry(served).snapshot().agents["tool"]
    look = agents.Look(served, tmux.Seen("1@2", ()))
    assert agents.by_its_process(entry, agents.Sighting("unwatched", ""), look).state == "gone"


@pytest.mark.parametrize("agent", ["../x", "tool"])
def test_a_program_runs_also_where_nobody_can_be_told(tmp_path: Path, agent: str) -> None:
    command = [str(HOOK), "run", str(tmp_path / "none"), agent, "sh", "-c", "echo out; exit 4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (4, "out\n")


def test_nothing_that_beats_is_left(served: Settings) -> None:
    run_as_agent(served, "true")

    def left() -> list[str]:
        looked = processes.table().values()
        return [each.command for each in looked if each.command == "sleep 10" and _stands_in(each.pid, served.home)]

    eventually(lambda: not left(), but=left)


def _stands_in(pid: int, folder: Path) -> bool:
    return processes.working_folder(pid) == folder


def test_a_beat_says_what_the_agent_does(conf: Settings, hook: Callable[..., str]) -> None:
    hook("waiting", "team/a")

    assert agents.Touches(conf).read()["team/a"].state == "waiting"
