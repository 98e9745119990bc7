"""A real project, Vite and React from the npm registry, broken in its source, its packages and its dist.

Each case with the registry within reach, without it but with npm's cache, and with neither. A row says what the health
answer said and when, when all was well again, and what page loads that follow their assets got meanwhile, 20 a second.
Without a registry to make the project from the drill fails: it shows nothing then.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from daemons import builds, clock, loop, processes, settings
from daemons.alerts import all_open
from daemons.health_checker.frontend import check, good, npm
from daemons.health_checker.frontend.sources import Sources
from daemons.settings import Settings
from tests.drills.frontend import BUILDER, Whole, environment, sums_of
from tests.drills.report import Report
from tests.drills.running import running
from tests.drills.visitors import Visitors

Network = Literal["online", "offline, cached", "offline"]

INTERVAL_S = 10.0
"""The default."""
SETTLED_WITHIN_S = 60.0
INSTALL_WITHIN_S = 180.0
NOBODY = "http://127.0.0.1:9/"

PROJECT = {
    "package.json": json.dumps(
        {
            "name": "drill-app",
            "private": True,
            "version": "0.0.0",
            "type": "module",
            "scripts": {"build": "vite build"},
            "dependencies": {"react": "^18.3.0", "react-dom": "^18.3.0"},
            "devDependencies": {"@vitejs/plugin-react": "^4.3.0", "vite": "^6.0.0"},
        },
        indent=1,
    ),
    "vite.config.js": "import react from '@vitejs/plugin-react'\nexport default { plugins: [react()] }\n",
    "index.html": '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Drill</title></head>\n'
    '<body><div id="root"></div><script type="module" src="/src/main.jsx"></script></body></html>\n',
    "src/main.jsx": "import { createRoot } from 'react-dom/client'\nimport App from './App.jsx'\nimport './style.css'\n"
    "createRoot(document.getElementById('root')).render(<App />)\n",
    "src/App.jsx": "import { lazy, Suspense } from 'react'\nconst Later = lazy(() => import('./Later.jsx'))\n"
    "export default function App() { return <main><h1>Drill</h1><Suspense><Later /></Suspense></main> }\n",
    "src/Later.jsx": "export default function Later() { return <p>later</p> }\n",
    "src/style.css": "main { font: 16px system-ui; margin: 4rem auto; max-width: 40rem }\n",
}


@dataclass
class Scene:
    """The project, served and looked after."""

    conf: Settings
    cache: Path
    whole: Whole = field(default_factory=set)
    edits: int = 0

    @property
    def project(self) -> Path:
        return self.conf.frontend_dir

    @property
    def packages(self) -> Path:
        """What `npm install` has installed, untouched."""
        return self.cache.with_name("packages")

    def told(self) -> dict[str, Any]:
        status = loop.read_status(self.conf, "health_checker")
        found = status.detail.get("frontend") if status else None
        return found if isinstance(found, dict) else {}

    def alerts(self) -> list[str]:
        return [alert.kind for alert in all_open(self.conf) if alert.subject == "frontend"]

    def is_well(self) -> bool:
        """All is well, and dist is of the sources that there are now, whether the checker has seen these or not."""
        told, kept = self.told(), good.read(self.conf)
        rests = told.get("status") == "healthy" and not told.get("stale") and told.get("healing") == "nothing"
        return rests and kept is not None and kept.sources == Sources(self.project).digest()

    def is_noticed(self) -> bool:
        told = self.told()
        return told.get("status") != "healthy" or bool(told.get("stale")) or told.get("healing") != "nothing"

    def reach(self, network: Network) -> None:
        """What npm reaches from now on: the project's own .npmrc says so, as it does for people."""
        # npm keeps what it fetched by its address, so the registry must keep its own for the cache to be of use.
        lines = {
            "online": [f"cache={self.cache}"],
            "offline, cached": [f"cache={self.cache}", f"proxy={NOBODY}", f"https-proxy={NOBODY}"],
            "offline": [f"cache={self.cache.with_name('no-cache')}", f"registry={NOBODY}"],
        }
        (self.project / ".npmrc").write_text("\n".join([*lines[network], ""]))


# -- what is broken, and how it is mended where that is left to its user ----------------------------------------------

Act = Callable[[Scene], object]


@dataclass(frozen=True)
class Case:
    """*plant* breaks it. *heals* says where that is mended without anybody; else it is told, and *mend*ed then.

    What *takes_all* takes also what is kept for pages that are open: visitors come after it.
    """

    plant: Act
    heals: tuple[Network, ...] = ("online", "offline, cached", "offline")
    mend: Act = lambda _: None
    takes_all: bool = False


def edit(at: Scene) -> None:
    """Other sources, so that a build is due."""
    at.edits += 1
    (at.project / "src" / "Later.jsx").write_text(
        f"export default function Later() {{ return <p>later {at.edits}</p> }}\n"
    )


def break_source(at: Scene) -> None:
    (at.project / "src" / "Later.jsx").write_text("export default function Later( { return <p>\n")


def break_dist(at: Scene) -> None:
    shutil.rmtree(at.conf.dist)


def spoil_script(at: Scene) -> None:
    script = max((at.conf.dist / "assets").glob("*.js"), key=lambda path: path.stat().st_size)
    script.write_bytes(script.read_bytes()[: script.stat().st_size // 2])


def break_modules(at: Scene) -> None:
    """Half removed, as an `npm ci` without a network leaves them."""
    for name in ("vite", "react-dom"):
        shutil.rmtree(at.project / "node_modules" / name)


def remove_modules(at: Scene) -> None:
    shutil.rmtree(at.project / "node_modules")


def forget_good(at: Scene) -> None:
    shutil.rmtree(builds.good(at.conf))


def build_nothing(at: Scene) -> None:
    """A build that exits 0 and makes nothing."""
    path = at.project / "package.json"
    path.write_text(path.read_text().replace("vite build", "node -e 0"))


def build_again(at: Scene) -> None:
    path = at.project / "package.json"
    path.write_text(path.read_text().replace("node -e 0", "vite build"))


def both(*acts: Act) -> Act:
    return lambda at: [act(at) for act in acts]


def online(at: Scene) -> None:
    at.reach("online")


CASES: dict[str, Case] = {
    "dist removed": Case(break_dist),
    "a script cut in half": Case(spoil_script),
    "source edited": Case(edit),
    "source with a syntax error": Case(break_source, (), edit),
    "source with a syntax error, dist removed": Case(both(break_source, break_dist), (), edit),
    "build that makes nothing": Case(both(build_nothing, edit), (), build_again),
    "packages half removed, source edited": Case(
        both(break_modules, edit), ("online", "offline, cached"), both(online, edit)
    ),
    "packages and dist removed": Case(both(remove_modules, break_dist)),
    "packages, dist and the kept build removed": Case(
        both(remove_modules, break_dist, forget_good), ("online", "offline, cached"), both(online, edit), True
    ),
}
NETWORKS: tuple[Network, ...] = ("online", "offline, cached", "offline")


# -- the drill --------------------------------------------------------------------------------------------------------


def run(rounds: int, folder: Path) -> Report:
    """Every case *rounds* times with each network."""
    report = Report("vite")
    print(f"{'broken':42} {'network':16} {'noticed':>8} {'healed':>8} {'told':>8}  served meanwhile", flush=True)
    with scene(folder) as (at, environ):
        for _ in range(rounds):
            for network in NETWORKS:
                for name, case in CASES.items():
                    with looked_after(at, environ):
                        line, wrong = row(at, name, case, network)
                    print(f"{name:42} {network:16} {line}", flush=True)
                    report.count(f"a real project, {network}", f"{name}, {network}: {wrong}" if wrong else "")
    return report


@contextmanager
def scene(folder: Path) -> Iterator[tuple[Scene, dict[str, str]]]:
    """The project, built and served by our API."""
    environ = environment(folder) | {"CMUX_REBUILD_STALE": "yes", "CMUX_ALERT_COOLDOWN": "0"}
    conf = settings.load(environ)
    at = Scene(conf, folder / "npm-cache")
    make(at)
    subprocess.run([*BUILDER, "heal"], env=environ, check=True, capture_output=True)
    with running(environ, "api"):
        if not clock.wait_until(lambda: processes.listeners(conf.port), within_s=20):
            raise SystemExit("the API does not listen")
        yield at, environ


@contextmanager
def looked_after(at: Scene, environ: dict[str, str]) -> Iterator[None]:
    """A health checker that knows of no tries: how pauses grow with failures is shown elsewhere."""
    for name in ("repairs.json", "restores.json"):
        (at.conf.state / name).unlink(missing_ok=True)
    (at.conf.status_dir / "health_checker.json").unlink(missing_ok=True)
    with running(environ, "health_checker"):
        yield


def make(at: Scene) -> None:
    """The project with its packages, and a cache of npm that has them."""
    for name, content in PROJECT.items():
        path = at.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    at.reach("online")
    words = ["install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        [npm.locate() or "npm", *words], cwd=at.project, capture_output=True, text=True, timeout=INSTALL_WITHIN_S
    )
    if done.returncode:
        raise SystemExit(f"the project could not be made from the npm registry: {done.stdout}{done.stderr}")
    shutil.copytree(at.project / "node_modules", at.packages, symlinks=True)


def row(at: Scene, name: str, case: Case, network: Network) -> tuple[str, str]:
    """Break, see it through, and mend what was told: the row, and what was wrong with how it went."""
    at.reach("online")
    shutil.rmtree(at.project / "node_modules", ignore_errors=True)
    shutil.copytree(at.packages, at.project / "node_modules", symlinks=True)
    if not _until(at.is_well):
        return "not begun", f"before it, all was not well: {at.told()} {at.alerts()}"
    at.whole |= sums_of(at.conf.dist, at.conf)
    at.reach(network)
    began_mono = clock.monotonic()

    def since() -> float:
        return clock.monotonic() - began_mono

    if case.takes_all:
        case.plant(at)
    with Visitors(at.conf.frontend_url) as visitors:
        if not case.takes_all:
            case.plant(at)
        noticed = _until(at.is_noticed)
        noticed_s = since()
        alone = network in case.heals
        seen = _until(at.is_well if alone else lambda: at.alerts() and at.told()["healing"] != "building")
        seen_s = since()
        _note_whole(at)
        case.mend(at)
        well = _until(at.is_well)
    _note_whole(at)
    met = visitors.met.kinds(at.whole)
    healed, told = (f"{seen_s:6.2f} s", "") if alone else ("", f"{seen_s:6.2f} s")
    shown = ", ".join(f"{count} {what}" for what, count in sorted(met.items()))
    line = f"{noticed_s:6.2f} s {healed:>8} {told:>8}  {shown}"
    return line, _wrong(at, noticed, noticed_s, bool(seen), bool(well), visitors)


def _wrong(at: Scene, noticed: object, noticed_s: float, seen: bool, well: bool, visitors: Visitors) -> str:
    if not noticed or noticed_s > INTERVAL_S:
        return f"noticed after {noticed_s:.1f} s"
    if not seen:
        return f"neither healed nor told: {at.told()} {at.alerts()}"
    if not well:
        return f"not well in the end: {at.told()} {at.alerts()}"
    return "; ".join(visitors.met.faults(at.whole))


def _note_whole(at: Scene) -> None:
    if check.look(at.conf.dist, at.conf.frontend_url).is_whole:
        at.whole |= sums_of(at.conf.dist, at.conf)


def _until(condition: Callable[[], object]) -> object:
    return clock.wait_until(condition, within_s=SETTLED_WITHIN_S, every_s=0.02)
