"""What the frontend is built from, as one digest: another digest, another build.

By content: `git checkout` touches files and changes none. A file whose inode, size and times are as before is not read
again, so a look costs a walk (1,000 files: 8 ms).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from daemons.health_checker.frontend import signature
from daemons.health_checker.frontend.signature import Signature

LIMIT_FILES = 5_000
_READ_BYTES = 16 << 20
_NO_SOURCES = {"node_modules", "coverage", "__pycache__", "test-results", "playwright-report"}
# Where packages come from changes nothing that is built of them.
_OF_TOOLS = (".npmrc", ".gitignore", ".gitattributes", ".editorconfig")
_NO_SOURCE_ENDS = (".DS_Store", ".log", ".tmp", ".swp", "~", ".tsbuildinfo", *_OF_TOOLS)

_TEXTS = tuple(".js .mjs .cjs .jsx .ts .mts .cts .tsx .vue .svelte .astro .css .scss .sass .less .html .json".split())
_LOCKS = {"package-lock.json", "npm-shrinkwrap.json"}
_UP = re.compile(rb"(?:\.\./)+|(?:dirname|import\.meta\.\w+|cwd\(\))\s*,\s*['\"]\.\.['\"]")
_SCANNED_BYTES = 1 << 20


class Sources:
    """The sources in *folder*; its *dist*, packages, hidden folders, logs and the texts at its top are none."""

    def __init__(self, folder: Path, dist: str = "dist") -> None:
        self._folder = folder
        self._aside = _NO_SOURCES | {dist}
        self._known: dict[str, tuple[Signature, bytes]] = {}

    def digest(self) -> str | None:
        """What they are now; None where they can't be read, or are more than anyone can look at all the time."""
        digest, known = hashlib.sha256(), self._known
        self._known = {}
        try:
            for number, (name, path) in enumerate(self._walk()):
                if number == LIMIT_FILES:
                    return None
                digest.update(os.fsencode(name) + b"\0" + self._sum(name, path, known))
        except OSError:
            return None
        return digest.hexdigest()

    def reach_out(self) -> bool:
        """Whether some source names something above its project's folder, as `../shared` does at its top."""
        for number, (name, path) in enumerate(self._walk()):
            if number == LIMIT_FILES:
                return False
            if name.endswith(_TEXTS) and name not in _LOCKS and _climbs(path) > name.count(os.sep):
                return True
        return False

    def _walk(self) -> Iterator[tuple[str, str]]:
        for path, folders, names in os.walk(self._folder):
            below = os.path.relpath(path, self._folder)
            folders[:] = sorted(name for name in folders if name not in self._aside and not name.startswith("."))
            for name in sorted(names):
                if not name.endswith(_NO_SOURCE_ENDS) and not (below == "." and name.endswith(".md")):
                    yield os.path.normpath(os.path.join(below, name)), os.path.join(path, name)

    def _sum(self, name: str, path: str, known: dict[str, tuple[Signature, bytes]]) -> bytes:
        try:
            seen = signature.of(os.stat(path))
            before = known.get(name)
            found = before[1] if before and before[0] == seen else _read(path, seen)
        except FileNotFoundError:
            return b""  # a link to nowhere, or gone between the listing and now
        self._known[name] = (seen, found)
        return found


def _climbs(path: str) -> int:
    """How many folders up the text in *path* goes at most."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(_SCANNED_BYTES)
    except OSError:
        return 0
    return max((found.group().count(b"..") for found in _UP.finditer(text)), default=0)


def _read(path: str, seen: Signature) -> bytes:
    if not seen.is_regular or seen.size > _READ_BYTES:
        return str(seen.size).encode()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
