"""The house holds together: programs, their supervisord blocks, tests, doors, scripts and pages name each other."""

from __future__ import annotations

import ast
import configparser
import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import settings
from daemons.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DAEMONS = ROOT / "daemons"
PROGRAMS = sorted(folder.parent.name for folder in DAEMONS.glob("*/__main__.py"))
# A shared part is a file, or a folder that is no program: one that grew.
MODULES = sorted(file.stem for file in DAEMONS.glob("*.py") if file.stem != "__init__") + sorted(
    folder.parent.name for folder in DAEMONS.glob("*/__init__.py") if folder.parent.name not in PROGRAMS
)
# The command and what becomes supervisord are started by people; supervisord starts all others.
STARTED_BY_PEOPLE = {"cli", "launcher"}

# Which call may stand where. ruff says most of it as you type; this is the exact table.
DOORS = {
    "time.sleep": {"daemons/clock.py"},
    "os.environ": {"daemons/settings/*"},
    "os.getenv": {"daemons/settings/*"},
    "os.kill": {"daemons/processes/*"},
    "os.killpg": {"daemons/processes/*"},
    "signal.pidfd_send_signal": {"daemons/processes/*"},
    "datetime.now": {"daemons/clock.py"},
    "threading.Event": set(),
    "subprocess.*": {
        "daemons/tmux/*",
        "daemons/processes/*",
        "daemons/health_checker/*",
        "daemons/listener/*",
        "daemons/cli/*",
        "daemons/start/*",
    },
}


def sources(folder: str) -> Iterator[tuple[str, ast.AST]]:
    for file in sorted((ROOT / folder).rglob("*.py")):
        yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def supervisord_blocks() -> dict[str, dict[str, str]]:
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parsed.read_string((ROOT / "conf" / "supervisord.conf").read_text(encoding="utf-8"))
    kinds = ("program:", "eventlistener:")
    return {name.partition(":")[2]: dict(parsed[name]) for name in parsed.sections() if name.startswith(kinds)}


def test_supervisord_starts_every_daemon_and_nothing_else() -> None:
    assert set(supervisord_blocks()) == set(PROGRAMS) - STARTED_BY_PEOPLE


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - STARTED_BY_PEOPLE))
def test_a_daemons_block_runs_it_and_ends_all_of_it(name: str) -> None:
    block = supervisord_blocks()[name]

    assert f"-m daemons.{name}" in block["command"]
    assert (block.get("stopasgroup"), block.get("killasgroup")) == ("true", "true")


@pytest.mark.parametrize("name", PROGRAMS + MODULES)
def test_every_program_and_every_module_has_its_tests(name: str) -> None:
    assert (ROOT / "tests" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", PROGRAMS + MODULES)
def test_the_map_names_every_program_and_every_module(name: str) -> None:
    shown = f"`{name}/`" if (DAEMONS / name).is_dir() else f"`{name}.py`"
    assert shown in (DAEMONS / "README.md").read_text(encoding="utf-8")


def test_what_needs_a_door_stands_behind_it() -> None:
    outside = [
        f"{file}:{node.lineno} {dotted(node)}"
        for file, tree in sources("daemons")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        for call, doors in DOORS.items()
        if fnmatch.fnmatch(dotted(node), call)
        and not any(fnmatch.fnmatch(file, door) for door in doors)
        # Exceptions and constants of subprocess are names, not doors.
        and not re.search(r"subprocess\.([A-Z]+$|\w*(Error|Expired)$)", dotted(node))
    ]
    assert outside == []


# Where a fault of any kind must not spread, and why.
CATCH_ALL = {
    "daemons/api/commits.py",  # all requests that wait for a change hear of it, and the next change is made
    "daemons/loop.py",  # a bad cycle is logged, and the next one runs
    "daemons/registry/store.py",  # one edit of a batch fails alone
}


def test_every_exception_is_caught_where_that_is_meant_alone() -> None:
    broad = [
        f"{file}:{node.lineno}"
        for file, tree in sources("daemons")
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or dotted(node.type) in ("Exception", "BaseException"))
    ]
    assert {place.partition(":")[0] for place in broad} <= CATCH_ALL, broad


def test_no_test_waits_by_sleeping() -> None:
    sleeps = [
        f"{file}:{node.lineno}"
        for file, tree in sources("tests")
        if not file.startswith(("tests/drills/", "tests/bench/"))  # a fault strikes at a moment that is drawn
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) in ("time.sleep", "sleep", "clock.pause")
    ]
    assert sleeps == []


@pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / "scripts").iterdir() if os.access(path, os.X_OK))
)
def test_every_script_runs_by_itself_and_the_readme_names_it(script: str) -> None:
    if script == "__pycache__":
        return
    assert (ROOT / "scripts" / script).read_text(encoding="utf-8").startswith("#!")
    assert f"scripts/{script}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_state_page_names_every_file_that_settings_place_in_it(conf: Settings) -> None:
    page = (ROOT / ".cmux" / "README.md").read_text(encoding="utf-8")

    made = [getattr(conf, name) for name, kind in vars(Settings).items() if isinstance(kind, property)]
    placed = [conf.mailbox, *(path for path in made if isinstance(path, Path))]
    named = {path.relative_to(conf.state).parts[0] for path in placed if conf.state in path.parents}

    assert {name for name in named if f"`{name}" not in page} == set()


def test_git_ignores_all_of_the_state_but_its_page() -> None:
    rules = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert rules.index("/.cmux/*") < rules.index("!/.cmux/README.md")


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-dev.txt"])
def test_every_package_is_pinned_and_hashed_and_no_index_is_named(file: str) -> None:
    text = (ROOT / "conf" / file).read_text(encoding="utf-8")
    packages = [
        block for block in re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)) if block.strip()
    ]

    assert packages
    assert all(re.match(r"[\w.-]+==[\w.]+", block) and "--hash=sha256:" in block for block in packages)
    assert "://" not in text


@pytest.mark.parametrize("kind", ["install_requires", "test", "dev"])
def test_what_setup_cfg_asks_for_is_pinned(kind: str) -> None:
    parsed = configparser.RawConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    section = "options" if kind == "install_requires" else "options.extras_require"
    wanted = [re.split(r"[<>=]", line)[0] for line in parsed[section][kind].split() if not line.startswith("%")]

    file = "constraints.txt" if kind == "install_requires" else "constraints-dev.txt"
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "conf" / file).read_text(encoding="utf-8"), re.MULTILINE)

    assert set(wanted) <= set(pinned)


def test_the_tools_stand_on_the_very_packages_that_run() -> None:
    runtime, dev = (
        (ROOT / "conf" / file).read_text(encoding="utf-8") for file in ("constraints.txt", "constraints-dev.txt")
    )

    pins = re.compile(r"^[\w.-]+==\S+|^ +--hash=\S+", re.MULTILINE)

    assert set(pins.findall(runtime)) <= set(pins.findall(dev))


def test_every_run_time_dependency_has_its_line_in_the_map() -> None:
    parsed = configparser.RawConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    page = (DAEMONS / "README.md").read_text(encoding="utf-8")

    wanted = [re.split(r"[<>=]", line)[0] for line in parsed["options"]["install_requires"].split()]

    assert [name for name in wanted if f"| {name} |" not in page] == []


def test_the_settings_page_of_the_readme_names_every_setting() -> None:
    source = Path(settings.__file__).read_text(encoding="utf-8")
    page = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [name for name in re.findall(r'conf\.get\("(CMUX_\w+)"', source) if f"`{name}`" not in page] == []
