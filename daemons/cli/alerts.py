"""`cmux alerts`: what someone must know of, and saying that one knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from daemons import alerts, clock
from daemons.alerts import Alert
from daemons.cli.command import DONE, USAGE, Refused, subcommands
from daemons.cli.screen import Screen, ago, many, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux alerts", "the open ones, the latest last"),
    ("cmux alerts ack server.log", "I know of the one whose key holds this: no more updates until it ends"),
    ("cmux alerts ack --all", "I know of all of them"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = subcommands(parser)
    add("list", "list the open alerts")
    ack = add("ack", "say that you know of an alert: no more updates until it ends")
    ack.add_argument("words", nargs="*", metavar="KEY", help="a key, or a part that one key alone holds")
    ack.add_argument("--all", action="store_true", help="all open ones")
    ack.add_argument("--by", default="user", metavar="NAME", help="who knows of it, default %(default)s")
    ack.add_argument("-n", "--dry-run", action="store_true", help="say which, change nothing")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    found = sorted(alerts.all_open(conf), key=lambda alert: alert.last)
    return _acknowledge(options, conf, found, screen) if options.what == "ack" else _list(found, screen)


def _list(found: Sequence[Alert], screen: Screen) -> int:
    now = clock.now()
    screen.table(("", "KEY", "WHAT", "COUNT", "FIRST", "LAST"), [_row(alert, now, screen) for alert in found])
    if not found:
        screen.say(f"{screen.sign('ok')} no open alerts")
    elif any(alert.state == "open" for alert in found):
        screen.next_steps(
            ("cmux alerts ack KEY", "say that you know of it: no more updates until it ends"),
            ("cmux mail --from system:log-watcher", "the messages, with their bodies"),
        )
    screen.answer({"alerts": [alert.to_json() for alert in found]})
    return DONE


def _row(alert: Alert, now: datetime, screen: Screen) -> tuple[str, ...]:
    known = f" (known to {alert.acknowledged_by})" if alert.state == "acknowledged" else ""
    sign = screen.sign("bad" if alert.state == "open" else "off")
    times = (ago(alert.first, now), ago(alert.last, now))
    return (sign, shown(alert.key), shown(alert.title) + shown(known), str(alert.count), *times)


def _acknowledge(options: argparse.Namespace, conf: Settings, found: Sequence[Alert], screen: Screen) -> int:
    if bool(options.words) == options.all:
        raise Refused("name the alerts, or say --all; see: cmux alerts", USAGE)
    chosen = list(found) if options.all else [_chosen(word, found) for word in options.words]
    for alert in chosen:
        if not options.dry_run:
            alerts.acknowledge(conf, alert.key, options.by, clock.now())
        done = "would acknowledge" if options.dry_run else "acknowledged"
        screen.say(f"{screen.sign('ok')} {done} {shown(alert.key)}")
    if not chosen:
        screen.say(f"{many(0, 'open alert')} to acknowledge")
    screen.answer({"acknowledged": [alert.key for alert in chosen], "dry_run": options.dry_run})
    return DONE


def _chosen(word: str, found: Sequence[Alert]) -> Alert:
    exact = [alert for alert in found if alert.key == word]
    holding = exact or [alert for alert in found if word in alert.key or word in alert.subject]
    if len(holding) != 1:
        keys = ", ".join(alert.key for alert in holding or found) or "none is open"
        problem = f"{len(holding)} alerts hold {word!r}" if holding else f"no open alert holds {word!r}"
        raise Refused(f"{problem}: {shown(keys)}")
    return holding[0]
