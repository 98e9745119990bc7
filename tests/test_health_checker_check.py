"""A dist that is not whole never passes for one: what is checked on the disk, and over HTTP."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daemons import clock
from daemons.health_checker.frontend import check, served
from daemons.settings import Settings
from tests.site import serving

PAGE = "http://127.0.0.1:8000/"
SCRIPT = "assets/a-12345678.js"
STYLE = "assets/a-12345678.css"
CHUNK = "assets/late-12345678.js"
MANIFEST = ".vite/manifest.json"


def build(dist: Path) -> Path:
    """A whole dist, as Vite lays it out."""
    (dist / "assets").mkdir(parents=True)
    (dist / ".vite").mkdir()
    (dist / "index.html").write_text(
        '<!doctype html><head><link rel="stylesheet" href="/assets/a-12345678.css">'
        '<script type="module" crossorigin src="/assets/a-12345678.js"></script></head>'
    )
    (dist / SCRIPT).write_text("console.log(1)")
    (dist / "assets" / "a-12345678.css").write_text("body{}")
    (dist / "assets" / "late-12345678.js").write_text("console.log(2)")
    (dist / ".vite" / "manifest.json").write_text(
        '{"index.html": {"file": "assets/a-12345678.js", "css": ["assets/a-12345678.css"]},'
        ' "late.js": {"file": "assets/late-12345678.js"}}'
    )
    return dist


@pytest.fixture
def dist(conf: Settings) -> Path:
    return build(conf.dist)


# -- what lies on the disk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/%2e%2e/etc/passwd", "/x/..%2f..%2fetc/passwd", "/%2Fetc/passwd", "/a%5c..%5cb", "/a%00b"]
)
def test_a_name_that_leaves_dist_is_a_fault(dist: Path, name: str) -> None:
    (dist / "index.html").write_text(f'<script src="{name}"></script>')

    assert "points out of dist" in check.look(dist, PAGE).evidence


def test_a_whole_dist_is_whole(dist: Path) -> None:
    finding = check.look(dist, PAGE)

    assert finding.is_whole
    assert finding.index_exists
    assert finding.js_bundle_count == 2
    assert set(finding.sums) == {
        "index.html",
        "assets/a-12345678.js",
        "assets/a-12345678.css",
        "assets/late-12345678.js",
    }


def loop_of_links(dist: Path) -> None:
    (dist / SCRIPT).unlink()
    (dist / SCRIPT).symlink_to("b.js")
    (dist / "assets" / "b.js").symlink_to("a-12345678.js")


def link_out(dist: Path) -> None:
    (dist / SCRIPT).unlink()
    (dist / SCRIPT).symlink_to("/etc/passwd")


def wrong_case(dist: Path) -> None:
    (dist / SCRIPT).rename(dist / "assets" / "A-12345678.js")


def a_pipe(dist: Path) -> None:
    (dist / SCRIPT).unlink()
    os.mkfifo(dist / SCRIPT)


def a_folder(dist: Path) -> None:
    (dist / SCRIPT).unlink()
    (dist / SCRIPT).mkdir()


def instead(dist: Path, make: Callable[[Path], object]) -> None:
    """Move dist away, and have *make* put something in its place."""
    dist.rename(dist.with_name("gone"))
    make(dist)


def index_folder(dist: Path) -> None:
    (dist / "index.html").unlink()
    (dist / "index.html").mkdir()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no dist": (lambda dist: dist.rename(dist.with_name("gone")), "dist is missing"),
    "dist is a file": (lambda dist: instead(dist, lambda it: it.write_text("x")), "index.html cannot be read"),
    "dist is a loop": (lambda dist: instead(dist, lambda it: it.symlink_to("dist")), "index.html cannot be read"),
    "dist links nowhere": (lambda dist: instead(dist, lambda it: it.symlink_to("no")), "index.html is missing"),
    "no index": (lambda dist: (dist / "index.html").unlink(), "index.html is missing"),
    "empty index": (lambda dist: (dist / "index.html").write_bytes(b""), "index.html is empty"),
    "index is a folder": (index_folder, "index.html is no regular file"),
    "script missing": (lambda dist: (dist / SCRIPT).unlink(), f"{SCRIPT} is missing"),
    "style missing": (lambda dist: (dist / STYLE).unlink(), f"{STYLE} is missing"),
    "script empty": (lambda dist: (dist / SCRIPT).write_bytes(b""), f"{SCRIPT} is empty"),
    "later chunk missing": (lambda dist: (dist / CHUNK).unlink(), f"{CHUNK} is missing"),
    "folder of assets missing": (lambda dist: shutil.rmtree(dist / "assets"), f"{SCRIPT} is missing"),
    "wrong case": (wrong_case, f"{SCRIPT} is missing"),
    "loop of links": (loop_of_links, f"{SCRIPT} cannot be read"),
    "link out of dist": (link_out, f"{SCRIPT} is a link that points out of dist"),
    "a pipe": (a_pipe, f"{SCRIPT} is no regular file"),
    "a folder": (a_folder, f"{SCRIPT} is no regular file"),
    "manifest garbled": (lambda dist: (dist / MANIFEST).write_text("{"), "manifest.json cannot be used"),
    "manifest of another shape": (lambda dist: (dist / MANIFEST).write_text("[1]"), "manifest.json cannot be used"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_files_is_noticed(dist: Path, fault: str) -> None:
    cause, evidence = FAULTS[fault]

    cause(dist)
    finding = check.look(dist, PAGE)

    assert not finding.is_whole
    assert evidence in finding.evidence


def test_an_index_without_the_script_that_its_source_has_is_a_fault(dist: Path, conf: Settings) -> None:
    source = conf.frontend_dir / "index.html"
    source.write_text('<script type="module" src="/src/main.ts"></script>')
    (dist / ".vite" / "manifest.json").unlink()

    (dist / "index.html").write_text("<p>hello</p>")

    assert "names no script" in check.look(dist, PAGE, source).evidence
    assert check.look(dist, PAGE).is_whole, "a page that never had one is not at fault"


def test_of_a_huge_page_no_more_is_read_than_can_be_said_at_once(dist: Path) -> None:
    page = dist / "index.html"
    page.write_bytes(page.read_bytes() + b"<p class=x>" * (50 << 20 >> 4))

    began_s = clock.monotonic()
    found = check.look(dist, PAGE)

    assert found.is_whole, found.evidence
    assert clock.monotonic() - began_s < 5, "of 45 s that reading all of it takes"


def test_a_huge_page_with_its_scripts_at_the_end_is_no_fault(dist: Path) -> None:
    source, page = dist.parent / "index.html", dist / "index.html"
    source.write_text('<script src="/main.js"></script>')
    page.write_bytes(b"<p>" * (1 << 20) + b'<script src="/assets/a-12345678.js"></script>')

    assert check.look(dist, PAGE, source).is_whole


def test_a_source_that_never_answers_is_not_waited_for(dist: Path) -> None:
    shutil.rmtree(dist / ".vite")
    (dist / "index.html").write_text("<p>no script")
    os.mkfifo(dist.parent / "index.html")

    assert check.look(dist, PAGE, dist.parent / "index.html").is_whole


def test_a_checker_sees_a_change_although_it_reads_only_what_changed(dist: Path) -> None:
    checker = check.Checker()
    before = checker.look(dist, PAGE)

    (dist / SCRIPT).write_text("console.log(3)")
    after = checker.look(dist, PAGE)

    assert after.sums[SCRIPT] != before.sums[SCRIPT]
    assert after.sums[STYLE] == before.sums[STYLE]
    assert after.sums == check.look(dist, PAGE).sums


# -- what HTTP serves -------------------------------------------------------------------------------------------------


def test_what_is_served_as_it_lies_is_served(conf: Settings, dist: Path) -> None:
    with serving(conf):
        assert served.compare(check.look(dist, conf.frontend_url), conf.frontend_url, within_s=3).answer == "yes"


@pytest.mark.parametrize("path", ["/", "/assets/a-12345678.js", "/assets/a-12345678.css", "/assets/late-12345678.js"])
def test_other_bytes_than_on_the_disk_are_noticed(conf: Settings, dist: Path, path: str) -> None:
    with serving(conf) as site:
        site.spoiled[path] = b"<!doctype html>something else"
        serving_now = served.compare(check.look(dist, conf.frontend_url), conf.frontend_url, within_s=3)

    assert serving_now.answer == "no"
    assert path in serving_now.evidence


def test_nobody_there_says_nothing_about_dist(conf: Settings, dist: Path) -> None:
    serving_now = served.compare(check.look(dist, conf.frontend_url), conf.frontend_url, within_s=3)

    assert serving_now.answer == "silent"
