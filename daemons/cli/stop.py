"""`cmux stop`: end all that belongs to the suite, and prove it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from daemons import stop
from daemons.cli.command import positive_seconds
from daemons.cli.screen import Screen, many, shown
from daemons.settings import Settings

if TYPE_CHECKING:
    from daemons.stop import Report

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux stop", "a line a process, exit code 0 only when proven"),
    ("cmux stop -n", "the same list, and nothing changes"),
    ("cmux stop --deadline 5", "in a hurry: SIGKILL comes sooner"),
    ("cmux stop --force", "also who else listens on the suite's ports"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would end, change nothing")
    parser.add_argument("--force", action="store_true", help="end strangers that listen on the suite's ports, too")
    parser.add_argument(
        "--deadline",
        type=positive_seconds,
        metavar="S",
        help="seconds for all of it, default: CMUX_STOP_TIMEOUT",
    )


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    told: list[Report] = []

    def tell(report: Report) -> None:
        told.append(report)
        show(report, conf, screen)

    # Called from a window of the suite, the report comes while that window still stands.
    report = stop.stop(conf, dry_run=options.dry_run, force=options.force, deadline_s=options.deadline, farewell=tell)
    if not told:
        show(report, conf, screen)
    return report.exit_code


def show(report: Report, conf: Settings, screen: Screen) -> None:
    """The report, for a person and for a program."""
    _show_processes(report, screen)
    _show_windows(report, screen)
    for line in report.wrong:
        screen.say(f"{screen.sign('bad')} {shown(line)}")
    for note in report.notes:
        screen.say(f"{screen.sign('unknown')} {shown(note)}")
    good = report.exit_code == 0
    screen.say(f"{screen.sign('ok' if good else 'bad')} {screen.paint(shown(_sum(report)), 'bold')}")
    screen.answer({"home": str(conf.home), **report.to_json()}, ok=good)


def _show_processes(report: Report, screen: Screen) -> None:
    rows = [
        (
            screen.sign("off" if report.outcome == "would stop" else "ok" if process.gone else "bad"),
            str(process.pid),
            shown(process.user),
            shown(process.why),
            " ".join(name for name in process.signals if name != "SIGCONT") or "–",
            f"{process.after_s:.2f} s" if process.after_s is not None else "–",
            shown(process.command),
        )
        for process in report.processes
    ]
    screen.table(("", "PID", "USER", "WHY OURS", "SIGNALS", "AFTER", "COMMAND"), rows)
    if rows:
        screen.say()


def _show_windows(report: Report, screen: Screen) -> None:
    fate = "would end" if report.outcome == "would stop" else "ended"
    for window in report.windows:
        if not window.left:
            sign = screen.sign("off" if report.outcome == "would stop" else "ok")
            screen.say(f"{sign} tmux {window.kind} {shown(window.name)} {fate}: {shown(window.why)}")


def _sum(report: Report) -> str:
    free = [port.port for port in report.ports if port.free]
    ports = f", port{'s' if len(free) > 1 else ''} {', '.join(map(str, free))} free" if free else ""
    ended = many(len(report.processes), "process", "processes")
    match report.outcome:
        case "would stop":
            return f"would end {ended} and {many(len(report.windows), 'tmux window')}; nothing was changed"
        case "already stopped":
            return f"nothing of the suite runs{ports}"
        case "stopped":
            by = "by another stop " if report.joined else ""
            return f"stopped {by}in {report.took_s:.2f} s, proven: {ended} ended{ports}"
        case _:
            return f"not stopped, or not proven, after {report.took_s:.2f} s"
