"""`cmux status`: what runs, what is well and what is not, on one screen."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemons import agents, alerts, clock, mailbox, tmux
from daemons.alerts import Alert
from daemons.cli import condition, requirements, why
from daemons.cli.condition import Condition, Program, or_reason
from daemons.cli.requirements import Lack
from daemons.cli.screen import Screen, duration, many, shown
from daemons.registry import Registry
from daemons.settings import Settings
from daemons.tmux import Seen, Unknown

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux status", "one screen"),
    ("cmux status --json | jq .verdict", "for programs"),
    ("CMUX_HOME=~/other cmux status", "of another home"),
)
# tmux is asked for a moment only: a status is asked for most when something hangs.
LOOK_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Stores:
    """What the shared files hold, beside what runs. *unread*: by name of the line, why a file cannot be read."""

    agents: Sequence[Mapping[str, Any]]
    observation: Seen | Unknown
    alerts: Sequence[Alert]
    mail: mailbox.Counts
    undelivered: int
    lacks: Sequence[Lack]
    unread: Mapping[str, str]


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes nothing but what every command takes."""


def run(_options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    now, stores = condition.look(conf), _stores(conf)
    _show_verdict(now, screen)
    screen.table(
        ("", "PROGRAM", "STATE", "PID", "UP", "LAST CYCLE"),
        [_row(program, screen) for program in now.programs],
    )
    screen.say()
    for name, words in _lines(now, stores, screen):
        screen.say(f"{screen.paint(f'{name:<8}', 'dim')} {words}")
    if now.findings:
        screen.say()
        why.show(now, screen)
    screen.next_steps(*_next(now, stores))
    screen.answer(_told(now, stores), ok=now.verdict == "healthy")
    return why.CODES[now.verdict]


def _stores(conf: Settings) -> Stores:
    snapshot, no_agents = or_reason(Registry(conf).snapshot)
    open_alerts, no_alerts = or_reason(lambda: alerts.all_open(conf))
    box = mailbox.of(conf)
    mail, no_mail = or_reason(box.counts)
    observation = tmux.observe(conf, timeout_s=LOOK_TIMEOUT_S)
    unread = {"agents": no_agents, "alerts": no_alerts, "mailbox": no_mail}
    return Stores(
        agents=agents.view(conf, snapshot, observation) if snapshot else (),
        observation=observation,
        alerts=open_alerts or (),
        mail=mail or mailbox.Counts(),
        undelivered=box.undelivered_count(snapshot.agents) if snapshot and not no_mail else 0,
        lacks=tuple(requirements.lacks(conf)),
        unread={name: why for name, why in unread.items() if why},
    )


# -- for a person -----------------------------------------------------------------------------------------------------


def _show_verdict(now: Condition, screen: Screen) -> None:
    home = shown(now.conf.home)
    if now.record is None:
        is_off = now.verdict == "stopped"
        words = f"nothing runs in {home}" if is_off else f"it is not known what runs in {home}"
        screen.say(f"{screen.sign('off' if is_off else 'unknown')} {screen.paint(words, 'bold')}")
        return
    up = duration((now.now - clock.parse_stamp(now.record.started_at)).total_seconds())
    sign = screen.sign("ok" if now.verdict == "healthy" else "degraded")
    screen.say(
        f"{sign} {screen.paint(f'the suite of {home} is {now.verdict}', 'bold')} · up {up} · {now.record.version}"
    )
    screen.say()


def _row(program: Program, screen: Screen) -> tuple[str, ...]:
    told, status = program.told, program.own_status
    state = told.state.lower() + (" (hangs)" if program.hangs else " (older code)" if program.is_outdated else "")
    return (
        screen.sign(program.sign),
        shown(program.name),
        state,
        str(told.pid or "–"),
        duration(told.up_s) if told.up_s else "–",
        f"{duration(status.age_s)} ago, every {status.interval_s:g} s" if status else "–",
    )


def _lines(now: Condition, stores: Stores, screen: Screen) -> Iterator[tuple[str, str]]:
    if now.record:
        yield "page", _page(now)
    lines = {"agents": _agents(now.conf, stores, screen), "alerts": _alerts(stores, screen)}
    lines["mailbox"] = _mail(stores, screen)
    for name, words in lines.items():
        unread = stores.unread.get(name)
        yield name, f"{screen.sign('unknown')} unknown: {shown(unread)}" if unread else words
    for lack in stores.lacks:
        yield lack.program, f"{screen.sign('degraded')} {lack.found}: {lack.so}; install it: {lack.how}"


def _page(now: Condition) -> str:
    frontend = now.health.body.get("frontend") if now.health else None
    state = frontend.get("status") if isinstance(frontend, dict) else "unknown"
    built = "no frontend of your own: the plain page" if state == "absent" else f"frontend {shown(state)}"
    return f"{shown(now.conf.frontend_url)} ({built})"


def _agents(conf: Settings, stores: Stores, screen: Screen) -> str:
    counted = ", ".join(f"{number} {state}" for state, number in _states(stores).most_common()) or "none"
    observation = stores.observation
    if isinstance(observation, Unknown) and observation.kind not in ("no_server", "absent"):
        return f"{counted} · {screen.sign('unknown')} tmux could not be asked: {shown(observation.reason)}"
    there = isinstance(observation, Seen) and any(pane.session == conf.session for pane in observation.panes)
    return f"{counted} · tmux session {conf.session} {'is open' if there else 'is not open'}"


def _states(stores: Stores) -> Counter[str]:
    return Counter(str(agent["observed"]["state"]) for agent in stores.agents)


def _alerts(stores: Stores, screen: Screen) -> str:
    if not stores.alerts:
        return "none open"
    return f"{screen.sign('degraded')} {many(len(stores.alerts), 'open alert')}"


def _mail(stores: Stores, screen: Screen) -> str:
    words = [many(stores.mail.messages, "message")]
    if stores.undelivered:
        words.append(f"{stores.undelivered} for nobody who is here")
    if stores.mail.unparsable_total:
        numbers = ", ".join(map(str, stores.mail.unparsable[:5]))
        many_lines = many(stores.mail.unparsable_total, "line")
        words.append(f"{screen.sign('degraded')} {many_lines} not understood (line {numbers})")
    return " · ".join(words)


def _next(now: Condition, stores: Stores) -> Iterator[tuple[str, str]]:
    if now.record is None:
        yield "cmux start", "start the suite"
    elif now.findings:
        yield "cmux logs --level warning", "what the programs say"
    if stores.alerts:
        yield "cmux alerts", "what someone must know of"
    if stores.undelivered:
        yield "cmux mail --undelivered", "messages for nobody who is here"
    if now.record and not stores.agents and "agents" not in stores.unread:
        yield "cmux agents new NAME", "open an agent in a tmux window"


# -- for a program ----------------------------------------------------------------------------------------------------


def _told(now: Condition, stores: Stores) -> dict[str, object]:
    return {
        "verdict": now.verdict,
        "home": str(now.conf.home),
        "suite_id": now.record.suite_id if now.record else None,
        "started_at": now.record.started_at if now.record else None,
        "page": now.conf.frontend_url,
        "programs": [_program(program) for program in now.programs],
        "findings": condition.told(now),
        "health": now.health.body if now.health else None,
        "unknown": dict(stores.unread),
        "agents": None if "agents" in stores.unread else _states(stores),
        "tmux": stores.observation.reason if isinstance(stores.observation, Unknown) else "known",
        "open_alerts": None if "alerts" in stores.unread else len(stores.alerts),
        "mailbox": None if "mailbox" in stores.unread else _counts(stores),
        "lacks": [{"program": lack.program, "install": lack.how} for lack in stores.lacks],
    }


def _counts(stores: Stores) -> dict[str, object]:
    return {
        "messages": stores.mail.messages,
        "undelivered": None if "agents" in stores.unread else stores.undelivered,
        "unparsable": stores.mail.unparsable_total,
        "unparsable_lines": stores.mail.unparsable,
    }


def _program(program: Program) -> dict[str, object]:
    status = program.own_status
    return {
        "name": program.name,
        "state": program.told.state,
        "pid": program.told.pid or None,
        "up_s": program.told.up_s,
        "hangs": program.hangs,
        "outdated": program.is_outdated,
        "cycle": status.cycle if status else None,
        "cycle_age_s": round(status.age_s, 3) if status else None,
        "failures": status.failures if status else None,
    }
