"""`python -m tests.drills.bad_day [--speed 1]`: five bad minutes of a real application, and the mailbox as it reads.

What is replayed was recorded: isso under gunicorn with three workers, under traffic. It gets garbage (0:15), its
database is overwritten (1:00) and put back, its workers are killed (1:55), its port is taken (2:10), its disk is full
(3:00), a worker hangs (3:55), its database is gone (4:20). Meanwhile the logs are rotated, and the watcher is killed.

What counts as an error is found by two plain patterns, and must be told: each once, and nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from daemons import alerts, settings
from daemons.settings import Settings
from tests.drills.logs import Victim, environ_of, until_told
from tests.drills.report import Report

RECORDED = Path(__file__).parents[1] / "fixtures" / "logs" / "bad-day.jsonl.gz"
COOLDOWN_S = 60.0
ROTATE_EVERY_S = 70.0
KILL_EVERY_S = 45.0
MESSAGES_AT_MOST = 60

ERRORS = {
    "access.log": re.compile(r'^\S+ - - \[.{20,30}\] ".*" 5\d\d ', re.MULTILINE),
    "error.log": re.compile(
        r"^(?:\d{4}-\d\d-\d\d [\d:,]+:ERROR: |\[\d{4}-.{20,24}\] \[\d+\] \[(?:ERROR|CRITICAL)\] )", re.MULTILINE
    ),
}
# What gives whoever has it the right to delete a comment.
SECRET = re.compile(r"/delete/\w+\.[\w-]{6}\.[\w-]{27}")


def recorded() -> list[tuple[float, str, str]]:
    """(seconds since the start, log, what was appended to it)."""
    with gzip.open(RECORDED, "rt") as file:
        return [(at, name, text) for at, name, text in map(json.loads, file)]


def replay(folder: Path, speed: float) -> str:
    """What was wrong, if anything; prints the mailbox."""
    home = folder / "home"
    (home / "log").mkdir(parents=True)
    environ = environ_of(home, "log/*.log", COOLDOWN_S / speed)
    conf = settings.load(environ)
    victim = Victim(environ, folder / "stderr", keeper=True)
    try:
        until_told(conf, victim)
        _write(home / "log", victim, speed)
        until_told(conf, victim)
    finally:
        victim.end()
    return judged(conf)


def _write(logs: Path, victim: Victim, speed: float) -> None:
    """Write what was recorded at its times; rotate now and then, and kill."""
    rotate_s, kill_s = ROTATE_EVERY_S, KILL_EVERY_S
    began = time.monotonic()
    for at, name, text in recorded():
        time.sleep(max(0.0, began + at / speed - time.monotonic()))
        with (logs / name).open("a") as file:
            file.write(text)
        if at > rotate_s:
            rotate_s += ROTATE_EVERY_S
            for log in ERRORS:
                (logs / log).rename(logs / f"{log}.{int(at)}")
        if at > kill_s:
            kill_s += KILL_EVERY_S
            victim.kill()


def judged(conf: Settings) -> str:
    messages = conf.mailbox.read_text().splitlines()
    print("\n".join(messages))
    bodies = [path.read_text() for path in conf.journal_dir.glob("*/attachments/*.md")]
    counted = Counter[str]()
    for alert in alerts.all_open(conf):
        counted[Path(alert.subject).name] += alert.count
        print(f"{alert.count:6} × {alert.title}")
    written = Counter[str]()
    for _, name, text in recorded():
        written[name] += len(ERRORS[name].findall(text))
    told = {name: sum(len(pattern.findall(body)) for body in bodies) for name, pattern in ERRORS.items()}
    wrong = [
        f"{name}: {written[name]} written, {counted[name]} counted, {told[name]} in bodies"
        for name in ERRORS
        if not written[name] == counted[name] == told[name]
    ]
    wrong += [f"{len(messages)} messages"] if len(messages) > MESSAGES_AT_MOST else []
    wrong += ["a secret is in a body"] if any(map(SECRET.search, bodies)) else []
    print(f"{sum(written.values())} errors in {len(messages)} messages")
    return "; ".join(wrong)


def run(rounds: int, folder: Path) -> Report:
    """Ten times as fast as it was."""
    report = Report("bad-day")
    for number in range(rounds):
        report.count("isso under gunicorn", replay(folder / str(number), 10))
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.bad_day", description=__doc__)
    parser.add_argument("--speed", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cmux-drill-") as name:
        wrong = replay(Path(name), asked.speed)
    print(wrong or "nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
