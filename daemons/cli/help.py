"""`cmux help`: all commands, or one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from daemons.cli import command
from daemons.cli.command import DONE, GROUPS, OTHER_NAMES, SUMMARIES
from daemons.cli.screen import Screen

EXAMPLES: Sequence[tuple[str, str]] = (("cmux help", "all commands"), ("cmux help mail", "one, with examples"))


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="the command to explain")


def show(options: argparse.Namespace, screen: Screen) -> int:
    """Unlike the other commands this one needs no home: it helps where the settings are wrong."""
    if options.command:
        name = OTHER_NAMES.get(options.command, options.command)
        shown = command.parser_of(name).format_help().rstrip()
        screen.say(shown)
        screen.answer({"command": name, "help": shown})
        return DONE
    _overview(screen)
    screen.answer({"commands": SUMMARIES, "other_names": OTHER_NAMES})
    return DONE


def _overview(screen: Screen) -> None:
    other = {name: also for also, name in OTHER_NAMES.items()}
    screen.say("cmux looks after a tmux workspace of agents: starts, watches, heals, tells, and stops with proof.")
    for group in GROUPS:
        screen.say()
        for name, summary in group.items():
            called = f"{name}, {other[name]}" if name in other else name
            screen.say(f"  {screen.paint(f'{called:<12}', 'bold')}{summary}")
    screen.say()
    screen.say("The home is the folder you stand in, or CMUX_HOME. Every command has --help with examples, and --json.")
    screen.say("Exit codes: 0 done or healthy, 1 failed or refused, 2 wrong usage or settings, 3 degraded or partly")
    screen.say("stopped, 4 not running, 5 a requirement is missing, 124 timed out.")
