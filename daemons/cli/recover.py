"""`cmux recover`: bring permanent agents back after a stop, a reboot or a lost tmux server, as they were."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence

from daemons import agents
from daemons.agents import Done, Step
from daemons.cli.command import DEGRADED, DONE
from daemons.cli.screen import Screen, Sign, many, shown
from daemons.registry import Registry
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux recover", "which agents would be brought back, and how; changes nothing"),
    ("cmux recover --apply", "bring them back; what runs is left alone, so saying it again does no harm"),
    ("cmux agents new web --permanent -c 'make serve'", "only permanent agents are brought back"),
)
_SIGNS: Mapping[str, Sign] = {"open": "ok", "runs": "off", "stopped": "off", "wait": "degraded", "stuck": "bad"}
_WORDS = {"runs": "runs", "stopped": "stays stopped", "wait": "waits", "stuck": "can't be brought back"}


def configure(parser: argparse.ArgumentParser) -> None:
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--plan", "-n", "--dry-run", action="store_true", help="say what would be done (the default)")
    doing.add_argument("--apply", action="store_true", help="do it")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    registry = Registry(conf)
    if options.apply:
        done = list(agents.recover(conf, registry, by="user"))
    else:
        done = [Done(step) for step in agents.plan(conf, registry)]
    screen.table(("", "AGENT", "WHAT", "COMMAND", "FOLDER", "ENV", "WHY"), [_row(one, options, screen) for one in done])
    left = [one for one in done if one.step.action in ("wait", "stuck") or one.problem]
    _say(done, left, options, screen)
    screen.answer({"applied": options.apply, "agents": [_told(one) for one in done]}, ok=not left)
    return DEGRADED if left else DONE


def _row(one: Done, options: argparse.Namespace, screen: Screen) -> tuple[str, ...]:
    step = one.step
    sign = "bad" if one.problem else _SIGNS[step.action]
    return (
        screen.sign(sign),
        shown(step.agent_id),
        _what(one, options),
        shown(_line(step)),
        shown(step.cwd),
        shown(" ".join(step.environment)) or "–",
        shown(one.problem or step.reason),
    )


def _what(one: Done, options: argparse.Namespace) -> str:
    if one.step.action != "open":
        return _WORDS[one.step.action]
    if not options.apply:
        return "would be opened"
    return "not opened" if one.problem else f"opened, pid {one.pid}"


def _line(step: Step) -> str:
    if step.command is None:
        return "the default shell"
    return step.command if isinstance(step.command, str) else shlex.join(step.command)


def _say(done: Sequence[Done], left: Sequence[Done], options: argparse.Namespace, screen: Screen) -> None:
    opened = [one for one in done if one.step.action == "open" and not one.problem]
    if not done:
        screen.say("no agent is permanent; `cmux agents new NAME --permanent` makes one that can be brought back")
    elif not opened and not left:
        screen.say()
        screen.say(f"{screen.sign('ok')} nothing to bring back")
    else:
        verb = "brought back" if options.apply else "would bring back"
        rest = f", {many(len(left), 'agent')} not" if left else ""
        screen.say()
        screen.say(f"{screen.sign('degraded' if left else 'ok')} {verb} {many(len(opened), 'agent')}{rest}")
    if opened and not options.apply:
        screen.next_steps(("cmux recover --apply", "bring them back"))


def _told(one: Done) -> dict[str, object]:
    step = one.step
    return {
        "agent_id": step.agent_id,
        "action": step.action,
        "reason": step.reason,
        "command": list(step.command) if isinstance(step.command, tuple) else step.command,
        "cwd": step.cwd,
        "environment": list(step.environment),
        "pid": one.pid,
        "problem": one.problem,
    }
