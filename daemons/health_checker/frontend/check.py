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
from dataclasses import dataclass, field
from pathlib import Path

from daemons.health_checker.frontend import assets
from daemons.health_checker.frontend.assets import Asset

LIMIT_BYTES = 64 << 20
_ENTRIES_COUNTED = 20_000
_FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at a `dist` found. No faults: whole. *sums* are SHA-256 by path, `index.html` included."""

    faults: tuple[str, ...]
    index_exists: bool = False
    js_bundle_count: int = 0
    assets: tuple[Asset, ...] = ()
    sums: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.faults

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
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def look(self, dist: Path, page_url: str) -> Finding:
        """What is there now. Never raises for what it finds: that is the finding."""
        try:
            root = Path(os.path.realpath(dist, strict=True))
            index = _read(root, "index.html")
        except OSError as cause:
            return Finding((_index_fault(dist, cause),), _is_file(dist / "index.html"), count_bundles(dist))
        needs, faults = _needs(root, index, page_url)
        if not _has_script(needs) and self._source_has_script(page_url):
            faults.append("index.html names no script, though the project's own index.html does")
        sums = {"index.html": hashlib.sha256(index).hexdigest()}
        for asset in needs:
            try:
                sums[asset.path] = self._sum(root, asset.path)
            except OSError as cause:
                faults.append(_fault(asset.path, cause))
        self._known = {path: known for path, known in self._known.items() if path in sums}
        return Finding(tuple(faults), True, count_bundles(root), needs, sums)

    def _source_has_script(self, page_url: str) -> bool:
        try:
            html = self._source.read_bytes() if self._source else b""
        except OSError:
            return False  # no page of its own: nothing to compare with
        return _has_script(assets.of_page(html, page_url).assets)

    def _sum(self, root: Path, path: str) -> str:
        fd = _open(root, path)
        try:
            seen = _signature(os.fstat(fd))
            known = self._known.get(path)
            if known and known[0] == seen:
                return known[1]
            with os.fdopen(os.dup(fd), "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self._known[path] = (seen, digest)
            return digest
        finally:
            os.close(fd)


def look(dist: Path, page_url: str, source: Path | None = None) -> Finding:
    """One look at *dist*, nothing remembered."""
    return Checker(source).look(dist, page_url)


def count_bundles(dist: Path) -> int:
    """How many scripts with content lie in *dist*, counted no further than any sane build goes."""
    return sum(1 for entry in files_of(dist) if entry.name.endswith((".js", ".mjs")) and entry.stat().st_size > 0)


def files_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The regular files below *folder*, links not followed, as many as any sane build has."""
    waiting, left = [os.fspath(folder)], _ENTRIES_COUNTED
    while waiting and left > 0:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # gone while we look, or not ours to read: the faults say so where it matters
        left -= len(entries)
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))


def _has_script(found: tuple[Asset, ...]) -> bool:
    return any(asset.kind == "script" for asset in found)


def _needs(root: Path, index: bytes, page_url: str) -> tuple[tuple[Asset, ...], list[str]]:
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
    return tuple(found.values()), faults


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


def _signature(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _fault(path: str, cause: OSError) -> str:
    if isinstance(cause, FileNotFoundError):
        return f"{path} is missing"
    if cause.errno in {errno.EXDEV, errno.EINVAL, errno.ENODATA, errno.EFBIG} and cause.strerror:
        return f"{path} {cause.strerror}"
    return f"{path} cannot be read: {cause.strerror}"


def _index_fault(dist: Path, cause: OSError) -> str:
    if not os.path.lexists(dist):
        return f"{dist.name} is missing"
    return _fault("index.html", cause)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
