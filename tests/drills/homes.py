"""The home of a drill."""

from __future__ import annotations

from pathlib import Path

from daemons import settings
from daemons.settings import Settings


def conf_of(home: Path) -> Settings:
    """The settings of *home*, which is made; its tmux server does not exist."""
    home.mkdir(parents=True, exist_ok=True)
    return settings.load({"CMUX_HOME": str(home), "CMUX_TMUX_SOCKET": "cmux-drill-none"})
