"""The registry: which agents there are, in one file that is never torn, never stale, never silently empty.

`ids`: what an agent may be called; `table`: the text and the agents in it; `drafts`: a table being changed; `edits`:
what everybody changes; `reading`, `exchange`: one file in, one file out; `traces`, `quarantine`: what lies beside it;
`store`: all of it under the lock.
"""

from daemons.files import LockBusy, StorageError
from daemons.registry.drafts import Draft
from daemons.registry.edits import Edit, registration, removal, update
from daemons.registry.ids import InvalidAgent, check_id, spelled
from daemons.registry.quarantine import Trouble
from daemons.registry.store import Outcome, Registry, Snapshot
from daemons.registry.table import Entry, NoRegistry

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
