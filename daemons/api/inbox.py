"""/api/agents/ID/inbox: what is new for one agent, and that it has read what it was given before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from flask import Blueprint, Response, request

from daemons import mailbox, text
from daemons.api import bodies
from daemons.api.answers import json_answer
from daemons.api.mailbox import told
from daemons.api.state import State
from daemons.mailbox import Delivery, Message
from daemons.registry import check_id

LIMIT = 20
# A hook has 40 ms: what others tell each other is passed over in such portions, and not looked at again.
_SCANNED_AT_ONCE = 2000
_WORTH_REMEMBERING = 200


@dataclass(frozen=True, slots=True)
class Inbox:
    """The oldest *messages* that are new, at most LIMIT; *read_to* is what to send when they have been read."""

    messages: tuple[Message, ...]
    read_to: str
    is_all: bool


def routes(state: State) -> Blueprint:
    calls = Blueprint("inbox", __name__)

    @calls.post("/api/agents/<path:agent_id>/inbox")
    def inbox(agent_id: str) -> Response:
        asked = bodies.parsed(request.get_data())
        bodies.only(asked, ("read_to",))
        read_to = bodies.text(asked, "read_to", limit=512)
        new = look(state, check_id(agent_id), read_to)
        if request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain":
            return Response(as_text(agent_id, new), content_type="text/plain; charset=utf-8")
        return json_answer(as_json(agent_id, new))

    return calls


def look(state: State, agent_id: str, read_to: str | None) -> Inbox:
    """What the consumer *agent_id* has not read, once all before *read_to* is marked as read. Durable on return."""
    follower = state.mailbox.follow(agent_id)
    if read_to:
        follower.skip_to(mailbox.read_position(read_to))
    at = follower.position()
    found: list[Delivery] = []
    looked = 0
    for mail in islice(state.mailbox.after(at), _SCANNED_AT_ONCE):
        looked += 1
        if mail.message and mailbox.check_address(mail.message.to, state.conf.session) == follower.name:
            found.append(mail)
        if not found or found[-1] is mail:
            at = mail.end
        if len(found) == LIMIT:
            break
    if not found and looked >= _WORTH_REMEMBERING and at:
        follower.skip_to(at)
    messages = tuple(mail.message for mail in found if mail.message)
    return Inbox(messages, str(at) if at else "", len(found) < LIMIT and looked < _SCANNED_AT_ONCE)


def as_json(agent_id: str, new: Inbox) -> dict[str, Any]:
    """For programs."""
    messages = [told(message) for message in new.messages]
    return {"agent_id": agent_id, "messages": messages, "read_to": new.read_to, "is_all": new.is_all}


def as_text(agent_id: str, new: Inbox) -> str:
    """For hooks: `read_to` on the first line, then what an agent is shown; nothing more when nothing is new.

    What others wrote stays on one line each, without control characters, and is shown as theirs.
    """
    if not new.messages:
        return f"{new.read_to}\n"
    lines = [new.read_to, f"New in the mailbox for {agent_id}, {len(new.messages)}{'' if new.is_all else ' or more'}:"]
    for message in new.messages:
        body = f" (body: {message.body})" if message.body else ""
        line = f"- {message.ts:%H:%M:%S%z} {message.sender}: {message.subject}{body}"
        lines.append(text.safe(line, one_line=True))
    return "\n".join(lines) + "\n"
