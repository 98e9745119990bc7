"""Errors as clients get them: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from daemons import strict_json, text

Header = tuple[str, str]


class Problem(Exception):
    """An answer that is an error: *status*, what was wrong, and what is allowed or what to do."""

    def __init__(self, status: int, detail: str, *, name: str = "", headers: Sequence[Header] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)
        self.title = HTTPStatus(status).phrase
        self.name = name or self.title.lower().replace(" ", "-")

    def body(self) -> bytes:
        """The JSON. What a client sent may stand in the detail: it is shown, never raw."""
        return (
            strict_json.dumps(
                {
                    "type": f"urn:cmux:problem:{self.name}",
                    "title": self.title,
                    "status": self.status,
                    "detail": text.safe(self.detail, one_line=True),
                }
            )
            + b"\n"
        )

    @property
    def status_line(self) -> str:
        return f"{self.status} {self.title}"

    def all_headers(self, body: bytes) -> list[Header]:
        return [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            *self.headers,
        ]


def busy(detail: str) -> Problem:
    """503: not now; the client may ask again in a second."""
    return Problem(503, detail, headers=[("Retry-After", "1")])
