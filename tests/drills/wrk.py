"""wrk, a real HTTP load tool, on the page of a drill: as many requests a second as the server gives."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from daemons import clock

_SCRIPT = Path(__file__).with_name("page_loads.lua")
_AT_MOST_S = 3600
MISSING = """
*** wrk is not installed: the load comes from a few clients in Python alone, which ask far less than the server gives.
*** Install it (apt-get install wrk) and run the drill again before you believe its figures.
"""


@dataclass
class Loads:
    """What wrk counted: requests, whole pages and files among them, and what was wrong."""

    requests: int = 0
    pages: int = 0
    files: int = 0
    seconds: float = 0.0
    p99_ms: float = 0.0
    faults: list[str] = field(default_factory=list)


def is_here() -> bool:
    """Whether there is a wrk; says so loudly where there is none."""
    found = shutil.which("wrk") is not None
    if not found:
        print(MISSING, file=sys.stderr, flush=True)
    return found


@contextmanager
def loading(url: str, *, connections: int, closing: bool = False) -> Iterator[Loads]:
    """Page loads of wrk over *connections*, until the block ends; with *closing* a new connection for each request."""
    loads = Loads()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{_AT_MOST_S}s", "--timeout", "10s", "-s", str(_SCRIPT), url]
    command += ["-H", "Connection: close"] if closing else []
    began_mono = clock.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield loads
    finally:
        child.send_signal(signal.SIGINT)  # it ends with what it has counted
        said, _ = child.communicate(timeout=30)
    loads.seconds = clock.monotonic() - began_mono
    _take_in(said, loads)


def _take_in(said: str, loads: Loads) -> None:
    line = next((line for line in said.splitlines() if line.startswith("loads ")), None)
    if line is None:
        loads.faults.append(f"wrk says nothing: {said!r}")
        return
    _, requests, pages, files, wrong, lost, p99_ms, *first = line.split(maxsplit=7)
    loads.requests, loads.pages, loads.files = int(requests), int(pages), int(files)
    loads.p99_ms = float(p99_ms)
    if int(wrong):
        loads.faults.append(f"wrk: {wrong} wrong answers, the first: {' '.join(first)}")
    if int(lost):
        loads.faults.append(f"wrk: {lost} requests without an answer")
