"""`cmux drill`: what there is, one that passes, and that the user's home is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Cmux, answer

from daemons.cli.drill import DRILLS
from daemons.settings import Settings
from tests.drills import table


def test_the_list_names_every_drill_with_its_rounds(cmux: Cmux) -> None:
    shown = cmux("drill").stdout

    assert all(name in shown for name in DRILLS)
    assert answer(cmux("drill", "--json"))["drills"]["kills"]["rounds"] == 60


def test_every_drill_there_is_has_a_name_here_and_is_started_alike() -> None:
    assert DRILLS.keys() == table.DRILLS.keys()


def test_what_a_drill_needs_and_cannot_have_is_said_and_is_no_pass(cmux: Cmux, tmp_path: Path) -> None:
    refused = cmux("drill", "syscalls", "1", PATH=str(tmp_path))

    assert (refused.returncode, "PASS" in refused.stdout) == (5, False)
    assert "needs strace: apt-get install strace" in refused.stderr


def test_a_drill_that_mounts_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table.DRILLS["fulldisk"].lacks() == ("" if os.geteuid() == 0 else table.DRILLS["fulldisk"].lacks())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert "needs root" in table.DRILLS["powercut"].lacks()
    assert "needs root" in table.DRILLS["fulldisk"].lacks()


def test_one_runs_in_a_scratch_home_and_says_how_it_went(cmux: Cmux, conf: Settings) -> None:
    done = cmux("drill", "machine", "50")

    assert (done.returncode, "machine: PASS after" in done.stdout) == (0, True)
    assert not conf.registry.exists()
    assert not conf.mailbox.exists()


def test_a_drill_that_there_is_not_is_refused(cmux: Cmux) -> None:
    refused = cmux("drill", "nonsense")

    assert (refused.returncode, "there is no drill 'nonsense'" in refused.stderr) == (2, True)
