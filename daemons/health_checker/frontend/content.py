"""What a file of a build can't begin with: whatever its name and size, it is then something else.

A dev server's page saved as a script, an error page in the place of a style sheet, blocks of zeros after a power cut.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import IO

from daemons.assets import Kind

HEAD_BYTES = 1024
_PIECE_BYTES = 1 << 20

_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype|html|head|body|\?xml)\b", re.IGNORECASE | re.DOTALL)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def fault(kind: Kind | None, head: bytes) -> str | None:
    """What is wrong with a file that begins with *head*; *kind* None: it is the page itself."""
    if not head.strip(b"\0"):
        return "holds nothing but zeros"
    if head.startswith(_UTF_16):
        return "is UTF-16, where every server says UTF-8"
    if kind is None:
        return None if b"<" in head else "is no HTML"
    if kind in ("script", "style") and _PAGE.match(head):
        return f"holds a page of HTML, no {kind}"
    return None


def sum_of_gzip(stream: IO[bytes], limit_bytes: int) -> str | None:
    """The SHA-256 of what *stream* unpacks to; None where that is no whole gzip file, or too much."""
    digest, unpacker, left = hashlib.sha256(), zlib.decompressobj(wbits=31), limit_bytes
    try:
        while not unpacker.eof and (packed := unpacker.unconsumed_tail or stream.read(_PIECE_BYTES)):
            piece = unpacker.decompress(packed, _PIECE_BYTES)
            digest.update(piece)
            left -= len(piece)
            if left < 0:
                return None
    except zlib.error:
        return None
    return digest.hexdigest() if unpacker.eof else None
