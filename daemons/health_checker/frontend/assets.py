"""What a page needs: the scripts and styles that an `index.html` and a build's manifest name, as files of `dist`.

References are resolved as a browser does it: against `<base>`, then against the address of the page. What another
server delivers, or lies above the page's folder, is none of `dist`'s files and is not looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import unquote, urljoin, urlsplit

Kind = Literal["script", "style", "other"]

_PRELOADED: dict[str, Kind] = {"script": "script", "style": "style"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file that a page needs: its path below `dist`, and how the page asks for it (path and query)."""

    path: str
    request: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Needs:
    """What a page needs of `dist`, and the names of it that point out of `dist`."""

    assets: tuple[Asset, ...]
    escapes: tuple[str, ...]


def of_page(html: bytes, page_url: str) -> Needs:
    """The scripts and styles that the page *html*, served at *page_url*, names."""
    parser = _References()
    parser.feed(html.decode("utf-8", "replace"))
    parser.close()
    base = _joined(page_url, parser.base)
    return _needs([(_joined(base, name), kind) for name, kind in parser.found], page_url)


def of_manifest(raw: bytes, page_url: str) -> Needs:
    """The files that Vite's `manifest.json` names: also the chunks that a page loads later. ValueError: no manifest."""
    chunks = json.loads(raw)
    if not isinstance(chunks, dict):
        raise ValueError("the manifest is no JSON object")
    names: list[tuple[str, Kind]] = []
    for chunk in chunks.values():
        if not isinstance(chunk, dict):
            raise ValueError("a chunk of the manifest is no JSON object")
        named = (chunk.get("file"), *_listed(chunk, "css"), *_listed(chunk, "assets"))
        names += [(_joined(page_url, name), _kind_of(name)) for name in named if isinstance(name, str)]
    return _needs(names, page_url)


def _joined(base: str, name: str) -> str:
    try:
        joined = urljoin(base, name)
        urlsplit(joined)
    except ValueError:
        return ""  # `//[`: no browser fetches anything from there
    return joined


def _listed(chunk: dict[str, object], key: str) -> list[object]:
    names = chunk.get(key)
    return names if isinstance(names, list) else []


def _kind_of(name: str) -> Kind:
    if name.endswith((".js", ".mjs")):
        return "script"
    return "style" if name.endswith(".css") else "other"


def _needs(urls: list[tuple[str, Kind]], page_url: str) -> Needs:
    page = urlsplit(page_url)
    folder = page.path.rpartition("/")[0] + "/"
    assets: dict[str, Asset] = {}
    escapes: list[str] = []
    for url, kind in urls:
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) != (page.scheme, page.netloc) or not parts.path.startswith(folder):
            continue
        path = unquote(parts.path.removeprefix(folder), errors="surrogateescape")
        if not path or path.endswith("/"):
            continue
        if _escapes(path):
            escapes.append(path)
        else:
            request = f"{parts.path}?{parts.query}" if parts.query else parts.path
            assets.setdefault(path, Asset(path, request, kind))
    return Needs(tuple(assets.values()), tuple(escapes))


def _escapes(path: str) -> bool:
    # `%2e%2e/` and `%2Fetc` survive the browser's own normalising and only show after decoding.
    return path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/")


class _References(HTMLParser):
    """Collects what a browser would fetch as script or style. Comments and the text of scripts are none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.found: list[tuple[str, Kind]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: (value or "").strip() for name, value in reversed(attrs)}  # the first of two alike counts
        if tag == "base" and not self.base:
            self.base = given.get("href", "")
        elif tag == "script" and given.get("src"):
            self.found.append((given["src"], "script"))
        elif tag == "link" and given.get("href"):
            self._link(given)

    def _link(self, given: dict[str, str]) -> None:
        relations = given.get("rel", "").lower().split()
        kind = _PRELOADED.get(given.get("as", "").lower()) if "preload" in relations else None
        if "stylesheet" in relations:
            kind = "style"
        elif "modulepreload" in relations:
            kind = "script"
        if kind:
            self.found.append((given["href"], kind))
