"""`cmux paths`: where everything of this home is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from daemons import supervisor
from daemons.cli.command import DONE, USAGE, Refused
from daemons.cli.screen import Screen, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux paths", "all of them"),
    ('tail -f "$(cmux paths mailbox)"', "one, for a script"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one alone")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    paths = all_paths(conf)
    if options.name:
        return _one(options.name, paths, screen)
    screen.table(
        ("", "PATH", ""),
        [(name, shown(path), "" if path.exists() else "not there yet") for name, path in paths.items()],
    )
    screen.answer({"paths": {name: str(path) for name, path in paths.items()}})
    return DONE


def _one(name: str, paths: dict[str, Path], screen: Screen) -> int:
    if name not in paths:
        raise Refused(f"there is no path called {name!r}; there are: {', '.join(paths)}", USAGE)
    screen.say(str(paths[name]))
    screen.answer({"paths": {name: str(paths[name])}})
    return DONE


def all_paths(conf: Settings) -> dict[str, Path]:
    """The files and folders that people ask for, by the name they call them."""
    return {
        "home": conf.home,
        "code": conf.code,
        "settings": conf.home / "conf" / "cmux.conf",
        "state": conf.state,
        "mailbox": conf.mailbox,
        "registry": conf.registry,
        "journal": conf.journal_dir,
        "alerts": conf.alerts_dir,
        "status": conf.status_dir,
        "logs": conf.logs_dir,
        "frontend": conf.frontend_dir,
        "dist": conf.dist,
        "supervisord": conf.run_dir / "supervisord.conf",
        "socket": supervisor.socket_path(conf),
    }
