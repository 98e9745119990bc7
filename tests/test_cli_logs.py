"""`cmux paths` and `cmux logs`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import Cmux, answer, eventually

from daemons import clock
from daemons.clock import Wake
from daemons.log_watcher.__main__ import LogWatcher
from daemons.settings import Settings


def test_one_path_is_printed_alone_for_scripts(cmux: Cmux, conf: Settings) -> None:
    assert cmux("paths", "mailbox").stdout == f"{conf.mailbox}\n"


def log_line(event: str, second: int, level: str = "INFO", **fields: object) -> str:
    ts = f"2026-01-31T18:54:{second:02}.000000+00:00"
    return json.dumps({"ts": ts, "level": level, "daemon": "x", "event": event, **fields}) + "\n"


@pytest.fixture
def logs(conf: Settings) -> Path:
    """Logs as supervisord keeps them: two daemons' and a service's."""
    conf.logs_dir.mkdir(parents=True)
    (conf.logs_dir / "api.log").write_text(log_line("api.started", 1) + log_line("api.failed", 5, "ERROR", why="disk"))
    (conf.logs_dir / "log_watcher.log").write_text(log_line("log.seen", 3))
    (conf.logs_dir / "service-web.log").write_text("plain \x1b[31mtext\n")
    return conf.logs_dir


def test_logs_of_all_are_shown_in_order_of_time(cmux: Cmux, logs: Path) -> None:
    shown = cmux("logs").stdout

    assert shown.index("api.started") < shown.index("log.seen") < shown.index("api.failed")
    assert "why=disk" in shown


def test_log_text_cannot_act_on_the_terminal(cmux: Cmux, logs: Path) -> None:
    assert "\x1b" not in cmux("logs", "service-web").stdout


def test_logs_can_be_chosen_by_name_level_and_number(cmux: Cmux, logs: Path) -> None:
    assert "log.seen" not in cmux("logs", "api").stdout
    assert "api.started" not in cmux("logs", "--level", "error").stdout
    assert len(cmux("logs", "-n", "1").stdout.splitlines()) == 1


def test_an_unknown_log_is_refused_with_the_known_ones(cmux: Cmux, logs: Path) -> None:
    refused = cmux("logs", "apj")

    assert refused.returncode == 2
    assert "api, log_watcher, service-web" in refused.stderr


def test_logs_are_json_for_programs(cmux: Cmux, logs: Path) -> None:
    lines = answer(cmux("logs", "--json"))["lines"]

    assert [line["source"] for line in lines][:3] == ["api", "log_watcher", "api"]


def test_followed_logs_survive_rotation(environ: Mapping[str, str], home: Path, logs: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    with shown.open("w") as out:
        following = subprocess.Popen(
            [sys.executable, "-P", "-m", "daemons.cli", "logs", "-f", "-n", "1", "api"],
            env=environ,
            cwd=home,
            stdout=out,
        )
    eventually(lambda: "api.failed" in shown.read_text())

    with (logs / "api.log").open("a") as old:
        old.write(log_line("before.rotation", 6))
    (logs / "api.log").rename(logs / "api.log.1")
    (logs / "api.log").write_text(log_line("after.rotation", 7))

    try:
        eventually(lambda: "after.rotation" in shown.read_text(), but=shown.read_text)
        assert shown.read_text().count("before.rotation") == 1
    finally:
        following.terminate()
        following.wait(10)


# -- the ledger of the watched logs -----------------------------------------------------------------------------------


def follow(conf: Settings, path: Path, content: str) -> LogWatcher:
    path.write_text(content)
    watcher = LogWatcher(conf, Wake())
    watcher.tick(clock.now())
    return watcher


def test_coverage_tells_of_each_log_what_was_examined_and_what_was_not(cmux: Cmux, conf: Settings) -> None:
    log = conf.home / "server.log"
    follow(conf, log, "INFO: old\n" * 40_000 + "ERROR: x\n").close()

    told = answer(cmux("logs", "--coverage", "--json"))["logs"][str(log)]

    assert told["seen_bytes"] == log.stat().st_size
    assert told["examined_bytes"] + told["gaps"]["older than the first look"]["bytes"] == log.stat().st_size
    assert (told["unexplained_bytes"], told["events"]) == (0, 1)
    shown = cmux("logs", "--coverage").stdout
    assert "server.log" in shown
    assert "older than the first look (138 kB)" in shown


def test_coverage_ends_with_1_when_bytes_are_missing_for_no_reason(cmux: Cmux, conf: Settings) -> None:
    log = conf.home / "server.log"
    follow(conf, log, "INFO: fine\n").close()
    [file] = conf.markers_dir.glob("server*.json")
    file.write_text(file.read_text().replace('"examined_bytes": 11', '"examined_bytes": 4'))

    told = cmux("logs", "--coverage")

    assert told.returncode == 1
    assert "7 B for no known reason" in told.stdout


def test_coverage_of_nothing_says_so(cmux: Cmux) -> None:
    assert "no log was read yet" in cmux("logs", "--coverage").stdout
