"""`cmux agents`: list them, open one, end one, show all that is known of one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from daemons import agents, clock, settings, tmux
from daemons.agents import EndReport, NoSuchAgent, NoSuchWindow, Protected
from daemons.cli import listing, requirements
from daemons.cli.command import DEGRADED, DONE, FAILED, MISSING, USAGE, Refused, subcommands
from daemons.cli.screen import Screen, ago, duration, many, shown
from daemons.registry import InvalidAgent, Registry, spelled
from daemons.settings import Settings
from daemons.tmux import NameTaken, TmuxUnavailable, Unknown

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux agents", "all, with what tmux shows of them"),
    ("cmux agents new worker-a", "open a shell in a window of that name"),
    ('cmux agents new build -c "make && ./run"', "run a shell's line there"),
    ("cmux agents new tests --cwd api -- pytest -f", "run a program there, each word as it is"),
    ("cmux agents new web --permanent --env PORT=8100 -c 'make serve'", "one that `cmux recover` brings back"),
    ("cmux agents adopt cmux:notes", "register a window that is open already"),
    ("cmux agents show worker-a", "everything that is known of one"),
    ("cmux agents rm worker-a -n", "say what ending it would end"),
)
Agent = Mapping[str, Any]
# An unknown one may be there: `cmux recover` says which are not.
_GONE = ("missing", "exited", "unknown")


def configure(parser: argparse.ArgumentParser) -> None:
    add = subcommands(parser)
    add("list", "list all agents, with what tmux shows of them")
    one = add("show", "show everything that is known of one agent")
    one.add_argument("id", metavar="AGENT")
    _configure_new(add("new", "open a tmux window that runs a command, and register it"))
    adopt = add("adopt", "register a tmux window that is open already; nothing about it changes")
    adopt.add_argument("window", metavar="WINDOW", help="SESSION:WINDOW, or a pane such as %%5")
    adopt.add_argument("--name", metavar="NAME", help="its id, default: the window's name")
    end = add("rm", "end an agent's processes and window, and unregister it")
    end.add_argument("ids", nargs="+", metavar="AGENT")
    end.add_argument("-n", "--dry-run", action="store_true", help="say what would end, change nothing")


def _configure_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="its id and its window's name; SESSION:NAME for another session")
    parser.add_argument("-c", "--command", metavar="LINE", help="a shell's line to run; or give words after --")
    parser.add_argument("--cwd", type=Path, metavar="DIR", help="the folder to run in, default: where you stand")
    parser.add_argument(
        "--type", default="worker", metavar="WORD", help="what kind of agent it is, default %(default)s"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]",
        help="a variable for it; without =VALUE the one that you have; kept for recover where the agent is permanent",
    )  # fmt: skip
    parser.add_argument(
        "--permanent", action="store_true", help="keep its entry when it is gone; `cmux recover` brings it back"
    )


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    doing: Mapping[str | None, Callable[[argparse.Namespace, Settings, Screen], int]]
    doing = {None: _list, "list": _list, "show": _show, "new": _open, "adopt": _adopt, "rm": _end}
    try:
        return doing[options.what](options, conf, screen)
    except TmuxUnavailable as unavailable:
        is_absent = unavailable.unknown.kind == "absent"
        raise Refused(f"tmux can't do it: {unavailable}", MISSING if is_absent else FAILED) from None
    except (InvalidAgent, NameTaken, NoSuchAgent, NoSuchWindow, Protected, ValueError) as refusal:
        raise Refused(str(refusal.args[0])) from None


# -- looking ----------------------------------------------------------------------------------------------------------


def _list(_options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    observation = tmux.observe(conf)
    found = agents.known(conf, Registry(conf).snapshot(), observation)
    listing.show(found, screen)
    if not found:
        screen.say(f"no agents are registered in {shown(conf.home)}")
    if isinstance(observation, Unknown):
        _say_unknown(observation, screen)
    lost = [agent for agent in found if agent.get("permanent") is True and agent["observed"]["state"] in _GONE]
    unknown = any(agent["observed"]["state"] == "unknown" for agent in found)
    screen.next_steps(
        *((("cmux recover", f"bring back what is permanent: {many(len(lost), 'agent')}"),) if lost else ()),
        ("cmux agents new NAME", "open one"),
        *((("cmux agents rm NAME", "forget one that will not come back"),) if unknown else ()),
        *((("cmux attach", "go to them"),) if found else ()),
    )
    reason = observation.reason if isinstance(observation, Unknown) else None
    screen.answer({"agents": found, "tmux": {"known": reason is None, "reason": reason}})
    return DONE


def _say_unknown(unknown: Unknown, screen: Screen) -> None:
    screen.say()
    if unknown.kind == "absent":
        how = requirements.install("tmux")
        screen.say(f"{screen.sign('degraded')} tmux is not installed: agents are followed by heartbeat only; {how}")
    elif unknown.kind == "no_server":
        screen.say(f"{screen.sign('off')} no tmux server runs, so no agent has a window now")
    else:
        screen.say(f"{screen.sign('unknown')} tmux could not be asked: {shown(unknown.reason)}")


def _show(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    agent = _one(conf, options.id)
    seen = agent["observed"]
    screen.say(
        f"{screen.sign(listing.SIGNS.get(seen['state'], 'unknown'))} {shown(agent['agent_id'])} is {seen['state']}"
    )
    registered = {name: value for name, value in agent.items() if name not in ("agent_id", "observed")}
    for title, fields in (("registered", registered), ("observed", seen)):
        screen.say()
        screen.say(screen.paint(title, "bold"))
        for name, value in ((name, value) for name, value in fields.items() if value is not None):
            screen.say(f"  {screen.paint(f'{shown(name):<14}', 'dim')}  {_value(name, value)}")
    screen.answer({"agent": agent})
    return DONE


def _value(name: str, value: object) -> str:
    written = shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    if name.endswith(("_at", "_since", "last_seen", "last_output")) and isinstance(value, str):
        try:
            return f"{written} ({ago(clock.parse_stamp(value), clock.now())})"
        except ValueError:
            return written
    return written


def _one(conf: Settings, name: str) -> Agent:
    """The agent called *name*, also by its whole name in the main session."""
    snapshot = Registry(conf).snapshot()
    wanted = spelled(name.removeprefix(f"{conf.session}:"), snapshot.agents)
    for agent in agents.known(conf, snapshot, tmux.observe(conf)):
        if agent["agent_id"] == wanted:
            return agent
    raise Refused(f"no agent {name!r} is registered; see: cmux agents")


# -- opening and ending -----------------------------------------------------------------------------------------------


def _open(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    if options.command and options.after:
        raise Refused("a command is given twice: with -c, and after --", USAGE)
    command: str | list[str] | None = options.command or options.after or None
    entry = agents.open_agent(
        conf,
        Registry(conf),
        options.name,
        command=command,
        cwd=(options.cwd or Path.cwd()).absolute(),
        created_by="user",
        environment=_environment(options.env),
        permanent=options.permanent,
        agent_type=options.type,
    )
    where = f"{entry['session']}:{entry['window']}"
    screen.say(f"{screen.sign('ok')} agent {shown(options.name)} runs in window {shown(where)}, pid {entry['pid']}")
    screen.next_steps((f"cmux attach {options.name}", "look at it"), (f"cmux agents rm {options.name}", "end it"))
    screen.answer({"agent_id": options.name, "entry": entry})
    return DONE


def _environment(given: Sequence[str]) -> dict[str, str]:
    """A value that stands in a command is seen by everybody who lists processes: a name alone takes it from here."""
    found = {}
    for word in given:
        name, is_given, value = word.partition("=")
        known = value if is_given else settings.child_environment().get(name)
        if known is None:
            raise Refused(f"--env {shown(name)}: you have no such variable; say {shown(name)}=VALUE", USAGE)
        found[name] = known
    return found


def _adopt(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    registry = Registry(conf)
    entry = agents.adopt_agent(conf, registry, options.window, name=options.name, created_by="user")
    agent_id = next(a for a, each in registry.snapshot().agents.items() if each.get("pane_id") == entry["pane_id"])
    screen.say(f"{screen.sign('ok')} window {shown(options.window)} is agent {shown(agent_id)} now, pid {entry['pid']}")
    screen.next_steps((f"cmux agents show {shown(agent_id)}", "what is known of it"))
    screen.answer({"agent_id": agent_id, "entry": entry})
    return DONE


def _end(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    found = [_one(conf, name) for name in options.ids]
    if options.dry_run:
        for agent in found:
            seen = agent["observed"]
            screen.say(f"would end {shown(agent['agent_id'])}: {seen['state']}, {shown(seen['evidence'])}")
        screen.answer({"dry_run": True, "agents": found})
        return DONE
    reports = [agents.end_agent(conf, Registry(conf), agent["agent_id"], by="user") for agent in found]
    for report in reports:
        _show_end(report, screen)
    whole = not any(report.left for report in reports)
    screen.answer({"ended": [_told(report) for report in reports]}, ok=whole)
    return DONE if whole else DEGRADED


def _show_end(report: EndReport, screen: Screen) -> None:
    if report.left:
        screen.say(f"{screen.sign('bad')} agent {shown(report.agent_id)} is not wholly ended; it stays registered")
        for left in report.left:
            screen.say(f"    {shown(left)}")
        return
    window = ", window closed" if report.window_ended else ""
    processes = many(len(report.ended), "process", "processes")
    screen.say(f"{screen.sign('ok')} agent {shown(report.agent_id)} ended: {processes}{window}, unregistered")
    for ended in report.ended:
        after = duration(ended.after_s) if ended.after_s is not None else "–"
        screen.say(f"    pid {ended.pid}: {' '.join(ended.signals) or 'ended by itself'}, after {after}")


def _told(report: EndReport) -> Mapping[str, object]:
    return {
        "agent_id": report.agent_id,
        "processes": [{"pid": e.pid, "signals": list(e.signals), "after_s": e.after_s} for e in report.ended],
        "window_ended": report.window_ended,
        "left": list(report.left),
    }
