"""What stands before every call: is it for us, from here, by one of us, and of a size and kind that we take.

The order matters. Host first: after DNS rebinding a browser calls a stranger's page same-origin. Then where the page
that asks comes from, then who asks, then what it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from daemons.api.callers import caller
from daemons.api.early import EarlyWsgi, Environ, StartResponse, When
from daemons.api.problems import Problem
from daemons.settings import Settings

_PASSED = "cmux.passed"

BODY_LIMIT_BYTES = 64 << 10
MAIL_LIMIT_BYTES = 1 << 20

_READS = frozenset({"GET", "HEAD"})
_FOR_EVERYBODY = frozenset({"/api/webhooks/health", "/health"})


class Guard:
    """Lets through to *app* what may pass; everything else gets its Problem. A WSGI application."""

    def __init__(self, app: EarlyWsgi, conf: Settings, known_token: str) -> None:
        self._app = app
        self.hot = app.hot
        self._token = known_token
        self._names = _names(conf.host)
        self._port = conf.port
        self._hosts = frozenset(_with_port(name, conf.port) for name in self._names)
        self._is_private = all(map(_is_loopback, self._names))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            if _PASSED not in environ:
                self._check(environ)
        except Problem as problem:
            body = problem.body()
            start_response(problem.status_line, problem.all_headers(body))
            return [body]
        return self._app(environ, start_response)

    def early(self, environ: Environ, again: Callable[[], object]) -> When:
        """When this application can be called without waiting in it. *again* is called then, if that is LATER."""
        if not environ["cmux.channel"].is_peer_known:
            return When.IN_A_THREAD  # to look it up takes a while, once a connection
        try:
            self._check(environ)
        except Problem:
            return When.IN_A_THREAD
        environ[_PASSED] = True
        return self._app.early(environ, again)

    def _check(self, environ: Environ) -> None:
        host = environ.get("HTTP_HOST", "").lower()
        if host not in self._hosts and not self._is_ours(host, environ):
            raise Problem(421, f"Host {host[:80]!r} is not this server; ask {', '.join(sorted(self._hosts))}")
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_our_origin(origin, host):
            raise Problem(403, f"pages of {origin[:80]!r} may not ask this server")
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS":
            raise Problem(403, "no other origin may ask this server, so there is nothing to negotiate")
        changes = method not in _READS
        if changes:
            _check_change(environ)
        self._check_caller(environ, changes=changes)

    def _is_ours(self, host: str, environ: Environ) -> bool:
        """Names that the list cannot hold: of the unix socket, and of an address of the machine where we bound all."""
        if environ["REMOTE_ADDR"] == "unix":
            return host.partition(":")[0] in ("localhost", "127.0.0.1")
        return not self._is_private and host == _with_port(environ["cmux.channel"].local_host, self._port)

    def _is_our_origin(self, origin: str, host: str) -> bool:
        # Compared, not parsed: what a browser sends is exactly this, and nothing else can be malformed.
        return host in self._hosts and origin.lower() == f"http://{host}"

    def _check_caller(self, environ: Environ, *, changes: bool) -> None:
        path = environ["PATH_INFO"]
        if path in _FOR_EVERYBODY and not changes:
            return
        who = caller(environ, self._token)
        # On loopback, what cannot be found out is no reason not to show; over the network it is.
        if who == "ours" or (who == "unknown" and not changes and self._is_private):
            return
        raise Problem(
            403,
            "this is another user's; ask as the user who runs the suite, over its unix socket .cmux/run/api.sock, "
            "or with the header `Authorization: Bearer TOKEN` (the token is in .cmux/run/token)",
            name="not-yours",
        )


def _check_change(environ: Environ) -> None:
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site not in (None, "none", "same-origin"):
        raise Problem(403, f"a page of another site ({site[:20]!r}) may not change anything here")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    limit = MAIL_LIMIT_BYTES if environ["PATH_INFO"] == "/api/mailbox" else BODY_LIMIT_BYTES
    if length > limit:
        raise Problem(413, f"the body has {length} bytes; at most {limit}")
    kind = environ.get("CONTENT_TYPE", "")
    # A browser sends no body without a type, and asks first for this one: a form can't reach us.
    is_bare = not length and not kind and "HTTP_ORIGIN" not in environ and site is None
    if kind.partition(";")[0].strip().lower() != "application/json" and not is_bare:
        if environ["REQUEST_METHOD"] == "DELETE" and not length and not kind:
            return
        raise Problem(
            415,
            f"the content type is {kind[:80]!r}; send JSON: curl -H 'Content-Type: application/json' -d '{{…}}'",
        )


def _names(host: str) -> tuple[str, ...]:
    if _is_loopback(host):
        return tuple(dict.fromkeys(("127.0.0.1", "localhost", "::1", host)))
    return ("127.0.0.1", "localhost", "::1", host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_port(name: str, port: int) -> str:
    shown = f"[{name}]" if ":" in name else name
    return shown if port == 80 else f"{shown}:{port}"
