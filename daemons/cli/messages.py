"""Messages as people and programs get them on the command line, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemons import clock, settings
from daemons.cli.command import Refused
from daemons.cli.screen import Screen, ago, shown
from daemons.mailbox import Delivery, Unsendable, check_address
from daemons.settings import Settings

USER = "user"


def who(conf: Settings, given: str | None) -> str:
    """The address of who asks: as given, else the agent in whose window this runs, else the user."""
    name = given or settings.child_environment().get("CMUX_AGENT_ID") or USER
    try:
        return check_address(name, conf.session)
    except Unsendable as reason:
        raise Refused(str(reason), 2) from None


def whole(conf: Settings, address: str) -> str:
    return check_address(address, conf.session)


def is_for(mail: Delivery, name: str, conf: Settings) -> bool:
    return mail.message is not None and whole(conf, mail.message.to) == name


def show(found: Sequence[Delivery], screen: Screen) -> None:
    now = clock.now()
    screen.table(
        ("WHEN", "FROM", "TO", "SUBJECT"),
        [row(mail, ago(mail.message.ts, now) if mail.message else "") for mail in found],
    )


def row(mail: Delivery, when: str) -> tuple[str, str, str, str]:
    message = mail.message
    if message is None:
        return "?", f"{mail.file.name}:{mail.line_number}", "–", f"not understood: {shown(mail.problem)}"
    body = f"  (body: {shown(message.body)})" if message.body else ""
    return when, shown(message.sender), shown(message.to), shown(message.subject) + body


def stream(found: Iterable[Delivery], screen: Screen) -> None:
    """One line a message, as they come."""
    for mail in found:
        when, sender, to, subject = row(mail, f"{mail.message.ts.astimezone():%H:%M:%S}" if mail.message else "")
        screen.say(f"{screen.paint(when, 'dim')}  {sender} → {screen.paint(to, 'bold')}: {subject}")
        screen.answer({"message": told(mail)})


def told(mail: Delivery) -> dict[str, object]:
    """One delivery, for a program."""
    where = {"file": str(mail.file), "line": mail.line_number, "position": str(mail.position)}
    message = mail.message
    if message is None:
        return {**where, "problem": mail.problem}
    parts = {"id": message.id, "body": message.body, "status": message.status}
    known = {name: value for name, value in parts.items() if value is not None}
    addresses = {"ts": message.ts.isoformat(), "from": message.sender, "to": message.to, "subject": message.subject}
    return {**where, **addresses, **known, **message.extra}
