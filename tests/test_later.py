"""Tests of daemons.later."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from daemons import processes, stop, supervisor, text, tmux

PARTS: list[Any] = [processes, stop, supervisor, text, tmux]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_has_all_the_names_that_it_promises(part: Any) -> None:
    for name in part.__all__:
        assert getattr(part, name) is not None


def test_a_name_that_a_part_does_not_have_is_an_error_as_everywhere() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'forget'"):
        tmux.forget  # type: ignore[attr-defined]  # noqa: B018


def test_a_daemon_has_everything_before_its_first_cycle() -> None:
    code = (
        "import sys\n"
        "from daemons import later, tmux, text\n"
        "before = 'daemons.masking' in sys.modules, 'daemons.tmux.opening' in sys.modules\n"
        "later.bring_all()\n"
        "after = 'daemons.masking' in sys.modules, 'daemons.tmux.opening' in sys.modules\n"
        "print(before, after, later._awaited)\n"
    )

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=20, check=False)

    assert done.stdout == "(False, False) (True, True) {}\n", done


def test_what_was_put_in_the_place_of_a_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "mask", str.upper)

    assert text.mask("a") == "A"
