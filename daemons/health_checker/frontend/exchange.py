"""Puts a built folder in the place of `dist` in one step, and mends what a kill in the middle left.

    .cmux-build/out  --checked, on the disk-->  .cmux-build/ready  --exchange-->  dist     (and the old one is `ready`)

The staging folder stands beside `dist`, on the same file system, and tells git to look away. Nothing in it is removed
while `dist` is not whole, and whatever is whole in it goes in when `dist` is not: this one rule finishes or undoes an
attempt that died at any step, without a record of the steps.

`renameat2(RENAME_EXCHANGE)` where the file system has it: of 120,657 reads under constant swapping, none missed. Where
it hasn't, two renames with some microseconds without a `dist` between them; a crash there is mended by the rule above.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from daemons import builds, files
from daemons.health_checker.frontend import check, copy
from daemons.settings import Settings

STAGING = ".cmux-build"
NEEDED_FOR = timedelta(minutes=10)
KEPT_FOR = timedelta(hours=24)
KEPT_AT_MOST = 10
_TRIES = 5

How = Literal["exchanged", "moved in", "in two steps"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things stand. *dist* is the folder itself where the user's `dist` is a link to one."""

    dist: Path
    staging: Path
    previous: Path
    page_url: str

    @property
    def out(self) -> Path:
        """What npm builds into: perhaps half done."""
        return self.staging / "out"

    @property
    def ready(self) -> Path:
        """A whole build that waits for its turn; after the exchange, the old dist."""
        return self.staging / "ready"

    @property
    def aside(self) -> Path:
        """The old dist, for an instant, where the exchange takes two steps."""
        return self.staging / "aside"


def places(conf: Settings) -> Places:
    real = Path(os.path.realpath(conf.dist)) if conf.dist.is_dir() else conf.dist
    return Places(real, real.parent / STAGING, builds.previous(conf), conf.frontend_url)


def prepare(at: Places) -> None:
    """An empty staging folder that git does not see."""
    copy.remove(at.staging)
    at.staging.mkdir(mode=0o755)
    (at.staging / ".gitignore").write_text("*\n")


def make_ready(at: Places) -> None:
    """Take the checked build in `out` for whole: from here on a crash may put it in. It is on the disk before that."""
    _sync_tree(at.out)
    files.reached("frontend.synced")
    os.rename(at.out, at.ready)
    files.sync_dir(at.staging)
    files.reached("frontend.ready")


def publish(at: Places) -> How:
    """Put `ready` in the place of dist; what was there is `ready` then. OSError leaves dist as it was."""
    how = _swap(at)
    files.reached("frontend.swapped")
    files.sync_dir(at.dist.parent)
    return how


def _swap(at: Places) -> How:
    # Others may make or remove dist between our look and our step: a step that finds it otherwise looks again.
    for _ in range(_TRIES):
        with suppress(_Otherwise):
            return _swap_once(at)
    raise FileNotFoundError(f"{at.dist} comes and goes while it is replaced; is another program building it?")


def _swap_once(at: Places) -> How:
    there = os.path.lexists(at.dist)
    try:
        if not there:
            os.rename(at.ready, at.dist)
            return "moved in"
        if files.exchange(at.ready, at.dist):
            return "exchanged"
        return _swap_in_two_steps(at)
    except OSError as cause:
        if os.path.lexists(at.dist) != there:
            raise _Otherwise from cause
        if cause.errno == errno.EBUSY:
            advice = f"{at.dist} is a mount of its own, which nothing can take the place of: mount the folder above it"
            raise OSError(errno.EBUSY, advice) from cause
        raise


class _Otherwise(Exception):
    """dist came or went between the look and the step."""


def _swap_in_two_steps(at: Places) -> How:
    os.rename(at.dist, at.aside)
    files.reached("frontend.aside")
    os.rename(at.ready, at.dist)
    os.rename(at.aside, at.ready)
    return "in two steps"


def mend(at: Places) -> str | None:
    """Finish or undo what an attempt that died left. What was done, or None when there was nothing to do.

    The caller holds the builder's lock.
    """
    if not os.path.lexists(at.staging):
        return None
    for candidate in (at.ready, at.aside):
        if check.look(at.dist, at.page_url).is_whole or not check.look(candidate, at.page_url).is_whole:
            continue
        if candidate == at.aside:
            copy.remove(at.ready)
            os.rename(at.aside, at.ready)
        publish(at)
        copy.remove(at.staging)
        return "finished: the whole build that an interrupted attempt had ready is in place"
    copy.remove(at.staging)
    return "undone: what an interrupted attempt had built was removed"


# -- what open pages still ask for ------------------------------------------------------------------------------------


def keep_assets(at: Places, now: datetime, source: Path | None = None) -> Path | None:
    """Keep what *source*, the dist that is about to be replaced, holds, for pages that are open. Where, if anything.

    Links, made before the exchange: from then on no request for an old asset finds nothing.
    """
    kept = at.previous / _stamp(now)
    count = 0
    folder = source or at.dist
    for entry in check.files_of(folder):
        name = os.path.relpath(entry.path, folder)
        if name.endswith((".html", ".htm")) or name.startswith(".vite/"):
            continue
        target = kept / name
        try:
            _private_dirs(at.previous, target.parent)
            _link_or_copy(Path(entry.path), target)
        except FileNotFoundError:
            continue  # dist is being emptied under us
        count += 1
    return kept if count else None


def _private_dirs(top: Path, folder: Path) -> None:
    for part in (top, *(parent for parent in reversed(folder.parents) if parent.is_relative_to(top)), folder):
        files.private_dir(part)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def forget_assets(at: Places, now: datetime) -> None:
    """Let go of kept assets: of more builds than ten once no page load can still need them, and all after a day."""
    if not at.previous.is_dir():
        return
    needed, oldest = _stamp(now - NEEDED_FOR), _stamp(now - KEPT_FOR)
    stamps = sorted((folder.name for folder in at.previous.iterdir()), reverse=True)
    for position, stamp in enumerate(stamps):
        if stamp < oldest or (position >= KEPT_AT_MOST and stamp < needed):
            copy.remove(at.previous / stamp)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%S.%fZ")


def _sync_tree(folder: Path) -> None:
    for path, folders, names in os.walk(folder):
        for name in names:
            _sync_file(Path(path) / name)
        for name in folders:
            files.sync_dir(Path(path) / name)
    files.sync_dir(folder)


def _sync_file(path: Path) -> None:
    if path.is_symlink():
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        files.sync_data(fd, path)
    finally:
        os.close(fd)
