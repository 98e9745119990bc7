"""What a page needs: the scripts and styles that an `index.html` and a build's manifest name, as files of `dist`.

References are resolved as a browser does it: against `<base>`, then against the address of the page. What another
server delivers, or lies above the page's folder, is none of `dist`'s files and is not looked at.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from html import unescape
from typing import Literal
from urllib.parse import unquote, urljoin, urlsplit

Kind = Literal["script", "style", "other"]

READ_BYTES = 1 << 20

_PRELOADED: dict[str, Kind] = {"script": "script", "style": "style"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file that a page needs: its path below `dist`, and how the page asks for it (path and query)."""

    path: str
    request: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Needs:
    """What a page needs of `dist`, and the names of it that point out of `dist`. *cut*: only its beginning was read."""

    assets: tuple[Asset, ...]
    escapes: tuple[str, ...]
    cut: bool = False


def of_page(html: bytes, page_url: str) -> Needs:
    """The scripts and styles that the page *html*, served at *page_url*, names in its first MiB."""
    references = _References(html[:READ_BYTES].decode("utf-8", "replace"))
    base = _joined(page_url, references.base)
    found = [(_joined(base, name), kind) for name, kind in references.found]
    return replace(_needs(found, page_url), cut=len(html) > READ_BYTES)


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


# -- a page -----------------------------------------------------------------------------------------------------------

# Not html.parser: unclosed quotes and comments cost it the cube of their length (128 KiB of `<a b='`: minutes). Here
# each step moves on, and what is never closed reaches to the end of the page, as it does for a browser.
_START = re.compile(r"<([a-zA-Z][^\s/>]*)")
_ATTRIBUTE = re.compile(r"[\s/]*([^\s/>][^\s/>=]*)(?:\s*=\s*(?:([\"'])|([^\s>]*)))?")
_TAG_END = re.compile(r"[\s/]*>")
_RAW_TEXT = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "textarea", "title")}


class _References:
    """What a browser would fetch as script or style. Comments and the text of scripts are none of it."""

    def __init__(self, html: str) -> None:
        self.base = ""
        self.found: list[tuple[str, Kind]] = []
        self._html = html
        at = 0
        while (at := html.find("<", at)) >= 0:
            at = self._past(at)

    def _past(self, at: int) -> int:
        """Where to go on after what begins with the `<` *at*."""
        html = self._html
        if html.startswith("<!--", at):
            return _after(html, "-->", at + 2)  # `<!-->` is a whole comment
        start = _START.match(html, at)
        if start is None:
            return _after(html, ">", at) if html.startswith(("</", "<!", "<?"), at) else at + 1
        name = start.group(1).lower()
        attributes, at = self._attributes(start.end())
        self._take(name, attributes)
        if name in _RAW_TEXT:
            end = _RAW_TEXT[name].search(html, at)
            return end.start() if end else len(html)
        return at

    def _attributes(self, at: int) -> tuple[dict[str, str], int]:
        """The attributes from *at* on, and where their tag ends. Of two alike the first counts."""
        html, given = self._html, dict[str, str]()
        while not (end := _TAG_END.match(html, at)):
            found = _ATTRIBUTE.match(html, at)
            if found is None:
                return {}, len(html)
            name, quote, value = found.groups()
            at = found.end()
            if quote:
                close = html.find(quote, at)
                if close < 0:
                    return {}, len(html)
                value, at = html[at:close], close + 1
            given.setdefault(name.lower(), unescape(value or "").strip())
        return given, end.end()

    def _take(self, tag: str, given: dict[str, str]) -> None:
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


def _after(html: str, end: str, at: int) -> int:
    found = html.find(end, at)
    return found + len(end) if found >= 0 else len(html)
