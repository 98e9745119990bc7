"""A web server over a frontend, for tests: what `dist` holds, and on a miss what earlier dists held."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daemons.settings import Settings


class Site(ThreadingHTTPServer):
    """Serves the dist of *conf* at its frontend URL. *spoiled*: bytes to serve for a path instead of the file's."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, conf: Settings) -> None:
        super().__init__(("127.0.0.1", conf.port), _Handler)
        self.dist = conf.dist
        self.previous = conf.state / "frontend-previous"
        self.spoiled: dict[str, bytes] = {}

    def content(self, path: str) -> bytes | None:
        name = unquote(path).lstrip("/") or "index.html"
        if path in self.spoiled:
            return self.spoiled[path]
        kept = sorted(self.previous.iterdir(), reverse=True) if self.previous.is_dir() else []
        for folder in (self.dist, *kept):
            try:
                return (folder / name).read_bytes()
            except OSError:
                continue
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        body = self.server.content(path)
        self.send_response(404 if body is None else 200)
        kind = "text/html" if path.endswith("/") else mimetypes.guess_type(path)[0]
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(conf: Settings) -> Iterator[Site]:
    """A Site in this process for as long as the block lasts."""
    site = Site(conf)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


def shown(folder: Path) -> dict[str, bytes]:
    """All files below *folder* with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
