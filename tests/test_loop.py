"""Tests of daemons.loop: real processes with tiny daemons inside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from daemons import loop, settings
from tests.conftest import eventually

DAEMON = """
import sys
from daemons import loop

class Counter:
    def __init__(self, conf, wake):
        self.interval_s = {interval_s}
        self.port = conf.port
        self.n = 0
    def tick(self, now):
        self.n += 1
        {tick}
        return {{"n": self.n, "port": self.port}}
    def close(self):
        print("closed", flush=True)

sys.exit(loop.run("counter", Counter))
"""


@pytest.fixture
def counter(environ):
    running = []

    def starter(tick: str = "pass", interval_s: float = 0.02, **extra: str) -> subprocess.Popen[bytes]:
        code = DAEMON.format(tick=tick, interval_s=interval_s)
        child = subprocess.Popen(
            [sys.executable, "-c", code], env=environ | extra, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        running.append(child)
        return child

    yield starter
    for child in running:
        child.kill()
        child.communicate()


def cycle(conf) -> int:
    status = loop.read_status(conf, "counter")
    return status.cycle if status else 0


def test_each_completed_cycle_is_published_with_its_detail(counter, conf):
    child = counter()

    eventually(lambda: cycle(conf) > 3)

    status = loop.read_status(conf, "counter")
    assert status.pid == child.pid
    assert status.detail["port"] == conf.port
    assert status.code == loop.code_hash(settings.CODE)
    assert 0 <= status.age_s < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_closes_and_ends_with_zero(counter, conf, number):
    child = counter(interval_s=3600)
    eventually(lambda: cycle(conf) == 1)

    child.send_signal(number)

    out, _ = child.communicate(timeout=5)
    assert (out, child.returncode) == (b"closed\n", 0)


def test_a_bad_cycle_is_logged_and_the_next_one_runs(counter, conf):
    child = counter(tick="assert self.n != 2, 'two is bad'")
    eventually(lambda: cycle(conf) >= 3)

    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=5)

    (failed,) = [line for line in map(json.loads, err.splitlines()) if line["event"] == "cycle.failed"]
    assert "two is bad" in failed["error"]
    assert loop.read_status(conf, "counter").failures == 1


def test_a_hanging_cycle_shows_by_the_age_of_the_last_completed_one(counter, conf):
    counter(tick="self.n == 2 and __import__('signal').pause()")

    eventually(lambda: cycle(conf) == 1)
    eventually(lambda: loop.read_status(conf, "counter").age_s > 0.2)
    assert cycle(conf) == 1


def test_wrong_settings_end_it_with_one_line_and_exit_code_2(counter):
    child = counter(CMUX_PORT="many")

    _, err = child.communicate(timeout=5)

    assert child.returncode == 2
    assert err.decode().count("\n") == 1
    assert "CMUX_PORT='many'" in err.decode()


def test_a_home_has_only_one_daemon_of_a_name(counter, conf, monkeypatch):
    first = counter()
    eventually(lambda: cycle(conf) > 0)

    second = counter()
    _, err = second.communicate(timeout=10)

    assert second.returncode == 2
    assert f"pid {first.pid}" in err.decode()


def test_a_successor_waits_for_the_one_that_is_ending(counter, conf):
    first = counter()
    eventually(lambda: cycle(conf) > 0)
    second = counter()

    first.send_signal(signal.SIGTERM)

    eventually(lambda: loop.read_status(conf, "counter").pid == second.pid)


def test_hangup_reads_the_settings_again(counter, conf, home, environ):
    del environ["CMUX_PORT"]
    child = counter(CMUX_CONF=str(home / "my.conf")) if _write(home, 8101) else None
    eventually(lambda: cycle(conf) > 0)

    _write(home, 8102)
    child.send_signal(signal.SIGHUP)

    eventually(lambda: loop.read_status(conf, "counter").detail["port"] == 8102)
    assert loop.read_status(conf, "counter").pid == child.pid


def test_hangup_with_wrong_settings_keeps_the_old_ones(counter, conf, home, environ):
    del environ["CMUX_PORT"]
    child = counter(CMUX_CONF=str(home / "my.conf")) if _write(home, 8101) else None
    eventually(lambda: cycle(conf) > 0)
    before = cycle(conf)

    (home / "my.conf").write_text("[cmux]\nCMUX_PORT = many\n")
    child.send_signal(signal.SIGHUP)

    eventually(lambda: cycle(conf) > before + 5)
    assert loop.read_status(conf, "counter").detail["port"] == 8101


def _write(home, port: int) -> bool:
    (home / "my.conf").write_text(f"[cmux]\nCMUX_PORT = {port}\n")
    return True


def test_a_status_file_of_nonsense_is_no_status(conf):
    conf.status_dir.mkdir(parents=True)
    for nonsense in (b"", b"{", b"[]", b'{"pid": 1}', b"\xff"):
        (conf.status_dir / "counter.json").write_bytes(nonsense)
        assert loop.read_status(conf, "counter") is None


def test_the_code_hash_changes_with_the_code(tmp_path):
    (tmp_path / "daemons").mkdir()
    (tmp_path / "daemons" / "a.py").write_text("x = 1\n")
    before = loop.code_hash(tmp_path)

    (tmp_path / "daemons" / "a.py").write_text("x = 2\n")

    assert loop.code_hash(tmp_path) != before


def test_a_process_can_ask_to_die_with_its_parent():
    inner = "from daemons import loop; loop.die_with_parent(); print('ready', flush=True); __import__('signal').pause()"
    outer = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {inner!r}]).wait()"
    parent = subprocess.Popen(
        [sys.executable, "-c", outer], stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(settings.CODE))
    )
    assert parent.stdout.readline() == b"ready\n"

    parent.kill()

    parent.communicate(timeout=5)  # the pipe closes when its last writer, the child, has ended too
