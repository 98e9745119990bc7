"""The end of what a child prints, kept while it runs."""

from __future__ import annotations

import os
from typing import IO

from daemons import text

KEPT_BYTES = 64 << 10
_SHOWN_LINES = 200


class Tail:
    """Drain it as long as the child runs, so that the child never waits for us: the last 64 KiB stay, the rest goes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._fd = stream.fileno()
        os.set_blocking(self._fd, False)
        self._kept = b""

    def drain(self) -> None:
        """Take in what there is; returns after 1 MiB even when a child prints without end."""
        for _ in range(1 << 4):
            try:
                piece = os.read(self._fd, KEPT_BYTES)
            except BlockingIOError:
                return
            if not piece:
                return
            self._kept = (self._kept + piece)[-KEPT_BYTES:]

    def shown(self) -> str:
        """Its last lines, safe to show, secrets masked."""
        lines = text.mask(text.safe(text.decode(self._kept))).strip().splitlines()
        cut = [f"… {len(lines) - _SHOWN_LINES} lines before"] if len(lines) > _SHOWN_LINES else []
        return "\n".join(cut + lines[-_SHOWN_LINES:])
