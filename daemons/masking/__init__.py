"""Secrets in text, masked: what looks like one by itself, and what stands behind a name that says so.

    shapes     private keys, tokens of known makers, hashes of passwords, webhooks: whatever stands around them
    urls       passwords and tokens in addresses
    commands   passwords on command lines, where no name stands before them
    calls      ... and among the arguments of calls: `PDO->__construct('…', 'user', 'secret')`
    dialogues  ... and in what programs say to servers: `PASS x`, `a1 LOGIN user x`; in routers' configurations
    reported   ... and in what they report: input refused, a value set to another
    documents  what a document makes one: a Secret's data, the state of Terraform, columns of an INSERT
    named      `password: x`, `--token x`, `"apiKey":"x"`, `<secret>x</secret>`: the name says that it is one ...
    notations  ... in any of the notations that a name and a value stand in
    told       ... or in a sentence: `the password for bob is x`, `your code is 123456`
    tables     columns below such a name
    repeats    the same once more, where no name stands before it: `[ -z x ]`, `login as u/x`
    margins    what loggers put before every line, set aside
    values     ... unless the value says that it is none: null, a word of prose, a path, a variable's name

The names stay, the values go: a reader sees that there was a password, and none of its letters. All of it takes time in
proportion to the text's length: cues are looked for as plain substrings, and what is tried there looks a bounded way.
"""

from daemons.masking.commands import holds_command, masked_commands
from daemons.masking.documents import masked_documents
from daemons.masking.margins import COLOURS, without_colours, without_margins
from daemons.masking.marks import MASK, taken
from daemons.masking.named import holds_name, masked_names
from daemons.masking.repeats import without_repeats
from daemons.masking.shapes import masked_shapes
from daemons.masking.tables import masked_tables
from daemons.masking.urls import masked_urls

__all__ = ["MASK", "has_cue", "mask"]


def mask(text: str) -> str:
    """*text* with keys, tokens and passwords replaced by `[masked]`; names of keys and users stay. Twice is once."""
    if any(mark in text for mark in COLOURS):
        text = without_colours(text, _masked)
    for _ in range(_PASSES):
        with taken() as values:
            masked = _masked(without_margins(text, _masked) if "\n" in text else text)
        masked = without_repeats(masked, values)
        if masked == text:
            break
        text = masked
    return text


def _masked(text: str) -> str:
    return masked_tables(masked_names(masked_documents(masked_commands(masked_urls(masked_shapes(text))))))


# A mask may stand where a sign kept a name and its value apart: then there is something for a second look, or a third.
_PASSES = 4


def has_cue(text: str) -> bool:
    """Whether *text* holds anything that a secret is looked for behind; those that show what they are need none."""
    return any(sign in text for sign in "@?&<$|") or "://" in text or holds_name(text) or holds_command(text)
