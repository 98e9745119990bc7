"""What was compiled at an earlier start, kept in a private file: bytes that are given back only whole and for the same.

The file is a digest of what was compiled and where (the key), a checksum of the bytes, and the bytes. Whoever reads
them trusts them blindly, so anything unusual about the file means that there is none. It is worth a moment of a start
and no more: nothing that goes wrong with it is told.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from daemons import files

_CPU = Path("/proc/cpuinfo")
_CPU_BYTES = 16 << 10  # that of the first core
_FEATURES = re.compile(rb"^(?:model name|flags|Features|CPU part)\s*:.*", re.MULTILINE)
_DIGEST_BYTES = hashlib.sha256().digest_size


def key(parts: Iterable[bytes]) -> bytes:
    """A digest over *parts*, each told from the next, and over the processor that this runs on."""
    whole = hashlib.sha256()
    for part in (*parts, platform.machine().encode(), *_features()):
        whole.update(b"%d:%b" % (len(part), part))
    return whole.digest()


def load(path: Path, under: bytes) -> bytes | None:
    """The bytes that `keep` wrote to *path* under the key *under*, or None: whole, and in a file that is only ours."""
    try:
        found = os.lstat(path)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o600 or not stat.S_ISREG(found.st_mode):
            return None
        held = files.read(path) or b""
    except OSError:
        return None
    data = held[2 * _DIGEST_BYTES :]
    return data if data and held[: 2 * _DIGEST_BYTES] == under + hashlib.sha256(data).digest() else None


def keep(path: Path, under: bytes, data: bytes) -> None:
    """Keep *data* under the key *under* in *path*, in place of what was there; or not, on a full disk."""
    files.discard(path)  # a replacement would keep its mode
    with suppress(OSError):
        files.replace(path, under + hashlib.sha256(data).digest() + data, durable=False)


def _features() -> list[bytes]:
    try:
        with _CPU.open("rb", buffering=0) as cores:
            return sorted(set(_FEATURES.findall(cores.read(_CPU_BYTES))))
    except OSError:
        return []
