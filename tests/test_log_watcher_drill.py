from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.drills import logs


@pytest.mark.timeout(180)
def test_nothing_is_lost_and_nothing_told_twice_over_rotations_and_kills(tmp_path: Path) -> None:
    """Some seconds of what `python -m tests.drills.logs` does for minutes."""
    seed = random.randrange(1 << 30)

    report = logs.drill(list(logs.MODES), tmp_path, seconds=4, rate=100, kill_every_s=1.2, seed=seed, at_once=7)

    assert report.passed, (seed, report.lines())
