"""Processes: which is which, who descends from whom, who listens, and how one is ended so that it is proven.

    proc        what runs, trees, the suite's marker in the environment, descriptions
    identity    a pid that can't mean another process      handles     holding on to one: signals, waiting
    ending      SIGTERM, wait, look again, freeze, SIGKILL, look again
    cases       one on its way out                         trees       ending whole ones
    sockets     who occupies a port, who is at its other end
    apart       what must not be taken for the suite's     cgroups     what can't be left     usage     what it costs
    limits      what it may cost                               meter       what whole trees cost, in one pass

The only door to signals and psutil. /proc is read directly: psutil costs 36 ms to import, three times as long a look,
names one of four holders of a socket, and waits out its time on zombies that a stranger doesn't reap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemons import later
from daemons.processes.cgroups import cgroup_pids, enter_cgroup, remove_cgroup
from daemons.processes.ending import Ended, Look, end
from daemons.processes.handles import Handle, freeze_newest, hold_all, identify, is_alive, wait_any
from daemons.processes.identity import Identity, boot_id
from daemons.processes.proc import (
    MARKER,
    Process,
    Table,
    all_pids,
    ancestors,
    command_line,
    describe,
    environment_value,
    is_tmux_server,
    marked,
    marker,
    newest_pid,
    own_line,
    read,
    shown_command,
    table,
    tree,
    user_name,
    working_folder,
)

if TYPE_CHECKING:
    from daemons.processes.apart import become_subreaper, start_apart
    from daemons.processes.limits import files_of, inotify_use, machine_memory
    from daemons.processes.meter import Meter, TreeUse, pss_bytes
    from daemons.processes.sockets import Listener, can_bind, holders, listeners, occupants, peer_uid, unix_listeners
    from daemons.processes.trees import end_tree
    from daemons.processes.usage import Usage, usage
else:  # 12 ms that come before a stop's first signal
    __getattr__ = later.names(
        __name__,
        {
            "daemons.processes.apart": ("become_subreaper", "start_apart"),
            "daemons.processes.limits": ("files_of", "inotify_use", "machine_memory"),
            "daemons.processes.meter": ("Meter", "TreeUse", "pss_bytes"),
            "daemons.processes.sockets": (
                "Listener",
                "can_bind",
                "holders",
                "listeners",
                "occupants",
                "peer_uid",
                "unix_listeners",
            ),
            "daemons.processes.trees": ("end_tree",),
            "daemons.processes.usage": ("Usage", "usage"),
        },
    )

__all__ = [
    "MARKER",
    "Ended",
    "Handle",
    "Identity",
    "Listener",
    "Look",
    "Meter",
    "Process",
    "Table",
    "TreeUse",
    "Usage",
    "all_pids",
    "ancestors",
    "become_subreaper",
    "boot_id",
    "can_bind",
    "cgroup_pids",
    "command_line",
    "describe",
    "end",
    "end_tree",
    "enter_cgroup",
    "environment_value",
    "files_of",
    "freeze_newest",
    "hold_all",
    "holders",
    "identify",
    "inotify_use",
    "is_alive",
    "is_tmux_server",
    "listeners",
    "machine_memory",
    "marked",
    "marker",
    "newest_pid",
    "occupants",
    "own_line",
    "peer_uid",
    "pss_bytes",
    "read",
    "remove_cgroup",
    "shown_command",
    "start_apart",
    "table",
    "tree",
    "unix_listeners",
    "usage",
    "user_name",
    "wait_any",
    "working_folder",
]
