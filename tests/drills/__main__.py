"""`python -m tests.drills NAME ROUNDS`: cause faults for real and report what was wrong (exit code 1).

Exit code 5: it cannot be done here, and the line says what is missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.drills import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=table.__doc__)
    parser.add_argument("name", choices=sorted(table.DRILLS))
    parser.add_argument("rounds", type=int, nargs="?", default=100)
    asked = parser.parse_args()
    drill = table.DRILLS[asked.name]
    lacking = drill.lacks()
    if lacking:
        print(f"{asked.name} {lacking}", file=sys.stderr)
        return table.MISSING
    if drill.mounts and not table.is_inside():
        return table.again_in_a_mount_namespace(asked.name, asked.rounds)
    folder = Path(tempfile.mkdtemp(prefix="cmux-drill-"))
    try:
        report = drill.run(asked.rounds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
