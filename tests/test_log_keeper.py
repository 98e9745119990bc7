from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import eventually

from daemons import alerts, clock, loop, supervisor
from daemons.clock import Wake
from daemons.log_keeper import holding
from daemons.log_keeper.holding import Held, Keeper
from daemons.log_watcher import keeper as client
from daemons.log_watcher import marker
from daemons.log_watcher.__main__ import LogWatcher
from daemons.settings import Settings

NAME = "log_keeper"


@pytest.fixture
def log(home: Path) -> Path:
    return home / "server.log"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def detail(conf: Settings) -> dict[str, object]:
    status = loop.read_status(conf, NAME)
    return dict(status.detail) if status else {}


def held(conf: Settings) -> dict[str, int]:
    """What the keeper holds now: path -> bytes that were lost. Asked as a watcher would."""
    asking = client.Keeper(conf)
    found = {path: one.lost_bytes for path, kept in asking._given.items() for one in kept}
    for kept in asking._given.values():
        for one in kept:
            one.source.close()
    asking._given = {}
    asking.close()
    return found


def counted(conf: Settings) -> int:
    return sum(alert.count for alert in alerts.all_open(conf) if alert.kind == "log")


def dead_watcher(start, conf: Settings, log: Path) -> None:
    """A watcher that has read *log* and is killed."""
    first = start("log_watcher")
    eventually(lambda: loop.read_status(conf, "log_watcher"))
    append(log, "ERROR: before\n")
    eventually(lambda: counted(conf) == 1)
    eventually(lambda: (marker.load(conf.markers_dir, str(log)) or marker.Marker("")).events == 1)
    eventually(lambda: (conf.run_dir / client.FOLLOWED).exists())
    first.kill()
    first.wait()


def keeper_runs(conf: Settings) -> bool:
    return supervisor.socket_path(conf, f"{NAME}.sock").exists() and bool(detail(conf))


# -- what it is for ---------------------------------------------------------------------------------------------------


def test_what_is_deleted_while_the_watcher_is_dead_is_told(start, mail, conf, log):
    start(NAME)
    eventually(lambda: keeper_runs(conf))
    dead_watcher(start, conf, log)

    append(log, "CRITICAL: last words\n")
    log.unlink()
    start("log_watcher")

    eventually(lambda: len(mail()) == 2, but=mail)
    assert "CRITICAL: last words" in (conf.home / str(mail()[1].body)).read_text()


def test_a_file_that_comes_and_goes_while_the_watcher_is_dead_is_told(start, mail, conf, log):
    start(NAME)
    eventually(lambda: keeper_runs(conf))
    dead_watcher(start, conf, log)
    log.unlink()

    append(log, "CRITICAL: short life\n")
    eventually(lambda: detail(conf).get("held") == 2)
    log.unlink()
    append(log, "FATAL: the third\n")
    start("log_watcher")

    eventually(lambda: counted(conf) == 3, but=mail)


def test_it_is_small_and_its_heartbeat_goes_on(start, conf):
    child = start(NAME)
    first = eventually(lambda: loop.read_status(conf, NAME))
    assert first.pid == child.pid

    rows = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    rss_kb = next(int(row.split()[1]) for row in rows if row.startswith("VmRSS:"))
    assert rss_kb < 12 << 10
    eventually(lambda: loop.read_status(conf, NAME).cycle > first.cycle)


def test_started_anew_it_is_given_what_is_read(start, conf, log):
    first = start(NAME)
    eventually(lambda: keeper_runs(conf))
    start("log_watcher")
    append(log, "INFO: fine\n")
    eventually(lambda: detail(conf).get("held") == 1)
    first.kill()
    first.wait()
    log.unlink()

    start(NAME)

    eventually(lambda: detail(conf).get("nameless") == 1)


def test_a_keeper_that_is_stuck_holds_up_no_watcher(start, mail, conf, log):
    stuck = start(NAME)
    eventually(lambda: keeper_runs(conf))
    stuck.send_signal(signal.SIGSTOP)
    try:
        start("log_watcher")
        append(log, "ERROR: one\n")

        eventually(lambda: len(mail()) == 1, but=mail)
    finally:
        stuck.send_signal(signal.SIGCONT)


def test_what_was_read_to_its_end_is_let_go(start, conf, log, monkeypatch):
    monkeypatch.setattr("daemons.log_watcher.lineage.DRAIN_S", 0.0)
    start(NAME)
    eventually(lambda: keeper_runs(conf))
    watcher = LogWatcher(conf, Wake())
    append(log, "ERROR: x\n")
    eventually(lambda: cycle(watcher) and detail(conf).get("held") == 1)

    log.unlink()

    eventually(lambda: cycle(watcher) and detail(conf).get("held") == 0)
    watcher.close()


def cycle(watcher: LogWatcher) -> bool:
    watcher._look_at = 0.0
    watcher.tick(clock.now())
    return True


def test_a_second_one_says_who_lives(start, environ, conf):
    child = start(NAME)
    eventually(lambda: keeper_runs(conf))

    ran = subprocess.run([sys.executable, "-m", "daemons.log_keeper"], env=environ, capture_output=True, text=True)

    assert ran.returncode == 2
    assert str(child.pid) in ran.stderr


# -- its bounds -------------------------------------------------------------------------------------------------------


def holder(*paths: Path) -> Keeper:
    keeper = Keeper()
    keeper.paths = [os.fsencode(path) for path in paths]
    keeper.look()
    return keeper


def end(keeper: Keeper) -> None:
    for key in list(keeper.held):
        keeper.let_go(*key)


def test_its_command_line_is_short_in_every_table(start, conf):
    keeper = start(NAME)
    eventually(lambda: keeper_runs(conf))

    *_, program, told = Path(f"/proc/{keeper.pid}/cmdline").read_text().rstrip("\0").split("\0")

    assert program.endswith("/log_keeper/holding.py")
    assert told.isdigit()
    assert not Path(f"/proc/{keeper.pid}/fd/{told}").is_fifo()


def test_only_regular_files_are_held(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")

    keeper = holder(tmp_path / "fifo", tmp_path / "folder", tmp_path / "loop", tmp_path / "none", Path("/dev/zero"))

    assert keeper.held == {}


def test_files_without_a_name_are_kept_within_bounds_and_what_is_let_go_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "NAMELESS_LIMIT_BYTES", 100_000)
    log = tmp_path / "server.log"
    keeper = holder(log)
    for _ in range(5):
        log.write_bytes(b"x" * 40_960)
        keeper.look()
        log.unlink()
    keeper.look()

    kept = len(keeper.held)
    end(keeper)

    assert kept == 2
    assert keeper.lost == {os.fsencode(log): 3 * 40_960}


def test_a_table_that_is_full_takes_no_more_but_in_the_place_of_what_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "FILES_LIMIT", 2)
    logs = [tmp_path / f"{name}.log" for name in "abc"]
    for log in logs:
        log.write_text("x")

    keeper = holder(*logs)
    paths = [one.path for one in keeper.held.values()]
    logs[0].unlink()
    keeper.look()
    keeper.look()
    now = [one.path for one in keeper.held.values()]
    end(keeper)

    assert paths == [os.fsencode(log) for log in logs[:2]]
    assert now == [os.fsencode(log) for log in logs[1:]]


def test_what_was_truncated_while_nobody_watched_is_counted(tmp_path):
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * 1000)
    one = Held(os.open(log, os.O_RDONLY), os.fsencode(log))

    os.truncate(log, 0)
    one.look()
    os.close(one.fd)

    assert one.lost == 1000


def test_the_ledger_tells_what_was_truncated_while_the_watcher_was_dead(start, conf, log, monkeypatch):
    monkeypatch.setattr("daemons.log_watcher.lineage.MISSING_S", 0.0)
    start(NAME)
    eventually(lambda: keeper_runs(conf))
    dead_watcher(start, conf, log)
    append(log, "ERROR: nobody will see this\n")
    eventually(lambda: detail(conf).get("watcher_lives") is False)
    size = log.stat().st_size
    eventually(lambda: held(conf) == {str(log): 0})
    eventually(lambda: detail(conf).get("watcher_lives") is False)

    os.truncate(log, 0)
    eventually(lambda: detail(conf).get("lost_bytes") == size)
    watcher = LogWatcher(conf, Wake())
    cycle(watcher)
    cycle(watcher)
    gaps = watcher._logs[str(log)].marker.gaps
    watcher.close()

    assert gaps == {"truncated while nobody watched": [1, len("ERROR: nobody will see this\n")]}


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to be somebody else")
def test_another_user_is_turned_away(tmp_path):
    path = Path("/tmp") / f"cmux-test-{os.getpid()}.sock"
    server = holding.Server(str(path), str(tmp_path / "list"), str(tmp_path / "status"), "{}")
    os.chmod(path, 0o777)
    code = (
        f"import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
        f"s.settimeout(5); s.connect({str(path)!r}); print(s.recv(10))"
    )
    stranger = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        server._accept()
        said, _ = stranger.communicate(timeout=10)
    finally:
        stranger.kill()
        server._listening.close()
        path.unlink()

    assert server._client is None
    assert said == "b''\n"
