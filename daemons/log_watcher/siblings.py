"""The files beside a log that earlier generations of it may be in: `LOG.1`, `LOG-20260131.gz`, `app.2026-01-31.log`.

A name only makes a file a candidate; what it is, its content says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

from daemons.log_watcher import opening
from daemons.log_watcher.generation import Generation, Known
from daemons.log_watcher.opening import PACKED, Absent, Refused, Source

_PACKED = "(?:" + "|".join(re.escape(suffix) for suffix in PACKED) + ")"
# What a rotation puts into a name or behind it: a number, a date, a time.
_STAMP = re.compile(r"[._-]\d[\dT:._-]*")
_STAMP_BEGINS = re.compile(r"[._-](?=\d)")
_BEHIND = re.compile(rf"(?:{_STAMP.pattern}(?:\.[a-z]{{1,8}})?)?{_PACKED}?(?<!^)")
_PACKING = re.compile(rf"{_PACKED}$")
_DIGITS = re.compile(r"\d+")
# A folder may hold very many files; so many candidates are looked at, the latest ones.
LIMIT = 64


def is_rotated(base: str, name: str) -> bool:
    """Whether *name* is what a rotation calls an earlier generation of the log *base* (both without folder)."""
    stem, extension = os.path.splitext(base)
    if not name.startswith(stem):
        return False
    rest = name.removeprefix(stem)
    if rest.startswith(extension) and _BEHIND.fullmatch(rest.removeprefix(extension)):
        return True
    unpacked = _PACKING.sub("", rest)
    inside = unpacked.endswith(extension) and unpacked.removesuffix(extension)
    return bool(inside and _STAMP.fullmatch(inside))


def bases_of(name: str) -> set[str]:
    """The names that *name* may be a rotation of: `app-1.log.gz` of `app.log` and `app-1.log`. They need not exist."""
    unpacked = _PACKING.sub("", name)
    extension = os.path.splitext(unpacked)[1]
    stems = [name[: stamp.start()] for stamp in _STAMP_BEGINS.finditer(name)]
    found = {unpacked, *stems, *(stem + extension for stem in stems)} - {name}
    return {base for base in found if is_rotated(base, name)}


def is_alike(base: str, name: str) -> bool:
    """Whether *name* is *base* with other numbers: what a symbolic link pointed to before and after."""
    return name != base and bool(_DIGITS.search(base)) and _DIGITS.sub("#", name) == _DIGITS.sub("#", base)


def of(path: str) -> list[str]:
    """The candidates for earlier generations of *path*, the oldest first; links are resolved.

    An unreadable folder has none. Files are told by name; one that is gone a moment later is no error here.
    """
    found: dict[str, int] = {}
    real = os.path.realpath(path)
    _add(found, path, alike=False)
    if real != path:
        _add(found, real, alike=True)
    found.pop(path, None)
    return sorted(found, key=found.__getitem__)[-LIMIT:]


def _add(found: dict[str, int], path: str, *, alike: bool) -> None:
    folder, base = os.path.split(path)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_rotated(base, entry.name) or (alike and is_alike(base, entry.name)):
                    found[entry.path] = entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return


# -- what is in them --------------------------------------------------------------------------------------------------


def candidates(names: Iterable[str], held: Iterable[Source], opened: Iterable[Source] = ()) -> list[Source]:
    """The files of *names* and those *opened*, each once, without those in *held*.

    The caller closes what it doesn't take.
    """
    taken = list(held)
    found: list[Source] = []
    for source in chain(_opened(names), opened):
        if any(opening.same_file(source, other) for other in [*taken, *found]):
            source.close()
        else:
            found.append(source)
    return found


def _opened(names: Iterable[str]) -> Iterator[Source]:
    for name in dict.fromkeys(names):
        with suppress(Absent, Refused):
            yield opening.open_log(name)


def holder_of(known: Known, among: Iterable[Source], path: str) -> Source | None:
    """The file that *known* can be read on in: best its own, then one that isn't packed.

    A few bytes may be the same by chance, so a short generation is believed to be what *path* names now only when the
    inode says so as well; under a rotated name the content is enough.
    """
    for source in sorted(among, key=lambda source: (source.inode != known.inode, source.packed)):
        own_file = source.inode == known.inode
        sure = own_file or known.is_telling or (known.head_bytes > 0 and source.name != path)
        if sure and known.is_in(source):
            return source
    return None


def copy_of(generation: Generation, path: str) -> Source | None:
    """The file beside *path* into which *generation* was copied before its own was truncated."""
    found = candidates(reversed(of(path)), [generation.source])
    copy = next((source for source in found if generation.goes_on_in(source)), None)
    for source in found:
        if source is not copy:
            source.close()
    return copy
