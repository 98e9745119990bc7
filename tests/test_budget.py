"""Tries are paced, counted, and remembered over restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.budget import Budget, Policy

T0 = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
POLICY = Policy(first_pause_s=20.0, longest_pause_s=600.0, most_an_hour=6)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "repairs.json"


def test_the_first_try_is_free(path: Path) -> None:
    assert Budget(path, POLICY).may("api", T0)


def test_the_pause_begins_when_a_try_that_took_long_has_failed(path: Path) -> None:
    budget = Budget(path, POLICY)
    budget.spend("api", T0)

    budget.failed("api", at(90))

    assert Budget(path, POLICY).next_at("api", at(91)) == at(110)
    assert Budget(path, POLICY).failures("api") == 1


def test_each_failure_doubles_the_pause_up_to_the_longest(path: Path) -> None:
    budget = Budget(path, POLICY)
    moment = T0
    pauses = []

    for _ in range(7):
        budget.spend("api", moment)
        following = budget.next_at("api", moment)
        pauses.append((following - moment).total_seconds())
        moment = following + timedelta(hours=2)  # far enough apart that the hour's limit plays no part

    assert pauses == [20, 40, 80, 160, 320, 600, 600]


def test_a_success_ends_the_pauses_but_counts_for_the_hour(path: Path) -> None:
    budget = Budget(path, POLICY)

    for second in range(6):
        budget.spend("api", at(second))
        budget.succeeded("api")
    sixth_done = at(6)

    assert budget.failures("api") == 0
    assert budget.next_at("api", sixth_done) == at(3600)


def test_a_try_that_was_given_back_was_none(path: Path) -> None:
    budget = Budget(path, POLICY)

    budget.spend("api", T0)
    budget.give_back("api")

    assert budget.may("api", T0)
    assert budget.failures("api") == 0


def test_easing_goes_back_to_the_first_pause(path: Path) -> None:
    budget = Budget(path, POLICY)
    for hours in range(4):
        budget.spend("api", at(hours * 7200))

    budget.ease("api")

    assert budget.next_at("api", at(6 * 3600)) == at(6 * 3600 + 20)


def test_what_was_tried_survives_a_restart(path: Path) -> None:
    Budget(path, POLICY).spend("api", T0)

    again = Budget(path, POLICY)

    assert again.next_at("api", at(1)) == at(20)
    assert again.may("frontend", at(1))


def test_a_clock_that_was_set_back_makes_no_long_pause(path: Path) -> None:
    budget = Budget(path, POLICY)
    budget.spend("api", at(86_400 * 365))

    assert budget.next_at("api", T0) == at(20)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"api": 1}', '{"api": {"at": ["never"], "failures": 0}}', "\0\0"])
def test_a_broken_file_is_an_empty_budget(path: Path, content: str) -> None:
    path.write_text(content)

    budget = Budget(path, POLICY)

    assert budget.may("api", T0)
    budget.spend("api", T0)
    assert Budget(path, POLICY).failures("api") == 1


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), max_size=40))
def test_never_more_tries_an_hour_than_allowed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, bool]]
) -> None:
    budget = Budget(tmp_path_factory.mktemp("b") / "repairs.json", POLICY)
    moment, tried = T0, []

    for wait_s, works in steps:
        moment += timedelta(seconds=wait_s)
        if budget.may("api", moment):
            budget.spend("api", moment)
            tried.append(moment)
            if works:
                budget.succeeded("api")

    for first in tried:
        assert sum(first <= other < first + timedelta(hours=1) for other in tried) <= POLICY.most_an_hour
