"""The shared mailbox. `message`: what one is; `trail`: where in the files; `follower`: reading on; `box`: posting."""

from daemons.mailbox.box import Claim, Counts, Mailbox, Proof, digest_of, of
from daemons.mailbox.follower import Delivery, Follower
from daemons.mailbox.message import Message, Unparsable, Unsendable, check_address, parse, to_line
from daemons.mailbox.trail import Position, read_position
from daemons.mailbox.unread import Unread

__all__ = [
    "Claim",
    "Counts",
    "Delivery",
    "Follower",
    "Mailbox",
    "Message",
    "Position",
    "Proof",
    "Unparsable",
    "Unread",
    "Unsendable",
    "check_address",
    "digest_of",
    "of",
    "parse",
    "read_position",
    "to_line",
]
