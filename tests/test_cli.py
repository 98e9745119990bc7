"""The frame that every command keeps, and what a person sees."""

from __future__ import annotations

import os
import pty
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Cmux, answer

from daemons.cli import command, screen


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
    assert "mailbox" in answer(cmux(*words))["paths"]


def test_a_command_costs_less_than_300_ms(cmux: Cmux) -> None:
    cmux("paths")  # compiles what is new
    costs = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        cmux("paths")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    # Processor time: a clock on the wall measures what else the machine does.
    assert min(costs) < 0.3, costs


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
