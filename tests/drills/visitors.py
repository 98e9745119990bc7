"""Visitors of a page: each loads it and all that it names over one connection as a browser does, again and again.

What they got is kept as (path, sum), and judged in the end by what the builds hold that were whole: a page of which
one file is of no whole build is wrong, whatever its status was.
"""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from daemons import assets

Page = tuple[tuple[str, str], ...]
PLAIN = "plain page"
_MANY = 1 << 30


@dataclass
class Met:
    """What was met: whole loads of the page, our plain page (503), and everything else by what it was."""

    pages: Counter[Page] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def judged(self, whole: set[tuple[str, str]]) -> Counter[str]:
        """How many loads there were of each kind; `whole` and PLAIN are the good ones."""
        judged = Counter(self.other)
        for page, count in self.pages.items():
            strange = [f"{path} {what[:12]}" for path, what in page if (path, what) not in whole]
            judged["whole" if not strange else "wrong: " + ", ".join(strange)] += count
        return judged

    def kinds(self, whole: set[tuple[str, str]]) -> Counter[str]:
        """`judged`, without which file it was that was wrong."""
        kinds: Counter[str] = Counter()
        for what, count in self.judged(whole).items():
            kinds["wrong" if what.startswith("wrong") else what] += count
        return kinds

    def faults(self, whole: set[tuple[str, str]]) -> list[str]:
        """A line for each kind of load that was not good."""
        return [f"{count} x {what}" for what, count in self.judged(whole).items() if what not in ("whole", PLAIN)]


class Visitors:
    """*how_many* of them on the page at *url*, from `with` to its end; then `met` is complete.

    *pause_s* lies between two loads of one visitor. Of every *stays_open_every* loads one asks for the page's files
    only *stays_open_s* later, as a page does that has been open for a while.
    """

    def __init__(self, url: str, *, how_many: int = 1, pause_s: float = 0.05, stays_open_every: int = _MANY) -> None:
        self.met = Met()
        self._url = url
        self._pause_s = pause_s
        self._stays_open_every = stays_open_every
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(how_many)]
        self._gate = threading.Lock()

    stays_open_s = 0.05

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        parts = urlsplit(self._url)
        line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        loads = 0
        while not self._ended.wait(self._pause_s):
            loads += 1
            try:
                self._load(line, parts.path, stays_open=loads % self._stays_open_every == 0)
            except (OSError, http.client.HTTPException) as cause:
                line.close()
                with self._gate:
                    self.met.other[f"no answer ({type(cause).__name__})"] += 1
        line.close()

    def _load(self, line: http.client.HTTPConnection, path: str, *, stays_open: bool) -> None:
        status, body = _get(line, path)
        got = [("index.html", _named(status, body))]
        if status == 200:
            if stays_open:
                self._ended.wait(self.stays_open_s)
            needed = assets.of_page(body, self._url).assets
            got += [(asset.path, _named(*_get(line, asset.request))) for asset in needed]
        with self._gate:
            self.met.requests += len(got)
            if status == 200:
                self.met.pages[tuple(got)] += 1
            else:
                self.met.other[PLAIN if status == 503 else f"{status} for the page"] += 1


def _get(line: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    line.request("GET", path)
    answer = line.getresponse()
    return answer.status, answer.read()


def _named(status: int, body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if status == 200 else f"answered with {status}"
