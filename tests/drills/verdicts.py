"""A real suite whose parts stop, hang, vanish or are replaced: how long until that is known, and until it is mended.

ROUNDS times each of:  SIGSTOP of each daemon: told within two of its cycles, running again soon after.
A service that is frozen, refuses, accepts and says nothing, has lost its port to a stranger, or fails its own check:
the verdict within one health interval and a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import clock, loop, processes, settings, start, stop, supervisor
from daemons.alerts import all_open
from daemons.settings import Settings
from daemons.supervisor import Rpc
from tests.conftest import free_port
from tests.drills.report import Report

HEALTH_INTERVAL_S = 5.0
REPAIRED_WITHIN_S = 30.0
SERVER = """
import http.server, signal, socketserver, sys, threading, time

class Answers(http.server.BaseHTTPRequestHandler):
    is_mute = False
    def do_GET(self):
        while Answers.is_mute:
            time.sleep(0.05)
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\\n")
    def log_message(self, *_): pass

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

server = Server(("127.0.0.1", int(sys.argv[1])), Answers)
signal.signal(signal.SIGUSR1, lambda *_: server.socket.close())
signal.signal(signal.SIGUSR2, lambda *_: setattr(Answers, "is_mute", True))
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    time.sleep(60)
"""
STRANGER = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]


def run(rounds: int, folder: Path) -> Report:
    """See above; every kind *rounds* times, on one suite in *folder*."""
    report = Report("verdicts")
    with _suite(folder) as conf:
        for _ in range(rounds):
            for name in supervisor.PROGRAMS:
                report.count(f"SIGSTOP {name}", _stopped(conf, name, report))
            for kind, (cause, wanted) in _CAUSES.items():
                report.count(f"service {kind}", _wronged(conf, kind, cause, wanted, report))
    return report


@contextmanager
def _suite(home: Path) -> Iterator[Settings]:
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    (home / "server.py").write_text(SERVER)
    (home / "conf").mkdir()
    service = f"command = {sys.executable} server.py {port}\nport = {port}\nhealth = http://127.0.0.1:{port}/\n"
    (home / "conf" / "cmux.conf").write_text(f"[service:web]\n{service}")
    os.environ.update(CMUX_HOME=str(home), CMUX_PORT=str(free_port()), CMUX_TMUX_SOCKET=home.name)
    os.environ.update(CMUX_HEALTH_INTERVAL=f"{HEALTH_INTERVAL_S:g}")
    conf = settings.load()
    started = start.start(conf)
    try:
        if not started.healthy:
            raise SystemExit(f"the suite of the drill does not start: {started.problem}")
        yield conf
    finally:
        stop.stop(conf)


def _pid(conf: Settings, program: str) -> int:
    return next((each.pid for each in Rpc(conf).processes() if each.name == program), 0)


# -- daemons that are stopped -----------------------------------------------------------------------------------------


def _stopped(conf: Settings, name: str, report: Report) -> str:
    """Stop *name* with SIGSTOP once it is settled; what was wrong with what followed."""
    _until(lambda: _is_steady(conf, name), 60.0)
    before = loop.read_status(conf, name)
    if before is None:
        return f"{name} has no status"
    os.kill(before.pid, signal.SIGSTOP)
    noticed_s = _until(lambda: _hangs(conf, name), 60.0)
    repaired_s = _until(lambda: _is_another(conf, name, before.pid), REPAIRED_WITHIN_S)
    cycles = noticed_s / before.interval_s
    report.most(f"SIGSTOP {name}: most cycles until told", round(cycles, 2))
    report.most(f"SIGSTOP {name}: most seconds until told", round(noticed_s, 2))
    report.most(f"SIGSTOP {name}: most seconds from there until repaired", round(repaired_s, 2))
    if cycles > 2.1:
        return f"{name}: told after {noticed_s:.1f} s, {cycles:.1f} of its cycles of {before.interval_s:g} s"
    return f"{name}: not repaired {repaired_s:.0f} s later" if repaired_s >= REPAIRED_WITHIN_S else ""


def _is_steady(conf: Settings, name: str) -> bool:
    """Up for some cycles, and nothing is told of it any more."""
    status = loop.read_status(conf, name)
    return status is not None and status.cycle >= 3 and status.age_s < 1 and not _hangs(conf, name)


def _hangs(conf: Settings, name: str) -> bool:
    about = {alert.subject for alert in all_open(conf) if alert.kind in ("hangs", "frozen")}
    return name in about


def _is_another(conf: Settings, name: str, pid: int) -> bool:
    status = loop.read_status(conf, name)
    return status is not None and status.pid != pid and status.cycle > 0


# -- a service that is wronged ----------------------------------------------------------------------------------------


def _freeze(pid: int, _port: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def _close(pid: int, _port: int) -> None:
    os.kill(pid, signal.SIGUSR1)


def _mute(pid: int, _port: int) -> None:
    os.kill(pid, signal.SIGUSR2)


def _replace(pid: int, port: int) -> None:
    _close(pid, port)
    # Closed in one thread, the socket listens on until the other has stopped waiting on it.
    clock.wait_until(lambda: processes.can_bind("127.0.0.1", port), within_s=5.0)
    _strangers.append(subprocess.Popen([*STRANGER, str(port)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))


_strangers: list[subprocess.Popen[bytes]] = []
_CAUSES: dict[str, tuple[Callable[[int, int], None], str]] = {
    "frozen": (_freeze, "frozen"),
    "refuses": (_close, "refused"),
    "half open": (_mute, "frozen"),
    "replaced by a stranger": (_replace, "foreign"),
}


def _wronged(conf: Settings, kind: str, cause: Callable[[int, int], None], wanted: str, report: Report) -> str:
    service = conf.services[0]
    program = f"service-{service.name}"
    assert service.port
    _until(lambda: _verdict(conf, service.name) == "healthy", 60.0)
    cause(_pid(conf, program), service.port)
    known_s = _until(lambda: _verdict(conf, service.name) == wanted, 60.0)
    report.most(f"service {kind}: most seconds until the verdict", round(known_s, 2))
    while _strangers:
        _strangers[0].kill()
        _strangers.pop(0).wait()
    Rpc(conf).restart(program)
    allowed_s = HEALTH_INTERVAL_S + 1.0
    return f"service {kind}: {wanted} after {known_s:.1f} s, {allowed_s:g} are allowed" if known_s > allowed_s else ""


def _verdict(conf: Settings, service: str) -> str:
    status = loop.read_status(conf, "health_checker")
    services = status.detail.get("services") if status else None
    return str(services[service]["status"]) if isinstance(services, dict) and service in services else ""


def _until(condition: Callable[[], bool], within_s: float) -> float:
    """Seconds until *condition* held, *within_s* when it never did."""
    begun = clock.monotonic()
    clock.wait_until(condition, within_s=within_s, every_s=0.02)
    return clock.monotonic() - begun
