"""/openapi.json: the description of all calls, for people's tools and for programs."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response

from daemons.api.answers import raw_json
from daemons.api.state import State

FILE = Path(__file__).with_name("openapi.json")


def routes(_state: State) -> Blueprint:
    calls = Blueprint("description", __name__)
    body = FILE.read_bytes()

    @calls.get("/openapi.json")
    @calls.get("/api/openapi.json")
    def openapi() -> Response:
        return raw_json(body)

    return calls
