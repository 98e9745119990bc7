"""The calls put together: every route, in the order in which a reader meets them, and what all of them share."""

from __future__ import annotations

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, NotFound

from daemons import log
from daemons.api import (
    agents,
    alerts,
    description,
    events,
    failures,
    frontend,
    health,
    inbox,
    mailbox,
    membership,
    metrics,
    page,
)
from daemons.api.callers import token
from daemons.api.early import EarlyWsgi
from daemons.api.guard import Guard
from daemons.api.hot import Hot
from daemons.api.problems import Problem
from daemons.api.state import State


def wsgi(state: State) -> EarlyWsgi:
    """The whole application, guarded. It needs what our server adds: `cmux.channel`, and the headers of all answers."""
    return Guard(Hot(flask_app(state), state), state.conf, token(state.conf))


def flask_app(state: State) -> Flask:
    """The routes alone, without the guard."""
    app = Flask("daemons.api", static_folder=None)
    app.url_map.merge_slashes = False  # `a//b` is an id
    app.url_map.strict_slashes = False
    for resource in (membership, inbox, agents, health, alerts, mailbox, events, metrics, description, page, frontend):
        app.register_blueprint(resource.routes(state))
    app.register_error_handler(HTTPException, _http_error)
    for kind in failures.EXPECTED:
        app.register_error_handler(kind, _failure)
    app.register_error_handler(Exception, _fault)

    @app.after_request
    def count(response: Response) -> Response:
        state.answers[response.status_code] += 1
        return response

    return app


def _failure(failure: Exception) -> Response:
    return answer(failures.problem_of(failure))


def _http_error(error: HTTPException) -> Response:
    detail = error.description or ""
    headers = []
    if error.code == 405 and _only_files_are_there():
        error = NotFound()
    if error.code == 404:
        detail = f"there is no {request.path!r} here; GET /openapi.json describes all that there is"
    if error.code == 405:
        methods = sorted(set(getattr(error, "valid_methods", None) or ()) - {"OPTIONS"})
        detail = f"{request.method} is not possible here; allowed: {', '.join(methods)}"
        headers = [("Allow", ", ".join(methods))]
    return answer(Problem(error.code or 500, detail, headers=headers))


def _only_files_are_there() -> bool:
    """Whether this path is one of the frontend's, where nothing but reading is possible, and looks like a call."""
    adapter = current_app.create_url_adapter(request)
    try:
        return (
            adapter is not None
            and request.path.startswith("/api/")
            and adapter.match(method="GET")[0] == "frontend.file"
        )
    except HTTPException:
        return False


def _fault(fault: Exception) -> Response:
    trace = fault.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else None
    log.error("request.failed", method=request.method, path=request.path, error=repr(fault), where=where)
    return answer(Problem(500, "a fault of ours; what went wrong stands in .cmux/logs/api.log", name="fault"))


def answer(problem: Problem) -> Response:
    """*problem* as a response."""
    body = problem.body()
    return Response(body, status=problem.status, headers=problem.all_headers(body))
