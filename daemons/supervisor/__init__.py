"""supervisord: the configuration that one home runs with, where its socket is, and asking it things.

conf/supervisord.conf  --render-->  HOME/.cmux/run/supervisord.conf  --launcher-->  supervisord -n
                                                                                     ^
Rpc: start, stop, signal, processes  -- HTTP over a unix socket of mode 0600 --------'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemons import later
from daemons.supervisor.sockets import poke, prepare_socket, remove_sockets, socket_path

if TYPE_CHECKING:
    from daemons.supervisor.configuration import PROGRAMS, render
    from daemons.supervisor.rpc import ProgramState, Rpc, State, SupervisorDown, SupervisorRefused
else:  # 4 ms that come before a stop's first signal
    __getattr__ = later.names(
        __name__,
        {
            "daemons.supervisor.configuration": ("PROGRAMS", "render"),
            "daemons.supervisor.rpc": ("ProgramState", "Rpc", "State", "SupervisorDown", "SupervisorRefused"),
        },
    )

__all__ = [
    "PROGRAMS",
    "ProgramState",
    "Rpc",
    "State",
    "SupervisorDown",
    "SupervisorRefused",
    "poke",
    "prepare_socket",
    "remove_sockets",
    "render",
    "socket_path",
]
