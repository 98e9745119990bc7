"""What the names of a build's files say."""

from __future__ import annotations

import pytest

from daemons import builds
from daemons.settings import Settings


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("assets/index-DiwrgTda.js", True),
        ("assets/main.9f8e7d6c.css", True),
        ("assets/index-DiwrgTda.js.map", True),
        ("index.html", False),
        ("assets/service-worker.js", False),
        ("assets/react-components.js", False),
    ],
)
def test_a_hash_in_a_name_is_seen(name: str, hashed: bool) -> None:
    assert builds.is_hashed(name) is hashed


def test_builds_lie_among_our_own_things(conf: Settings) -> None:
    assert builds.good(conf).parent == builds.previous(conf).parent == conf.state
