"""What clients send, taken apart: JSON objects, and the fields that we know. Everything else is a Problem 400."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from daemons import strict_json
from daemons.api.problems import Problem
from daemons.strict_json import BadJson


def parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object that a request sent; an empty body is an empty one."""
    try:
        found = strict_json.loads(raw) if raw else {}
    except BadJson as wrong:
        raise Problem(400, f"the body cannot be read: {wrong}", name="bad-json") from None
    if not isinstance(found, dict):
        raise Problem(400, 'the body is no JSON object; send one such as {"agent_id": "worker-1"}', name="bad-json")
    return found


def registered(asked: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The id, and the fields to keep, of a request to register. The store checks the id."""
    if "agent_id" not in asked:
        raise Problem(400, 'agent_id is missing; send {"agent_id": "worker-1"}')
    fields = {name: value for name, value in asked.items() if name not in ("agent_id", "agent_type", "registered_at")}
    if "agent_type" in asked:
        fields["type"] = asked["agent_type"]
    for name in ("type", "created_by"):
        text(fields, name, limit=128)
    ttl = fields.get("ttl")
    if ttl is not None and not (isinstance(ttl, (int, float)) and not isinstance(ttl, bool) and 0 < ttl <= 10**9):
        raise Problem(400, f"ttl is {_shown(ttl)}; send a positive number of seconds, or leave it out")
    return asked["agent_id"], fields


def text(asked: Mapping[str, Any], name: str, *, limit: int, needed: bool = False) -> str | None:
    """The field *name* as a string of at most *limit* characters, None when it is not there."""
    value = asked.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, str) or len(value) > limit or (needed and not value):
        raise Problem(
            400, f"{name} is {_shown(value)}; send a string of {'1' if needed else '0'} to {limit} characters"
        )
    return value


def only(asked: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse a field that means nothing here: it would be dropped in silence."""
    unknown = sorted(asked.keys() - set(names))
    if unknown:
        raise Problem(400, f"{_shown(unknown[0])} is not known here; allowed: {', '.join(sorted(names))}")


def number(word: str | None, name: str, *, least: int, most: int, default: int) -> int:
    """A number from the query, brought between *least* and *most*."""
    if word is None:
        return default
    if not (word.isascii() and word.isdigit() and len(word) <= 20):
        raise Problem(400, f"{name}={_shown(word)} is no whole number; send one from {least} to {most}")
    return max(least, min(most, int(word)))


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
