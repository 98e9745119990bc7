"""`cmux alerts`: what someone must know of, saying that one knows, and of what one wants to hear nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from daemons import alerts, clock
from daemons.alerts import Alert, Mute, Mutes
from daemons.cli.command import DONE, USAGE, Refused, positive_seconds, subcommands
from daemons.cli.screen import Screen, ago, many, shown
from daemons.registry import Registry, spelled
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux alerts", "the open ones, the latest last"),
    ("cmux alerts ack server.log", "I know of the one whose key holds this: no more updates until it ends"),
    ("cmux alerts ack --all", "I know of all of them"),
    ("cmux alerts mute worker-a --for 3600", "nothing of this agent for an hour, whatever happens to it"),
    ("cmux alerts unmute worker-a", "take that back; what is so then is told"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    add = subcommands(parser)
    add("list", "list the open alerts")
    ack = add("ack", "say that you know of an alert: no more updates until it ends")
    ack.add_argument("words", nargs="*", metavar="KEY", help="a key, or a part that one key alone holds")
    ack.add_argument("--all", action="store_true", help="all open ones")
    ack.add_argument("--by", default="user", metavar="NAME", help="who knows of it, default %(default)s")
    ack.add_argument("-n", "--dry-run", action="store_true", help="say which, change nothing")
    mute = add("mute", "have no messages on an agent or an alert; it is seen and listed all the same")
    mute.add_argument(
        "words", nargs="+", metavar="AGENT|KEY", help="an agent, or a key, or a part that one alone holds"
    )
    mute.add_argument("--for", dest="for_s", type=positive_seconds, metavar="SECONDS", help="default: until unmute")
    mute.add_argument("--by", default="user", metavar="NAME", help="who wants that, default %(default)s")
    unmute = add("unmute", "have messages on it again; what is so then is told")
    unmute.add_argument("words", nargs="+", metavar="AGENT|KEY", help="as it was muted")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    found = sorted(alerts.all_open(conf), key=lambda alert: alert.last)
    doing: Mapping[str | None, Callable[[argparse.Namespace, Settings, Sequence[Alert], Screen], int]]
    doing = {None: _list, "list": _list, "ack": _acknowledge, "mute": _mute, "unmute": _unmute}
    return doing[options.what](options, conf, found, screen)


def _list(_options: argparse.Namespace, conf: Settings, found: Sequence[Alert], screen: Screen) -> int:
    now, mutes = clock.now(), Mutes(conf)
    muted = {alert.key: mute for alert in found if (mute := mutes.of(alert, now))}
    rows = [_row(alert, muted.get(alert.key), now, screen) for alert in found]
    screen.table(("", "KEY", "WHAT", "COUNT", "FIRST", "LAST"), rows)
    for mute in mutes.all(now):
        screen.say(f"{screen.sign('off')} muted by {shown(mute.by)}{_until(mute)}: {shown(mute.what)}")
    if not found:
        screen.say(f"{screen.sign('ok')} no open alerts")
    elif any(alert.state == "open" for alert in found):
        screen.next_steps(
            ("cmux alerts ack KEY", "say that you know of it: no more updates until it ends"),
            *((f"cmux mail --from {sender}", "the messages, with their bodies") for sender in _senders(found)),
        )
    told = [{**alert.to_json(), "muted": alert.key in muted} for alert in found]
    screen.answer({"alerts": told, "mutes": [mute.to_json() for mute in mutes.all(now)]})
    return DONE


def _senders(found: Sequence[Alert]) -> list[str]:
    return sorted({alert.sender for alert in found if alert.state == "open"})


def _until(mute: Mute) -> str:
    return f" until {mute.until.astimezone():%Y-%m-%d %H:%M}" if mute.until else ""


def _row(alert: Alert, mute: Mute | None, now: datetime, screen: Screen) -> tuple[str, ...]:
    known = f" (known to {alert.acknowledged_by})" if alert.state == "acknowledged" else ""
    known += " (muted)" if mute else ""
    sign = screen.sign("bad" if alert.state == "open" and not mute else "off")
    times = (ago(alert.first, now), ago(alert.last, now))
    return (sign, shown(alert.key), shown(alert.title) + shown(known), str(alert.count), *times)


def _mute(options: argparse.Namespace, conf: Settings, found: Sequence[Alert], screen: Screen) -> int:
    now = clock.now()
    until = now + timedelta(seconds=options.for_s) if options.for_s else None
    names = [_named(word, conf, found) for word in options.words]
    made = [alerts.mute(conf, name, options.by, now, until) for name in names]
    for mute in made:
        screen.say(f"{screen.sign('ok')} muted{_until(mute)}: {shown(mute.what)}")
    screen.next_steps(*((f"cmux alerts unmute {shown(mute.what)}", "hear of it again") for mute in made))
    screen.answer({"muted": [mute.to_json() for mute in made]})
    return DONE


def _named(word: str, conf: Settings, found: Sequence[Alert]) -> str:
    """The agent of that name, whether or not there is an alert on it; else the key of an open alert."""
    registered = Registry(conf).snapshot().agents
    agent_id = spelled(word.removeprefix(f"{conf.session}:"), registered)
    return agent_id if agent_id in registered else _chosen(word, found).key


def _unmute(options: argparse.Namespace, conf: Settings, found: Sequence[Alert], screen: Screen) -> int:
    now = clock.now()
    muted = {mute.what for mute in Mutes(conf).all(now)}
    names = [word if word in muted else _named(word, conf, found) for word in options.words]
    for name in names:
        was_muted = alerts.unmute(conf, name, now)
        screen.say(f"{screen.sign('ok')} {'told again' if was_muted else 'was not muted'}: {shown(name)}")
    screen.answer({"unmuted": [name for name in names if name in muted]})
    return DONE


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
