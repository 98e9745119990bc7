"""What can be wrong with a dist, one after the other, on a suite's own API and health checker; a row for each.

Columns: when it was noticed (published in the health answer), when dist was whole and served so again, and what page
loads that follow their assets got meanwhile: whole pages, our plain page (503), or a page with something wrong in it.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemons import clock, loop, processes, settings
from daemons.health_checker.frontend import check
from daemons.settings import Settings
from tests.conftest import free_port
from tests.drills.frontend import BUILDER, FIXTURE, environment, sums_of
from tests.drills.report import Report
from tests.drills.running import running
from tests.drills.visitors import Visitors
from tests.site import Site, serving

INTERVAL_S = 3.0
HEALED_WITHIN_S = 15.0


@dataclass(frozen=True)
class Scene:
    """A frontend that is served, and the places of what a fault needs."""

    conf: Settings
    site: Site
    environ: dict[str, str]
    first_dist: Path
    """A copy of the first build, of other sources."""

    @property
    def dist(self) -> Path:
        return self.conf.dist

    def named(self, ending: str, start: str = "main") -> Path:
        return next((self.dist / "assets").glob(f"{start}-*{ending}"))

    def detail(self) -> dict[str, Any]:
        status = loop.read_status(self.conf, "health_checker")
        told = status.detail.get("frontend") if status else None
        return told if isinstance(told, dict) else {}


# -- faults -----------------------------------------------------------------------------------------------------------

Plant = Callable[[Scene], object]


def swap(a: Path, b: Path) -> None:
    aside = a.with_name("aside")
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def wrong_bytes(path: Path) -> None:
    """As many bytes as before, written at the time it was written at."""
    was = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def loop_of_links(path: Path) -> None:
    path.symlink_to("other.js")
    path.with_name("other.js").symlink_to(path.name)


def another_dist(scene: Scene) -> None:
    """What an editor's copy of the whole folder does: other bytes, all of them whole."""
    made = scene.dist.with_name("made-elsewhere")
    (made / "assets").mkdir(parents=True)
    (made / "assets" / "other-Abcdef12.js").write_text("console.log('another build')")
    (made / "index.html").write_text('<script type="module" src="/assets/other-Abcdef12.js"></script>')
    scene.dist.rename(scene.dist.with_name("gone"))
    made.rename(scene.dist)
    shutil.rmtree(scene.dist.with_name("gone"))


def first_dist_again(scene: Scene) -> None:
    shutil.rmtree(scene.dist)
    shutil.copytree(scene.first_dist, scene.dist)


def no_scripts(scene: Scene) -> None:
    page = scene.dist / "index.html"
    page.write_text(page.read_text().replace("<script", "<meta"))


def edit_source(scene: Scene) -> None:
    source = scene.conf.frontend_dir / "src" / "main.js"
    source.write_text(source.read_text() + f"\nconsole.log({clock.monotonic()})\n")


FAULTS: dict[str, Plant] = {
    "dist missing": lambda at: shutil.rmtree(at.dist),
    "dist empty": lambda at: [shutil.rmtree(at.dist), at.dist.mkdir()],
    "dist is a file": lambda at: [shutil.rmtree(at.dist), at.dist.write_text("x")],
    "dist is a link to nowhere": lambda at: [shutil.rmtree(at.dist), at.dist.symlink_to("nowhere")],
    "dist is a link to itself": lambda at: [shutil.rmtree(at.dist), at.dist.symlink_to(at.dist.name)],
    "index missing": lambda at: (at.dist / "index.html").unlink(),
    "index empty": lambda at: (at.dist / "index.html").write_bytes(b""),
    "index cut in the middle of its last tag": lambda at: os.truncate(
        at.dist / "index.html", (at.dist / "index.html").stat().st_size - 9
    ),
    "index without its scripts": no_scripts,
    "script missing": lambda at: at.named(".js").unlink(),
    "style missing": lambda at: at.named(".css").unlink(),
    "script of the manifest missing": lambda at: at.named(".js", "later").unlink(),
    "manifest garbled": lambda at: (at.dist / ".vite" / "manifest.json").write_text('{"index.html": '),
    "script empty": lambda at: at.named(".js").write_bytes(b""),
    "script truncated": lambda at: os.truncate(at.named(".js"), at.named(".js").stat().st_size // 2),
    "script of zeros": lambda at: at.named(".js").write_bytes(bytes(at.named(".js").stat().st_size)),
    "two scripts swapped": lambda at: swap(at.named(".js"), at.named(".js", "later")),
    "script and style swapped": lambda at: swap(at.named(".js"), at.named(".css")),
    "wrong bytes, same size, name and time": lambda at: wrong_bytes(at.named(".js")),
    "wrong bytes in the style": lambda at: wrong_bytes(at.named(".css")),
    "an error page in a script": lambda at: at.named(".js").write_text("\ufeff<!doctype html><title>502</title>"),
    "script in UTF-16": lambda at: at.named(".js").write_text("console.log(1)", encoding="utf-16"),
    "name in the wrong case": lambda at: at.named(".js").rename(
        at.named(".js").with_name(at.named(".js").name.upper())
    ),
    "permission of a file lost": lambda at: at.named(".js").chmod(0),
    "permission of a folder lost": lambda at: (at.dist / "assets").chmod(0),
    "loop of links": lambda at: instead(at.named(".js"), loop_of_links),
    "link to nowhere": lambda at: instead(at.named(".js"), lambda path: path.symlink_to("nowhere.js")),
    "link out of dist": lambda at: instead(at.named(".js"), lambda path: path.symlink_to("/etc/hostname")),
    "folder in the place of a file": lambda at: instead(at.named(".js"), lambda path: path.mkdir()),
    "pipe in the place of a file": lambda at: instead(at.named(".js"), os.mkfifo),
    "twin .gz of another build": lambda at: (
        at.named(".js").with_name(at.named(".js").name + ".gz").write_bytes(gzip.compress(b"console.log('old')"))
    ),
    "served otherwise than it lies": lambda at: at.site.spoiled.update({"/": b"<h1>an old page</h1>"}),
    "sources changed after the build": edit_source,
    "a dist of earlier sources came back": first_dist_again,
    "another whole dist in its place": another_dist,
}


# -- the drill --------------------------------------------------------------------------------------------------------


@contextmanager
def scene(home: Path, interval_s: float) -> Iterator[Scene]:
    site_port = free_port()
    environ = environment(home) | {
        "CMUX_HEALTH_INTERVAL": f"{interval_s:g}",
        "CMUX_FRONTEND_URL": f"http://127.0.0.1:{site_port}/",
        "CMUX_REBUILD_STALE": "yes",
    }
    conf = settings.load(environ)
    shutil.copytree(FIXTURE, conf.frontend_dir)
    subprocess.run([*BUILDER, "heal"], env=environ, check=True, capture_output=True)
    first = home / "first"
    shutil.copytree(conf.dist, first)
    main = conf.frontend_dir / "src" / "main.js"
    main.write_text(main.read_text() + "\nconsole.log('second')\n")
    subprocess.run([*BUILDER, "rebuild"], env=environ, check=True, capture_output=True)
    with ExitStack() as stack:
        site = stack.enter_context(serving(replace(conf, port=site_port)))
        stack.enter_context(running(environ, "api"))
        if not clock.wait_until(lambda: processes.listeners(conf.port), within_s=20):
            raise SystemExit("the API does not listen")
        stack.enter_context(running(environ, "health_checker"))
        yield Scene(conf, site, environ, first)


def is_well(at: Scene) -> bool:
    told = at.detail()
    return told.get("status") == "healthy" and told.get("stale") is None and told.get("healing") == "nothing"


def is_noticed(at: Scene, before: dict[str, Any]) -> bool:
    """Whether the health answer says that something is wrong, or that dist is another one now."""
    told = at.detail()
    return told.get("status") != "healthy" or told.get("stale") is not None or told.get("built") != before.get("built")


def row(at: Scene, name: str, plant: Plant) -> tuple[str, str]:
    """Plant one fault and see it through: the row for the table, and what was wrong with how it went."""
    if not clock.wait_until(lambda: is_well(at), within_s=HEALED_WITHIN_S):
        return f"{name:40} not begun", f"{name}: before it, all was not well: {at.detail()}"
    before = at.detail()
    whole = sums_of(at.first_dist, at.conf) | sums_of(at.dist, at.conf)
    told_only = name.startswith("served otherwise")
    with Visitors(f"http://127.0.0.1:{at.conf.port}/") as visitors:
        began_mono = clock.monotonic()
        plant(at)
        noticed = clock.wait_until(lambda: is_noticed(at, before), within_s=HEALED_WITHIN_S, every_s=0.02)
        noticed_s = clock.monotonic() - began_mono
        said = str(at.detail().get("evidence") or at.detail().get("stale") or at.detail().get("built"))
        if told_only:
            at.site.spoiled.clear()
        healed = clock.wait_until(lambda: is_well(at) and is_whole(at), within_s=HEALED_WITHIN_S, every_s=0.02)
        healed_s = clock.monotonic() - began_mono
    met = visitors.met.kinds(whole | sums_of(at.dist, at.conf))
    shown = ", ".join(f"{count} {what}" for what, count in sorted(met.items()))
    line = f"{name:40} {noticed_s:6.2f} s {'told' if told_only else f'{healed_s:6.2f} s':>9}  {shown:45} {said[:110]}"
    if not noticed:
        return line, f"{name}: not noticed"
    late = noticed_s > at.conf.health_interval_s
    return line, f"{name}: noticed after {noticed_s:.1f} s" if late else ("" if healed else f"{name}: not healed")


def is_whole(at: Scene) -> bool:
    return check.look(at.dist, at.conf.frontend_url, at.conf.frontend_dir / "index.html").is_whole


def run(rounds: int, folder: Path) -> Report:
    """Every fault *rounds* times, each noticed within one interval."""
    report = Report("contents")
    print(f"{'fault':40} {'noticed':>8} {'healed':>9}  {'served meanwhile':45} said")
    with scene(folder, INTERVAL_S) as at:
        for _ in range(rounds):
            for name, plant in FAULTS.items():
                line, wrong = row(at, name, plant)
                print(line, flush=True)
                report.count(f"kinds of fault, at an interval of {INTERVAL_S:g} s", wrong)
    return report
