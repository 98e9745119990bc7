"""`cmux drill`: what there is, one that passes, and that the user's home is left alone."""

from __future__ import annotations

import importlib.util

import pytest
from conftest import Cmux, answer

from daemons.cli.drill import DRILLS
from daemons.settings import Settings
from tests.drills.stores import DRILLS as STORES


def test_the_list_names_every_drill_with_its_rounds(cmux: Cmux) -> None:
    shown = cmux("drill").stdout

    assert all(name in shown for name in DRILLS)
    assert answer(cmux("drill", "--json"))["drills"]["kills"]["rounds"] == 60


@pytest.mark.parametrize("name", DRILLS)
def test_what_is_named_exists(name: str) -> None:
    module, *words = DRILLS[name].words

    assert importlib.util.find_spec(module)
    assert module != "tests.drills" or words[0] in STORES


def test_one_runs_in_a_scratch_home_and_says_how_it_went(cmux: Cmux, conf: Settings) -> None:
    done = cmux("drill", "machine", "50")

    assert (done.returncode, "machine: PASS after" in done.stdout) == (0, True)
    assert not conf.registry.exists()
    assert not conf.mailbox.exists()


def test_a_drill_that_there_is_not_is_refused(cmux: Cmux) -> None:
    refused = cmux("drill", "nonsense")

    assert (refused.returncode, "there is no drill 'nonsense'" in refused.stderr) == (2, True)
