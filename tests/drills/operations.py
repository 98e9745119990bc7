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


def _register_in_a_burst(home: Path) -> Act:
    """The file is not a new one, but the version before the last."""
    registry = _registered(home)
    for number in range(4):
        registry.register(BEFORE[0], {"n": number}, clock.now())
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


def _post_among_others(home: Path) -> Act:
    """As one that waited for the lock a moment ago, and therefore shares flushes."""
    box = _mailbox(home)
    if not (home / ".cmux" / "mailbox").exists():
        box.post(_message("before"))
    box._file._crowd = 1 << 20
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


def _rotate(home: Path) -> Act:
    box = _mailbox(home)
    box.post(_message("before"))
    marks = home / "posted"
    marks.mkdir(exist_ok=True)
    (marks / str(len(list(marks.iterdir())))).touch()
    return box.rotate


def _check_rotated(home: Path, acknowledged: bool) -> str:
    """Every message once, wherever it lies now."""
    found = [mail.message.subject for mail in _mailbox(home).after(None) if mail.message]
    wanted = len(list((home / "posted").iterdir()))
    return "" if found == ["before"] * wanted else f"{len(found)} of {wanted} messages are there"


def _commit(home: Path) -> Act:
    box = _mailbox(home)
    box.post(_message("before"))
    consumer = box.follow("drill")
    new = consumer.new()
    return lambda: consumer.commit(new[-1])


def _check_committed(home: Path, acknowledged: bool) -> str:
    unread = len(_mailbox(home).follow("drill").new())
    return "handled and committed, and given again" if acknowledged and unread else ""


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


def _clear(home: Path) -> Act:
    alerts = Alerts(conf_of(home), "system:drill")
    if not _told(home, "[ALERT]"):
        _raise(home)()

    def act() -> None:
        alerts.clear(["drill:x"], clock.now(), reason="it is over")
        alerts.tick(clock.now())

    return act


def _told(home: Path, word: str) -> int:
    return sum(subject.startswith(word) for subject in _subjects(home)) if (home / ".cmux" / "mailbox").exists() else 0


def _check_cleared(home: Path, acknowledged: bool) -> str:
    if acknowledged:
        Alerts(conf_of(home), "system:drill").tick(clock.now())
    raised, cleared = _told(home, "[ALERT]"), _told(home, "[CLEARED]")
    wanted = {1} if acknowledged else {0, 1}
    return "" if raised == 1 and cleared in wanted else f"raised {raised} times, cleared {cleared} times"


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
    Operation("register-in-a-burst", _register_in_a_burst, _check_registered),
    Operation("unregister", _unregister, _check_unregistered),
    Operation("post", _post, _check_posted),
    Operation("post among others", _post_among_others, _check_posted),
    Operation("rotate", _rotate, _check_rotated),
    Operation("commit", _commit, _check_committed),
    Operation("record", _record, _check_recorded),
    Operation("raise", _raise, _check_raised),
    Operation("clear", _clear, _check_cleared),
)
CARELESS = Operation("careless", _careless, _check_registered)
