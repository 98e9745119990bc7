"""What the parts raise, as the Problems that clients get. Input never causes a 5xx; trouble with the disk is 507."""

from __future__ import annotations

from daemons import tmux
from daemons.agents import NoSuchAgent, Protected
from daemons.api.problems import Problem, busy
from daemons.files import LockBusy, StorageError
from daemons.mailbox import Unsendable

# In this order: the first that fits.
_AS: tuple[tuple[type[Exception], int, str], ...] = (
    (tmux.NameTaken, 409, "name-taken"),
    (NoSuchAgent, 404, "no-such-agent"),
    (Protected, 403, "protected-agent"),
    (tmux.TmuxUnavailable, 503, "tmux-unavailable"),
    (StorageError, 507, "storage"),
    (LockBusy, 503, "lock-busy"),
    (Unsendable, 400, "unsendable"),
    (ValueError, 400, "bad-request"),
)

EXPECTED: tuple[type[Exception], ...] = (Problem, *(kind for kind, _, _ in _AS))


def problem_of(failure: Exception) -> Problem:
    """The answer to a failure of one of the kinds EXPECTED."""
    if isinstance(failure, Problem):
        return failure
    for kind, status, name in _AS:
        if isinstance(failure, kind):
            if status == 503:
                return Problem(503, str(failure), name=name, headers=busy("").headers)
            return Problem(status, str(failure), name=name)
    raise TypeError(f"{failure!r} is not expected") from failure
