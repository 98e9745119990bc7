"""The command, run as people and scripts run it."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import eventually

from daemons import clock
from daemons.alerts import Alerts, Occurrence
from daemons.cli import command, screen
from daemons.mailbox import Message
from daemons.registry import Registry
from daemons.settings import Settings

Cmux = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cmux(environ: Mapping[str, str], home: Path) -> Cmux:
    """Run `cmux …` in this test's home, not on a terminal."""

    def run(*words: str, stdin: str = "", within_s: float = 30, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "daemons.cli", *words],
            env=dict(environ) | extra,
            cwd=home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    return run


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """What `--json` printed: one object, alone on stdout, in the frame that every command keeps."""
    parsed = json.loads(done.stdout)
    assert isinstance(parsed["ok"], bool)
    assert parsed["schema"] == 1
    return parsed


# -- the frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["help"], ["--help"]])
def test_help_names_every_command(cmux: Cmux, words: list[str]) -> None:
    shown = cmux(*words)

    assert shown.returncode == 0
    assert [name for name in command.SUMMARIES if not re.search(rf"^  {name}\b", shown.stdout, re.MULTILINE)] == []


@pytest.mark.parametrize("name", [*command.SUMMARIES, *command.OTHER_NAMES])
def test_every_command_helps_with_examples(cmux: Cmux, name: str) -> None:
    shown = cmux(name, "--help")

    assert shown.returncode == 0
    assert "examples:" in shown.stdout
    assert "--json" in shown.stdout


def test_help_is_there_when_the_settings_are_wrong(cmux: Cmux) -> None:
    assert cmux("help", CMUX_PORT="many").returncode == 0


def test_a_wrong_setting_is_one_line_and_exit_code_2(cmux: Cmux) -> None:
    refused = cmux("status", CMUX_PORT="many")

    assert refused.returncode == 2
    assert refused.stdout == ""
    assert re.fullmatch(r"cmux: CMUX_PORT='many' .*\n", refused.stderr)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["statsu"], "did you mean 'status'"),
        (["paths", "--nonsense"], "cmux paths --help"),
        (["paths", "nowhere"], "there are: home"),
        (["logs", "-n", "many"], "whole number"),
    ],
)
def test_wrong_usage_says_what_would_be_right(cmux: Cmux, words: list[str], expected: str) -> None:
    refused = cmux(*words)

    assert refused.returncode == 2
    assert expected in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_refusal_is_json_too_where_json_was_asked_for(cmux: Cmux) -> None:
    refused = cmux("paths", "nowhere", "--json")

    assert refused.returncode == 2
    assert answer(refused)["ok"] is False
    assert "nowhere" in str(answer(refused)["error"])


@pytest.mark.parametrize("words", [["--json", "paths"], ["paths", "--json"]])
def test_json_may_stand_before_or_after_the_command(cmux: Cmux, words: list[str]) -> None:
    assert "mailbox" in answer(cmux(*words))["paths"]  # type: ignore[operator]


def test_the_command_answers_within_300_ms(cmux: Cmux) -> None:
    cmux("paths")  # compiles what is new
    took = []
    for _ in range(5):
        began = time.monotonic()
        cmux("paths")
        took.append(time.monotonic() - began)

    assert min(took) < 0.3, took


def test_a_reader_that_goes_away_is_no_error(environ: Mapping[str, str], home: Path) -> None:
    piped = subprocess.run(
        ["sh", "-c", f"{sys.executable} -P -m daemons.cli paths | true"],
        env=environ,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (piped.returncode, piped.stderr) == (0, "")


# -- what a person sees -----------------------------------------------------------------------------------------------


def on_terminal(words: list[str], environ: Mapping[str, str], home: Path) -> str:
    """What `cmux words` shows on a terminal of 80 columns."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execvpe(sys.executable, [sys.executable, "-P", "-m", "daemons.cli", *words], dict(environ))
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode()


def test_colours_are_for_terminals(cmux: Cmux, environ: Mapping[str, str], home: Path) -> None:
    assert "\x1b[" not in cmux("help").stdout
    assert "\x1b[" in on_terminal(["help"], {**environ, "TERM": "xterm"}, home)


@pytest.mark.parametrize("wish", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_wish_for_no_colours_is_kept(environ: Mapping[str, str], home: Path, wish: Mapping[str, str]) -> None:
    assert "\x1b[" not in on_terminal(["help"], {**environ, "TERM": "xterm", **wish}, home)


def test_without_unicode_signs_are_ascii(cmux: Cmux) -> None:
    assert cmux("paths", PYTHONIOENCODING="ascii").stdout.isascii()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (7.25, "7.2 s ago"), (59, "59 s ago"), (200, "3 min ago"), (7300, "2 h ago"), (-90, "in 1 min")],
)
def test_times_are_told_as_people_tell_them(seconds: float, words: str) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)

    assert screen.ago(now - timedelta(seconds=seconds), now) == words


@pytest.mark.parametrize(("cell", "columns"), [("abc", 3), ("\x1b[32mabc\x1b[0m", 3), ("日本", 4), ("e\u0301", 1)])
def test_columns_are_counted_as_a_terminal_counts_them(cell: str, columns: int) -> None:
    assert screen.width(cell) == columns


@pytest.mark.parametrize(("octets", "words"), [(0, "0 B"), (999, "999 B"), (2_100, "2.1 KB"), (34e6, "34 MB")])
def test_sizes_are_short(octets: float, words: str) -> None:
    assert screen.size(octets) == words


# -- paths and logs ---------------------------------------------------------------------------------------------------


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

    assert [line["source"] for line in lines][:3] == ["api", "log_watcher", "api"]  # type: ignore[attr-defined]


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


# -- agents -----------------------------------------------------------------------------------------------------------


def agents_of(cmux: Cmux) -> dict[str, dict[str, object]]:
    listed = answer(cmux("agents", "--json"))["agents"]
    return {agent["agent_id"]: agent["observed"] for agent in listed}  # type: ignore[attr-defined]


def test_an_agent_is_opened_listed_and_ended(cmux: Cmux) -> None:
    opened = cmux("agents", "new", "worker-a", "--", "sleep", "600")
    assert opened.returncode == 0, opened.stderr
    assert agents_of(cmux)["worker-a"]["state"] == "running"

    ended = cmux("agents", "rm", "worker-a")

    assert ended.returncode == 0, ended.stderr
    assert "worker-a ended: 1 process" in ended.stdout
    assert agents_of(cmux) == {}


def test_an_agent_may_run_a_whole_shell_line(cmux: Cmux, home: Path) -> None:
    cmux("agents", "new", "worker-a", "-c", "echo one > said; exec sleep 600")

    eventually(lambda: (home / "said").exists() and (home / "said").read_text() == "one\n")


def test_ending_an_agent_can_be_tried_first(cmux: Cmux) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 600")

    tried = cmux("agents", "rm", "worker-a", "-n")

    assert "would end worker-a" in tried.stdout
    assert "worker-a" in agents_of(cmux)


def test_an_agent_is_shown_with_all_that_is_known(cmux: Cmux) -> None:
    cmux("agents", "new", "worker-a", "--type", "tester", "--permanent", "-c", "sleep 600")

    shown = cmux("agents", "show", "cmux:worker-a").stdout

    assert "worker-a is running" in shown
    assert re.search(r"type +tester", shown)
    assert re.search(r"registered_at .*ago|just now", shown)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["new", "../x"], "allowed"),
        (["rm", "nobody"], "no agent 'nobody'"),
        (["rm", "supervisor"], "supervisor"),
        (["new", "a", "--cwd", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_done_with_an_agent_is_said_in_one_line(cmux: Cmux, words: list[str], expected: str) -> None:
    refused = cmux("agents", *words)

    assert refused.returncode == 1
    assert expected in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_name_that_is_taken_is_refused(cmux: Cmux) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 600")

    assert "end it first" in cmux("agents", "new", "worker-a").stderr


@pytest.fixture
def without_tmux(tmp_path: Path) -> str:
    """A PATH on which there is no tmux."""
    bare = tmp_path / "bare"
    bare.mkdir()
    return str(bare)


def test_without_tmux_agents_are_listed_all_the_same(cmux: Cmux, without_tmux: str) -> None:
    shown = cmux("agents", PATH=without_tmux)

    assert shown.returncode == 0
    assert "tmux is not installed" in shown.stdout


def test_without_tmux_opening_an_agent_says_what_to_install(cmux: Cmux, without_tmux: str) -> None:
    refused = cmux("agents", "new", "worker-a", PATH=without_tmux)

    assert refused.returncode == 5
    assert "install" in refused.stderr


def test_attach_is_one_exact_tmux_command(cmux: Cmux, environ: Mapping[str, str]) -> None:
    cmux("agents", "new", "worker-a", "-c", "sleep 600")

    printed = answer(cmux("attach", "worker-a", "--json"))["command"]

    assert printed[:4] == ["tmux", "-u", "-L", environ["CMUX_TMUX_SOCKET"]]  # type: ignore[index]
    assert "=cmux:" in printed  # type: ignore[operator]


def test_attach_without_a_session_says_how_to_get_one(cmux: Cmux) -> None:
    refused = cmux("attach")

    assert refused.returncode == 4
    assert "cmux agents new" in refused.stderr


# -- doctor -----------------------------------------------------------------------------------------------------------


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


def test_doctor_names_what_is_missing_and_how_to_install_it(cmux: Cmux, without_tmux: str, home: Path) -> None:
    (home / "src" / "frontend").mkdir(parents=True)
    (home / "src" / "frontend" / "package.json").write_text("{}")

    examined = cmux("doctor", "--json", PATH=without_tmux)

    assert examined.returncode == 5
    lacks = {check["check"] for check in answer(examined)["checks"] if check["todo"]}  # type: ignore[attr-defined]
    assert lacks == {"tmux", "node", "npm"}


def test_doctor_shows_a_broken_registry_and_brings_agents_back(cmux: Cmux, conf: Settings) -> None:
    Registry(conf).register("worker-a", {}, clock.now())
    Registry(conf).register("worker-b", {}, clock.now())
    kept = conf.state / "kept.json"
    kept.write_bytes(conf.registry.read_bytes())
    conf.registry.write_text("{ not JSON")
    [trouble] = answer(cmux("doctor", "--json"))["registry_troubles"]  # type: ignore[misc]
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


# -- mail -------------------------------------------------------------------------------------------------------------


def subjects(done: subprocess.CompletedProcess[str]) -> list[object]:
    return [message.get("subject") for message in answer(done)["messages"]]  # type: ignore[attr-defined]


def test_a_message_is_sent_listed_and_read_once(cmux: Cmux) -> None:
    cmux("mail", "send", "worker-a", "please run the tests", "--from", "supervisor")

    assert "cmux:supervisor  cmux:worker-a  please run the tests" in cmux("mail").stdout
    assert subjects(cmux("mail", "read", "--as", "worker-a", "-n", "--json")) == ["please run the tests"]
    assert subjects(cmux("mail", "read", "--as", "worker-a", "--json")) == ["please run the tests"]
    assert subjects(cmux("mail", "read", "--as", "worker-a", "--json")) == []


def test_who_sends_from_an_agents_window_is_that_agent(cmux: Cmux, mail: Callable[[], list[Message]]) -> None:
    cmux("mail", "send", "user", "done", CMUX_AGENT_ID="worker-a")

    assert [message.sender for message in mail()] == ["cmux:worker-a"]


def test_what_comes_on_stdin_is_kept_as_the_body(cmux: Cmux, mail: Callable[[], list[Message]], home: Path) -> None:
    cmux("mail", "send", "user", "a report", "--body", "-", stdin="line one\nline two\n")

    assert (home / str(mail()[0].body)).read_text() == "line one\nline two\n"


def test_messages_for_nobody_are_seen_as_such(cmux: Cmux, conf: Settings) -> None:
    Registry(conf).register("worker-a", {}, clock.now())
    cmux("mail", "send", "worker-a", "for somebody")
    sent = cmux("mail", "send", "nobody", "for nobody")

    assert "nobody of that name" in sent.stderr
    assert subjects(cmux("mail", "--undelivered", "--json")) == ["for nobody"]


def test_a_message_that_would_not_read_back_is_refused(cmux: Cmux, conf: Settings) -> None:
    refused = cmux("mail", "send", "user", "two\nlines")

    assert refused.returncode == 1
    assert "one line" in refused.stderr
    assert not conf.mailbox.exists()


def test_a_line_that_is_no_message_is_shown_with_its_number(cmux: Cmux, conf: Settings) -> None:
    cmux("mail", "send", "user", "before")
    with conf.mailbox.open("a") as file:
        file.write("what \x1b[2J is this\n")

    shown = cmux("mail").stdout

    assert "mailbox:2" in shown
    assert "\x1b" not in shown


def test_mail_can_be_chosen_by_sender_and_recipient(cmux: Cmux) -> None:
    cmux("mail", "send", "user", "one", "--from", "a")
    cmux("mail", "send", "b", "two", "--from", "c")

    assert subjects(cmux("mail", "--from", "a", "--json")) == ["one"]
    assert subjects(cmux("mail", "list", "--to", "cmux:b", "--json")) == ["two"]


def follow(environ: Mapping[str, str], home: Path, shown: Path) -> subprocess.Popen[bytes]:
    with shown.open("a") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "daemons.cli", "mail", "follow", "--as", "worker-a", "--json"],
            env=environ,
            cwd=home,
            stdout=out,
        )


def test_a_follower_that_was_killed_goes_on_where_it_was(
    cmux: Cmux, environ: Mapping[str, str], home: Path, tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    cmux("mail", "send", "worker-a", "first")
    first = follow(environ, home, shown)
    eventually(lambda: shown.read_text().count("\n") == 1)
    eventually(lambda: list((home / ".cmux" / "cursors").glob("*.json")))
    first.kill()
    first.wait()
    cmux("mail", "send", "worker-a", "second")

    second = follow(environ, home, shown)

    try:
        eventually(lambda: "second" in shown.read_text(), but=shown.read_text)
        assert [json.loads(line)["message"]["subject"] for line in shown.read_text().splitlines()] == [
            "first",
            "second",
        ]
    finally:
        second.terminate()
        second.wait(10)


def test_verify_proves_what_the_journal_says_of_the_mailbox(cmux: Cmux, conf: Settings) -> None:
    Alerts(conf).raise_([Occurrence("k", "odd", "thing", "evidence")], clock.now(), headline="[ALERT] a thing")

    assert answer(cmux("mail", "verify", "--json"))["in_place"] == 1

    conf.mailbox.write_text("")
    lost = cmux("mail", "verify", "--json")
    assert lost.returncode == 3
    assert len(answer(lost)["missing"]) == 1  # type: ignore[arg-type]


# -- alerts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def alerted(conf: Settings) -> Alerts:
    """Two open alerts."""
    alerts = Alerts(conf)
    for key in ("odd:left", "odd:right"):
        alerts.raise_([Occurrence(key, "odd", key, "evidence \x1b[2J")], clock.now(), headline=f"[ALERT] {key}")
    return alerts


def test_open_alerts_are_listed_and_acknowledged(cmux: Cmux, alerted: Alerts) -> None:
    assert {alert["key"] for alert in answer(cmux("alerts", "--json"))["alerts"]} == {"odd:left", "odd:right"}  # type: ignore[attr-defined]

    assert cmux("alerts", "ack", "left").returncode == 0

    assert {alert.key: alert.state for alert in alerted.open()} == {"odd:left": "acknowledged", "odd:right": "open"}


def test_a_part_that_several_alerts_hold_is_refused(cmux: Cmux, alerted: Alerts) -> None:
    refused = cmux("alerts", "ack", "odd")

    assert refused.returncode == 1
    assert "odd:left, odd:right" in refused.stderr


def test_acknowledging_can_be_tried_first(cmux: Cmux, alerted: Alerts) -> None:
    cmux("alerts", "ack", "--all", "-n")

    assert {alert.state for alert in alerted.open()} == {"open"}
