"""Requests that need no thread: what is ready is answered by who reads, what is made durable by who makes it so.

    the loop reads a request --> NOW: answers it itself
                             --> LATER: has it begun; whoever ends it answers it
                             --> IN_A_THREAD: all others, as every WSGI server does

Handing a request to a thread, and the interpreter's lock with it, costs more than answering a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import Any, Protocol

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]


class When(Enum):
    """When an application can be called for a request without waiting inside it."""

    NOW = "now"
    LATER = "later"
    IN_A_THREAD = "in a thread"


class EarlyWsgi(Protocol):
    """A WSGI application that is asked first, for the calls that are *hot*: pairs of method and path."""

    @property
    def hot(self) -> Collection[tuple[str, str]]: ...

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]: ...

    def early(self, environ: Environ, again: Callable[[], object]) -> When:
        """Never blocks or raises. After LATER, *again* is called once, in any thread: then the time has come."""
