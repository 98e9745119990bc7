"""Sending: `cmux mail send`, `reply`, and what became of what was `sent`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from daemons import clock, mailbox
from daemons.cli import messages
from daemons.cli.command import DONE, USAGE, Refused
from daemons.cli.screen import Screen, ago, shown
from daemons.journal import Journal
from daemons.mailbox import Message
from daemons.registry import Registry
from daemons.settings import Settings


def send(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    return _post(options, conf, screen, messages.who(conf, options.to), {})


def reply(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    """The answer names the message's id where the notation has room for it."""
    answered = _answered(conf, messages.who(conf, options.sender), options.message)
    extra = {"in_reply_to": answered.id} if answered.id and conf.mailbox_format == "jsonl" else {}
    return _post(options, conf, screen, answered.sender, extra)


def _answered(conf: Settings, name: str, position: str | None) -> Message:
    """The message at *position*, or the last to *name* that it has read."""
    box = mailbox.of(conf)
    if position is None:
        unread = {mail.position for mail in box.inbox(name)}
        found = [mail for mail in box.after(None) if messages.is_for(mail, name, conf) and mail.position not in unread]
    else:
        found = [mail for mail in box.after(None) if mail.message and str(mail.position) == position]
    if not found or found[-1].message is None:
        what = f"no message at {position}" if position else f"{shown(name)} has read no message yet"
        raise Refused(f"{what}; see: cmux mail read, or name one with --message", USAGE)
    return found[-1].message


def sent(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    now = clock.now()
    receipts = mailbox.of(conf).receipts(messages.who(conf, options.name))[-options.lines :]
    words = {True: "read", False: "unread", None: "nobody reads there"}
    rows = [(*messages.row(mail, ago(mail.message.ts, now)), words[read]) for mail, read in receipts if mail.message]
    screen.table(("WHEN", "TO", "SUBJECT", ""), [(when, to, subject, read) for when, _, to, subject, read in rows])
    if not rows:
        screen.say("nothing sent")
    screen.answer({"messages": [{**messages.told(mail), "read": read} for mail, read in receipts]})
    return DONE


def _post(options: argparse.Namespace, conf: Settings, screen: Screen, to: str, extra: Mapping[str, object]) -> int:
    sender = messages.who(conf, options.sender)
    body = _body(options.body, conf, sender) if options.body else None
    message = Message(ts=clock.now(), sender=sender, to=to, subject=options.subject, body=body, extra=dict(extra))
    position = mailbox.of(conf).post(message)
    served = to == messages.USER or to.removeprefix(f"{conf.session}:") in Registry(conf).snapshot().agents
    screen.say(f"{screen.sign('ok')} sent to {shown(to)}")
    if not served:
        screen.note(f"cmux: nobody of that name is registered yet; it waits in the mailbox for {shown(to)}")
    screen.answer({"to": to, "from": sender, "position": str(position), "served": served})
    return DONE


def _body(given: str, conf: Settings, sender: str) -> str:
    """What the message carries: the path of the file, or of one that now keeps what came on stdin."""
    if given != "-":
        path = Path(given).absolute()
        if not path.is_file():
            raise Refused(f"body {given!r} is no file; name one, or - for stdin", 2)
        return str(path.relative_to(conf.home)) if path.is_relative_to(conf.home) else str(path)
    words = sys.stdin.read()
    return str(Journal(conf, sender).attach("message", words, clock.now()))
