"""`cmux wait`: until the suite is healthy, or stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from daemons import clock
from daemons.cli import condition
from daemons.cli.command import DONE, TIMED_OUT, positive_seconds
from daemons.cli.screen import Screen, duration, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux wait", "until it is healthy, at most 60 s"),
    ("cmux wait --for stopped --timeout 20", "until nothing runs any more"),
    ("cmux wait && open-the-page", "in a script: exit code 0, or 124 when the time is over"),
)
LOOK_EVERY_S = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="wanted",
        choices=("healthy", "stopped"),
        default="healthy",
        help="what to wait for, default %(default)s",
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=60.0,
        metavar="S",
        help="seconds to wait at most, default %(default)g",
    )


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    began, wanted = clock.monotonic(), str(options.wanted)

    def reached() -> bool:
        return condition.look(conf).verdict == wanted

    done = bool(clock.wait_until(reached, within_s=options.timeout, every_s=LOOK_EVERY_S))
    now = condition.look(conf)
    took = duration(clock.monotonic() - began)
    if done:
        screen.say(f"{screen.sign('ok')} {options.wanted} after {took}")
    else:
        why = "; ".join(f"{finding.what}: {finding.evidence}" for finding in now.findings)
        screen.note(f"cmux: not {options.wanted} within {took}, but {now.verdict}{shown(f' ({why})') if why else ''}")
    screen.answer({"wanted": options.wanted, "verdict": now.verdict, "findings": condition.told(now)}, ok=done)
    return DONE if done else TIMED_OUT
