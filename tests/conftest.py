"""What every test may ask for: a home of its own, real daemons in it, and waiting without sleeping."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hypothesis
import pytest

from daemons import clock, settings, supervisor
from daemons.settings import Settings

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("cmux", deadline=None)
hypothesis.settings.load_profile("cmux")

if TYPE_CHECKING:
    from daemons import mailbox

T = TypeVar("T")

# A suite that runs the tests must not lend them its own settings.
for _name in [name for name in os.environ if name.startswith(("CMUX_", "SUPERVISOR_"))]:
    del os.environ[_name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--may-skip", action="store_true", help="let tests be skipped that need what is not here, as root")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that is skipped proves nothing: it fails, unless whoever runs it knows that."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and not item.config.getoption("--may-skip"):
        report.outcome = "failed"
        report.longrepr = f"was skipped: {_why_skipped(report)}; --may-skip lets it"


def _why_skipped(report: pytest.TestReport) -> str:
    return str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)


def eventually(condition: Callable[[], T], within_s: float = 5.0, *, but: Callable[[], object] | None = None) -> T:
    """Wait until *condition* is true and return its answer; fail, showing what *but* saw instead, after *within_s*."""
    answer = clock.wait_until(condition, within_s=within_s)
    if not answer:
        seen = but() if but else answer
        pytest.fail(f"not within {within_s:g} s; seen instead: {seen!r}", pytrace=True)
    return answer


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on, from the kernel."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home, gone afterwards. Its path is short enough for the sockets in it; that of `tmp_path` is not."""
    with tempfile.TemporaryDirectory(prefix="cmux-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@pytest.fixture
def environ(home: Path) -> Iterator[dict[str, str]]:
    """The environment for a program of this home: free port, tmux server of its own (ended afterwards)."""
    name = f"cmux-test-{os.getpid()}-{secrets.token_hex(4)}"
    own = {name: value for name, value in os.environ.items() if name not in {"TMUX", "TMUX_PANE"}}
    yield own | {
        "CMUX_HOME": str(home),
        "CMUX_PORT": str(free_port()),
        "CMUX_TMUX_SOCKET": name,
        "CMUX_WATCHED_LOGS": "server.log",
        "PYTHONPATH": str(settings.CODE),
    }
    _end_tmux(name)


def _end_tmux(name: str) -> None:
    subprocess.run(["tmux", "-L", name, "kill-server"], capture_output=True, timeout=10, check=False)
    (Path(os.environ.get("TMUX_TMPDIR", "/tmp")) / f"tmux-{os.getuid()}" / name).unlink(missing_ok=True)


@pytest.fixture
def conf(environ: dict[str, str]) -> Iterator[Settings]:
    """The settings of this test's home."""
    made = settings.load(environ)
    yield made
    supervisor.remove_sockets(made)  # of a home with a long path, in /tmp


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start a daemon for real: `start("log_watcher", CMUX_ALERT_COOLDOWN="1")`.

    Each one is ended with SIGTERM afterwards and must obey within 2 s with exit code 0, so every test that starts a
    daemon tests its end too. What it logged is in `tmp_path/<daemon>.stderr`.
    """
    running: list[subprocess.Popen[bytes]] = []

    def starter(name: str, **extra: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{name}.stderr").open("ab") as stderr:
            child = subprocess.Popen(
                [sys.executable, "-m", f"daemons.{name}"], env=environ | extra, stderr=stderr, stdout=stderr
            )
        running.append(child)
        return child

    yield starter
    for child in running:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        code = child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        pytest.fail(f"{child.args!r} did not end on SIGTERM")
    assert code == 0, f"{child.args!r} ended with {code} on SIGTERM"


@pytest.fixture
def mail(conf: Settings) -> Callable[[], list[mailbox.Message]]:
    """All messages in this home's mailbox that can be read."""
    from daemons import mailbox

    def read() -> list[mailbox.Message]:
        if not conf.mailbox.exists():
            return []
        return [mailbox.parse(line) for line in conf.mailbox.read_bytes().splitlines() if line.strip()]

    return read


Cmux = Callable[..., "subprocess.CompletedProcess[str]"]


def run_cmux(
    words: Sequence[str], environ: Mapping[str, str], home: Path, *, stdin: str = "", within_s: float = 50
) -> subprocess.CompletedProcess[str]:
    """Run `cmux words` in *home*, not on a terminal."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "daemons.cli", *words],
        env=dict(environ),
        cwd=home,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


@pytest.fixture
def cmux(environ: Mapping[str, str], home: Path) -> Cmux:
    """Run the command in this test's home: `cmux("mail", "send", "user", "hello", CMUX_AGENT_ID="a")`."""

    def run(*words: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return run_cmux(words, {**environ, **extra}, home, stdin=stdin)

    return run


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `--json` printed: one object, alone on stdout, in the frame that every command keeps."""
    parsed = json.loads(done.stdout)
    assert isinstance(parsed["ok"], bool)
    assert parsed["schema"] == 1
    return dict(parsed)


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH on which there is nothing: no tmux, no node, no npm."""
    bare = tmp_path / "bare"
    bare.mkdir()
    return str(bare)
