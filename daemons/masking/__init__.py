"""Secrets in text, masked: what looks like one by itself, and what stands behind a name that says so.

    shapes     private keys, tokens of known makers, hashes of passwords, webhooks: whatever stands around them
    urls       passwords and tokens in addresses
    commands   passwords on command lines, where no name stands before them
    named      `password: x`, `--token x`, `"apiKey":"x"`, `<secret>x</secret>`: the name says that it is one ...
    values     ... unless the value says that it is none: null, a word of prose, a path, a variable's name

The names stay, the values go: a reader sees that there was a password, and none of its letters. All of it takes time in
proportion to the text's length: cues are looked for as plain substrings, and what is tried there looks a bounded way.
"""

from daemons.masking.commands import masked_commands
from daemons.masking.marks import MASK
from daemons.masking.named import masked_names
from daemons.masking.shapes import masked_shapes
from daemons.masking.urls import masked_urls

__all__ = ["MASK", "mask"]


def mask(text: str) -> str:
    """*text* with keys, tokens and passwords replaced by `[masked]`; names of keys and users stay. Twice is once."""
    return masked_names(masked_commands(masked_urls(masked_shapes(text))))
