"""Messages: what one is, and how it reads as one line of the mailbox. Two notations, both read in one file:

    [2026-01-31T18:54:00+05:30] cmux:worker-a -> cmux:supervisor: [DONE] parser merged (body: notes/report.md)
    {"id":"7f…","ts":"2026-02-21T10:44:59+05:30","from":"cmux:qa","to":"cmux:supervisor","subject":"[STATUS] online"}

What is written reads back as itself, or is refused with the reason: a reader never has to guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal, cast

from daemons import clock, strict_json, text

Notation = Literal["line", "jsonl"]

# A body of 1 MiB in which every character has to be escaped, and then some.
LINE_LIMIT_BYTES = 8 << 20
ADDRESS_LIMIT = 256


class Unparsable(ValueError):
    """A line that is no message. The text says why."""


class Unsendable(ValueError):
    """A message that would not read back as itself. The text says which part is wrong, how, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. *ts* is aware. In the line notation *body* is the path of a file; in JSON it may be any text.

    *id*, *status* and *extra* (further fields that a client gave, kept as given) only exist in JSON.
    """

    ts: datetime
    sender: str
    to: str
    subject: str
    body: str | None = None
    id: str | None = None
    status: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


# -- addresses --------------------------------------------------------------------------------------------------------

# Letters and digits of any script, starting with one. No blank, so `a -> b: subject` splits in one way only.
_ADDRESS = re.compile(r"[^\W_](?:[\w.:/@+-]*[\w./@+-])?")
_WHAT_AN_ADDRESS_IS = (
    f"1 to {ADDRESS_LIMIT} letters, digits and . _ : / @ + -, starting with a letter or digit, not ending with a colon "
    "and without '..', such as cmux:supervisor, worker-a, user or system:log-watcher"
)


def check_address(address: str, session: str) -> str:
    """*address* with the session added to a bare name: `worker-a` is `cmux:worker-a`, `user` stays itself.

    Unsendable, saying what an address is, when it is none.
    """
    if not is_address(address):
        raise Unsendable(f"{_shown(address)} is no address; write {_WHAT_AN_ADDRESS_IS}")
    return address if ":" in address or address == "user" else f"{session}:{address}"


@lru_cache(1024)  # the same few addresses, four times a message
def is_address(address: str) -> bool:
    return len(address) <= ADDRESS_LIMIT and ".." not in address and _ADDRESS.fullmatch(address) is not None


# -- reading ----------------------------------------------------------------------------------------------------------

_LINE = re.compile(r"\[(?P<ts>[^\]]+)\] (?P<sender>[^ ]+) -> (?P<to>[^ ]+):(?: (?P<rest>.*))?", re.DOTALL)
_BODY = " (body: "


def parse(line: bytes | str) -> Message:
    """The message that *line* is, its newline allowed. Unparsable, with the reason, when it is none.

    In the line notation, bytes that are no UTF-8 are shown as `\\xNN`. NUL bytes in front, which a power cut leaves,
    are passed over.
    """
    raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
    raw = raw.removesuffix(b"\n").removesuffix(b"\r").lstrip(b"\0")
    if not raw or b"\0" in raw or b"\n" in raw:
        raise Unparsable("it is empty, more than one line, or holds NUL bytes as a power cut leaves them")
    if raw.startswith(b"{"):
        return _parse_json(raw)
    return _parse_line(text.decode(raw))


def _parse_line(line: str) -> Message:
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise Unparsable("it neither starts with { nor reads `[time] from -> to: subject`")
    subject, body = _split_body(parts["rest"] or "")
    return Message(
        ts=_moment(parts["ts"]),
        sender=_addressed("from", parts["sender"]),
        to=_addressed("to", parts["to"]),
        subject=subject,
        body=body,
    )


def _split_body(rest: str) -> tuple[str, str | None]:
    subject, mark, body = rest[:-1].rpartition(_BODY)
    if not (mark and rest.endswith(")") and _is_path(body)):
        return rest, None
    return subject, body


def _is_path(body: str) -> bool:
    """Whether *body* names a file, so that `(body: of evidence)` in prose stays part of a subject."""
    return ("/" in body or "." in body) and body == body.strip() and _UNSAFE.search(body) is None


def _parse_json(line: bytes) -> Message:
    fields = _object(line)
    known = {name: _text(name, fields.pop(name, None)) for name in ("id", "body", "status")}
    asked = {name: _text(name, fields.pop(name, None)) for name in ("ts", "from", "to", "subject")}
    missing = [name for name, value in asked.items() if value is None]
    if missing:
        raise Unparsable(f"its JSON has no {' and no '.join(missing)}")
    given = cast("dict[str, str]", asked)
    return Message(
        ts=_moment(given["ts"]),
        sender=_addressed("from", given["from"]),
        to=_addressed("to", given["to"]),
        subject=given["subject"],
        extra=fields,
        **known,
    )


def _object(line: bytes) -> dict[str, object]:
    try:
        loaded = strict_json.loads(line)
    except strict_json.BadJson as wrong:
        raise Unparsable(f"its JSON cannot be read: {wrong}") from None
    if not isinstance(loaded, dict):
        raise Unparsable("its JSON is no object")
    return loaded


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Unparsable(f"its {name} is {type(value).__name__}, not text")
    return value


def _moment(written: str) -> datetime:
    try:
        return clock.parse_stamp(written)
    except ValueError:
        raise Unparsable(f"{written[:40]!r} is no time with an offset, such as 2026-01-31T18:54:00+05:30") from None


def _addressed(field_name: str, address: str) -> str:
    if not is_address(address):
        raise Unparsable(f"its {field_name} {address[:60]!r} is no address")
    return address


# -- writing ----------------------------------------------------------------------------------------------------------

# What ends a line somewhere, moves a terminal's cursor, or cannot be encoded. Tabs, emoji and their joiners may stay.
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def to_line(message: Message, notation: Notation) -> bytes:
    """*message* as one line with its newline. Unsendable, with the reason, if it would not read back as itself."""
    _check(message)
    line = (_as_json if notation == "jsonl" else _as_line)(message)
    if len(line) > LINE_LIMIT_BYTES:
        raise Unsendable(f"the message has {len(line)} bytes, {LINE_LIMIT_BYTES} are allowed; put its body in a file")
    if notation == "jsonl" or _BODY.lstrip() in f"{message.subject} {message.body}":
        _check_reads_back(line, message)  # any other line does: all of its parts were looked at
    return line


def _check(message: Message) -> None:
    for name, address in (("from", message.sender), ("to", message.to)):
        if not is_address(address):
            raise Unsendable(f"{name} {_shown(address)} is no address; write {_WHAT_AN_ADDRESS_IS}")
    if message.ts.utcoffset() is None:
        raise Unsendable(f"the time {message.ts} has no UTC offset; use clock.now()")
    unsafe = _UNSAFE.search(message.subject)
    if unsafe:
        raise Unsendable(f"the subject holds {_shown(unsafe.group())} at {unsafe.start()}; one line of text is allowed")


def _as_line(message: Message) -> bytes:
    if message.id is not None or message.status is not None or message.extra:
        raise Unsendable("the line notation has no place for id, status and further fields; send it as jsonl")
    body = ""
    if message.body is not None:
        if not _is_path(message.body):
            raise Unsendable(
                f"the body {_shown(message.body)} is no path; the line notation holds the path of a file, such as "
                "./report.md"
            )
        body = f"{_BODY}{message.body})"
    return f"[{message.ts.isoformat()}] {message.sender} -> {message.to}: {message.subject}{body}\n".encode()


def _as_json(message: Message) -> bytes:
    named = {
        "id": message.id,
        "ts": message.ts.isoformat(),
        "from": message.sender,
        "to": message.to,
        "subject": message.subject,
        "body": message.body,
        "status": message.status,
    }
    clash = sorted(named.keys() & message.extra.keys())
    if clash:
        raise Unsendable(f"the further field {clash[0]!r} is one of the message's own; give it another name")
    fields = {name: value for name, value in named.items() if value is not None} | dict(message.extra)
    try:
        return strict_json.dumps(fields) + b"\n"
    except strict_json.BadJson as wrong:
        raise Unsendable(f"a field cannot be written as JSON: {wrong}") from None


def _check_reads_back(line: bytes, message: Message) -> None:
    try:
        read = parse(line)
    except Unparsable as wrong:
        raise Unsendable(f"the message would not read back: {wrong}") from None
    # Times as written: one in a repeated hour of a named zone equals no other, not even itself.
    if read.ts.isoformat() != message.ts.isoformat():
        raise Unsendable(f"the time {message.ts} would read back as {read.ts}")
    for name in ("sender", "to", "subject", "body", "id", "status", "extra"):
        if getattr(read, name) != getattr(message, name):
            raise Unsendable(f"the message would read back with another {name}: {_shown(getattr(read, name))}")


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:76]}…{shown[-1]}"
