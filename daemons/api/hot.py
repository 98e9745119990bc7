"""The calls that come by the thousand, without the framework and without a thread: the list of agents, and registering.

Flask costs 60 us a request, a list that is rendered already 3. What is special about a request (a query, a problem) is
left to the ordinary route of the same call; what may take a while (a list to be made anew, a long one) to a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from daemons import clock, strict_json
from daemons.api import bodies, failures
from daemons.api.commits import Wanted
from daemons.api.early import Environ, StartResponse, When, Wsgi
from daemons.api.listing import Listing
from daemons.api.problems import Problem
from daemons.api.state import State
from daemons.registry import Edit, Entry, registration, spelled

_JSON = ("Content-Type", "application/json")
_LIST = ("GET", "/api/agents")
_REGISTER = ("POST", "/api/agents/register")
_LONG_BYTES = 64 << 10

_READY = "cmux.listing"
_BEGUN = "cmux.begun"


class Hot:
    """Answers the hot calls itself and hands all others to *app*."""

    def __init__(self, app: Wsgi, state: State) -> None:
        self._app = app
        self.hot = frozenset({_LIST, _REGISTER})
        self._state = state

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        call = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        try:
            if call == _LIST and not environ["QUERY_STRING"]:
                return self._list(environ, start_response)
            if call == _REGISTER:
                return self._register(environ, start_response)
        except failures.EXPECTED as failure:
            return self._refuse(failures.problem_of(failure), start_response)
        return self._app(environ, start_response)

    def early(self, environ: Environ, again: Callable[[], object]) -> When:
        """See `EarlyWsgi`. A list that stands ready is answered now, a registration when it is durable."""
        look = self._look_for_list if environ["REQUEST_METHOD"] == "GET" else self._begin_to_register
        try:
            return look(environ, again)
        except failures.EXPECTED:
            return When.IN_A_THREAD  # where the same happens again, and is told

    def _look_for_list(self, environ: Environ, _again: Callable[[], object]) -> When:
        listing = None if environ["QUERY_STRING"] else self._state.agents.ready()
        if listing is None or (len(listing.body) > _LONG_BYTES and not _is_known(listing, environ)):
            return When.IN_A_THREAD
        environ[_READY] = listing
        return When.NOW

    def _begin_to_register(self, environ: Environ, again: Callable[[], object]) -> When:
        sent = environ["wsgi.input"]
        raw = sent.read()
        sent.seek(0)
        agent_id, edit = _registration(raw)
        wanted = self._state.begin_change(edit, again)
        if wanted is None:
            return When.IN_A_THREAD
        environ[_BEGUN] = agent_id, wanted
        return When.LATER

    def _list(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        listing: Listing = environ.get(_READY) or self._state.agents.listing()
        headers = [("ETag", listing.etag), ("X-Registry-Index", str(listing.index)), _JSON]
        if _is_known(listing, environ):
            self._state.answers[304] += 1
            start_response("304 Not Modified", headers)
            return []
        self._state.answers[200] += 1
        start_response("200 OK", [("Content-Length", str(len(listing.body))), *headers])
        if len(listing.body) > _LONG_BYTES:
            shared: Iterable[bytes] = environ["wsgi.file_wrapper"](BytesIO(listing.body))  # not copied for each answer
            return shared
        return [listing.body]

    def _register(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        begun: tuple[str, Wanted[Entry]] | None = environ.get(_BEGUN)
        if begun:
            agent_id, wanted = begun
            wanted.result()
        else:
            agent_id, edit = _registration(environ["wsgi.input"].read())
            self._state.change(edit)
        name = agent_id if agent_id.isascii() else spelled(agent_id, self._state.registry.snapshot().agents)
        body = strict_json.dumps({"registered": name}) + b"\n"
        self._state.answers[200] += 1
        start_response("200 OK", [("Content-Length", str(len(body))), _JSON])
        return [body]

    def _refuse(self, problem: Problem, start_response: StartResponse) -> Iterable[bytes]:
        body = problem.body()
        self._state.answers[problem.status] += 1
        start_response(problem.status_line, problem.all_headers(body))
        return [body]


def _is_known(listing: Listing, environ: Environ) -> bool:
    known: object = environ.get("HTTP_IF_NONE_MATCH")
    return known == listing.etag


def _registration(raw: bytes) -> tuple[Any, Edit[Entry]]:
    agent_id, fields = bodies.registered(bodies.parsed(raw))
    return agent_id, registration(agent_id, fields, clock.now())
