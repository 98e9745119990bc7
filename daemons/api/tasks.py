"""How answers go onto the wire: waitress's tasks, with a head that is cheap and that no answer can do without.

waitress respells, checks and sorts every header: a third of what a short answer costs. Here the application's headers
go out as they are, behind a block that every answer carries, whoever made it.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

from waitress.task import ErrorTask, WSGITask

from daemons.api.problems import Problem

_ALWAYS = (
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
)
_UNLESS_GIVEN = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class _Head:
    """The first lines of an answer."""

    channel: Any
    request: Any
    version: str
    status: str
    response_headers: Any
    content_length: int | None
    chunked_response: bool
    close_on_finish: bool
    has_body: bool

    def build_response_header(self) -> bytes:
        """Decides, like waitress, how the body's end is marked and whether the connection goes on."""
        given = dict(self.response_headers)
        if not self.has_body:
            given.pop("Content-Length", None)
        elif self.content_length is not None and "Content-Length" not in given:
            given["Content-Length"] = str(self.content_length)
        elif "Content-Length" not in given and self.version == "1.1":
            given["Transfer-Encoding"] = "chunked"
            self.chunked_response = True
        self._decide_connection(given)
        more = "".join([f"{name}: {value}\r\n" for name, value in _UNLESS_GIVEN.items() if name not in given])
        lines = "".join([f"{name}: {value}\r\n" for name, value in given.items()])
        return f"HTTP/{self.version} {self.status}\r\nDate: {_date()}\r\n{lines}{more}{_ALWAYS}\r\n".encode("latin-1")

    def _decide_connection(self, given: dict[str, str]) -> None:
        wish = self.request.headers.get("CONNECTION", "").lower()
        has_end = "Content-Length" in given or not self.has_body
        if self.version == "1.0" and wish == "keep-alive" and has_end and not self.close_on_finish:
            given["Connection"] = "Keep-Alive"
        elif self.version == "1.0" or wish == "close" or not has_end or self.close_on_finish:
            given["Connection"] = "close"
            self.close_on_finish = True


class Task(_Head, WSGITask):
    """A request for the application."""

    def finish(self) -> None:
        super().finish()
        self.channel.send_at_once()

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ["cmux.channel"] = self.channel
        return environ


class Refusal(_Head, ErrorTask):
    """What waitress refuses by itself (a request that cannot be read, or is too large), in the API's own words."""

    def execute(self) -> None:
        error = self.request.error
        problem = Problem(error.code, f"{error.reason}: {error.body}")
        body = problem.body()
        self.channel.linger = True
        self.status = problem.status_line
        self.response_headers = problem.all_headers(body)
        self.close_on_finish = True
        self.content_length = len(body)
        self.write(body)


_stamped: tuple[int, str] = (0, "")


def _date() -> str:
    """The time as HTTP writes it, made once a second."""
    global _stamped  # one small value for all threads; two that make it at once make the same
    second = int(time.time())
    known = _stamped
    if known[0] != second:
        known = _stamped = (second, formatdate(second, usegmt=True))
    return known[1]


def head_of(problem: Problem, body: bytes) -> bytes:
    """The head of an answer that no task makes: to a connection that is turned away."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in problem.all_headers(body))
    return f"HTTP/1.1 {problem.status_line}\r\n{lines}{_ALWAYS}Connection: close\r\n\r\n".encode("latin-1")
