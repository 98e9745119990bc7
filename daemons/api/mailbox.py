"""/api/mailbox: read what everybody tells everybody, and tell something."""

from __future__ import annotations

import os
from itertools import islice
from typing import Any

from flask import Blueprint, Response, request

from daemons import clock, mailbox, text
from daemons.api import bodies
from daemons.api.answers import json_answer
from daemons.api.problems import Problem
from daemons.api.state import State
from daemons.files import StorageError
from daemons.journal import Journal
from daemons.mailbox import Message, Position, Unparsable

_LIMIT = 1000
_TAIL_BYTES = 256 << 10
_KNOWN = ("to", "from", "subject", "body", "body_path", "id", "status")


def routes(state: State) -> Blueprint:
    calls = Blueprint("mailbox", __name__)

    @calls.get("/api/mailbox")
    def read() -> Response:
        bodies.only(request.args, ("after", "limit", "to"))
        limit = bodies.number(request.args.get("limit"), "limit", least=1, most=_LIMIT, default=100)
        since, to = request.args.get("after"), request.args.get("to")
        found, end = after(state, mailbox.read_position(since), limit) if since else latest(state, limit)
        messages = [
            each for each in found if "problem" not in each and (to is None or each["to"] == _address(state, to))
        ]
        problems = [each for each in found if "problem" in each]
        return json_answer({"messages": messages, "unparsable": problems, "next": str(end)})

    @calls.post("/api/mailbox")
    def post() -> Response:
        message = _message(state, bodies.parsed(request.get_data()))
        line = state.mailbox.line_of(message)
        position = state.mailbox.post_line(line)
        state.changes.ring()
        return json_answer({"posted": str(position), "line": text.decode(line).rstrip("\n")}, 201)

    return calls


def latest(state: State, limit: int) -> tuple[list[dict[str, Any]], Position]:
    """The last *limit* messages, as far as the end of the file holds them, and where the next one will stand."""
    end = state.mailbox.end()
    return [_told(line) for line in _tail(state, end.offset)][-limit:], end


def _tail(state: State, end: int) -> list[bytes]:
    path = state.conf.mailbox
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    except OSError as cause:
        raise StorageError("read", path, cause) from cause
    try:
        start = max(0, end - _TAIL_BYTES)
        lines = os.pread(fd, end - start, start).split(b"\n")
    except OSError as cause:
        raise StorageError("read", path, cause) from cause
    finally:
        os.close(fd)
    return [line for line in (lines[1:] if start else lines) if line.strip(b"\0\r ")]


def _told(line: bytes) -> dict[str, Any]:
    try:
        return told(mailbox.parse(line))
    except Unparsable as wrong:
        return {"problem": str(wrong), "line": text.safe(text.decode(line[:200]), one_line=True)}


def after(state: State, position: Position, limit: int) -> tuple[list[dict[str, Any]], Position]:
    """At most *limit* messages that stand after *position*, and where the last of them ends."""
    found: list[dict[str, Any]] = []
    for delivery in islice(state.mailbox.after(position), limit):
        position = delivery.end
        if delivery.message:
            found.append(told(delivery.message))
        else:
            line = text.safe(text.decode(delivery.raw[:200]), one_line=True)
            found.append({"problem": delivery.problem, "line": line, "line_number": delivery.line_number})
    return found, position


def told(message: Message) -> dict[str, Any]:
    """A message as clients get it."""
    fields: dict[str, Any] = {
        "ts": clock.stamp(message.ts),
        "from": message.sender,
        "to": message.to,
        "subject": message.subject,
        "body": message.body,
        "id": message.id,
        "status": message.status,
    }
    return {**message.extra, **{name: value for name, value in fields.items() if value is not None}}


def _message(state: State, asked: dict[str, Any]) -> Message:
    bodies.only(asked, _KNOWN)
    body, path = bodies.text(asked, "body", limit=1 << 20), bodies.text(asked, "body_path", limit=4096)
    if body is not None and path is not None:
        raise Problem(400, "body and body_path are both given; send the text, or the path of a file that holds it")
    message = Message(
        ts=clock.now(),
        sender=bodies.text(asked, "from", limit=256) or "user",
        to=bodies.text(asked, "to", limit=256, needed=True) or "",
        subject=bodies.text(asked, "subject", limit=4096, needed=True) or "",
        body=path or (body if state.mailbox.notation == "jsonl" else None),
        id=bodies.text(asked, "id", limit=128) if state.mailbox.notation == "jsonl" else None,
        status=bodies.text(asked, "status", limit=64) if state.mailbox.notation == "jsonl" else None,
    )
    if body is None or state.mailbox.notation == "jsonl":
        return message
    state.mailbox.line_of(message)  # refused before its body is written
    return _with_body(state, message, body)


def _with_body(state: State, message: Message, body: str) -> Message:
    # A line holds a path: the text becomes a file of the journal.
    kept = Journal(state.conf, "system:api").attach("message", body, message.ts)
    return Message(message.ts, message.sender, message.to, message.subject, body=str(kept))


def _address(state: State, to: str) -> str:
    return mailbox.check_address(to, state.conf.session)
