"""The registry: which agents there are, in one file that is never torn, never stale, never silently empty.

`table`: the text and the agents in it; `reading`, `exchange`: one file in, one file out; `traces`: what lies beside
it; `edits`: what everybody changes; `store`: all of it under the lock.
"""

from daemons.files import LockBusy, StorageError
from daemons.registry.edits import Edit, registration, removal, update
from daemons.registry.store import Outcome, Registry, Snapshot
from daemons.registry.table import Draft, Entry, InvalidAgent, NoRegistry, check_id, spelled
from daemons.registry.traces import Trouble

__all__ = [
    "Draft",
    "Edit",
    "Entry",
    "InvalidAgent",
    "LockBusy",
    "NoRegistry",
    "Outcome",
    "Registry",
    "Snapshot",
    "StorageError",
    "Trouble",
    "check_id",
    "registration",
    "removal",
    "spelled",
    "update",
]
