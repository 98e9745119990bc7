"""What a command is, how it refuses, and what its exit codes mean.

A command is a module of this folder with the command's name, and a line in GROUPS. It has EXAMPLES (lines for its
--help), `configure(parser)` and `run(options, conf, screen)`, which gives the exit code.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol, cast

from daemons.cli.screen import Screen, columns
from daemons.settings import Settings

DONE = 0
FAILED = 1
USAGE = 2
DEGRADED = 3
NOT_RUNNING = 4
MISSING = 5
TIMED_OUT = 124

# In the order of the overview: what everyone uses, who and what there is, looking closer.
GROUPS: Sequence[Mapping[str, str]] = (
    {
        "start": "start the suite, wait until it is healthy, say what to do next",
        "stop": "stop everything that belongs to the suite, and prove it",
        "restart": "stop, then start; or restart one program",
        "status": "show what runs, what is well and what is not",
        "wait": "wait until the suite is healthy, or stopped",
    },
    {
        "agents": "list agents, open one, end one",
        "recover": "bring permanent agents back after a reboot or a lost tmux server",
        "attach": "go to the tmux session of the agents",
        "mail": "read, follow, send and verify messages",
        "alerts": "list what someone must know of, acknowledge it",
        "logs": "show what the daemons log",
        "hook": "have Claude Code, Codex, a shell or any program register, beat and read its mail",
    },
    {
        "health": "ask the API how it is, as a monitor would",
        "why": "show what is not well, since when, and the evidence",
        "doctor": "check what the suite needs here; show and restore registries",
        "drill": "cause faults for real, in a scratch home",
        "paths": "show where everything of this home is",
        "help": "show all commands, or one",
    },
)
SUMMARIES = {name: summary for group in GROUPS for name, summary in group.items()}
OTHER_NAMES = {"up": "start", "down": "stop"}


class Refused(Exception):
    """What was asked cannot be done. The text is one line: what, why, what to do instead."""

    def __init__(self, line: str, code: int = FAILED) -> None:
        super().__init__(line)
        self.code = code


class Command(Protocol):
    """The shape of a command's module."""

    EXAMPLES: Sequence[tuple[str, str]]

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def run(self, options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
        """Do it; the exit code."""


def load(name: str) -> Command:
    """The command called *name*. Only its own module is imported: a start of Python is most of a command's time."""
    if name not in SUMMARIES:
        raise Refused(f"there is no command {name!r}{_meant(name, [*SUMMARIES, *OTHER_NAMES])}; see: cmux help", USAGE)
    return cast(Command, importlib.import_module(f"daemons.cli.{name}"))


def _meant(name: str, known: Sequence[str]) -> str:
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def parse(name: str, words: Sequence[str]) -> argparse.Namespace:
    """The options of the command *name*. `agents new NAME -- COMMAND …`: what follows `--` arrives as `options.after`.

    argparse gives words after `--` to the positional arguments before it, and loses them when an option stands between.
    """
    parser = parser_of(name)
    takes_a_command = name == "agents" and "--" in words
    end = list(words).index("--") if takes_a_command else len(words)
    options = parser.parse_args(words[:end])
    options.after = list(words[end + 1 :])
    return options


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command, with its examples and `--json`."""
    command, summary = load(name), SUMMARIES[name]
    parser = _Parser(
        prog=f"cmux {name}",
        description=summary[0].upper() + summary[1:] + ".",
        epilog=_examples(command.EXAMPLES),
        formatter_class=_Help,
    )
    command.configure(parser)
    add_json(parser)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`, which may stand before or after a sub-command."""
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs, notes on stderr"
    )


def subcommands(parser: argparse.ArgumentParser) -> Callable[..., argparse.ArgumentParser]:
    """What adds a sub-command to *parser*; its name arrives as `options.what`, None when none was given."""
    made = parser.add_subparsers(dest="what", metavar="WHAT", parser_class=_Parser)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        added = made.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_json(added)
        return added

    return add


def _examples(examples: Sequence[tuple[str, str]]) -> str:
    width = max(len(line) for line, _ in examples)
    return "examples:\n" + "\n".join(f"  {line:<{width}}   {what}" for line, what in examples)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Made for every argument that is added; so it is told the width, rather than import `shutil` to find it out."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns(sys.stdout, otherwise=80) - 2)


class _Parser(argparse.ArgumentParser):
    """Wrong usage becomes one line with a way out, and JSON where JSON was asked for. No word may be shortened."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; see: {self.prog} --help", USAGE)


def positive_seconds(raw: str) -> float:
    """A parser of arguments: seconds above 0."""
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError(f"{raw!r} is not a positive number of seconds")
    return value


def count(raw: str) -> int:
    """A parser of arguments: a whole number, 0 or more."""
    if not (raw.isascii() and raw.isdigit() and len(raw) < 10):
        raise argparse.ArgumentTypeError(f"{raw!r} is not a whole number")
    return int(raw)
