"""Every shape that a stop has met, ended by `cmux stop` and by what people use instead, in the same run.

    python -m tests.drills.rivals [WORD …]     a table of all shapes, or those whose name holds a word

Judged from outside, alike for all: who of ours was left, who else was hit, whether the port is free, who could finish.
A rival is not asked what it was never meant for (–): the two that free a port, what never had it; none but ours,
`--force`. `0!` stands for an exit code of 0 with something wrong. npm's kill-port and pm2 are installed for the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

import pytest

from daemons import clock, settings, suite
from daemons.settings import Settings
from tests import suites
from tests.drills import stops
from tests.drills.report import Report
from tests.drills.stop_shapes import SHAPES, Shape
from tests.plants import PRELUDE, Plants

AT_ONCE = 4
_WITHIN_S = 12.0
_INSTALL_S = 240
_TAKES_THE_PORT = "listen(int(sys.argv[2])"


@dataclass(frozen=True)
class Home:
    """Where one shape is planted for one rival."""

    conf: Settings
    environ: Mapping[str, str]
    plants: Plants
    tools: Path  # npm's programs


@dataclass(frozen=True)
class Rival:
    """*plant* starts a shape as its users would, *end* gives the commands that stop it."""

    name: str
    plant: Callable[[Shape, Home], None]
    end: Callable[[Shape, Home], list[Sequence[str]]]
    meant_for: Callable[[Shape], bool]
    needs: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of it: *wrong* has no lines when all was right; None, with *exit_code* -1: it could not be planted."""

    exit_code: int
    took_s: float
    wrong: tuple[str, ...] | None

    def cell(self) -> str:
        if self.wrong is None:
            return "not planted"
        if not self.wrong:
            return f"right {self.took_s:.1f} s"
        kinds = Counter(line.split(":")[0].partition(" 1")[0].partition(" 2")[0] for line in self.wrong)
        code = "0!" if self.exit_code == 0 else str(self.exit_code)
        return f"{_short(kinds)} ({code}) {self.took_s:.1f} s"


def _short(kinds: Counter[str]) -> str:
    names = {"left over": "left", "innocent killed": "innocent"}
    words = [f"{count} {names[kind]}" for kind, count in kinds.items() if kind in names]
    rest = {"port": "port", "cut off": "cut off", "timed out": "hung"}
    words += [word for start, word in rest.items() if any(kind.startswith(start) for kind in kinds)]
    return ", ".join(words) or "wrong"


# -- planting ---------------------------------------------------------------------------------------------------------


def _supervised(*, as_group: bool) -> Callable[[Shape, Home], None]:
    def plant(shape: Shape, home: Home) -> None:
        suites.start(home.conf, home.plants, dict(home.environ), as_group=as_group, **shape.programs)

    return plant


def _bare(shape: Shape, home: Home) -> None:
    for body in shape.programs.values():
        home.plants.python(body, home.conf.port, start_new_session=True)


def _under_pm2(shape: Shape, home: Home) -> None:
    for name, body in shape.programs.items():
        source = home.plants.report.parent / f"{name}.py"
        source.write_text(PRELUDE + body)
        words = ["start", source, "--interpreter", sys.executable, "--name", name]
        _run([_pm2(home), *words, "--", home.plants.report, str(home.conf.port)], home)


def _pm2(home: Home) -> str:
    return str(home.tools / "pm2")


def _run(command: Sequence[str | Path], home: Home) -> int | None:
    """The exit code; None when it did not end in time."""
    # By itself pm2 sends SIGINT, which ends what would drain on SIGTERM.
    pm2 = {"PM2_HOME": str(home.plants.report.parent / "pm2"), "PM2_KILL_SIGNAL": "SIGTERM"}
    try:
        return subprocess.run(
            command,
            env={**home.environ, **pm2},
            cwd=home.conf.home,
            capture_output=True,
            timeout=_WITHIN_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None


# -- ending -----------------------------------------------------------------------------------------------------------


def _cmux(shape: Shape, _home: Home) -> list[Sequence[str]]:
    return [[sys.executable, "-P", "-m", "daemons.cli", "stop", *(["--force"] if shape.force else [])]]


def _fuser(_shape: Shape, home: Home) -> list[Sequence[str]]:
    return [["fuser", "-k", f"{home.conf.port}/tcp"]]


def _kill_port(_shape: Shape, home: Home) -> list[Sequence[str]]:
    return [[str(home.tools / "kill-port"), str(home.conf.port)]]


def _pm2_delete(_shape: Shape, home: Home) -> list[Sequence[str]]:
    return [[_pm2(home), "delete", "all"], [_pm2(home), "kill"]]


def _supervisorctl(_shape: Shape, home: Home) -> list[Sequence[str]]:
    ctl = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(home.conf.run_dir / "supervisord.conf")]
    return [[*ctl, "stop", "all"], [*ctl, "shutdown"]]


def _is_for_the_port(shape: Shape) -> bool:
    return not shape.force and any(_TAKES_THE_PORT in body for body in shape.programs.values()) and not shape.kill


def _is_for_all(shape: Shape) -> bool:
    return not shape.force


def _is_for_programs(shape: Shape) -> bool:
    return not (shape.force or shape.kill or shape.freeze)


RIVALS = (
    Rival("cmux stop", _supervised(as_group=True), _cmux, lambda _: True),
    Rival("supervisorctl", _supervised(as_group=False), _supervisorctl, _is_for_all),
    Rival("… asgroup", _supervised(as_group=True), _supervisorctl, _is_for_all),
    Rival("fuser -k", _bare, _fuser, _is_for_the_port, "fuser"),
    Rival("kill-port", _bare, _kill_port, _is_for_the_port, "npm"),
    Rival("pm2", _under_pm2, _pm2_delete, _is_for_programs, "npm"),
)


def compare(shape: Shape, rival: Rival, tools: Path) -> Outcome | None:
    """Plant *shape* as *rival* wants it, let it end that, judge. None where the shape has no meaning for it."""
    if not rival.meant_for(shape):
        return None
    with stops.a_home() as (conf, environ, plants):
        home = Home(conf, environ | {"CMUX_STOP_GRACE": str(stops.GRACE_S)}, plants, tools)
        if shape.beside:
            plants.python(shape.beside, conf.port, suite.suite_id(conf))
        try:
            rival.plant(shape, home)
            for name in set(shape.names):
                plants.pid(name, shape.names.count(name) - 1)
        except pytest.fail.Exception:
            return Outcome(-1, 0.0, None)
        _hit(shape, plants)
        return _ended(shape, rival, home)


def _hit(shape: Shape, plants: Plants) -> None:
    for names, number in ((shape.freeze, Signals.SIGSTOP), (shape.kill, Signals.SIGKILL)):
        for name in names:
            stops.signal(plants.pid(name), number)


def _ended(shape: Shape, rival: Rival, home: Home) -> Outcome:
    began = clock.monotonic()
    codes = [_run(command, home) for command in rival.end(shape, home)]
    took_s = clock.monotonic() - began
    # Those that don't wait for what they killed get a moment.
    clock.wait_until(lambda: not list(stops.seen(shape, home.conf, home.plants)), within_s=0.5)
    wrong = list(stops.seen(shape, home.conf, home.plants))
    cut_off = shape.drained - len(home.plants.pids("drained"))
    wrong += [f"cut off: {cut_off}"] if cut_off else []
    wrong += ["timed out"] if None in codes else []
    if rival is RIVALS[0] and codes[0] != shape.exit_code:
        wrong.append(f"exit code {codes[0]}, not {shape.exit_code}")
    return Outcome(max(code if code is not None else 124 for code in codes), took_s, tuple(wrong))


# -- as a program -----------------------------------------------------------------------------------------------------


def _installed(folder: Path) -> Path:
    """npm's two programs; where npm can't get them, their column says so."""
    if shutil.which("npm"):
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "kill-port@2", "pm2@6"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=folder, capture_output=True, timeout=_INSTALL_S, check=False)
    return folder / "node_modules" / ".bin"


def _missing(rival: Rival, tools: Path) -> bool:
    if rival.needs == "npm":
        return not (tools / rival.name).exists()
    return bool(rival.needs) and shutil.which(rival.needs) is None


Row = tuple[Shape, list[Outcome | None]]


def _rows(shapes: Sequence[Shape], rivals: Sequence[Rival], tools: Path) -> Iterator[Row]:
    with ThreadPoolExecutor(AT_ONCE) as crowd:
        for shape in shapes:
            yield shape, list(crowd.map(lambda rival, at=shape: compare(at, rival, tools), rivals))  # type: ignore[misc]


def run(rounds: int, folder: Path) -> Report:
    """Every shape *rounds* times, for us and for each rival that can be had here."""
    return compared([shape for shape in SHAPES for _ in range(rounds)], folder)


def compared(shapes: Sequence[Shape], folder: Path) -> Report:
    """The table of *shapes*, a line as it comes. Only we are judged; what became of the rivals are figures."""
    stops.clean_up_when_ended()
    os.environ.setdefault("PYTHONPATH", str(settings.CODE))
    tools = _installed(folder)
    rivals = [rival for rival in RIVALS if not _missing(rival, tools)]
    for rival in RIVALS:
        if rival not in rivals:
            print(f"{rival.name} is left out: it needs {rival.needs}")
    return _table(shapes, rivals, tools)


def main() -> int:
    shapes = [shape for shape in SHAPES if not sys.argv[1:] or any(word in shape.name for word in sys.argv[1:])]
    folder = Path(tempfile.mkdtemp(prefix="cmux-rivals-"))
    try:
        report = compared(shapes, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


def _table(shapes: Sequence[Shape], rivals: Sequence[Rival], tools: Path) -> Report:
    report = Report("rivals")
    print(f"{'':56}", *(f"{rival.name:26}" for rival in rivals))
    for shape, outcomes in _rows(shapes, rivals, tools):
        print(f"{shape.name:56}", *(f"{each.cell() if each else '–':26}" for each in outcomes), flush=True)
        for rival, outcome in zip(rivals, outcomes, strict=True):
            if outcome and outcome.wrong is not None:
                report.add(f"{rival.name}: meant for", 1)
                report.add(f"{rival.name}: right", not outcome.wrong)
                report.add(f"{rival.name}: wrong with exit code 0", bool(outcome.wrong) and outcome.exit_code == 0)
            if rival is rivals[0]:
                report.count(rival.name, _fault_of_ours(shape, outcome))
    return report


def _fault_of_ours(shape: Shape, outcome: Outcome | None) -> str:
    if outcome is None or outcome.wrong is None:
        return f"{shape.name}: was not tried"
    return f"{shape.name}: {'; '.join(outcome.wrong)}" if outcome.wrong else ""


if __name__ == "__main__":
    sys.exit(main())
