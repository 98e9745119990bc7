"""`cmux why`: what is not well, since when, the evidence, and what to do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from daemons import alerts
from daemons.cli import condition
from daemons.cli.command import DEGRADED, DONE, NOT_RUNNING
from daemons.cli.condition import Condition
from daemons.cli.screen import Screen, ago, many, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux why", "all that is not well now"),
    ("cmux why --json | jq .findings", "for programs"),
)
CODES = {"healthy": DONE, "degraded": DEGRADED, "stopped": NOT_RUNNING}


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes nothing but what every command takes."""


def run(_options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    now = condition.look(conf)
    if now.verdict == "stopped":
        screen.say(f"{screen.sign('off')} nothing runs in {shown(conf.home)}")
        screen.next_steps(("cmux start", "start the suite"))
    elif now.verdict == "healthy":
        screen.say(f"{screen.sign('ok')} all is well in {shown(conf.home)}")
    show(now, screen)
    known, unread = condition.or_reason(lambda: alerts.all_open(conf))
    if unread and unread not in [finding.evidence for finding in now.findings]:
        screen.say(f"{screen.sign('unknown')} open alerts: unknown: {shown(unread)}")
    if known:
        screen.next_steps(("cmux alerts", f"{many(len(known), 'open alert')}: what someone must know of"))
    told = {
        "verdict": now.verdict,
        "findings": condition.told(now),
        "open_alerts": None if known is None else len(known),
        "open_alerts_unknown": unread,
    }
    screen.answer(told, ok=now.verdict == "healthy")
    return CODES[now.verdict]


def show(now: Condition, screen: Screen) -> None:
    """Every finding in three lines: what and since when, the evidence, what to do."""
    for finding in now.findings:
        since = f", since {ago(finding.since, now.now)}" if finding.since else ""
        screen.say(f"{screen.sign(finding.sign)} {screen.paint(shown(finding.what), 'bold')}{since}")
        screen.say(f"    {shown(finding.evidence)}")
        screen.say(f"    {screen.paint('→', 'dim')} {finding.todo}")
