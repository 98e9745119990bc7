"""kill -9 at random instants, under load: no line torn, glued or doubled, nothing acknowledged lost.

python -m tests.drills.kills 1000        rounds; 60 by default
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from daemons import clock, settings
from daemons.mailbox import Mailbox, Message, to_line
from tests.drills.report import Report

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(settings.CODE))
SIZES = (10, 300, 5_000, 70_000)
WRITERS = 3
CONTROL_ROUNDS = 20  # with fewer it may be lucky
READER = "router"


@dataclass
class Outcome:
    """What the writers were told is there, what a reader of the files found, and what a killed reader handled."""

    acknowledged: int = 0
    kills: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        found = {"lost": self.lost, "torn": self.torn, "doubled": self.doubled, "unread": self.unread}
        return [f"{name}: {names[:5]}" for name, names in found.items() if names]


def open_mailbox(folder: Path, rotate_at_bytes: int) -> Mailbox:
    return Mailbox(
        folder / "mailbox",
        session="cmux",
        notation="line",
        archive_dir=folder / "mailbox-archive",
        rotate_at_bytes=rotate_at_bytes,
        archives_kept=1 << 20,
    )


def write_for_ever(folder: Path, rotate_at_bytes: int) -> None:
    """Post as fast as it goes; the name of each message goes to stdout once it is acknowledged."""
    mailbox = open_mailbox(folder, rotate_at_bytes)
    at = 0
    while True:
        size = random.choice(SIZES)
        name = f"{os.getpid()}-{clock.monotonic()}-{at}"
        mailbox.post(
            Message(datetime.now(UTC), "a", "b", f"{name} {size} {'x' * size}"),
            timeout_s=60,
        )
        os.write(1, f"{name}\n".encode())
        at += 1


def write_carelessly(folder: Path, rotate_at_bytes: int) -> None:
    """The control: the same messages, appended as most programs do."""
    at = 0
    while True:
        size = random.choice(SIZES)
        name = f"{os.getpid()}-{clock.monotonic()}-{at}"
        message = Message(datetime.now(UTC), "a", "b", f"{name} {size} {'x' * size}")
        with (folder / "mailbox").open("ab") as file:
            file.write(to_line(message, "line"))
        os.write(1, f"{name}\n".encode())
        at += 1


def read_for_ever(folder: Path, rotate_at_bytes: int) -> None:
    """Follow; the name of each message goes to stdout, then its cursor moves."""
    follower = open_mailbox(folder, rotate_at_bytes).follow(READER)
    while True:
        for mail in follower.new(limit=20):
            if mail.message:
                os.write(1, f"{mail.message.subject.split(' ')[0]}\n".encode())
            follower.commit(mail)


class _Child:
    """A writer or reader, its lines collected as they come, so that it never waits for us."""

    def __init__(self, role: str, folder: Path, rotate_at_bytes: int) -> None:
        call = f"kills.{role}(Path(sys.argv[1]), int(sys.argv[2]))"
        code = f"import sys\nfrom pathlib import Path\nfrom tests.drills import kills\n{call}"
        stderr = None if os.environ.get("CMUX_DRILL_VERBOSE") else subprocess.DEVNULL
        command = [sys.executable, "-c", code, str(folder), str(rotate_at_bytes)]
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=stderr)
        self.said = b""

    def names(self) -> list[str]:
        """What it said in whole lines."""
        return self.said.decode().split("\n")[:-1]


def _listen(children: Sequence[_Child], until: float) -> None:
    pipes = {child.process.stdout: child for child in children}
    while pipes and (left_s := until - clock.monotonic()) > 0:
        for pipe in select.select(list(pipes), [], [], left_s)[0]:
            piece = os.read(pipe.fileno(), 1 << 16)
            pipes[pipe].said += piece
            if not piece:
                del pipes[pipe]


def _run_and_kill(children: Sequence[_Child]) -> None:
    while not all(child.said for child in children):
        _listen(children, clock.monotonic() + 0.02)
    for child in children:
        _listen(children, clock.monotonic() + random.random() / 20)
        child.process.send_signal(signal.SIGKILL)
    for child in children:
        with child.process:
            child.said += child.process.stdout.read() if child.process.stdout else b""


def kill_writers(folder: Path, *, rounds: int, role: str = "write_for_ever", rotate_at_bytes: int = 1 << 30) -> Outcome:
    """Rounds of three writers at full speed, each killed at a random instant."""
    outcome = Outcome()
    acknowledged: list[str] = []
    for _ in range(rounds):
        children = [_Child(role, folder, rotate_at_bytes) for _ in range(WRITERS)]
        _run_and_kill(children)
        acknowledged += [name for child in children for name in child.names()]
        outcome.kills += len(children)
    _examine(open_mailbox(folder, rotate_at_bytes), acknowledged, outcome)
    return outcome


def kill_readers_and_writers(folder: Path, *, rounds: int, rotate_at_bytes: int = 1 << 20) -> Outcome:
    """The same with a consumer that is killed too, and a mailbox that is rotated all the time."""
    outcome = Outcome()
    acknowledged: list[str] = []
    handled: set[str] = set()
    for _ in range(rounds):
        writers = [_Child("write_for_ever", folder, rotate_at_bytes) for _ in range(WRITERS)]
        reader = _Child("read_for_ever", folder, rotate_at_bytes)
        _run_and_kill([*writers, reader])
        acknowledged += [name for child in writers for name in child.names()]
        handled |= set(reader.names())
        outcome.kills += 1 + len(writers)
    mailbox = open_mailbox(folder, rotate_at_bytes)
    follower = mailbox.follow(READER)
    while found := follower.new():
        handled |= {mail.message.subject.split(" ")[0] for mail in found if mail.message}
        follower.commit(found[-1])
    outcome.unread = sorted(set(acknowledged) - handled)
    _examine(mailbox, acknowledged, outcome)
    return outcome


def _examine(mailbox: Mailbox, acknowledged: list[str], outcome: Outcome) -> None:
    names: Counter[str] = Counter()
    for mail in mailbox.after(None):
        name, size, text = _parts(mail.message.subject) if mail.message else ("", "", "")
        if size.isdigit() and text == "x" * int(size):
            names[name] += 1
        else:
            outcome.torn.append(str(mail.raw[:80]))
    outcome.acknowledged = len(acknowledged)
    outcome.lost = sorted(set(acknowledged) - set(names))
    outcome.doubled = [name for name, times in names.items() if times > 1]


def run(rounds: int, folder: Path) -> Report:
    """Both drills and the control; *rounds* kills of each process in each."""
    report = Report("kills")
    for name, drill in (("writers", kill_writers), ("readers and writers", kill_readers_and_writers)):
        home = folder / name
        home.mkdir(parents=True)
        outcome = drill(home, rounds=rounds)
        for _ in range(rounds):
            report.count(name, "")
        report.wrong += outcome.faults()
        report.add(f"{name}: kills", outcome.kills)
        report.add(f"{name}: acknowledged", outcome.acknowledged)
    careless = kill_writers(folder, rounds=CONTROL_ROUNDS, role="write_carelessly")
    report.count_control("plain appends", "; ".join(careless.faults()))
    return report


def _parts(subject: str) -> tuple[str, str, str]:
    name, _, rest = subject.partition(" ")
    size, _, text = rest.partition(" ")
    return name, size, text


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as folder:
        report = run(rounds, Path(folder))
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
