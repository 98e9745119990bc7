"""Make .venv out of one of the pinned, hashed files in conf/, with nothing but the standard library.

    python3 scripts/environment.py constraints.txt        what the suite runs on
    python3 scripts/environment.py constraints-dev.txt    that and the tools

.venv/made-from/ holds a copy of each file whose packages are installed, written last: a run that was killed leaves
no copy, and the next one begins anew. Runs at the same time wait for each other on .venv.lock, which the installer
holds too, so that one whose parent was killed is waited for rather than overtaken.
Exit codes: 0 ready, 5 something that we need is missing (said in one line, with the command that installs it).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / "unfinished"
RUNTIME = "constraints.txt"
WITH_TOOLS = "constraints-dev.txt"
OLDEST_PIP = (22, 3)  # the first that installs into another Python: `pip --python`
OUTPUT_TAIL_LINES = 12


class Missing(Exception):
    """What could not be had, and how to get it, in one line for a person."""


def main(argv: list[str]) -> int:
    wanted = argv[1]
    try:
        with only_one():
            if not is_ready(wanted):
                make(wanted)
    except Missing as missing:
        say(str(missing))
        return 5
    return 0


@contextmanager
def only_one() -> Iterator[None]:
    """Hold .venv.lock, through our death too for as long as an installer of ours lives."""
    descriptor = os.open(ROOT / ".venv.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is making .venv; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.set_inheritable(descriptor, True)
        yield
    finally:
        os.close(descriptor)


def is_ready(constraints: str) -> bool:
    copy = VENV / "made-from" / constraints
    return (
        os.access(PYTHON, os.X_OK)
        and copy.is_file()
        and copy.read_bytes() == (ROOT / "conf" / constraints).read_bytes()
    )


def make(constraints: str) -> None:
    """Leave a .venv with what conf/*constraints* pins; on failure leave what was there before."""
    if (VENV / "made-from" / WITH_TOOLS).exists():
        constraints = WITH_TOOLS  # made anew, it keeps the tools that a developer had in it
    installer = find_installer()
    started = time.monotonic()
    say(f"making .venv for {constraints} with Python {sys.version.split()[0]} and {installer[0]}; this happens once")

    # The tools come on top of what runs, so that a suite running from this .venv never loses a file.
    if constraints != RUNTIME and is_ready(RUNTIME) and not UNFINISHED.exists():
        fill(constraints, installer)
    else:
        rebuild(constraints, installer)

    say(f".venv is ready after {time.monotonic() - started:.1f} s")


def rebuild(constraints: str, installer: list[str]) -> None:
    """Build in place, because scripts in bin/ hold their own path; the old one waits aside until it worked."""
    old = ROOT / ".venv.old"
    if UNFINISHED.exists():
        shutil.rmtree(VENV)
    elif VENV.exists():
        shutil.rmtree(old, ignore_errors=True)
        VENV.rename(old)
    try:
        VENV.mkdir()
        UNFINISHED.touch()
        # The real path of Python: after an upgrade of the system it dangles, which is seen, and .venv is made again.
        sys._base_executable = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]
        venv.create(VENV, symlinks=True, with_pip=False)
        fill(constraints, installer)
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        if old.exists():
            old.rename(VENV)
        raise
    shutil.rmtree(old, ignore_errors=True)


def fill(constraints: str, installer: list[str]) -> None:
    UNFINISHED.touch()
    install(ROOT / "conf" / constraints, installer)
    add_checkout()
    # Every file here holds all that the shorter one holds, so both are ready; the copies come last.
    for made in {RUNTIME, constraints}:
        remember(made)
    UNFINISHED.unlink()


def install(requirements: Path, installer: list[str]) -> None:
    """Only wheels: nothing that we install runs code of its own before it was checked."""
    program, *command = installer
    only_wheels = ["--no-build", "--compile-bytecode"] if program == "uv" else ["--only-binary", ":all:", "--no-input"]
    done = subprocess.run(
        [*command, "--require-hashes", *only_wheels, "-r", str(requirements)],
        env=installer_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-OUTPUT_TAIL_LINES:])
        raise Missing(
            f"{program} could not install {requirements.name} (exit code {done.returncode}); it said:\n{tail}\n"
            "cmux: is the package index reachable? then run the same command again"
        )


def installer_environment() -> dict[str, str]:
    """Keep what says where packages come from; drop what would send them elsewhere than into .venv."""
    elsewhere = (
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_USER",
        "PIP_REQUIRE_VIRTUALENV",
        "PIP_PYTHON",
        "PYTHONPATH",
    )
    return {name: value for name, value in os.environ.items() if name not in elsewhere}


def add_checkout() -> None:
    """Put the checkout on .venv's path. Relative, so that a checkout that moves takes its environment along."""
    packages = next(VENV.glob("lib/python3*/site-packages"))
    (packages / "cmux-suite.pth").write_text(os.path.relpath(ROOT, packages) + "\n")


def remember(constraints: str) -> None:
    copy = VENV / "made-from" / constraints
    copy.parent.mkdir(exist_ok=True)
    aside = copy.with_name(f".{constraints}.tmp")
    shutil.copyfile(ROOT / "conf" / constraints, aside)
    aside.rename(copy)


def find_installer() -> list[str]:
    """Its name and the command that installs into .venv: uv, Python's own pip, the wheel that Python brings, any pip.

    A pip on PATH comes last: pyenv's is a shim that afterwards waits up to a minute for a lock of its own.
    """
    uv = shutil.which("uv")
    if uv:
        return ["uv", uv, "pip", "install", "--python", str(PYTHON)]
    for python in (sys.executable, sys._base_executable):  # type: ignore[attr-defined]
        if pip_version([python, "-m", "pip"]) >= OLDEST_PIP:
            return ["pip", python, "-m", "pip", "--python", str(PYTHON), "install"]
    for wheel in pip_wheels():
        return [wheel.name, str(PYTHON), f"{wheel}/pip", "install"]
    for pip in ("pip3", "pip"):
        if pip_version([pip]) >= OLDEST_PIP:
            return [pip, pip, "--python", str(PYTHON), "install"]
    raise Missing(
        f"neither uv nor pip {OLDEST_PIP[0]}.{OLDEST_PIP[1]} nor Python's own copy of pip is here; "
        f"install one of them, for example with: {how_to_get_pip()}"
    )


def pip_version(pip: list[str]) -> tuple[int, ...]:
    try:
        said = subprocess.run([*pip, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    match = re.match(r"pip (\d+)\.(\d+)", said)
    return tuple(map(int, match.groups())) if match else ()


def pip_wheels() -> list[Path]:
    """The wheels that ensurepip installs from; Debian keeps them in a folder of their own."""
    ensurepip = importlib.util.find_spec("ensurepip")
    bundled = Path(ensurepip.origin).parent / "_bundled" if ensurepip and ensurepip.origin else Path("/nonexistent")
    return sorted([*bundled.glob("pip-*.whl"), *Path("/usr/share/python-wheels").glob("pip-*.whl")])


def how_to_get_pip() -> str:
    known = {
        "apt-get": "apt-get install python3-venv",
        "dnf": "dnf install python3-pip",
        "apk": "apk add py3-pip",
        "pacman": "pacman -S python-pip",
    }
    return next((how for program, how in known.items() if shutil.which(program)), "python3 -m ensurepip")


def say(line: str) -> None:
    print(f"cmux: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
