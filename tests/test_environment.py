"""`scripts/cmux` at first use: makes .venv once, whole or not at all, whoever runs or dies meanwhile."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import eventually

ROOT = Path(__file__).resolve().parents[1]
# Stands for uv where a test is not about the installing: unpacks the wheels that are asked for. pip takes a second.
QUICK_UV = f"""#!{sys.executable}
import pathlib, re, sys, zipfile
python, requirements = (sys.argv[sys.argv.index(flag) + 1] for flag in ("--python", "-r"))
packages = next(pathlib.Path(python).parents[1].glob("lib/*/site-packages"))
for name, version in re.findall(r"(\\w+)==(\\S+)", open(requirements).read()):
    wheel = pathlib.Path(__file__).parents[1] / "wheels" / f"{{name}}-{{version}}-py3-none-any.whl"
    zipfile.ZipFile(wheel).extractall(packages)
"""
COMMAND = 'import sys, tiny\nprint("ran", *sys.argv[1:], tiny.__file__)\n'


class Checkout:
    """A checkout in small: the real scripts, a command that prints, and one pinned package from a folder of wheels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root.parents[1] / "wheels"  # pip splits its setting at spaces
        self.wheels.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "conf").mkdir(parents=True)
        (root / "daemons" / "cli").mkdir(parents=True)
        (root / "daemons" / "cli" / "__main__.py").write_text(COMMAND)
        self.pin("1.0")
        uv = self.wheels.parent / "quick" / "uv"
        uv.parent.mkdir()
        uv.write_text(QUICK_UV)
        uv.chmod(0o755)
        self.quick_path = f"{uv.parent}:{os.environ['PATH']}"

    def pin(self, version: str) -> None:
        runtime, tool = make_wheel(self.wheels, "tiny", version), make_wheel(self.wheels, "tool", version)
        (self.root / "conf" / "constraints.txt").write_text(pinned(runtime))
        (self.root / "conf" / "constraints-dev.txt").write_text(pinned(runtime) + pinned(tool))

    @property
    def python(self) -> Path:
        return self.root / ".venv" / "bin" / "python"

    def environ(self, path: str | None = None) -> dict[str, str]:
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        offline |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(self.wheels)}
        return os.environ | offline | {"PATH": path or self.quick_path}

    def run(self, *arguments: str, path: str | None = None, **options: object) -> subprocess.CompletedProcess[str]:
        command = [str(options.pop("script", self.root / "scripts" / "cmux")), *arguments]
        return subprocess.run(
            command, env=self.environ(path), capture_output=True, text=True, timeout=50, check=False, **options
        )

    def start(self, path: str | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "scripts" / "cmux"],
            env=self.environ(path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def pinned(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def make_wheel(folder: Path, name: str, version: str) -> Path:
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", f'VERSION = "{version}"\n')
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "with space" / "checkout")


@pytest.fixture
def with_pip() -> str:
    """The PATH as it is, for the real installer."""
    return os.environ["PATH"]


@pytest.fixture
def stuck_uv(tmp_path: Path) -> str:
    """A PATH on which `uv` spoils .venv, leaves a file `uv.pid` beside itself and never ends."""
    folder = tmp_path / "stuck"
    folder.mkdir()
    uv = folder / "uv"
    uv.write_text(f"#!/bin/sh\necho $$ > {folder}/uv.tmp\nmv {folder}/uv.tmp {folder}/uv.pid\nexec sleep 600\n")
    uv.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def pid_of(path: str) -> int:
    file = Path(path.split(":")[0]) / "uv.pid"
    eventually(file.exists, within_s=20)
    return int(file.read_text())


def test_the_first_use_makes_the_environment_and_runs_the_command(checkout: Checkout, with_pip: str) -> None:
    first = checkout.run("status", "--json", path=with_pip)

    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("ran status --json")
    assert "making .venv" in first.stderr


def test_later_uses_make_nothing_and_say_nothing(checkout: Checkout) -> None:
    checkout.run()
    made = checkout.python.lstat().st_ctime_ns

    again = checkout.run("help")

    assert (again.returncode, again.stderr) == (0, "")
    assert checkout.python.lstat().st_ctime_ns == made


def test_other_pins_make_it_anew(checkout: Checkout) -> None:
    checkout.run()
    checkout.pin("2.0")

    assert "making .venv" in checkout.run().stderr
    assert list(checkout.root.glob(".venv/lib/*/site-packages/tiny-2.0.dist-info"))


def test_the_tools_come_on_top_and_stay(checkout: Checkout) -> None:
    checkout.run()
    made = checkout.python.lstat().st_ctime_ns
    make = [sys.executable, checkout.root / "scripts" / "environment.py", "constraints-dev.txt"]
    subprocess.run(make, env=checkout.environ(), check=True, capture_output=True, timeout=50)
    assert checkout.python.lstat().st_ctime_ns == made

    checkout.pin("2.0")
    checkout.run()

    assert list(checkout.root.glob(".venv/lib/*/site-packages/tool-2.0.dist-info"))


@pytest.mark.parametrize(
    ("arguments", "with_tools"), [(("drill", "kills"), True), (("drill",), False), (("drill", "--help"), False)]
)
def test_a_drill_brings_the_tools_that_it_runs_on(
    checkout: Checkout, arguments: tuple[str, ...], with_tools: bool
) -> None:
    checkout.run()

    assert checkout.run(*arguments).stdout.startswith(f"ran {' '.join(arguments)}")
    assert bool(list(checkout.root.glob(".venv/lib/*/site-packages/tool-1.0.dist-info"))) == with_tools


def test_a_file_that_is_not_the_pinned_one_is_refused_and_leaves_no_environment(
    checkout: Checkout, with_pip: str
) -> None:
    with (checkout.wheels / "tiny-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"something else")

    refused = checkout.run(path=with_pip)

    assert refused.returncode == 5
    assert "hash" in refused.stderr.lower()
    assert not (checkout.root / ".venv").exists()


def test_a_failed_change_of_pins_keeps_the_environment_that_was_there(checkout: Checkout) -> None:
    checkout.run()
    checkout.pin("2.0")
    (checkout.wheels / "tiny-2.0-py3-none-any.whl").unlink()

    assert checkout.run().returncode == 5
    assert list(checkout.root.glob(".venv/lib/*/site-packages/tiny-1.0.dist-info"))


def test_what_a_killed_run_left_is_made_anew(checkout: Checkout, stuck_uv: str) -> None:
    killed = checkout.start(stuck_uv)
    pid_of(stuck_uv)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert (checkout.root / ".venv").exists()

    assert checkout.run().stdout.startswith("ran")


def test_an_installer_whose_parent_was_killed_is_waited_for(checkout: Checkout, stuck_uv: str) -> None:
    shell = checkout.start(stuck_uv)
    installer = pid_of(stuck_uv)
    parent = int(Path(f"/proc/{installer}/stat").read_text().split()[3])
    os.kill(parent, signal.SIGKILL)

    second = checkout.start()
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    os.kill(installer, signal.SIGKILL)

    out, _ = second.communicate(timeout=40)
    assert out.startswith("ran")
    shell.communicate()


def test_two_first_uses_at_once_make_one_environment(checkout: Checkout) -> None:
    both = [checkout.start(), checkout.start()]
    answers = [process.communicate(timeout=50) for process in both]

    assert [process.returncode for process in both] == [0, 0], answers
    assert sum("making .venv for" in err for _, err in answers) == 1


def test_a_link_to_the_command_finds_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cmux").symlink_to(Path("../with space/checkout/scripts/cmux"))

    assert checkout.run(script=tmp_path / "bin" / "cmux").stdout.startswith("ran")


def test_a_folder_of_the_same_name_where_one_stands_is_not_run(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "daemons" / "cli").mkdir(parents=True)
    (tmp_path / "daemons" / "cli" / "__main__.py").write_text("print('a stranger')")

    assert checkout.run(cwd=tmp_path).stdout.startswith("ran")


def test_a_checkout_that_moves_takes_its_environment_along(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run()
    moved = checkout.root.rename(tmp_path / "elsewhere")

    again = checkout.run(script=moved / "scripts" / "cmux")

    assert (again.stdout[:3], again.stderr) == ("ran", "")


def test_without_python_it_says_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for program in ("sh", "cmp", "apt-get"):
        (bare / program).symlink_to("/bin/true" if program == "apt-get" else shutil.which(program) or "")

    refused = checkout.run(path=str(bare))

    assert refused.returncode == 5
    assert "Python 3.11" in refused.stderr
    assert "apt-get install python3" in refused.stderr
