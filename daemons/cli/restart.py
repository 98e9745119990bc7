"""`cmux restart`: all of it, or one program under the supervisord that runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from daemons import start, stop
from daemons.cli import start as starting
from daemons.cli import stop as stopping
from daemons.cli.command import DONE, NOT_RUNNING, USAGE, Refused, positive_seconds
from daemons.cli.screen import Screen, shown
from daemons.settings import Settings
from daemons.supervisor import ProgramState, Rpc, SupervisorDown, SupervisorRefused

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux restart", "stop everything with proof, then start it"),
    ("cmux restart log_watcher", "one program, or a service by its name"),
    ("cmux restart -n", "say what would end"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="restart this one alone")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would end, change nothing")
    parser.add_argument(
        "--wait",
        type=positive_seconds,
        default=start.WAIT_S,
        metavar="S",
        help="seconds until all must be healthy again, default %(default)g",
    )


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    if options.program:
        return _one(options, conf, screen)
    ended = stop.stop(conf, dry_run=options.dry_run)
    if options.dry_run or not ended.proven:
        stopping.show(ended, conf, screen)
        return ended.exit_code
    report = start.start(conf, wait_s=options.wait)
    starting.show(report, conf, screen)
    return starting.code_of(report, options.wait)


def _one(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    rpc = Rpc(conf, timeout_s=options.wait)
    try:
        program = _named(options.program, rpc.processes())
        if not options.dry_run:
            rpc.restart(program.name)
    except SupervisorDown as down:
        raise Refused(f"{down}; nothing runs here? see: cmux status", NOT_RUNNING) from None
    except SupervisorRefused as refusal:
        raise Refused(f"supervisord did not restart {options.program}: {refusal}") from None
    done = "would restart" if options.dry_run else "restarted"
    screen.say(f"{screen.sign('ok')} {done} {shown(program.name)}, which was pid {program.pid or '–'}")
    screen.answer({"program": program.name, "dry_run": options.dry_run, "was_pid": program.pid})
    return DONE


def _named(name: str, programs: Sequence[ProgramState]) -> ProgramState:
    by_name = {program.name: program for program in programs}
    found = by_name.get(name) or by_name.get(f"service-{name}")
    if found is None:
        raise Refused(f"there is no program {name!r}; there are: {', '.join(by_name)}", USAGE)
    return found
