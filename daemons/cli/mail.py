"""`cmux mail`: read, follow, send and verify messages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from daemons import alerts, clock, mailbox, settings
from daemons.cli.command import DEGRADED, DONE, USAGE, Refused, count, subcommands
from daemons.cli.screen import Screen, ago, many, shown
from daemons.journal import Journal
from daemons.mailbox import Delivery, Message, Unsendable, check_address
from daemons.registry import Registry
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux mail", "the last messages"),
    ("cmux mail --undelivered", "those to an address that nobody serves"),
    ('cmux mail send worker-a "please run the tests"', "to an agent; --body FILE for more than a line"),
    ("cmux mail read --as worker-a", "what worker-a has not read yet; marks it as read"),
    ('cmux mail reply "all green"', "to who wrote the message that was read last"),
    ("cmux mail sent", "what was sent, and whether it has been read"),
    ("cmux mail follow --as worker-a", "the same, and go on; each message at least once"),
    ("cmux mail tail", "watch what everybody tells everybody"),
    ("cmux mail verify", "prove that nothing the journal knows was lost"),
)
POLL_S = 0.2
USER = "user"


def configure(parser: argparse.ArgumentParser) -> None:
    _configure_list(parser)
    add = subcommands(parser)
    _configure_list(add("list", "show the last messages"))
    tail = add("tail", "show the last messages, and those that come, until Ctrl-C")
    tail.add_argument("-n", "--lines", type=count, default=10, metavar="N", help="how many, default %(default)s")
    _configure_send(add("send", "send a message"))
    for name, summary in (
        ("read", "show what a consumer has not read yet, and mark it as read"),
        ("follow", "the same, and go on until Ctrl-C"),
    ):
        reading = add(name, summary)
        reading.add_argument(
            "--as", dest="name", metavar="NAME", help="the consumer; default: the agent that asks, or user"
        )
        reading.add_argument("--all", action="store_true", help="everybody's messages, not only those to NAME")
        if name == "read":
            reading.add_argument("-n", "--dry-run", "--peek", action="store_true", help="show, but don't mark as read")
    _configure_reply(add("reply", "answer the message that was read last"))
    sent = add("sent", "show what was sent, and whether it has been read")
    sent.add_argument("--as", dest="name", metavar="NAME", help="the sender; default: the agent that asks, or user")
    sent.add_argument("-n", "--lines", type=count, default=20, metavar="N", help="how many, default %(default)s")
    add("verify", "prove that every message the journal knows stands in the mailbox, once")


def _configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--lines", type=count, default=20, metavar="N", help="how many, default %(default)s")
    parser.add_argument("--to", metavar="ADDRESS", help="only those to this address")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="only those from this address")
    parser.add_argument("--undelivered", action="store_true", help="only those to an address that nobody serves")


def _configure_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar="TO", help="an agent, session:name, or user")
    _configure_words(parser)


def _configure_reply(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--message", metavar="POSITION", help="another than the last: its position, as --json shows it")
    _configure_words(parser)


def _configure_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="SUBJECT", help="one line")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="default: the agent that asks, or user")
    parser.add_argument("--body", metavar="FILE", help="a file that holds more; - reads it from stdin")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    doing: Mapping[str | None, Callable[[argparse.Namespace, Settings, Screen], int]]
    doing = {
        None: _list,
        "list": _list,
        "tail": _tail,
        "send": _send,
        "reply": _reply,
        "sent": _sent,
        "read": _read,
        "follow": _follow,
        "verify": _verify,
    }
    try:
        return doing[options.what](options, conf, screen)
    except Unsendable as reason:
        raise Refused(f"not sent: {reason}") from None


def _who(conf: Settings, given: str | None) -> str:
    """The address of who asks: as given, else the agent in whose window this runs, else the user."""
    name = given or settings.child_environment().get("CMUX_AGENT_ID") or USER
    try:
        return check_address(name, conf.session)
    except Unsendable as reason:
        raise Refused(str(reason), 2) from None


# -- looking ----------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    box = mailbox.of(conf)
    served = Registry(conf).snapshot().agents
    found = box.undelivered(served) if options.undelivered else list(box.after(None))
    for name, address in (("to", options.to), ("sender", options.sender)):
        if address:
            whole = _who(conf, address)
            found = [mail for mail in found if mail.message and _whole(conf, getattr(mail.message, name)) == whole]
    found = found[-options.lines :] if options.lines else []
    _show(found, screen)
    if not found:
        screen.say("no messages" if not options.undelivered else "every message is for somebody who is here")
    screen.answer({"messages": [told(mail) for mail in found]})
    return DONE


def _whole(conf: Settings, address: str) -> str:
    return check_address(address, conf.session)


def _tail(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    box = mailbox.of(conf)
    recent = list(box.after(None))
    at = recent[-1].end if recent else box.end()
    _stream(recent[-options.lines :] if options.lines else [], screen)
    while not screen.closed:
        for mail in box.after(at):
            _stream([mail], screen)
            at = mail.end
        clock.pause(POLL_S)
    return DONE


def _show(found: Sequence[Delivery], screen: Screen) -> None:
    now = clock.now()
    screen.table(
        ("WHEN", "FROM", "TO", "SUBJECT"),
        [_row(mail, ago(mail.message.ts, now) if mail.message else "") for mail in found],
    )


def _row(mail: Delivery, when: str) -> tuple[str, str, str, str]:
    message = mail.message
    if message is None:
        return "?", f"{mail.file.name}:{mail.line_number}", "–", f"not understood: {shown(mail.problem)}"
    body = f"  (body: {shown(message.body)})" if message.body else ""
    return when, shown(message.sender), shown(message.to), shown(message.subject) + body


def _stream(found: Iterable[Delivery], screen: Screen) -> None:
    """One line a message, as they come."""
    for mail in found:
        when, sender, to, subject = _row(mail, f"{mail.message.ts.astimezone():%H:%M:%S}" if mail.message else "")
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


# -- sending ----------------------------------------------------------------------------------------------------------


def _send(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    return _post(options, conf, screen, _who(conf, options.to), {})


def _reply(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    """The answer names the message's id where the notation has room for it."""
    answered = _answered(conf, _who(conf, options.sender), options.message)
    extra = {"in_reply_to": answered.id} if answered.id and conf.mailbox_format == "jsonl" else {}
    return _post(options, conf, screen, answered.sender, extra)


def _answered(conf: Settings, name: str, position: str | None) -> Message:
    """The message at *position*, or the last to *name* that it has read."""
    box = mailbox.of(conf)
    if position is None:
        unread = {mail.position for mail in box.inbox(name)}
        found = [mail for mail in box.after(None) if _is_for(mail, name, conf) and mail.position not in unread]
    else:
        found = [mail for mail in box.after(None) if mail.message and str(mail.position) == position]
    if not found or found[-1].message is None:
        what = f"no message at {position}" if position else f"{shown(name)} has read no message yet"
        raise Refused(f"{what}; see: cmux mail read, or name one with --message", USAGE)
    return found[-1].message


def _sent(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    now = clock.now()
    receipts = mailbox.of(conf).receipts(_who(conf, options.name))[-options.lines :]
    words = {True: "read", False: "unread", None: "nobody reads there"}
    rows = [(*_row(mail, ago(mail.message.ts, now)), words[read]) for mail, read in receipts if mail.message]
    screen.table(("WHEN", "TO", "SUBJECT", ""), [(when, to, subject, read) for when, _, to, subject, read in rows])
    if not rows:
        screen.say("nothing sent")
    screen.answer({"messages": [{**told(mail), "read": read} for mail, read in receipts]})
    return DONE


def _post(options: argparse.Namespace, conf: Settings, screen: Screen, to: str, extra: Mapping[str, object]) -> int:
    sender = _who(conf, options.sender)
    body = _body(options.body, conf, sender) if options.body else None
    message = Message(ts=clock.now(), sender=sender, to=to, subject=options.subject, body=body, extra=dict(extra))
    position = mailbox.of(conf).post(message)
    served = to == USER or to.removeprefix(f"{conf.session}:") in Registry(conf).snapshot().agents
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


# -- consumers --------------------------------------------------------------------------------------------------------


def _read(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    name = _who(conf, options.name)
    box = mailbox.of(conf)
    follower = box.follow(name)
    new = list(box.after(follower.position()))
    wanted = [mail for mail in new if options.all or _is_for(mail, name, conf)]
    _show(wanted, screen)
    if not wanted:
        screen.say(f"nothing new for {shown(name)}")
    screen.answer({"as": name, "messages": [told(mail) for mail in wanted], "dry_run": options.dry_run})
    # Last: dying before this shows the same messages again, and loses none.
    if new and not options.dry_run and not screen.closed:
        follower.commit(new[-1])
    return DONE


def _follow(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    name = _who(conf, options.name)
    follower = mailbox.of(conf).follow(name)
    while True:
        for mail in follower.new():
            if options.all or _is_for(mail, name, conf):
                _stream([mail], screen)
            if screen.closed:
                return DONE
            follower.commit(mail)
        clock.pause(POLL_S)


def _is_for(mail: Delivery, name: str, conf: Settings) -> bool:
    return mail.message is not None and _whole(conf, mail.message.to) == name


# -- proof ------------------------------------------------------------------------------------------------------------


def _verify(_options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    claims = list(alerts.claims(conf))
    proof = mailbox.of(conf).verify(claims)
    whole = not (proof.missing or proof.repeated)
    sign = screen.sign("ok" if whole else "bad")
    screen.say(f"{sign} the journal names {many(len(claims), 'message')}; in the mailbox:")
    counts = {
        "where it says": proof.in_place,
        "elsewhere": proof.moved,
        "in an archive that was removed since": proof.removed,
        "twice": len(proof.repeated),
        "missing": len(proof.missing),
    }
    for place, number in counts.items():
        screen.say(f"  {number:>6}  {place}")
    for claim in proof.missing:
        screen.say(f"    missing: {claim.position}")
    for claim in proof.repeated:
        screen.say(f"    twice: {claim.position}")
    screen.answer(
        {
            "claims": len(claims),
            "in_place": proof.in_place,
            "moved": proof.moved,
            "removed": proof.removed,
            "repeated": [str(claim.position) for claim in proof.repeated],
            "missing": [str(claim.position) for claim in proof.missing],
        },
        ok=whole,
    )
    return DONE if whole else DEGRADED
