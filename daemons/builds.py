"""Where builds lie besides `dist`, and what the names of their files say: builder and API agree on it here."""

from __future__ import annotations

import re
from pathlib import Path

from daemons.settings import Settings

# Vite and its like put a hash of the content into the name: such a file never changes.
_HASHED = re.compile(r"[.-](?=[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9_-]*[0-9A-Z][A-Za-z0-9_-]*\.[A-Za-z0-9.]+$")


def is_hashed(name: str) -> bool:
    """Whether the file *name* carries a hash of its content."""
    return bool(_HASHED.search(name))


def previous(conf: Settings) -> Path:
    """Assets of earlier builds, a folder each, for pages that are still open."""
    return conf.state / "frontend-previous"


def good(conf: Settings) -> Path:
    """The last whole build: what it was (`build.json`), and a copy of it (`files`)."""
    return conf.state / "frontend-good"
