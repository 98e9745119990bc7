"""Is a `dist` whole? Looks at the files alone; what HTTP makes of them is `served`'s question.

Whole: `index.html` is there, and everything that it and the build's manifest name is a file inside `dist`, not empty
and readable. All of it is read, so that a file that is there but gives no bytes counts as the fault that it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daemons import assets
from daemons.assets import Asset, Kind
from daemons.health_checker.frontend import content, signature
from daemons.health_checker.frontend.signature import Signature

LIMIT_BYTES = 64 << 20
_ENTRIES_COUNTED = 20_000
_FAULTS_SHOWN = 5


class Seen(NamedTuple):
    """One file as it lay there: SHA-256 of its bytes, and what changes when it is written anew with the same ones."""

    sum: str
    inode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at a `dist` found. No faults: whole. *files* are all that lie there, *needed* what the page asks for.

    *changed_at* is when something there changed last, in seconds since 1970.
    """

    faults: tuple[str, ...]
    index_exists: bool = False
    js_bundle_count: int = 0
    assets: tuple[Asset, ...] = ()
    files: dict[str, Seen] = field(default_factory=dict)
    changed_at: float = 0.0

    @property
    def is_whole(self) -> bool:
        return not self.faults

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 by path of what the page asks for, `index.html` included."""
        needed = ("index.html", *(asset.path for asset in self.assets))
        return {path: self.files[path].sum for path in needed if path in self.files}

    @property
    def evidence(self) -> str:
        """The faults on one line, the first few of them."""
        more = len(self.faults) - _FAULTS_SHOWN
        return "; ".join(self.faults[:_FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")


class Checker:
    """Looks at one `dist` again and again; reads again only what changed since (inode, size, times).

    *source* is the page that `dist` is built from: where that has a script, the built one has one too.
    """

    def __init__(self, source: Path | None = None) -> None:
        self._source = source
        self._known: dict[tuple[str, str], tuple[Signature, str, str | None]] = {}
        self._kept: dict[tuple[str, str], tuple[Signature, str, str | None]] = {}

    def look(self, dist: Path, page_url: str) -> Finding:
        """What is there now. Never raises for what it finds: that is the finding."""
        try:
            root = Path(os.path.realpath(dist, strict=True))
            index = _read(root, "index.html")
        except OSError as cause:
            lying = _Lying.below(dist)
            return Finding(
                (_index_fault(dist, cause),), _is_file(dist / "index.html"), lying.bundles, changed_at=lying.changed_at
            )
        needs, faults, cut = _needs(root, index, page_url)
        if not cut and not _has_script(needs) and self._source_has_script(page_url):
            faults.append("index.html names no script, though the project's own index.html does")
        self._known, self._kept = self._kept, {}
        lying = _Lying.below(root)
        files = self._sums(root, needs, faults)
        for path, is_so in lying.files.items():
            if path not in files and (seen := self._lying(root, path, is_so)):
                files[path] = seen
        return Finding(tuple(faults), True, lying.bundles, needs, files, lying.changed_at)

    def _sums(self, root: Path, needs: tuple[Asset, ...], faults: list[str]) -> dict[str, Seen]:
        """What the page needs; what is wrong with it goes to *faults*."""
        files: dict[str, Seen] = {}
        wanted: list[tuple[str, Kind | None]] = [("index.html", None), *((asset.path, asset.kind) for asset in needs)]
        for path, kind in wanted:
            try:
                files[path], fault = self._sum(root, path, kind)
                fault = fault or self._unlike_its_twin(root, path, files[path].sum)
            except OSError as cause:
                fault = _fault_of(cause)
            if fault:
                faults.append(f"{path} {fault}")
        return files

    def _source_has_script(self, page_url: str) -> bool:
        try:
            html = _read(self._source.parent, self._source.name) if self._source else b""
        except OSError:
            return False  # no page of its own: nothing to compare with
        return _has_script(assets.of_page(html, page_url).assets)

    def _sum(self, root: Path, path: str, kind: Kind | None) -> tuple[Seen, str | None]:
        fd = _open(root, path)
        with os.fdopen(fd, "rb") as stream:
            seen = signature.of(os.fstat(fd))
            known = self._known.get((path, str(kind)))
            if not known or known[0] != seen:
                fault = content.fault(kind, os.pread(fd, content.HEAD_BYTES, 0))
                known = seen, hashlib.file_digest(stream, "sha256").hexdigest(), fault
        self._kept[path, str(kind)] = known
        return Seen(known[1], seen.inode, seen.mtime_ns), known[2]

    def _lying(self, root: Path, path: str, is_so: Signature) -> Seen | None:
        """A file that the page does not name: looked at, but no fault when it can't be."""
        known = self._known.get((path, "other"))
        if known and known[0] == is_so:
            self._kept[path, "other"] = known
            return Seen(known[1], is_so.inode, is_so.mtime_ns)
        try:
            return self._sum(root, path, "other")[0]
        except OSError:
            return None

    def _unlike_its_twin(self, root: Path, path: str, wanted: str) -> str | None:
        """What is wrong with PATH.gz, which many servers send in its place."""
        twin = f"{path}.gz"
        try:
            fd = _open(root, twin)
        except FileNotFoundError:
            return None
        except OSError as cause:
            return f"has a twin {twin}, which {_fault_of(cause)}"
        with os.fdopen(fd, "rb") as stream:
            seen = signature.of(os.fstat(fd))
            known = self._known.get((twin, "packed"))
            if not known or known[0] != seen:
                known = seen, content.sum_of_gzip(stream, LIMIT_BYTES) or "", None
        self._kept[twin, "packed"] = known
        return None if known[1] == wanted else f"has a twin {twin} that holds something else"


@dataclass(slots=True)
class _Lying:
    """What lies in a folder: its files, how many scripts with content, and when something changed last."""

    files: dict[str, Signature] = field(default_factory=dict)
    bundles: int = 0
    changed_at: float = 0.0

    @classmethod
    def below(cls, root: Path) -> _Lying:
        found = cls(changed_at=_changed_at(root))
        for entry in entries_of(root):
            with suppress(OSError):  # gone while we look
                about = entry.stat(follow_symlinks=False)
                found.changed_at = max(found.changed_at, about.st_ctime)
                if stat.S_ISREG(about.st_mode):
                    found.files[os.path.relpath(entry.path, root)] = signature.of(about)
                    found.bundles += entry.name.endswith((".js", ".mjs")) and about.st_size > 0
        return found


def _changed_at(folder: Path) -> float:
    try:
        return os.stat(folder).st_ctime
    except OSError:
        return 0.0


def look(dist: Path, page_url: str, source: Path | None = None) -> Finding:
    """One look at *dist*, nothing remembered."""
    return Checker(source).look(dist, page_url)


def files_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The regular files below *folder*, links not followed, as many as any sane build has."""
    yield from (entry for entry in entries_of(folder) if entry.is_file(follow_symlinks=False))


def entries_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All that lies below *folder*, links not followed, as much as any sane build has."""
    waiting, left = [os.fspath(folder)], _ENTRIES_COUNTED
    while waiting and left > 0:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # gone while we look, or not ours to read: the faults say so where it matters
        left -= len(entries)
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from entries


def _has_script(found: tuple[Asset, ...]) -> bool:
    return any(asset.kind == "script" for asset in found)


def _needs(root: Path, index: bytes, page_url: str) -> tuple[tuple[Asset, ...], list[str], bool]:
    """What page and manifest name, what is wrong with that, and whether the page names perhaps more."""
    page = assets.of_page(index, page_url)
    faults = [f"{path!r} points out of dist" for path in page.escapes]
    found = {asset.path: asset for asset in page.assets}
    try:
        manifest = assets.of_manifest(_read(root, ".vite/manifest.json"), page_url)
        found = {asset.path: asset for asset in manifest.assets} | found
    except FileNotFoundError:
        pass  # most builds write none
    except (OSError, ValueError) as odd:
        faults.append(f".vite/manifest.json cannot be used: {odd}")
    return tuple(found.values()), faults, page.cut


# -- one file ---------------------------------------------------------------------------------------------------------


def _read(root: Path, path: str) -> bytes:
    fd = _open(root, path)
    with os.fdopen(fd, "rb") as stream:
        return stream.read(LIMIT_BYTES)


def _open(root: Path, path: str) -> int:
    """Open *path* below *root* if it is a regular file with content that lies inside *root*, links resolved."""
    real = os.path.realpath(root / path, strict=True)
    if not Path(real).is_relative_to(root):
        raise OSError(errno.EXDEV, "is a link that points out of dist")
    fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= LIMIT_BYTES:
        return fd
    os.close(fd)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
    raise OSError(errno.ENODATA, "is empty") if found.st_size == 0 else OSError(errno.EFBIG, "is larger than 64 MiB")


def _fault_of(cause: OSError) -> str:
    if isinstance(cause, FileNotFoundError):
        return "is missing"
    if cause.errno in {errno.EXDEV, errno.EINVAL, errno.ENODATA, errno.EFBIG} and cause.strerror:
        return cause.strerror
    return f"cannot be read: {cause.strerror}"


def _index_fault(dist: Path, cause: OSError) -> str:
    if not os.path.lexists(dist):
        return f"{dist.name} is missing"
    return f"index.html {_fault_of(cause)}"


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
