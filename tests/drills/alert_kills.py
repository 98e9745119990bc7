"""A day in the life of alerts, killed with -9 at each step and at random: every message and entry stands once.

    python -m tests.drills.alert_kills 1000        rounds at random instants; 60 by default

The daemon of the story hands in again what it was not told is kept, as a log watcher does whose marker did not move.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

from daemons import alerts, files, mailbox, settings
from daemons.alerts import Alerts, Occurrence
from daemons.journal import Journal
from daemons.settings import Settings
from tests.drills.report import Report

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
Step = Callable[[Alerts, datetime], None]


def conf_of(home: Path) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    return settings.load({"CMUX_HOME": str(home)})


def _error(at: int, file: str = "server.log") -> Occurrence:
    return Occurrence(f"log:{file}", "log", f"/srv/{file}", f"ERROR: number {at} of {file}", source=file, position=at)


def _missing(name: str) -> Occurrence:
    return Occurrence(f"missing:{name}", "agent-missing", name, "gone", source=name, position=1)


def _raise(*occurrences: Occurrence) -> Step:
    return lambda sender, now: sender.raise_(occurrences, now)


def _clear(*keys: str) -> Step:
    return lambda sender, now: sender.clear(keys, now, reason="over")


def _tick(sender: Alerts, now: datetime) -> None:
    sender.tick(now)


# When, in seconds, and what: raises, repetitions inside the cooldown, its end, flapping, an acknowledgement, clears.
STORY: Sequence[tuple[float, Step]] = (
    (0, _raise(_error(1), _error(2), _error(7, "b.log"))),
    (1, _raise(*map(_missing, "abc"))),
    (10, _raise(_error(2), _error(3), _error(4))),
    (20, _clear("missing:a", "log:b.log")),
    (30, _raise(_error(8, "b.log"))),
    (40, lambda sender, now: bool(sender.ack("missing:b", "user", now)) and None),
    (50, _raise(_error(5))),
    (301, _tick),
    (302, _clear("missing:b", "missing:c", "log:server.log", "log:b.log")),
)


def tell(home: Path, since: int = 0) -> None:
    """Live through the story from its step *since* on; `home/step` says how far the daemon was answered."""
    sender = Alerts(conf_of(home))
    for at in range(since, len(STORY)):
        seconds, step = STORY[at]
        step(sender, NOON + timedelta(seconds=seconds))
        _remember(home, at + 1)
    sender.tick(NOON + timedelta(seconds=303))


def _remember(home: Path, step: int) -> None:
    beside = home / "step.new"
    beside.write_text(str(step))
    beside.rename(home / "step")


def _answered(home: Path) -> int:
    return int((home / "step").read_text()) if (home / "step").exists() else 0


def what_stands(home: Path) -> dict[str, list[str]]:
    """Mailbox and journal in words that do not depend on chance."""
    conf = conf_of(home)
    lines = [mail.message.subject if mail.message else f"torn: {mail.raw!r}" for mail in mailbox.of(conf).after(None)]
    journal = []
    for entry in Journal(conf, "").entries():
        evidence = entry["evidence"]
        told = [(row["key"], row["count"], row["told"], row["state"]) for row in evidence.get("alerts", [])]
        journal.append(f"{entry['event']} {told or evidence['key']}")
    return {"mailbox": sorted(lines), "journal": sorted(journal)}


def faults(home: Path, wanted: dict[str, list[str]]) -> list[str]:
    conf = conf_of(home)
    stands = what_stands(home)
    found = [
        f"{name}: missing {_less(wanted[name], stands[name])}, too many {_less(stands[name], wanted[name])}"
        for name in wanted
        if wanted[name] != stands[name]
    ]
    proof = mailbox.of(conf).verify(alerts.claims(conf))
    if proof.missing or proof.repeated or proof.moved:
        found.append(f"proof: {proof}")
    bodies = [mail.message.body for mail in mailbox.of(conf).after(None) if mail.message and mail.message.body]
    texts = [(home / body).read_text() for body in bodies]
    for number in (1, 2, 3, 4, 5):
        times = sum(text.count(f"ERROR: number {number} of server.log") for text in texts)
        if times != 1:
            found.append(f"error {number} stands in bodies {times} times")
    if list((conf.alerts_dir / "held").glob("*/*")):
        found.append("evidence was left behind")
    return found


def _less(these: list[str], those: list[str]) -> list[str]:
    left = list(these)
    for one in those:
        if one in left:
            left.remove(one)
    return left


# -- killing ----------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], None]) -> int:
    """Run *work* in a forked child; how it ended: 0, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killing_at(step: int, work: Callable[[], None]) -> Callable[[], None]:
    def counted() -> None:
        left = [step]

        def reached(_name: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        files.reached = reached
        work()

    return counted


def _wanted(folder: Path) -> dict[str, list[str]]:
    if in_child(lambda: tell(folder / "undisturbed")) != 0:
        raise RuntimeError("the story fails even when nobody kills it")
    return what_stands(folder / "undisturbed")


def at_every_step(folder: Path, *, first: int = 1, every: int = 1) -> Iterator[str]:
    """Kill at the first step, the second, …; each time let a new process go on. What was wrong afterwards.

    *first* and *every* take a part of the steps only.
    """
    wanted = _wanted(folder)
    for at in count(first, every):
        home = folder / f"home-{at}"
        survived = in_child(_killing_at(at, partial(tell, home))) == 0
        if in_child(partial(tell, home, _answered(home))) != 0:
            yield f"step {at}: the next process failed"
        yield from (f"step {at}: {fault}" for fault in faults(home, wanted))
        shutil.rmtree(home)
        if survived:
            return


def at_random(folder: Path, *, rounds: int) -> Iterator[str]:
    """Kill again and again at random steps or instants of one story until it is through."""
    wanted = _wanted(folder)
    for at in range(rounds):
        home = folder / f"home-{at}"
        while in_child(partial(_fragile, home)) != 0:
            pass
        yield from (f"round {at}: {fault}" for fault in faults(home, wanted))
        shutil.rmtree(home)


def _fragile(home: Path) -> None:
    if random.random() < 0.5:
        signal.setitimer(signal.ITIMER_REAL, random.random() / 20)  # SIGALRM, which nobody handles, kills like -9
        tell(home, _answered(home))
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        _killing_at(random.randrange(1, 120), lambda: tell(home, _answered(home)))()


def run(rounds: int, folder: Path) -> Report:
    """Every step once, then *rounds* stories killed at random; the control forgets to look for what was sent."""
    report = Report("alert-kills")
    report.count("every step", "")
    report.wrong += at_every_step(folder / "steps")
    for _ in range(rounds):
        report.count("random", "")
    report.wrong += at_random(folder / "random", rounds=rounds)
    once, mailbox.Mailbox.post_once = mailbox.Mailbox.post_once, _post_again  # type: ignore[method-assign]
    try:
        report.count_control("posting without looking", next(at_every_step(folder / "control"), ""))
    finally:
        mailbox.Mailbox.post_once = once  # type: ignore[method-assign]
    return report


def _post_again(box: mailbox.Mailbox, line: bytes, **_: object) -> mailbox.Position:
    return box.post_line(line)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as folder:
        report = run(rounds, Path(folder))
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
