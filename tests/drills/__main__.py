"""`python -m tests.drills NAME ROUNDS`: cause faults for real and report what was wrong (exit code 1)."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.drills import stores


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=stores.__doc__)
    parser.add_argument("name", choices=sorted(stores.DRILLS))
    parser.add_argument("rounds", type=int, nargs="?", default=100)
    asked = parser.parse_args()
    drill = stores.DRILLS[asked.name]
    if drill.mounts and not stores.is_inside():
        return stores.again_in_a_mount_namespace(asked.name, asked.rounds)
    folder = Path(tempfile.mkdtemp(prefix="cmux-drill-"))
    try:
        report = drill.run(asked.rounds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
