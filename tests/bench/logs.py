"""The block scanner beside grep, ripgrep and bare reading of the same log, in the same run, one core each.

    python -m tests.bench.logs [size in GB, 1]

CPU time counts, because others may be at work; the rounds of all alternate and the best of each is taken. "users" has
50 patterns of users on top. Our scanner does more than grep: it tells events, judged, whole and named.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from daemons import clock, settings
from tests import generated_log

SHARES = (0.0001, 0.01, 0.1)
ROUNDS = 2
USERS = [rf"payment gateway {number:02d} refused" for number in range(50)]
SCAN = """
import sys
from pathlib import Path
from daemons import settings
from daemons.log_watcher import events, scanner
from daemons.log_watcher.patterns import Patterns
if sys.argv[3] != "hyperscan":
    scanner.hyperscan = None
given = {"CMUX_ERROR_PATTERNS": sys.argv[4]} if sys.argv[4] else {}
patterns = Patterns(settings.load({"CMUX_HOME": sys.argv[2], **given}))
held, file = b"", open(sys.argv[1], "rb", buffering=0)
while block := file.read(1 << 20):
    held += block
    held = held[events.scan(held, patterns, settled=False).consumed:]
# Not ru_maxrss: that of the parent counts in it.
peak = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
print(int(peak.split()[1]) >> 10)
"""


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


def main() -> None:
    size_bytes = int((float(sys.argv[1]) if len(sys.argv) > 1 else 1.0) * 1e9)
    with tempfile.TemporaryDirectory() as home:
        for share in SHARES:
            log = Path(home, "big.log")
            generated_log.write(log, size_bytes, share)
            best: dict[str, tuple[float, float, str]] = {}
            for _ in range(ROUNDS):
                for name, command in contestants(log, home).items():
                    best[name] = min(best.get(name, (1e9, 1e9, "")), measured(command))
            print(f"\n{share:.2%} errors {'MB/s wall':>26} {'MB/s CPU':>9}   it said (lines, or peak MB)")
            for name, (wall_s, cpu_s, said) in best.items():
                print(f"{name:32} {size_bytes / wall_s / 1e6:9.0f} {size_bytes / cpu_s / 1e6:9.0f}   {said}")


if __name__ == "__main__":
    main()
