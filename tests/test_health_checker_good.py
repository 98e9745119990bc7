"""The last whole build: dist is judged against it, and it is put back where dist is broken."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemons import builds
from daemons.health_checker.frontend import check, content, copy, good, record
from daemons.health_checker.frontend.sources import Sources
from daemons.settings import CODE, Settings
from tests.site import shown

FIXTURE = Path(__file__).parent / "fixtures" / "frontend"

Builder = Callable[..., str]


@pytest.fixture
def build(conf: Settings, environ: dict[str, str]) -> Builder:
    """Run the builder to its end in a project of this home; how it ended."""
    shutil.copytree(FIXTURE, conf.frontend_dir)

    def runner(purpose: str = "heal", **extra: str) -> str:
        command = [sys.executable, "-P", "-m", "daemons.health_checker.frontend", purpose]
        subprocess.run(command, env=environ | extra, cwd=CODE, capture_output=True, check=False, timeout=50)
        last = record.read(conf)
        assert last is not None
        return str(last.outcome)

    return runner


def related(conf: Settings, sources: str | None = None) -> str:
    kept = good.read(conf)
    return good.relation(kept, check.look(conf.dist, conf.frontend_url), sources)[0]


def script(conf: Settings) -> Path:
    return next((conf.dist / "assets").glob("main-*.js"))


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


def test_wrong_bytes_are_damage_and_put_right_without_npm(conf: Settings, build: Builder) -> None:
    build()
    before = shown(conf.dist)
    assert related(conf) == "same"

    rewrite(script(conf))

    assert related(conf) == "damaged"
    assert build("heal") == "restored"
    assert shown(conf.dist) == before
    assert related(conf) == "same", "what is written anew later is seen as well"


def test_a_dist_that_is_gone_is_back_and_built_anew_where_its_sources_are_others(
    conf: Settings, build: Builder
) -> None:
    build()
    before = shown(conf.dist)
    shutil.rmtree(conf.dist)
    (conf.frontend_dir / "src" / "main.js").write_text("console.log('new')")

    assert build("heal") == "published"
    assert shown(conf.dist) != before

    shutil.rmtree(conf.dist)
    (conf.frontend_dir / "src" / "mode.txt").write_text("fail")
    assert build("heal") == "failed"
    assert check.look(conf.dist, conf.frontend_url).is_whole, "the last whole build serves meanwhile"


def test_a_kept_build_that_is_not_sound_any_more_is_not_put_in(conf: Settings, build: Builder) -> None:
    build()
    for path in (builds.good(conf) / "files" / "assets").iterdir():
        rewrite(path)
    shutil.rmtree(conf.dist)

    assert build("heal") == "published"
    assert check.look(conf.dist, conf.frontend_url).is_whole


def test_a_build_of_somebody_else_is_followed_and_its_predecessors_assets_stay(conf: Settings, build: Builder) -> None:
    build()
    old = script(conf).relative_to(conf.dist)
    shutil.rmtree(conf.dist)
    (conf.dist / "assets").mkdir(parents=True)
    (conf.dist / "assets" / "app-Abcdef12.js").write_text("console.log(1)")
    (conf.dist / "index.html").write_text('<script src="/assets/app-Abcdef12.js"></script>')

    assert related(conf) == "replaced"
    assert build("keep") == "kept"

    assert related(conf) == "same"
    assert [stamp for stamp in builds.previous(conf).iterdir() if (stamp / old).is_file()]


def test_an_earlier_dist_that_comes_back_is_of_earlier_sources(conf: Settings, build: Builder, home: Path) -> None:
    build()
    first = good.read(conf)
    shutil.copytree(conf.dist, home / "first")
    (conf.frontend_dir / "src" / "main.js").write_text("console.log('new')")
    build("rebuild")
    shutil.rmtree(conf.dist)
    shutil.copytree(home / "first", conf.dist)

    assert build("keep") == "kept"

    now = good.read(conf)
    assert first is not None
    assert now is not None
    assert now.sources == first.sources
    assert now.sources != Sources(conf.frontend_dir).digest()


def test_sources_are_others_by_content_alone(conf: Settings, build: Builder) -> None:
    sources = Sources(conf.frontend_dir)
    before = sources.digest()

    os.utime(conf.frontend_dir / "src" / "main.js", (1, 1))
    (conf.frontend_dir / "README.md").write_text("read me")
    assert sources.digest() == before

    (conf.frontend_dir / "src" / "main.js").write_text("console.log('new')")
    assert sources.digest() != before


@pytest.mark.parametrize("name", [".npmrc", ".gitignore", "src/main.js~", "vite.log"])
def test_what_no_build_depends_on_is_no_source(home: Path, name: str) -> None:
    (home / "src").mkdir()
    (home / "src" / "main.js").write_text("1")
    before = Sources(home).digest()

    (home / name).write_text("registry=http://127.0.0.1:9/")

    assert Sources(home).digest() == before


def test_a_project_that_reaches_out_of_its_folder_is_built_beside_itself(conf: Settings, build: Builder) -> None:
    assert copy.place(conf).is_relative_to(conf.state)
    (conf.frontend_dir.parent / "shared").mkdir()
    (conf.frontend_dir.parent / "shared" / "main.js").write_text("console.log('shared')")
    config = conf.frontend_dir / "build.mjs"
    config.write_text(config.read_text().replace("`src/${name}.${extension}`", "`../shared/main.js`"))

    assert build() == "published"

    assert b"shared" in script(conf).read_bytes()
    assert not any(place.exists() for place in copy.places(conf))


def test_a_twin_of_another_build_is_a_fault(conf: Settings, build: Builder) -> None:
    build()
    twin = script(conf).with_name(f"{script(conf).name}.gz")

    twin.write_bytes(gzip.compress(script(conf).read_bytes()))
    assert check.look(conf.dist, conf.frontend_url).is_whole
    twin.write_bytes(gzip.compress(b"old"))

    assert "holds something else" in check.look(conf.dist, conf.frontend_url).evidence


@pytest.mark.parametrize(
    ("kind", "head", "wrong"),
    [
        ("script", b"\xef\xbb\xbf<!doctype html>", True),
        ("script", b"\n<HTML>", True),
        ("style", b"<html>", True),
        ("script", bytes(40), True),
        ("script", "console.log()".encode("utf-16"), True),
        ("script", b"<!-- old browsers\nconsole.log()", False),
        ("script", b"\xef\xbb\xbfconsole.log()", False),
        ("other", b"<html>", False),
        (None, b"console.log()", True),
        (None, b"<p>", False),
    ],
)
def test_what_a_file_cannot_begin_with(kind: content.Kind | None, head: bytes, wrong: bool) -> None:
    assert bool(content.fault(kind, head)) is wrong


def test_a_bit_more_than_what_was_built_is_no_damage(conf: Settings, build: Builder) -> None:
    build()
    (conf.dist / "robots.txt").write_text("User-agent: *")

    assert related(conf) == "same"
