"""`cmux mail`: read, follow, send and verify messages."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from daemons import alerts, clock, mailbox
from daemons.cli import messages, sending
from daemons.cli.command import DEGRADED, DONE, Refused, count, subcommands
from daemons.cli.screen import Screen, many, shown
from daemons.mailbox import Unsendable
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
        "send": sending.send,
        "reply": sending.reply,
        "sent": sending.sent,
        "read": _read,
        "follow": _follow,
        "verify": _verify,
    }
    try:
        return doing[options.what](options, conf, screen)
    except Unsendable as reason:
        raise Refused(f"not sent: {reason}") from None


# -- looking ----------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    box = mailbox.of(conf)
    served = Registry(conf).snapshot().agents
    found = box.undelivered(served) if options.undelivered else list(box.after(None))
    for name, address in (("to", options.to), ("sender", options.sender)):
        if address:
            whole = messages.who(conf, address)
            found = [
                mail for mail in found if mail.message and messages.whole(conf, getattr(mail.message, name)) == whole
            ]
    found = found[-options.lines :] if options.lines else []
    messages.show(found, screen)
    if not found:
        screen.say("no messages" if not options.undelivered else "every message is for somebody who is here")
    screen.answer({"messages": [messages.told(mail) for mail in found]})
    return DONE


def _tail(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    box = mailbox.of(conf)
    recent = list(box.after(None))
    at = recent[-1].end if recent else box.end()
    messages.stream(recent[-options.lines :] if options.lines else [], screen)
    while not screen.closed:
        for mail in box.after(at):
            messages.stream([mail], screen)
            at = mail.end
        clock.pause(POLL_S)
    return DONE


# -- consumers --------------------------------------------------------------------------------------------------------


def _read(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    name = messages.who(conf, options.name)
    box = mailbox.of(conf)
    follower = box.follow(name)
    new = list(box.after(follower.position()))
    wanted = [mail for mail in new if options.all or messages.is_for(mail, name, conf)]
    messages.show(wanted, screen)
    if not wanted:
        screen.say(f"nothing new for {shown(name)}")
    screen.answer({"as": name, "messages": [messages.told(mail) for mail in wanted], "dry_run": options.dry_run})
    # Last: dying before this shows the same messages again, and loses none.
    if new and not options.dry_run and not screen.closed:
        follower.commit(new[-1])
    return DONE


def _follow(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    name = messages.who(conf, options.name)
    follower = mailbox.of(conf).follow(name)
    while True:
        for mail in follower.new():
            if options.all or messages.is_for(mail, name, conf):
                messages.stream([mail], screen)
            if screen.closed:
                return DONE
            follower.commit(mail)
        clock.pause(POLL_S)


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
