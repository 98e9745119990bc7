"""`python -m daemons.launcher`: becomes this home's supervisord, detached from whoever started it.

    launcher --fork--> a session of its own --fork--> no terminal, ever: subreaper, cgroup, record, exec supervisord -n
        '--- waits for that: exit code 0, or one line that says why not

supervisord's own daemonizing would fork once more and so lose the subreaper, which brings home what leaves its parents.
`cmux start` is what people use: it clears what is left of an earlier suite first, and waits until this one is healthy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from daemons import files, processes, settings, suite, supervisor
from daemons.settings import Settings, SettingsError

LOCK_WITHIN_S = 10.0


class _Refused(Exception):
    """supervisord is not started. The text is one line."""


def main() -> int:
    """0: supervisord has been started. 1: it could not be, or runs already. 2: wrong settings. One line says which."""
    try:
        conf = settings.load()
        suite.suite_id(conf)
        files.private_dir(conf.run_dir)
        # Held until exec, by whichever of our processes lives longest: a starter that is killed leaves its launcher
        # under way, and the next one's must not get in between its looks and its record.
        lock = files.take_lock(conf.run_dir / "launch.lock", timeout_s=LOCK_WITHIN_S)
        _refuse_to_double(conf)
        rendered = supervisor.render(conf)
    except SettingsError as wrong:
        return _refuse(str(wrong), 2)
    except (files.StorageError, files.LockBusy, _Refused) as reason:
        return _refuse(str(reason), 1)
    problem = _detached(conf, rendered, lock)
    return _refuse(problem, 1) if problem else 0


def _refuse_to_double(conf: Settings) -> None:
    """Nothing of this home runs; a socket that a dead supervisord left, which costs the next one 0.3 s, is removed."""
    if running := suite.running(conf):
        raise _Refused(f"the suite of {conf.home} runs already: {processes.describe(running.supervisord.pid)}")
    place = supervisor.socket_path(conf)
    if supervisor.Rpc(conf).poke():
        raise _Refused(f"a supervisord that is not this suite's answers on {place}; end it, or move that file away")
    files.discard(place)


def _refuse(line: str, code: int) -> int:
    sys.stderr.write(f"launcher: {line}\n")
    return code


def _detached(conf: Settings, rendered: Path, lock: int) -> str:
    """Start supervisord as nobody's child, and wait until it has been exec'd. What went wrong, or nothing."""
    reading, writing = os.pipe()  # both ends close on exec: end of file means that it went well
    child = os.fork()
    if child == 0:
        os.setsid()
        # Its leader gone, this session can never get a terminal, whatever its members open.
        if os.fork() == 0:
            _become_supervisord(conf, rendered, writing, lock)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, encoding="utf-8") as told:
        return told.read()


def _become_supervisord(conf: Settings, rendered: Path, writing: int, lock: int) -> NoReturn:
    try:
        environment = _environment(conf)
        os.chdir(conf.home)
        os.umask(0o077)
        _let_go(conf.logs_dir / "supervisord.out", {writing, lock})
        processes.become_subreaper()
        _leave_record(conf)
        # -I: neither the home nor the user's PYTHONPATH may stand in for supervisord's modules. -s: its log has a file.
        argv = [sys.executable, "-I", "-m", "supervisor.supervisord", "-n", "-s", "-c", str(rendered)]
        os.execve(sys.executable, argv, environment)  # noqa: S606  # a list, never a shell string
    except OSError as reason:
        os.write(writing, f"supervisord cannot be started: {reason}".encode())
    os._exit(1)


def _environment(conf: Settings) -> dict[str, str]:
    """What supervisord and its programs get: the settings as they came, the home, and the suite's marker."""
    environment = settings.child_environment(CMUX_HOME=str(conf.home), CMUX_SUITE_ID=suite.suite_id(conf))
    if "CMUX_CONF" in environment:
        environment["CMUX_CONF"] = os.path.abspath(environment["CMUX_CONF"])
    # Started from an agent's window, the suite is still neither that agent nor a part of the window.
    for name in ("CMUX_AGENT_ID", "TMUX", "TMUX_PANE"):
        environment.pop(name, None)
    return environment


def _let_go(output: Path, kept: Collection[int]) -> None:
    """Drop everything that the starter had open: a reader of its output, or a lock, must not wait for supervisord.

    *kept* are our own, and close on exec.
    """
    quiet = os.open(os.devnull, os.O_RDWR)
    words = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    os.dup2(quiet, 0)
    os.dup2(words, 1)
    os.dup2(words, 2)
    after = 3
    for ours in sorted(kept):
        os.closerange(after, ours)
        after = ours + 1
    os.closerange(after, 1 << 20)


def _leave_record(conf: Settings) -> None:
    # Before exec: from the first instant of supervisord there is a record of it, whoever dies meanwhile.
    ourselves = processes.identify(os.getpid())
    if ourselves is None:
        raise OSError(0, "/proc does not show this process; is it mounted?")
    cgroup = processes.enter_cgroup(suite.suite_id(conf))
    suite.write(suite.record_of(conf, ourselves, cgroup=cgroup, sid=os.getsid(0)), conf)


if __name__ == "__main__":
    sys.exit(main())
