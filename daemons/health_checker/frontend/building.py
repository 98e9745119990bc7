"""Builds the project in a copy of it: `npm run build`, and where that fails `npm ci` and once more."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from daemons.health_checker.frontend import check, copy, npm
from daemons.health_checker.frontend.sources import Sources
from daemons.settings import Settings

_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
# From npm's cache where that has it: without a registry that heals in 4 s. Where it hasn't, the default retries make
# `npm ci` hang for more than ten minutes; with these it gives up after 9 s.
_INSTALL_OPTIONS = (
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--fetch-timeout=60000",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=10000",
)
_NO_NODE = re.compile(r"\bnode\W+(No such file|not found)")
_UNREACHED = "ECONN|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ENOTCACHED"
_NO_REGISTRY = re.compile(rf"npm (?:error|ERR!) (?:code|errno) (?:{_UNREACHED})")
_OPTIONAL_MISSING = ("optional dependencies", "Cannot find native binding")

MIB = 1 << 20
KEPT_FREE_BYTES = 256 * MIB


class Failed(Exception):
    """The attempt came to nothing; dist is as it was. *output* is the end of what npm said."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


class Cancelled(Exception):
    """We were asked to end."""


class Course(Protocol):
    """The attempt that a build belongs to."""

    attempt: str
    deadline_mono: float
    good_lock: str | None

    @property
    def stop_requested(self) -> bool: ...

    def step(self, step: str) -> None:
        """Say what is done now. Raises Cancelled or Failed when there shall be no more."""

    def carry_on(self) -> None:
        """Raises Cancelled or Failed when there shall be no more."""


class Building:
    """Builds the frontend of *conf* into the folder *out*, in a copy of it that is made at *place*."""

    def __init__(self, conf: Settings, npm_path: Path | None, course: Course, place: Path, out: Path) -> None:
        self._conf = conf
        self._npm = npm_path
        self._course = course
        self._copy = place
        self._out = out
        self._free_before = 0
        self.sources: str | None = None
        """The digest of what was built."""

    def build(self, leave_out: Collection[Path]) -> None:
        """A whole build in `out`, or Failed: build; on failure install what the lock file says, and build again."""
        self._course.step("copy")
        copy.project(self._conf.frontend_dir, self._copy, leave_out=leave_out, carry_on=self._course.carry_on)
        self.sources = Sources(self._copy, self._conf.dist.name).digest()
        if not (self._copy / "package.json").is_file():
            raise Failed(f"{self._conf.frontend_dir} has no package.json to build it from")
        problem = self._problem_with_build() if self._has_modules() else Failed("no packages are installed")
        if problem:
            self._install(problem)
            problem = self._problem_with_build()
        if problem:
            raise problem

    def _has_modules(self) -> bool:
        """False only where packages are needed and none are installed: a build that cannot work is not tried."""
        lock = lock_of(self._copy)
        installed = any((folder / copy.MODULES).is_dir() for folder in (self._copy, *self._copy.parents))
        return installed or lock is None or not _lists_packages(lock)

    def _problem_with_build(self) -> Failed | None:
        self._course.step("build")
        copy.remove(self._out)
        run = self._run_npm("run", "build", "--", "--outDir", str(self._out))
        if not run.went_well:
            return Failed(f"`npm run build` ended with code {run.code}{_explained(run.output)}", run.output)
        found = check.look(self._out, self._conf.frontend_url, self._conf.frontend_dir / "index.html")
        if not found.is_whole:
            return Failed(f"`npm run build` ended with code 0 and built nothing whole: {found.evidence}", run.output)
        return None

    def _install(self, problem: Failed) -> None:
        """`npm ci` in the copy. Raises *problem*, with what stands in the way, where that must not or cannot be."""
        lock = lock_of(self._copy)
        if lock is None:
            raise Failed(f"{problem}, and without a package-lock.json `npm ci` cannot help", problem.output)
        if self._course.good_lock not in (None, sum_of(lock)):
            raise Failed(
                f"{problem}, and {lock.name} has changed since the last good build: check it and run `npm ci` yourself",
                problem.output,
            )
        self._course.step("install")
        scripts = [] if self._conf.allow_npm_scripts else ["--ignore-scripts"]
        run = self._run_npm("ci", *scripts, *_INSTALL_OPTIONS)
        if not run.went_well:
            output = "\n".join(part for part in (problem.output, f"$ npm ci\n{run.output}") if part)
            raise Failed(f"{problem}, and `npm ci` ended with code {run.code}{_explained(run.output)}", output)

    def _writes_to(self) -> tuple[Path, Path]:
        return self._copy, self._out.parent

    def _takes_all_room(self) -> bool:
        """Whether so little is left that the suite could soon keep nothing any more; a disk that was full stays one."""
        return _free_bytes(*self._writes_to()) < min(KEPT_FREE_BYTES, self._free_before // 2)

    def _run_npm(self, *arguments: str) -> npm.Run:
        self._free_before = _free_bytes(*self._writes_to())
        if self._npm is None:
            raise Failed(f"npm is not installed; {npm.advice()}")
        run = npm.run(
            self._npm,
            *arguments,
            cwd=self._copy,
            attempt=self._course.attempt,
            deadline_mono=self._course.deadline_mono,
            stop=lambda: self._course.stop_requested or self._takes_all_room(),
        )
        if run.why == "cancelled" and not self._course.stop_requested:
            left = f"{_free_bytes(*self._writes_to()) // MIB} MiB of room"
            raise Failed(f"`npm {arguments[0]}` was ended because it left no more than {left} on the disk", run.output)
        if run.why == "timed out":
            raise Failed(f"`npm {arguments[0]}` did not end within {self._conf.build_timeout_s:g} s", run.output)
        self._course.carry_on()
        return run


def _free_bytes(*folders: Path) -> int:
    """The room on the fullest of the disks that *folders* lie on."""
    found = [os.statvfs(folder) for folder in folders]
    return min(each.f_bavail * each.f_frsize for each in found)


def lock_of(folder: Path) -> Path | None:
    """The lock file that npm goes by in *folder*."""
    return next((lock for name in _LOCKS if (lock := folder / name).is_file()), None)


def sum_of(lock: Path | None) -> str | None:
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock else None


def _lists_packages(lock: Path) -> bool:
    try:
        told = json.loads(lock.read_bytes())
    except ValueError:
        return True
    return isinstance(told, dict) and any(told.get("packages", {"?": None}))


def _explained(output: str) -> str:
    """What npm's own words mean, where they say it badly."""
    if _NO_NODE.search(output):
        return f": node is not found; {npm.advice()}"
    if _NO_REGISTRY.search(output):
        return ": the npm registry cannot be reached"
    if any(words in output for words in _OPTIONAL_MISSING):
        return (
            ": the packages for this machine's kind of processor are not installed, perhaps because package-lock.json "
            "was made on another (npm issue 4828); if `npm ci` does not help, remove package-lock.json and "
            "node_modules and run `npm install`"
        )
    return ""
