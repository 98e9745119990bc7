"""The block scanner and the whole daemon beside grep, ripgrep and bare reading of the same log, one core each.

    python -m tests.bench.logs [size in GB, 1] [parts of a name: only contestants that have one]

CPU time counts, because others may be at work; the rounds of all alternate and the best of each is taken. "users" has
50 patterns of users on top, of ten things and five mishaps: no beginning is common to them all. Our scanner does more
than grep: it tells events, judged, whole and named; the daemon tells them to the mailbox, too, and is given the log as
one that appears after its start. The last column but one is the ratio to the faster grep of its kind.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from daemons import clock, loop, settings
from daemons.settings import Settings
from tests import generated_log

SHARES = (0.0001, 0.01, 0.1)
ROUNDS = 2
THINGS = (
    "payment gateway", "order queue", "license server", "tape robot", "mail relay", "invoice printer", "stock feed",
    "fraud check", "video encoder", "login provider",
)  # fmt: skip
MISHAPS = ("refused", "answers too slowly", "lost [0-9]+ messages", "is out of (paper|space|credit)", "[A-Z]+-[0-9]{4}")
USERS = [f"{thing} {mishap}" for thing in THINGS for mishap in MISHAPS]
SCAN = """
import gc, sys
from pathlib import Path
from daemons import settings
from daemons.log_watcher import events, scanner
from daemons.log_watcher.patterns import Patterns
if sys.argv[3] != "hyperscan":
    scanner.hyperscan = None
given = {"CMUX_ERROR_PATTERNS": sys.argv[4]} if sys.argv[4] else {}
patterns = Patterns(settings.load({"CMUX_HOME": sys.argv[2], **given}))
gc.freeze()  # as the daemon does
held, file = b"", open(sys.argv[1], "rb", buffering=0)
while block := file.read(1 << 20):
    held += block
    held = held[events.scan(held, patterns, settled=False).consumed:]
# Not ru_maxrss: that of the parent counts in it.
peak = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
print(int(peak.split()[1]) >> 10)
"""


def caught_up(log: Path) -> tuple[float, float, str]:
    """Wall and CPU seconds until a daemon that has just started told all of *log*, and its peak memory."""
    with tempfile.TemporaryDirectory(dir=log.parent) as home:
        watched = Path(home, "app.log")
        environ = os.environ | {"CMUX_HOME": home, "CMUX_WATCHED_LOGS": str(watched)}
        conf = settings.load(environ)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "daemons.log_watcher"], env=environ, cwd=settings.CODE, stderr=subprocess.DEVNULL
        )
        try:
            clock.wait_until(lambda: loop.read_status(conf, "log_watcher"), within_s=10)
            cpu_s, began = _cpu_s(daemon.pid), clock.monotonic()
            log.rename(watched)
            clock.wait_until(lambda: _examined(conf) >= watched.stat().st_size, within_s=300)
            wall_s, cpu_s = clock.monotonic() - began, _cpu_s(daemon.pid) - cpu_s
            rows = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
            peak = next(row for row in rows if row.startswith("VmHWM"))
        finally:
            if watched.exists():
                watched.rename(log)
            daemon.terminate()
            daemon.wait(timeout=20)
    return wall_s, cpu_s, str(int(peak.split()[1]) >> 10)


def _examined(conf: Settings) -> int:
    status = loop.read_status(conf, "log_watcher")
    coverage = (status.detail if status else {}).get("coverage")
    return int(coverage["examined_bytes"]) if isinstance(coverage, dict) else 0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def contestants(log: Path, home: str) -> dict[str, list[str]]:
    errors = "|".join(settings.ERROR_PATTERNS)
    ours = [sys.executable, "-c", SCAN, str(log), home]
    users = "\n".join([*settings.ERROR_PATTERNS, *USERS])
    grep = f"grep -aE '{errors}' {log} | grep -avE '{'|'.join(settings.IGNORE_PATTERNS)}' | wc -l"
    many = f"grep -aE '{'|'.join([errors, *USERS])}' {log} | grep -avE '{'|'.join(settings.IGNORE_PATTERNS)}' | wc -l"
    found = {
        "cat (bare reading)": ["sh", "-c", f"cat {log} > /dev/null"],
        "grep | grep, C": ["env", "LC_ALL=C", "sh", "-c", grep],
        "grep | grep, UTF-8": ["env", "LC_ALL=C.UTF-8", "sh", "-c", grep],
        "our scanner": [*ours, "hyperscan", ""],
        "our scanner without hyperscan": [*ours, "re2", ""],
        "users: grep, C": ["env", "LC_ALL=C", "sh", "-c", many],
        "users: grep, UTF-8": ["env", "LC_ALL=C.UTF-8", "sh", "-c", many],
        "users: our scanner": [*ours, "hyperscan", users],
    }
    if shutil.which("rg"):
        found["ripgrep"] = ["sh", "-c", f"rg -aN -j1 '{errors}' {log} | wc -l"]
    return found


def measured(command: list[str]) -> tuple[float, float, str]:
    """Wall and CPU seconds, and what it said."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), clock.monotonic()
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=settings.CODE).stdout.strip()
    wall_s, after = clock.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


def table(size_bytes: int, best: dict[str, tuple[float, float, str]]) -> None:
    for name, (wall_s, cpu_s, said) in best.items():
        kind = "users: grep" if name.startswith("users") else "grep"
        greps = [cpu for rival, (_, cpu, _) in best.items() if rival.startswith(kind)]
        ratio = f"{min(greps) / cpu_s:6.2f}" if greps else "     -"
        print(
            f"{name:32} {size_bytes / wall_s / 1e6:9.0f} {size_bytes / cpu_s / 1e6:9.0f} {ratio}   {said}", flush=True
        )


def main() -> None:
    size_bytes = int((float(sys.argv[1]) if len(sys.argv) > 1 else 1.0) * 1e9)
    wanted = sys.argv[2:]
    with tempfile.TemporaryDirectory() as home:
        for share in SHARES:
            log = Path(home, "big.log")
            generated_log.write(log, size_bytes, share)
            best: dict[str, tuple[float, float, str]] = {}
            for _ in range(ROUNDS):
                for name, command in contestants(log, home).items():
                    if not wanted or any(part in name for part in wanted):
                        best[name] = min(best.get(name, (1e9, 1e9, "")), measured(command))
                if not wanted or any(part in "the whole daemon" for part in wanted):
                    name = "the whole daemon, catching up"
                    best[name] = min(best.get(name, (1e9, 1e9, "")), caught_up(log))
            print(f"\n{share:.2%} errors {'MB/s wall':>26} {'MB/s CPU':>9}  ratio   it said (lines, or peak MB)")
            table(size_bytes, best)


if __name__ == "__main__":
    main()
