"""A real application's bad day, told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills import bad_day


@pytest.mark.drill
@pytest.mark.timeout(300)
def test_each_error_of_a_bad_day_is_told_once_in_few_messages(tmp_path: Path) -> None:
    assert bad_day.replay(tmp_path, 10) == ""


def test_what_is_replayed_holds_every_kind_of_mishap() -> None:
    written = {name: "".join(text for _, log, text in bad_day.recorded() if log == name) for name in bad_day.ERRORS}

    assert {name: len(pattern.findall(written[name])) for name, pattern in bad_day.ERRORS.items()} == {
        "access.log": 783,
        "error.log": 804,
    }
    assert bad_day.SECRET.search(written["error.log"])
