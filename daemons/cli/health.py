"""`cmux health`: ask the API how it is, as a monitor would, and print its answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from daemons import asking, suite
from daemons.asking import NoAnswer, Reply
from daemons.cli.command import DEGRADED, DONE, NOT_RUNNING, Refused
from daemons.cli.screen import Screen, Sign, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux health", "each part and how it is"),
    ("cmux health --json", "the API's whole answer"),
    ("cmux health >/dev/null || alarm", "in a script: exit code 0 only when healthy"),
)
SIGNS: Mapping[object, Sign] = {"healthy": "ok", "absent": "off", "degraded": "degraded", "unknown": "unknown"}


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes nothing but what every command takes."""


def run(_options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    try:
        reply = asking.get(conf, "/api/webhooks/health")
    except NoAnswer as silence:
        raise Refused(f"{silence}; {_hint(conf)}", NOT_RUNNING) from None
    healthy = reply.code == 200 and reply.body.get("status") == "healthy"
    _show(reply, screen)
    screen.answer({"code": reply.code, "took_s": round(reply.took_s, 4), "health": reply.body}, ok=healthy)
    return DONE if healthy else DEGRADED


def _hint(conf: Settings) -> str:
    return "see: cmux why" if suite.running(conf) else "nothing runs here; start it: cmux start"


def _show(reply: Reply, screen: Screen) -> None:
    status = reply.body.get("status")
    took = f"HTTP {reply.code} in {reply.took_s * 1000:.0f} ms"
    screen.say(f"{_sign(status, screen)} {screen.paint(shown(status), 'bold')} ({took})")
    screen.say()
    parts = [(name, part) for name, part in reply.body.items() if name != "status"]
    screen.table(("", "PART", ""), [row for name, part in parts for row in _rows(name, part, screen)])


def _rows(name: str, part: object, screen: Screen) -> Iterator[tuple[str, str, str]]:
    """A row for a part, or, where it is made of parts, one for each of them."""
    inner = list(part.items()) if isinstance(part, dict) else []
    if inner and all(isinstance(value, dict) for _, value in inner):
        for inner_name, value in inner:
            yield from _rows(f"{name} {inner_name}", value, screen)
    else:
        yield _sign(_status_of(part), screen), shown(name), _words(part)


def _sign(status: object, screen: Screen) -> str:
    return screen.sign(SIGNS.get(status, "bad")) if isinstance(status, str) else " "


def _status_of(part: object) -> object:
    if isinstance(part, dict):
        return part.get("status")
    return part if part in SIGNS else None


def _words(part: object) -> str:
    if isinstance(part, dict):
        rest = (f"{name} {_words(value)}" for name, value in part.items() if name != "status")
        return shown(", ".join([*([str(part["status"])] if "status" in part else []), *rest]) or "none")
    if isinstance(part, list):
        return shown(", ".join(map(_words, part)) or "none")
    return shown({True: "yes", False: "no", None: "–"}.get(part, part) if isinstance(part, bool | None) else part)
