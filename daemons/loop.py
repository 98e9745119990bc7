"""A daemon's life: one of it per home, signals, one tick after the other, a status file after each.

    run(name, build):  settings -> lock -> build(settings, wake) -> tick, tick, tick … -> close
                                   ^--------- SIGHUP: read the settings again ---'

A bad tick is logged and the next one runs; wrong settings end the program with one line and exit code 2. The status
file is the daemon's heartbeat: whoever reads it sees the last *completed* cycle, so a daemon that hangs inside a cycle
shows by its age, which supervisord's RUNNING does not.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Protocol

from daemons import __version__, clock, files, later, log, settings
from daemons.clock import Wake
from daemons.settings import Settings, SettingsError

PAUSE_AFTER_FAILURE_S = 1.0


class Daemon(Protocol):
    """What a program gives to `run`. *interval_s* may change from cycle to cycle."""

    interval_s: float

    def tick(self, now: datetime) -> Mapping[str, object] | None:
        """Do one cycle of work; what is returned is published as `detail` in the status file."""

    def close(self) -> None:
        """Let go of threads, children and sockets. Called once, also after a failed tick; within 2 s."""


Build = Callable[[Settings, Wake], Daemon]


@dataclass(frozen=True, slots=True)
class Status:
    """The last completed cycle of a daemon, as its status file tells it."""

    daemon: str
    pid: int
    pid_started: int
    started_at: str
    cycle: int
    completed_at: str
    completed_mono: float
    interval_s: float
    failures: int
    last_error: str | None
    version: str
    code: str
    ready: bool = True
    detail: Mapping[str, object] = field(default_factory=dict)

    @property
    def age_s(self) -> float:
        """Seconds since the cycle was completed, by the clock that no one can set. Negative never."""
        return max(0.0, clock.monotonic() - self.completed_mono)


def status_path(conf: Settings, name: str) -> Path:
    return conf.status_dir / f"{name}.json"


def read_status(conf: Settings, name: str) -> Status | None:
    """The status that daemon *name* published last, or None when there is none or it cannot be read."""
    try:
        raw = files.read(status_path(conf, name))
        fields = json.loads(raw) if raw else None
        return Status(**fields) if isinstance(fields, dict) else None
    except (OSError, ValueError, TypeError):
        return None


def run(name: str, build: Build) -> int:
    """Live as the daemon *name* of the home that the environment names, until SIGTERM or SIGINT. The exit code.

    0: asked to end. 2: wrong settings, or this home has a living daemon of that name; one line says which.
    """
    log.set_daemon(name)
    wake = Wake()
    reload = _install_signals(wake)
    if "SUPERVISOR_ENABLED" in settings.child_environment():
        die_with_parent()
    try:
        conf = settings.load()
        files.private_dir(conf.run_dir)
        files.private_dir(conf.status_dir)
        own = files.take_lock(conf.run_dir / f"{name}.lock", timeout_s=OTHER_ENDS_WITHIN_S)
    except SettingsError as wrong:
        return _refuse(name, str(wrong))
    except files.LockBusy as busy:
        return _refuse(name, f"another {name} looks after this home already: {busy.holder} holds {busy.path}")
    except files.StorageError as broken:
        return _refuse(name, str(broken))
    try:
        return _live(name, build, conf, wake, reload)
    finally:
        os.close(own)


# A restart follows an end closely: the one that is ending may still hold the lock.
OTHER_ENDS_WITHIN_S = 3.0


def _live(name: str, build: Build, conf: Settings, wake: Wake, reload: _Reload) -> int:
    later.bring_all()
    cycles = _Cycles(name, conf)
    while not wake.stop_requested:
        if reload.asked:
            reload.asked = False
            conf = _read_again(conf)
        try:
            daemon = build(conf, wake)
        except SettingsError as wrong:
            return _refuse(name, str(wrong))
        log.info("daemon.started", pid=os.getpid(), home=str(conf.home), version=__version__)
        try:
            _cycle_until_asked(daemon, cycles, wake, reload)
        finally:
            daemon.close()
        log.info("daemon.reloading" if reload.asked else "daemon.ended", cycles=cycles.count)
    return 0


def _read_again(conf: Settings) -> Settings:
    try:
        return settings.load()
    except SettingsError as wrong:
        log.error("settings.refused", reason=str(wrong), kept="the settings from before")
        return conf


def _cycle_until_asked(daemon: Daemon, cycles: _Cycles, wake: Wake, reload: _Reload) -> None:
    while not (wake.stop_requested or reload.asked):
        completed = cycles.run(daemon)
        wake.wait(daemon.interval_s if completed else min(daemon.interval_s, PAUSE_AFTER_FAILURE_S))


class _Cycles:
    """Counts the cycles, survives the bad ones, and publishes the good ones."""

    def __init__(self, name: str, conf: Settings) -> None:
        self._name = name
        self._path = status_path(conf, name)
        self._code = code_hash(conf.code)
        self._started_at = clock.stamp(clock.now())
        self._started = _own_start_ticks()
        self._failures = 0
        self._last_error: str | None = None
        self.count = 0

    def run(self, daemon: Daemon) -> bool:
        """One cycle. False when it failed: logged, counted, and not published as completed."""
        try:
            detail = daemon.tick(clock.now())
        except Exception as error:  # the one place: a daemon outlives every bad cycle
            self._failures += 1
            self._last_error = f"{type(error).__name__}: {error}"
            log.error("cycle.failed", error=self._last_error, failures=self._failures, where=_where(error))
            return False
        self.count += 1
        self._publish(daemon.interval_s, detail or {})
        return True

    def _publish(self, interval_s: float, detail: Mapping[str, object]) -> None:
        now = clock.now()
        status = Status(
            daemon=self._name,
            pid=os.getpid(),
            pid_started=self._started,
            started_at=self._started_at,
            cycle=self.count,
            completed_at=clock.stamp(now),
            completed_mono=clock.monotonic(),
            interval_s=interval_s,
            failures=self._failures,
            last_error=self._last_error,
            version=__version__,
            code=self._code,
            detail=detail,
        )
        try:
            # Not durable: after a power cut no daemon of that boot lives, so its heartbeat has no meaning.
            files.replace(self._path, json.dumps(_fields(status), default=str).encode() + b"\n", durable=False)
        except files.StorageError as full:
            log.error("status.not_written", error=str(full))


def _fields(status: Status) -> dict[str, object]:
    # `asdict` copies what the detail holds, deeply: a quarter of what a quiet cycle costs.
    return {name: getattr(status, name) for name in Status.__slots__}


def _where(error: BaseException) -> str:
    """`file:line in function` of the innermost frame: enough to find it, in one field."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    code = trace.tb_frame.f_code
    return f"{Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"


# -- signals ----------------------------------------------------------------------------------------------------------


class _Reload:
    asked = False


def _install_signals(wake: Wake) -> _Reload:
    """TERM and INT ask for the end, HUP for a reload. The handlers leave a note and wake the main thread, no more."""
    reload = _Reload()

    def end(_number: int, _frame: FrameType | None) -> None:
        wake.request_stop()

    def again(_number: int, _frame: FrameType | None) -> None:
        reload.asked = True
        wake.set("reload")

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, again)
    return reload


_PR_SET_PDEATHSIG = 1


def die_with_parent(expected_parent: int | None = None) -> None:
    """Ask the kernel to send this process SIGTERM when its parent ends, however that ends. Linux only.

    supervisord's own `kill -9` would leave its programs running, and the next one would double them. With
    *expected_parent*, a parent that died before this call is noticed too.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if expected_parent is not None and os.getppid() != expected_parent:
        raise SystemExit(0)


# -- what runs --------------------------------------------------------------------------------------------------------


def code_hash(code: Path) -> str:
    """A short name of the daemons' source as it is on the disk now: a running daemon with another one is outdated."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted((code / "daemons").rglob("*.py")):
        try:
            content = source.read_bytes()
        except OSError:
            continue
        digest.update(str(source.relative_to(code)).encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def _own_start_ticks() -> int:
    """When this process started, in clock ticks since boot: with the pid, its identity."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[19])


def _refuse(name: str, line: str) -> int:
    sys.stderr.write(f"{name}: {line}\n")  # one plain line: whoever set it wrong reads it at a terminal
    return 2
