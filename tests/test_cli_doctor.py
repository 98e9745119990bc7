"""`cmux doctor`: what is missing, who holds the port, which registries can be restored."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from conftest import Cmux, answer

from daemons import clock
from daemons.registry import Registry
from daemons.settings import Settings


def test_doctor_finds_a_sound_machine_sound(cmux: Cmux) -> None:
    examined = cmux("doctor")

    assert examined.returncode == 0, examined.stdout
    assert "is free" in examined.stdout


def test_doctor_names_who_holds_the_port(cmux: Cmux, conf: Settings) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", conf.port))
        stranger.listen()
        examined = cmux("doctor")

    assert examined.returncode == 3
    assert f"pid {os.getpid()}" in examined.stdout


def test_doctor_names_what_is_missing_and_how_to_install_it(cmux: Cmux, bare_path: str, home: Path) -> None:
    (home / "src" / "frontend").mkdir(parents=True)
    (home / "src" / "frontend" / "package.json").write_text("{}")

    examined = cmux("doctor", "--json", PATH=bare_path)

    assert examined.returncode == 5
    lacks = {check["check"] for check in answer(examined)["checks"] if check["todo"]}
    assert lacks == {"tmux", "node", "npm"}


def test_doctor_shows_a_broken_registry_and_brings_agents_back(cmux: Cmux, conf: Settings) -> None:
    Registry(conf).register("worker-a", {}, clock.now())
    Registry(conf).register("worker-b", {}, clock.now())
    kept = conf.state / "kept.json"
    kept.write_bytes(conf.registry.read_bytes())
    conf.registry.write_text("{ not JSON")
    [trouble] = answer(cmux("doctor", "--json"))["registry_troubles"]
    assert (trouble["kind"], trouble["agents"]) == ("quarantined", 2)
    Registry(conf).unregister("worker-b")

    tried = answer(cmux("doctor", "restore", str(kept), "-n", "--json"))
    brought = cmux("doctor", "restore", str(kept))

    assert tried["agents"] == ["worker-b"]
    assert "worker-b" in brought.stdout
    assert set(Registry(conf).snapshot().agents) == {"worker-a", "worker-b"}


def test_a_registry_that_is_none_is_not_restored(cmux: Cmux, home: Path) -> None:
    (home / "broken.json").write_text("{ not JSON")

    refused = cmux("doctor", "restore", "broken.json")

    assert refused.returncode == 1
    assert "mend it" in refused.stderr
