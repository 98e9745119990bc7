"""`cmux start`: start the suite, wait until it is healthy, say what to do next."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from daemons import agents, start
from daemons.cli import condition, requirements
from daemons.cli.command import DEGRADED, DONE, FAILED, TIMED_OUT, positive_seconds
from daemons.cli.screen import Screen, duration, many, shown
from daemons.registry import Registry
from daemons.settings import Settings
from daemons.start import Report

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux start", "in the folder to look after; again: changes nothing"),
    ("cmux start --wait 120", "for a frontend that takes its time to build"),
    ("CMUX_PORT=8100 cmux start", "with a setting for this start alone"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        type=positive_seconds,
        default=start.WAIT_S,
        metavar="S",
        help="seconds until all must be healthy, default %(default)g",
    )


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    report = start.start(conf, wait_s=options.wait)
    show(report, conf, screen)
    return code_of(report, options.wait)


def code_of(report: Report, wait_s: float) -> int:
    if report.outcome == "refused":
        return FAILED
    if report.healthy:
        return DONE
    return TIMED_OUT if report.took_s >= wait_s else DEGRADED


def show(report: Report, conf: Settings, screen: Screen) -> None:
    """The report, for a person and for a program."""
    lacks = [*requirements.lacks(conf), *requirements.outdated(conf)]
    if report.outcome == "refused":
        screen.note(f"cmux: not started: {shown(report.problem)}")
    else:
        _show_suite(report, conf, screen)
        for lack in lacks:
            screen.say(f"{screen.sign('degraded')} {lack.program} is {lack.found}: {lack.so}; install it: {lack.how}")
        _show_next(report, conf, screen)
    screen.answer(
        {
            "outcome": report.outcome,
            "healthy": report.healthy,
            "problem": report.problem or None,
            "url": report.url,
            "other_settings": list(report.notes),
            "took_s": round(report.took_s, 3),
            "parts": [{"name": part.name, "healthy": part.healthy, "detail": part.detail} for part in report.parts],
            "ended_leftovers": [each.ended.pid for each in report.ended],
            "lacks": [{"program": lack.program, "found": lack.found, "install": lack.how} for lack in lacks],
        },
        ok=report.healthy,
    )


def _show_suite(report: Report, conf: Settings, screen: Screen) -> None:
    state = "is healthy" if report.healthy else "runs, but not all of it is well"
    when = f"after {duration(report.took_s)}" if report.outcome == "started" else "and ran already"
    sign = screen.sign("ok" if report.healthy else "degraded")
    screen.say(f"{sign} {screen.paint(f'the suite of {shown(conf.home)} {state}', 'bold')}, {when}")
    for note in report.notes:
        screen.say(f"  {shown(note)}; to have it so: cmux restart")
    for leftover in report.ended:
        screen.say(f"  ended what a killed suite had left: {shown(leftover.who)}")
    screen.say()
    screen.table(
        ("", "PART", ""),
        [(screen.sign("ok" if part.healthy else "bad"), part.name, shown(part.detail)) for part in report.parts],
    )
    screen.say()
    screen.say(f"page: {report.url}")


def _show_next(report: Report, conf: Settings, screen: Screen) -> None:
    if not report.healthy:
        screen.next_steps(("cmux why", "what is not well, since when, the evidence"), ("cmux logs", "what was logged"))
        return
    lost = _lost(conf)
    screen.next_steps(
        *((("cmux recover", f"bring back {many(lost, 'permanent agent')}"),) if lost else ()),
        ("cmux agents new NAME", "open an agent in a tmux window"),
        ("cmux status", "what runs and how it is"),
        ("cmux mail tail", "what everybody tells everybody"),
        ("cmux stop", "end all of it, with proof"),
    )


def _lost(conf: Settings) -> int:
    """How many permanent agents are not there and could be: after a stop, a reboot or a lost tmux server."""
    steps, _ = condition.or_reason(lambda: agents.plan(conf, Registry(conf)))
    return sum(step.action == "open" for step in steps or ())
