"""The frontend's files, byte for byte, from whatever `dist` is at this moment; and the plain page in their place.

A build exchanges the whole folder between two requests. So each request opens the folder first and takes everything
from there; what an open page of the build before still asks for comes from `.cmux/frontend-previous/`. What has a hash
of its content in its name comes from the build that was kept: damage in dist breaks no page before it is mended.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Response, request
from werkzeug.http import http_date

from daemons import assets, builds
from daemons.api.page import instead_of_the_frontend
from daemons.api.problems import Problem
from daemons.api.state import State

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_LIMIT_BYTES = 64 << 20
_LOOKS = 3
_NOTHING = b" \t\r\n\0"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


class Asset(NamedTuple):
    """A file's content, and what names this state of it."""

    content: bytes
    tag: str
    modified: float


def routes(state: State) -> Blueprint:
    calls = Blueprint("frontend", __name__)
    scripts_of: dict[str, tuple[str, ...]] = {}

    @calls.get("/")
    def index() -> Response:
        found = asset(state.conf.dist, "index.html") if state.conf.frontend_dir.is_dir() else None
        return _answer("index.html", found) if found and works(found) else instead_of_the_frontend(state)

    def works(page: Asset) -> bool:
        """Whether *page* is more than a white one: it holds something, and each script that it names is there."""
        scripts = scripts_of.get(page.tag)
        if scripts is None:
            scripts = _scripts(page.content, state.conf.frontend_url)
            scripts_of.clear()
            scripts_of[page.tag] = scripts
        return bool(page.content.strip(_NOTHING)) and all(_lies_in(_folders(state, name), name) for name in scripts)

    @calls.get("/<path:name>")
    def file(name: str) -> Response:
        if name.startswith("api/"):
            raise Problem(404, f"there is no {request.path!r} here; GET /openapi.json describes all that there is")
        found = next(filter(None, (asset(folder, name) for folder in _folders(state, name))), None)
        if found is None and _is_a_page(name) and state.conf.frontend_dir.is_dir():
            return index()
        if found is None:
            raise Problem(404, f"there is no {request.path!r} here")
        return _answer(name, found)

    return calls


def _folders(state: State, name: str) -> Iterator[Path]:
    """Where the file *name* may lie: in dist, or for pages that were opened before it in what was dist then.

    A name with a hash of the content has one content: of what dist holds under it and what was kept when dist was seen
    whole, the kept one is right.
    """
    if builds.is_hashed(name):
        yield builds.good(state.conf) / "files"
    yield state.conf.dist
    previous = builds.previous(state.conf)
    try:
        stamps = sorted(os.listdir(previous), reverse=True)
    except OSError:
        return
    for stamp in stamps:
        yield previous / stamp


def _scripts(html: bytes, page_url: str) -> tuple[str, ...]:
    return tuple(each.path for each in assets.of_page(html, page_url).assets if each.kind == "script")


def _lies_in(folders: Iterator[Path], name: str) -> bool:
    """Whether one of *folders* has the file *name*, with something in it."""
    for folder in folders:
        with suppress(OSError):
            found = os.stat(folder / name, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_size:
                return True
    return False


def _is_a_page(name: str) -> bool:
    """Whether a browser asks for a page of an application that routes by itself, and not for a file."""
    return "." not in name.rpartition("/")[2] and "text/html" in request.headers.get("Accept", "")


def asset(folder: Path, name: str) -> Asset | None:
    """The file *name* below *folder*, None when there is none. Never leaves it, follows no link, waits for no FIFO."""
    parts = name.split("/")
    if not all(part and part not in (".", "..") and "\0" not in part for part in parts):
        return None
    # A folder that is exchanged after it was opened is removed under us: what it no longer holds, the new one may.
    for _ in range(_LOOKS):
        try:
            return _below(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), parts)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _below(at: int, parts: list[str]) -> Asset | None:
    """Walk down from the open folder *at*, which this closes."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    for number, part in enumerate(parts):
        try:
            inner = os.open(part, flags | (os.O_DIRECTORY if number < len(parts) - 1 else 0), dir_fd=at)
        finally:
            os.close(at)
        at = inner
    try:
        found = os.fstat(at)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LIMIT_BYTES:
            return None
        content = b"".join(iter(lambda: os.read(at, 1 << 20), b""))
    finally:
        os.close(at)
    return Asset(content, f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"', found.st_mtime)


def _answer(name: str, found: Asset) -> Response:
    headers = {
        "ETag": found.tag,
        "Last-Modified": http_date(found.modified),
        "Content-Security-Policy": _POLICY,
        "Cache-Control": "private, max-age=31536000, immutable" if builds.is_hashed(name) else "no-cache",
    }
    if request.headers.get("If-None-Match") == found.tag:
        return Response(status=304, headers=headers)
    return Response(found.content, headers=headers, content_type=_type(name))


def _type(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
