"""Answers that are no error: JSON, and ETags that save it."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request

from daemons import strict_json


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """*value* as JSON."""
    return raw_json(strict_json.dumps(value) + b"\n", status, headers)


def raw_json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """*body*, which is JSON already."""
    return Response(body, status=status, headers=headers, content_type="application/json")


def tagged_json(body: bytes, etag: str, headers: Mapping[str, str] | None = None) -> Response:
    """*body*, or 304 without it when the client has the one of this *etag*."""
    tags = {"ETag": etag, **(headers or {})}
    if etag in (tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")):
        return Response(status=304, headers=tags)
    return raw_json(body, headers=tags)
