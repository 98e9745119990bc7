"""The operations that change the suite's state, each as a drill sees it: prepare, act once, check what lies there.

`check` is called after the operation was killed, failed or done, by another process; it says what is wrong, or "".
`careless` is the control: what most programs do. A harness that finds nothing wrong with it finds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemons import clock
from daemons.alerts import Alerts, Occurrence
from daemons.journal import Journal
from daemons.mailbox import Mailbox, Message, parse
from daemons.registry import Registry
from tests.drills.homes import conf_of

Act = Callable[[], object]


@dataclass(frozen=True)
class Operation:
    """*prepare* runs in the child, untraced, and gives the act; *check(home, acknowledged)* runs in the harness."""

    name: str
    prepare: Callable[[Path], Act]
    check: Callable[[Path, bool], str]


# -- registry ---------------------------------------------------------------------------------------------------------

BEFORE = ("before-a", "before-b")


def _registered(home: Path) -> Registry:
    registry = Registry(conf_of(home))
    for name in BEFORE:
        registry.register(name, {"type": "worker"}, clock.now())
    return registry


def _register(home: Path) -> Act:
    registry = _registered(home)
    return lambda: registry.register("new", {"type": "worker"}, clock.now())


def _unregister(home: Path) -> Act:
    registry = _registered(home)
    registry.register("new", {"type": "worker"}, clock.now())
    return lambda: registry.unregister("new")


def _registry_names(home: Path) -> set[str] | str:
    raw = (home / ".cmux" / "agent_registry.json").read_bytes()
    try:
        return set(json.loads(raw))
    except ValueError:
        return f"registry is not JSON: {raw[:80]!r}"


def _check_registered(home: Path, acknowledged: bool) -> str:
    names = _registry_names(home)
    if isinstance(names, str):
        return names
    missing = set(BEFORE) - names
    if missing:
        return f"lost from before: {sorted(missing)}"
    return "acknowledged registration lost" if acknowledged and "new" not in names else ""


def _check_unregistered(home: Path, acknowledged: bool) -> str:
    names = _registry_names(home)
    if isinstance(names, str):
        return names
    missing = set(BEFORE) - names
    if missing:
        return f"lost from before: {sorted(missing)}"
    return "acknowledged removal undone" if acknowledged and "new" in names else ""


# -- mailbox ----------------------------------------------------------------------------------------------------------


def _mailbox(home: Path) -> Mailbox:
    conf = conf_of(home)
    return Mailbox(conf.mailbox, session=conf.session, notation=conf.mailbox_format, archive_dir=conf.archive_dir)


def _message(subject: str) -> Message:
    return Message(clock.now(), "cmux:worker-a", "cmux:supervisor", subject)


def _post(home: Path) -> Act:
    box = _mailbox(home)
    if not (home / ".cmux" / "mailbox").exists():
        box.post(_message("before"))
    return lambda: box.post(_message("new"))


def _subjects(home: Path) -> list[str]:
    lines = (home / ".cmux" / "mailbox").read_bytes().split(b"\n")
    whole = []
    for line in lines:
        try:
            whole.append(parse(line).subject)
        except ValueError:
            continue
    return whole


def _check_posted(home: Path, acknowledged: bool) -> str:
    subjects = _subjects(home)
    if "before" not in subjects:
        return "the message from before is lost"
    return "acknowledged message lost" if acknowledged and "new" not in subjects else ""


# -- journal ----------------------------------------------------------------------------------------------------------


def _record(home: Path) -> Act:
    journal = Journal(conf_of(home), "drill")
    if not _events(home):
        journal.record("drill.before")
    return lambda: journal.record("drill.new")


def _events(home: Path) -> list[str]:
    events = []
    for path in (home / ".cmux" / "journal").glob("*/events.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            try:
                events.append(str(json.loads(line)["event"]))
            except ValueError:
                continue
    return events


def _check_recorded(home: Path, acknowledged: bool) -> str:
    events = _events(home)
    if "drill.before" not in events:
        return "the event from before is lost"
    return "acknowledged event lost" if acknowledged and "drill.new" not in events else ""


# -- alerts -----------------------------------------------------------------------------------------------------------


def _raise(home: Path) -> Act:
    alerts = Alerts(conf_of(home), "system:drill")
    one = Occurrence(
        key="drill:x", kind="drill", subject="[ALERT] drill", evidence="it happened", source="s", position=1
    )

    def act() -> None:
        alerts.raise_([one], clock.now())
        alerts.tick(clock.now())

    return act


def _check_raised(home: Path, acknowledged: bool) -> str:
    """Whatever happened: once told, never twice; acknowledged means on disk, so a new process tells it."""
    conf = conf_of(home)
    if acknowledged:
        Alerts(conf, "system:drill").tick(clock.now())
    lines = [subject for subject in _subjects(home) if "drill" in subject] if conf.mailbox.exists() else []
    if len(lines) > 1:
        return f"told {len(lines)} times"
    return "acknowledged alert was never told" if acknowledged and not lines else ""


# -- the control ------------------------------------------------------------------------------------------------------


def _careless(home: Path) -> Act:
    path = conf_of(home).registry
    if not path.exists():
        _registered(home)

    def act() -> None:
        agents = json.loads(path.read_text())
        agents["new"] = {"type": "worker"}
        with path.open("w") as file:
            json.dump(agents, file)

    return act


OPERATIONS = (
    Operation("register", _register, _check_registered),
    Operation("unregister", _unregister, _check_unregistered),
    Operation("post", _post, _check_posted),
    Operation("record", _record, _check_recorded),
    Operation("raise", _raise, _check_raised),
)
CARELESS = Operation("careless", _careless, _check_registered)
