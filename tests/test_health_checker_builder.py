"""The builder, with real npm and node: what it builds is whole or dist stays as it was, byte for byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemons import clock, files, processes
from daemons.clock import Wake
from daemons.health_checker.frontend import building, check, copy, exchange, npm, record
from daemons.health_checker.frontend.__main__ import Attempt
from daemons.health_checker.frontend.record import Record
from daemons.settings import CODE, Settings
from tests.conftest import eventually
from tests.drills.frontend import DIES_AT, STEPS
from tests.site import serving, shown

FIXTURE = Path(__file__).parent / "fixtures" / "frontend"

Builder = Callable[..., subprocess.CompletedProcess[str]]
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def project(conf: Settings) -> Path:
    """The frontend of this home, not built yet."""
    shutil.copytree(FIXTURE, conf.frontend_dir)
    return conf.frontend_dir


@pytest.fixture
def begin(environ: dict[str, str]) -> Begin:
    """Start the builder and leave it running."""

    def starter(purpose: str = "heal", **extra: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "daemons.health_checker.frontend", purpose]
        return subprocess.Popen(command, env=environ | extra, stderr=subprocess.PIPE, text=True, cwd=CODE)

    return starter


@pytest.fixture
def build(begin: Begin) -> Builder:
    """Run the builder to its end."""

    def runner(purpose: str = "heal", **extra: str) -> subprocess.CompletedProcess[str]:
        with begin(purpose, **extra) as child:
            _, stderr = child.communicate(timeout=50)
        return subprocess.CompletedProcess(child.args, child.returncode, stderr=stderr)

    return runner


def told(conf: Settings) -> Record:
    last = record.read(conf)
    assert last is not None
    return last


def is_whole(conf: Settings) -> bool:
    return check.look(conf.dist, conf.frontend_url, conf.frontend_dir / "index.html").is_whole


def misbehave(project: Path, mode: str) -> None:
    (project / "src" / "mode.txt").write_text(mode)


def of_attempt(conf: Settings) -> list[int]:
    """Processes that carry the mark of this home's last attempt."""
    last = record.read(conf)
    if last is None:
        return []
    table = processes.table()
    return [pid for pid, seen in table.items() if processes.environment_value(seen, npm.ATTEMPT) == last.attempt]


def test_a_missing_dist_is_built(conf: Settings, project: Path, build: Builder) -> None:
    assert build().returncode == 0

    assert is_whole(conf)
    assert told(conf).outcome == "published"
    assert not (project / exchange.STAGING).exists()
    assert not (conf.state / "frontend-build").exists()


def test_a_whole_dist_is_left_alone(conf: Settings, project: Path, build: Builder) -> None:
    build()
    inode = conf.dist.stat().st_ino

    assert build().returncode == 0

    assert told(conf).outcome == "not_needed"
    assert conf.dist.stat().st_ino == inode


def test_the_project_itself_is_never_written_to(conf: Settings, project: Path, build: Builder) -> None:
    (project / "node_modules" / "broken").mkdir(parents=True)
    (project / "node_modules" / "tool.js").write_text("tool")
    before = shown(project)

    build()

    assert {name: body for name, body in shown(project).items() if not name.startswith("dist/")} == before


def test_what_is_built_can_be_read_by_others(conf: Settings, project: Path, build: Builder) -> None:
    build()

    assert conf.dist.stat().st_mode & 0o777 == 0o755
    assert (conf.dist / "index.html").stat().st_mode & 0o777 == 0o644


def test_it_is_verified_over_http(conf: Settings, project: Path, build: Builder) -> None:
    with serving(conf):
        build()

    assert "verified over HTTP" in told(conf).reason
    assert "not verified" not in told(conf).reason


# -- builds that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("fail", "`npm run build` ended with code 1"),
        ("empty", "built nothing whole: out is missing"),
        ("partial", "is missing"),
    ],
)
def test_a_build_that_fails_leaves_dist_as_it_was(
    conf: Settings, project: Path, build: Builder, mode: str, why: str
) -> None:
    (conf.dist / "assets").mkdir(parents=True)
    (conf.dist / "assets" / "old.js").write_text("old")
    before = shown(conf.dist)
    misbehave(project, mode)

    assert build().returncode == 1

    assert shown(conf.dist) == before
    assert told(conf).outcome == "failed"
    assert why in told(conf).reason
    assert not (project / exchange.STAGING).exists()


def test_the_end_of_npms_output_is_kept_safe_to_show(conf: Settings, project: Path, build: Builder) -> None:
    misbehave(project, "fail")

    build()

    assert "unexpected token" in told(conf).output
    assert "\x1b" not in told(conf).output
    assert "abcdef123456" not in told(conf).output


def test_broken_packages_are_installed_anew_in_the_copy(conf: Settings, project: Path, build: Builder) -> None:
    (project / "node_modules" / "broken").mkdir(parents=True)

    assert build().returncode == 0

    assert is_whole(conf)
    assert "install" in told(conf).seconds
    assert (project / "node_modules" / "broken").is_dir()


def test_nothing_is_installed_from_a_lock_file_that_has_changed(conf: Settings, project: Path, build: Builder) -> None:
    build()
    shutil.rmtree(conf.dist)
    (project / "node_modules" / "broken").mkdir(parents=True)
    lock = project / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")

    assert build().returncode == 1

    assert "has changed since the last good build" in told(conf).reason


def test_without_npm_it_says_what_to_install(conf: Settings, project: Path) -> None:
    files.private_dir(conf.run_dir)

    assert Attempt(conf, "heal", None, Wake()).run() == "failed"

    assert "npm is not installed; install it" in told(conf).reason


def test_a_build_that_hangs_ends_at_its_deadline_with_all_that_it_started(
    conf: Settings, project: Path, build: Builder
) -> None:
    misbehave(project, "hang")

    began = clock.monotonic()
    assert build(CMUX_BUILD_TIMEOUT="2").returncode == 1

    assert "did not end within 2 s" in told(conf).reason
    assert "building in" in told(conf).output
    assert clock.monotonic() - began < 8
    assert of_attempt(conf) == []


def test_a_build_that_fills_the_disk_is_ended_before_it_is_full(
    conf: Settings, project: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    misbehave(project, "hang")
    room = iter([4 << 30, 3 << 30, 300 << 20])
    monkeypatch.setattr(building, "_free_bytes", lambda *_: next(room, 100 << 20))
    files.private_dir(conf.run_dir)

    attempt = Attempt(conf, "heal", npm.locate(), Wake())

    assert attempt.run() == "failed"
    assert "100 MiB of room" in attempt.record.reason
    assert of_attempt(conf) == []
    assert not any(place.exists() for place in copy.places(conf))


def test_node_is_looked_for_where_others_put_it(conf: Settings, project: Path, begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "npm").symlink_to(os.path.realpath(npm.locate() or ""))
    node = tmp_path / ".nvm" / "versions" / "node" / "v20.1.0" / "bin" / "node"
    node.parent.mkdir(parents=True)
    node.symlink_to(shutil.which("node") or "")

    with begin("heal", PATH=str(tmp_path), HOME=str(tmp_path)) as child:
        child.communicate(timeout=20)

    assert is_whole(conf), told(conf).output


def test_a_registry_that_is_out_of_reach_is_explained() -> None:
    assert "registry cannot be reached" in building._explained("npm error code ECONNREFUSED\nnpm error syscall connect")
    assert building._explained("npm error code ELIFECYCLE") == ""


def test_a_missing_node_is_explained() -> None:
    assert "node is not found" in building._explained("/usr/bin/env: ‘node’: No such file or directory")
    assert "node is not found" in building._explained("sh: 1: exec: node: not found")


@pytest.mark.parametrize("name", ["dist", "src/loop"])
def test_a_link_to_itself_is_no_hindrance(conf: Settings, project: Path, build: Builder, name: str) -> None:
    (project / name).symlink_to(Path(name).name)

    assert build().returncode == 0, told(conf).reason

    assert is_whole(conf)


def test_what_a_good_build_leaves_running_is_ended(conf: Settings, project: Path, build: Builder) -> None:
    misbehave(project, "leak")

    assert build().returncode == 0

    assert of_attempt(conf) == []


def test_sigterm_ends_it_and_its_tree_and_undoes_what_was_begun(conf: Settings, project: Path, begin: Begin) -> None:
    misbehave(project, "hang")
    with begin() as child:
        eventually(lambda: len(of_attempt(conf)) >= 3, but=lambda: of_attempt(conf))

        child.terminate()

        assert child.wait(timeout=5) == record.EXIT_CODES["cancelled"]
    assert of_attempt(conf) == []
    assert not (project / exchange.STAGING).exists()


# -- more than one, and kills -----------------------------------------------------------------------------------------


def test_one_builder_at_a_time(conf: Settings, project: Path, build: Builder) -> None:
    files.private_dir(conf.run_dir)

    with files.lock(record.lock_path(conf)):
        assert build().returncode == record.EXIT_BUSY

    assert not conf.dist.exists()


def test_of_four_recoveries_at_once_each_is_done_or_refused_and_dist_is_whole(
    conf: Settings, project: Path, begin: Begin
) -> None:
    at_once = [begin("heal") for _ in range(4)]
    for child in at_once:
        child.communicate(timeout=50)

    codes = [child.returncode for child in at_once]
    assert 0 in codes
    assert set(codes) <= {0, record.EXIT_BUSY}
    assert is_whole(conf)
    assert not (project / exchange.STAGING).exists()
    assert of_attempt(conf) == []


def test_what_a_killed_builder_left_is_ended_and_removed_by_the_next(
    conf: Settings, project: Path, build: Builder, begin: Begin
) -> None:
    misbehave(project, "hang")
    with begin() as child:
        eventually(lambda: len(of_attempt(conf)) >= 3, but=lambda: of_attempt(conf))
        child.kill()
    orphans = of_attempt(conf)

    assert build("recover").returncode == 0

    assert orphans
    assert not any(processes.read(pid) for pid in orphans if not _is_zombie(pid))
    assert not (project / exchange.STAGING).exists()


def _is_zombie(pid: int) -> bool:
    seen = processes.read(pid)
    return seen is not None and seen.ended


def test_a_kill_at_a_random_moment_leaves_a_whole_dist(
    conf: Settings, project: Path, build: Builder, begin: Begin
) -> None:
    build()
    chance = random.Random(7)

    for _ in range(5):
        with begin("rebuild") as child:
            clock.wait_until(lambda: child.poll() is not None, within_s=chance.uniform(0.05, 0.6))
            child.kill()
        assert is_whole(conf)

    build("recover")
    assert is_whole(conf)
    assert of_attempt(conf) == []


def killed_at(point: str, purpose: str, environ: dict[str, str]) -> int:
    """The exit code of a builder that is killed the moment it reaches *point*."""
    command = [sys.executable, "-c", DIES_AT, point, purpose]
    return subprocess.run(command, env=environ, cwd=CODE, capture_output=True, check=False).returncode


def test_a_kill_at_every_named_step_leaves_a_whole_dist(
    conf: Settings, project: Path, build: Builder, environ: dict[str, str]
) -> None:
    build()
    codes = {}

    for point in STEPS:
        codes[point] = killed_at(point, "rebuild", environ)
        assert is_whole(conf), point

    assert codes == dict.fromkeys(STEPS, -signal.SIGKILL)
    build("recover")
    assert is_whole(conf)
    assert not (project / exchange.STAGING).exists()


def test_a_kill_at_any_step_of_putting_the_kept_build_back_is_made_good_by_the_next(
    conf: Settings, project: Path, build: Builder, environ: dict[str, str]
) -> None:
    build()
    built = shown(conf.dist)

    for step in "mend restore synced ready swapped verify ended".split():
        next((conf.dist / "assets").glob("main-*.js")).write_bytes(b"")
        assert killed_at(f"frontend.{step}", "heal", environ) == -signal.SIGKILL
        build("heal")
        assert told(conf).outcome in ("restored", "not_needed"), step
        assert shown(conf.dist) == built, step

    assert not (project / exchange.STAGING).exists()


def test_a_kill_while_a_build_is_kept_leaves_one_that_can_be_put_back(
    conf: Settings, project: Path, build: Builder, environ: dict[str, str]
) -> None:
    build()

    for step in ("keep", "good"):
        assert killed_at(f"frontend.{step}", "rebuild", environ) == -signal.SIGKILL
        build("recover")
        built = shown(conf.dist)
        shutil.rmtree(conf.dist)
        build("heal")
        assert told(conf).outcome == "restored", step
        assert shown(conf.dist) == built, step


def test_a_new_dist_that_is_served_wrong_is_put_back(conf: Settings, project: Path, build: Builder) -> None:
    build()
    before = shown(conf.dist)
    (project / "src" / "main.js").write_text("console.log('changed')")

    with serving(conf) as site:
        site.spoiled["/"] = before["index.html"]  # a server that still has the old page in mind, for good
        assert build("rebuild").returncode == 1

    assert shown(conf.dist) == before
    assert "was put back" in told(conf).reason


# -- the copy ---------------------------------------------------------------------------------------------------------


def test_packages_in_the_copy_are_links_and_caches_stay_behind(tmp_path: Path) -> None:
    source = tmp_path / "project"
    (source / "node_modules" / "tool").mkdir(parents=True)
    (source / "node_modules" / "tool" / "index.js").write_text("tool")
    (source / "node_modules" / ".vite").mkdir()
    (source / "node_modules" / ".bin").mkdir()
    (source / "node_modules" / ".bin" / "tool").symlink_to("../tool/index.js")
    (source / "main.js").write_text("main")
    (source / "dist").mkdir()
    (source / "shared").symlink_to("../shared")

    copy.project(source, tmp_path / "copy", leave_out={source / "dist"}, carry_on=lambda: None)

    made = tmp_path / "copy"
    assert (made / "node_modules" / "tool" / "index.js").samefile(source / "node_modules" / "tool" / "index.js")
    assert (made / "node_modules" / ".bin" / "tool").read_text() == "tool"
    assert not (made / "main.js").samefile(source / "main.js")
    assert os.readlink(made / "shared") == str(tmp_path / "shared")
    assert sorted(os.listdir(made)) == ["main.js", "node_modules", "shared"]
    assert sorted(os.listdir(made / "node_modules")) == [".bin", "tool"]


def test_a_home_that_is_its_own_frontend_is_not_copied_into_itself(conf: Settings, home: Path, build: Builder) -> None:
    shutil.copytree(FIXTURE, home, dirs_exist_ok=True)

    assert build(CMUX_FRONTEND_DIR=".").returncode == 0

    assert (home / "dist" / "index.html").is_file()


def test_npm_sees_no_secrets_of_whoever_started_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("npm_config__authToken", "hidden")
    monkeypatch.setenv("VITE_TITLE", "shown")
    monkeypatch.setenv("CMUX_SUITE_ID", "id")

    seen = npm.environment(Path("/opt/node/bin/npm"), "attempt")

    assert "hidden" not in seen.values()
    assert seen["VITE_TITLE"] == "shown"
    assert seen["CMUX_SUITE_ID"] == "id"
    assert seen["PATH"].startswith("/opt/node/bin:")
