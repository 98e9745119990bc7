"""The stores against a model: short here, `python -m tests.drills machine` for the long run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.drills.machine import Stores

TestStores = pytest.mark.timeout(120)(Stores.TestCase)
TestStores.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
