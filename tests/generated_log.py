"""A large log that looks like a busy service's: mixed lines, a chosen share of them errors, made in seconds.

A pool of distinct blocks is made line by line and then written again and again, longer than any cache of lines lasts.
The share is of records: a traceback is one error with several lines.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

POOL_BYTES = 48 << 20
BLOCK_BYTES = 1 << 20

_MODULES = ("app.db", "app.http", "worker.mail", "billing.invoices", "search.index", "auth.session", "cache.redis")
_PATHS = (
    "/api/users/%d",
    "/api/orders/%d/items",
    "/static/js/app.%x.js",
    "/search?q=term%d&page=2",
    "/login",
    "/healthz",
)
_QUIET = (
    "request finished in %d ms for user %d",
    "cache hit for key session:%x after %d lookups",
    "sent mail %d to queue outgoing (%d waiting)",
    "checkpoint complete: wrote %d buffers, distance %d kB",
    "job %x done by worker %d, next one due",
    "connection from pool %d reused, %d idle",
    "retrying later is not needed, all %d of %d parts arrived",
)
_TRAP = "no errors found in batch %d of %d, 0 failed"
_LOUD = (
    "connection to db-%d refused after %d ms",
    "could not charge order %d: card declined (code %d)",
    "timeout after %d ms waiting for lock on table invoices, session %d",
    "disk quota of volume vol-%d exceeded by %d bytes",
    "user %d: permission denied for /srv/data/%d/report.csv",
    "upstream %d answered with an empty body, attempt %d",
    "cannot decode message %d from topic payments, offset %d",
    "job %d lost: worker %d was killed",
)


class _Writer:
    """Makes one record after the other; a second of its clock holds some hundred of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.millis = 0

    def time(self) -> str:
        self.millis += self.random.randrange(1, 9)
        seconds, millis = divmod(self.millis, 1000)
        minutes, second = divmod(seconds, 60)
        return f"2026-01-31 {minutes // 60 % 24:02}:{minutes % 60:02}:{second:02},{millis:03}"

    def values(self, template: str) -> str:
        """*template* with a number in every place."""
        randrange = self.random.randrange
        return template % tuple(randrange(100_000) for _ in range(template.count("%")))

    def uuid(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def access(self, status: int) -> str:
        randrange = self.random.randrange
        path = self.values(self.random.choice(_PATHS))
        address = f"10.{randrange(9)}.{randrange(256)}.{randrange(256)}"
        return f'INFO:     {address}:{randrange(1024, 65536)} - "GET {path} HTTP/1.1" {status} in {randrange(900)} ms'

    def plain(self, level: str, said: str) -> str:
        return f"{self.time()} - {self.random.choice(_MODULES)} - {level} - {said}"

    def json(self, level: str, said: str) -> str:
        logger, trace = self.random.choice(_MODULES), self.uuid()
        return f'{{"time":"{self.time()}","level":"{level}","logger":"{logger}","trace":"{trace}","message":"{said}"}}'


def _quiet(writer: _Writer) -> str:
    kind = writer.random.random()
    if kind < 0.35:
        return writer.access(writer.random.choice((200, 200, 200, 204, 304, 404)))
    said = writer.values(_TRAP if kind > 0.99 else writer.random.choice(_QUIET))
    if kind < 0.5:
        return writer.json("info", said)
    return writer.plain("DEBUG" if kind < 0.6 else "WARNING" if kind < 0.65 else "INFO", said)


def _loud(writer: _Writer) -> str:
    kind = writer.random.random()
    said = writer.values(writer.random.choice(_LOUD))
    if kind < 0.1:
        return writer.json("error", said)
    if kind < 0.2:
        return writer.access(500 + writer.random.randrange(5))
    if kind < 0.25:
        return writer.plain("ERROR", f"job failed\n{_traceback(writer, said)}")
    if kind < 0.4:
        said = f"request {writer.uuid()}: {said}"
    return writer.plain("ERROR" if kind < 0.9 else "CRITICAL", said)


def _traceback(writer: _Writer, said: str) -> str:
    frames = "\n".join(
        f'  File "/srv/app/{name}.py", line {writer.random.randrange(900)}, in {name}\n    return {name}(request)'
        for name in ("serve", "handle", writer.random.choice(("load", "store", "charge")))
    )
    return f"Traceback (most recent call last):\n{frames}\nRuntimeError: {said}"


def blocks(share: float, seed: int = 1, pool_bytes: int = POOL_BYTES) -> Iterator[bytes]:
    """Blocks of about 1 MiB of whole records, *share* of which are errors, until *pool_bytes* are made."""
    writer = _Writer(seed)
    made = 0
    while made < pool_bytes:
        block = _block(writer, share)
        made += len(block)
        yield block


def _block(writer: _Writer, share: float) -> bytes:
    records: list[str] = []
    size = 0
    chance: Callable[[], float] = writer.random.random
    while size < BLOCK_BYTES:
        record = _loud(writer) if chance() < share else _quiet(writer)
        records.append(record)
        size += len(record) + 1
    return "".join(f"{record}\n" for record in records).encode()


def write(path: Path, size_bytes: int, share: float) -> None:
    """Make the log *path* of at least *size_bytes*."""
    pool = list(blocks(share, pool_bytes=min(POOL_BYTES, size_bytes)))
    written = 0
    with path.open("wb") as file:
        while written < size_bytes:
            for block in pool:
                written += file.write(block)
                if written >= size_bytes:
                    break
