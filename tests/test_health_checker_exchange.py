"""One whole dist is there at every instant: during the exchange, and whatever a kill leaves."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemons import files
from daemons.files import StorageError
from daemons.health_checker.frontend import check, exchange
from daemons.health_checker.frontend.exchange import Places
from daemons.settings import CODE, Settings
from tests.site import shown

T0 = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def lay(folder: Path, version: str) -> Path:
    """A whole build whose files all carry *version*."""
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / f"app-{version}.js").write_text(f"console.log('{version}')")
    (folder / "index.html").write_text(f'<script src="/assets/app-{version}.js"></script>')
    return folder


@pytest.fixture
def at(conf: Settings) -> Places:
    conf.frontend_dir.mkdir(parents=True)
    lay(conf.dist, "old11111")
    places = exchange.places(conf)
    exchange.prepare(places)
    lay(places.out, "new22222")
    return places


def version_of(at: Places) -> str:
    found = check.look(at.dist, at.page_url)
    assert found.is_whole, found.evidence
    return found.assets[0].path[len("assets/app-") :][:3]


def test_the_new_dist_is_in_and_the_old_one_is_at_hand(at: Places) -> None:
    exchange.make_ready(at)

    how = exchange.publish(at)

    assert how == "exchanged"
    assert version_of(at) == "new"
    assert check.look(at.ready, at.page_url).is_whole, "the old one, to put back"


def test_publishing_twice_puts_the_old_one_back(at: Places) -> None:
    before = shown(at.dist)
    exchange.make_ready(at)

    exchange.publish(at)
    exchange.publish(at)

    assert shown(at.dist) == before


def test_a_missing_dist_is_moved_in(at: Places) -> None:
    os.rename(at.dist, at.dist.with_name("gone"))
    exchange.make_ready(at)

    assert exchange.publish(at) == "moved in"
    assert version_of(at) == "new"


@pytest.mark.parametrize("obstacle", ["file", "empty folder", "dangling link"])
def test_whatever_stands_in_the_place_of_dist_is_replaced(at: Places, obstacle: str) -> None:
    os.rename(at.dist, at.dist.with_name("gone"))
    {
        "file": lambda: at.dist.write_text("x"),
        "empty folder": at.dist.mkdir,
        "dangling link": lambda: at.dist.symlink_to("nowhere"),
    }[obstacle]()
    exchange.make_ready(at)

    exchange.publish(at)

    assert version_of(at) == "new"


def test_a_dist_that_is_a_link_keeps_being_one(conf: Settings, tmp_path: Path) -> None:
    conf.frontend_dir.mkdir(parents=True)
    elsewhere = lay(tmp_path / "elsewhere" / "served", "old11111")
    conf.dist.symlink_to(elsewhere)
    places = exchange.places(conf)
    exchange.prepare(places)
    lay(places.out, "new22222")

    exchange.make_ready(places)
    exchange.publish(places)

    assert conf.dist.is_symlink()
    assert (conf.dist / "assets" / "app-new22222.js").exists()
    assert places.staging.parent == elsewhere.parent


def test_a_dist_that_is_a_mount_is_named_as_such(at: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange.make_ready(at)

    def busy(*_: object) -> bool:
        raise StorageError("exchange", at.ready, OSError(errno.EBUSY, "Device or resource busy"))

    monkeypatch.setattr(files, "exchange", busy)

    with pytest.raises(OSError, match="is a mount of its own"):
        exchange.publish(at)


def test_git_does_not_see_the_staging_folder(at: Places) -> None:
    assert (at.staging / ".gitignore").read_text() == "*\n"


# -- readers ----------------------------------------------------------------------------------------------------------


def test_no_reader_misses_anything_while_it_is_exchanged_again_and_again(at: Places) -> None:
    """A page load: the index, then the asset that it named, from dist or from what was kept."""
    exchange.make_ready(at)
    loads, misses, done = [0], [], threading.Semaphore(0)

    def kept(name: str) -> bool:
        return any((folder / name).exists() for folder in sorted(at.previous.iterdir(), reverse=True))

    def load() -> None:
        while not done.acquire(blocking=False):
            index = (at.dist / "index.html").read_text()
            name = index.split('"')[1].lstrip("/")
            # As the API looks: among what was kept only after a miss in dist, else it may have been kept in between.
            if not (at.dist / name).exists() and not kept(name):
                misses.append(name)
            loads[0] += 1

    exchange.keep_assets(at, T0)
    reader = threading.Thread(target=load)
    reader.start()
    try:
        for number in range(200):
            exchange.keep_assets(at, T0 + timedelta(seconds=number + 1))
            exchange.publish(at)
            exchange.forget_assets(at, T0 + timedelta(seconds=number + 1))
    finally:
        done.release()
        reader.join()

    assert misses == []
    assert loads[0] > 100


def test_old_assets_are_kept_for_open_pages_and_let_go_in_the_end(at: Places) -> None:
    exchange.keep_assets(at, T0)
    kept = next(at.previous.iterdir())

    exchange.forget_assets(at, T0 + timedelta(hours=23))
    assert shown(kept) == {"assets/app-old11111.js": b"console.log('old11111')"}

    exchange.forget_assets(at, T0 + timedelta(hours=25))
    assert list(at.previous.iterdir()) == []


def test_assets_of_ten_builds_at_most_are_kept_once_no_load_can_need_them(at: Places) -> None:
    for minute in range(30):
        exchange.keep_assets(at, T0 + timedelta(minutes=minute))

    exchange.forget_assets(at, T0 + timedelta(minutes=29, seconds=30))
    exchange.forget_assets(at, T0 + timedelta(hours=2))

    assert len(list(at.previous.iterdir())) == exchange.KEPT_AT_MOST
    assert all(not path.stat().st_mode & 0o077 for path in at.previous.rglob("*") if path.is_dir())


# -- kills ------------------------------------------------------------------------------------------------------------

STEPS = ["frontend.synced", "frontend.ready", "frontend.swapped", "exchange.done"]


def publish_and_die(at: Places, step: str, *, two_steps: bool) -> None:
    def die(reached: str) -> None:
        if reached == step:
            os._exit(9)

    files.reached = die
    if two_steps:
        files.exchange = lambda _a, _b: False
    exchange.make_ready(at)
    exchange.publish(at)
    os._exit(0)


def killed(target: Callable[..., None], *arguments: object, **options: object) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=target, args=arguments, kwargs=options)
    child.start()
    child.join()
    return child.exitcode


@pytest.fixture(params=["dist is there", "dist is missing", "dist is broken"])
def start_from(request: pytest.FixtureRequest, at: Places) -> Iterator[str]:
    if request.param == "dist is missing":
        os.rename(at.dist, at.dist.with_name("gone"))
    elif request.param == "dist is broken":
        (at.dist / "index.html").unlink()
    return request.param


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_a_whole_dist_or_one_that_is_mended(at: Places, start_from: str, step: str) -> None:
    killed(publish_and_die, at, step, two_steps=False)
    whole_at_once = check.look(at.dist, at.page_url).is_whole

    exchange.mend(at)

    if start_from == "dist is there":
        assert whole_at_once
    if step != "frontend.synced" or start_from == "dist is there":
        assert check.look(at.dist, at.page_url).is_whole
    assert not at.staging.exists()


@pytest.mark.parametrize("step", ["frontend.aside", "frontend.swapped"])
def test_without_exchange_a_kill_between_the_two_steps_is_mended(at: Places, step: str) -> None:
    assert killed(publish_and_die, at, step, two_steps=True) == 9

    exchange.mend(at)

    assert version_of(at) == "new"
    assert not at.staging.exists()


def test_a_build_that_was_not_checked_is_never_put_in(at: Places) -> None:
    (at.dist / "index.html").unlink()

    exchange.mend(at)

    assert not (at.dist / "index.html").exists()
    assert not at.staging.exists()


def test_nothing_to_mend_is_nothing(conf: Settings) -> None:
    conf.frontend_dir.mkdir(parents=True)

    assert exchange.mend(exchange.places(conf)) is None


def test_a_folder_that_nobody_may_enter_is_removed_all_the_same(tmp_path: Path) -> None:
    shut = tmp_path / "old" / "assets"
    shut.mkdir(parents=True)
    (shut / "app.js").write_text("x")
    shut.chmod(0)
    program = "import sys\nfrom pathlib import Path\nfrom daemons.health_checker.frontend import copy\n"
    program += "copy.remove(Path(sys.argv[1]))"

    # Root may enter any folder: here it gives that up, as every other user has to.
    caps = "-dac_override,-dac_read_search"
    as_anybody = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"] if os.getuid() == 0 else []
    subprocess.run([*as_anybody, sys.executable, "-c", program, tmp_path / "old"], cwd=CODE, check=True)

    assert not (tmp_path / "old").exists()
