"""supervisord: the configuration that one home runs with, where its socket is, and asking it things.

conf/supervisord.conf  --render-->  HOME/.cmux/run/supervisord.conf  --launcher-->  supervisord -n
                                                                                     ^
Rpc: start, stop, signal, processes  -- HTTP over a unix socket of mode 0600 --------'
"""

from __future__ import annotations

from daemons.supervisor.configuration import PROGRAMS, render
from daemons.supervisor.rpc import ProgramState, Rpc, State, SupervisorDown, SupervisorRefused
from daemons.supervisor.sockets import prepare_socket, remove_sockets, socket_path

__all__ = [
    "PROGRAMS",
    "ProgramState",
    "Rpc",
    "State",
    "SupervisorDown",
    "SupervisorRefused",
    "prepare_socket",
    "remove_sockets",
    "render",
    "socket_path",
]
