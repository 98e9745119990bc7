"""The calls that come by the thousand, without the framework: the list of agents, and registering.

Flask costs 60 us a request, a list that is rendered already 3. What is special about a request (a query, a problem) is
left to the ordinary route of the same call.
"""

from __future__ import annotations

from collections.abc import Iterable

from daemons import clock, strict_json
from daemons.api import bodies, failures
from daemons.api.guard import Environ, StartResponse, Wsgi
from daemons.api.problems import Problem
from daemons.api.state import State
from daemons.registry import registration, spelled

_JSON = ("Content-Type", "application/json")


class Hot:
    """Answers the hot calls itself and hands all others to *app*."""

    def __init__(self, app: Wsgi, state: State) -> None:
        self._app = app
        self._state = state

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        try:
            if path == "/api/agents" and method == "GET" and not environ["QUERY_STRING"]:
                return self._list(environ, start_response)
            if path == "/api/agents/register" and method == "POST":
                return self._register(environ, start_response)
        except failures.EXPECTED as failure:
            return self._refuse(failures.problem_of(failure), start_response)
        return self._app(environ, start_response)

    def _list(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        listing = self._state.agents.listing()
        headers = [("ETag", listing.etag), ("X-Registry-Index", str(listing.index)), _JSON]
        if environ.get("HTTP_IF_NONE_MATCH") == listing.etag:
            self._state.answers[304] += 1
            start_response("304 Not Modified", headers)
            return []
        self._state.answers[200] += 1
        start_response("200 OK", [("Content-Length", str(len(listing.body))), *headers])
        return [listing.body]

    def _register(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asked = bodies.parsed(environ["wsgi.input"].read())
        agent_id, fields = bodies.registered(asked)
        self._state.change(registration(agent_id, fields, clock.now()))
        name = spelled(agent_id, self._state.registry.snapshot().agents)
        body = strict_json.dumps({"registered": name}) + b"\n"
        self._state.answers[200] += 1
        start_response("200 OK", [("Content-Length", str(len(body))), _JSON])
        return [body]

    def _refuse(self, problem: Problem, start_response: StartResponse) -> Iterable[bytes]:
        body = problem.body()
        self._state.answers[problem.status] += 1
        start_response(problem.status_line, problem.all_headers(body))
        return [body]
