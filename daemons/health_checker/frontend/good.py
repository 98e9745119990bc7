"""The last whole build, kept: what it was, and a copy of it that nothing else writes to.

    .cmux/frontend-good/build.json   each file's sum; from which sources; by whom
    .cmux/frontend-good/files/       the build itself: put in the place of a broken dist, in a moment, without npm

Against it a dist is judged whose files all have the right names and the wrong bytes. What differs is damage, or
somebody has built: a build writes every file anew, and other sources give other bytes. The builder alone writes here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from daemons import builds, clock, files
from daemons.health_checker.frontend import copy
from daemons.health_checker.frontend.check import Finding, Seen
from daemons.settings import Settings

LIMIT_BYTES = 256 << 20
_EARLIER_KEPT = 20

Maker = Literal["us", "somebody else", "unknown"]
Relation = Literal["new", "same", "moved", "replaced", "damaged"]


@dataclass(frozen=True, slots=True)
class Good:
    """A build that was whole. *sources* is their digest, None where that is not known; *held*: its files are kept."""

    at: str
    maker: Maker
    sources: str | None
    needed: list[str]
    files: dict[str, Seen]
    held: bool = True
    earlier: list[list[str | None]] = field(default_factory=list)
    """Of builds before it: which one, and its sources. So an old one that comes back is known."""

    @property
    def name(self) -> str:
        return _name_of(self.files)


def read(conf: Settings) -> Good | None:
    """What is kept, or None: nothing, or it can't be read (then it is made anew)."""
    try:
        raw = files.read(builds.good(conf) / "build.json")
        told = json.loads(raw) if raw else None
        return Good(**told | {"files": {path: Seen(*seen) for path, seen in told["files"].items()}}) if told else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


# -- judging ----------------------------------------------------------------------------------------------------------


def relation(good: Good | None, found: Finding, sources: str | None) -> tuple[Relation, tuple[str, ...]]:
    """What the whole dist *found* is to *good*, and the faults where it is a damaged one."""
    if good is None:
        return "new", ()
    changed, gone = _differing(good, found)
    if not changed and not gone:
        return ("same" if _is_in_place(good, found) else "moved"), ()
    rewritten = all(found.files[path][1:] != good.files[path][1:] for path in found.sums if path in good.files)
    other_sources = sources is not None and good.sources is not None and sources != good.sources
    if rewritten or (other_sources and not any(builds.is_hashed(path) for path in changed)):
        return "replaced", ()
    faults = [f"{path} holds other bytes than were built" for path in changed]
    return "damaged", (*faults, *(f"{path}, which was built, is missing" for path in gone))


def judged(good: Good | None, found: Finding, sources: str | None) -> Finding:
    """*found* with what only the comparison with *good* shows."""
    return replace(found, faults=found.faults or relation(good, found, sources)[1])


def _is_in_place(good: Good, found: Finding) -> bool:
    """Whether the same bytes are in the same files: by that, what is written anew later is seen."""
    return all(found.files.get(path) == good.files.get(path) for path in good.needed)


def _differing(good: Good, found: Finding) -> tuple[list[str], list[str]]:
    """Files with other bytes, and missing ones: of those that a build makes and nobody else has a reason to change."""
    watched = [path for path in good.files if path in good.needed or builds.is_hashed(path)]
    changed = [path for path in watched if path in found.files and found.files[path].sum != good.files[path].sum]
    return changed, [path for path in watched if path not in found.files]


def sources_of(good: Good | None, found: Finding, now: str | None) -> str | None:
    """The digest of the sources that somebody else's dist *found* was built from: *now*, unless we know it of old."""
    earlier = {name: sources for name, sources in (good.earlier if good else []) if name}
    return earlier.get(_name_of(found.files), now)


def _name_of(seen: dict[str, Seen]) -> str:
    lines = sorted(f"{path}\0{each.sum}\n" for path, each in seen.items())
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


# -- keeping and giving back ------------------------------------------------------------------------------------------


def keep(conf: Settings, dist: Path, found: Finding, maker: Maker, sources: str | None, now: datetime) -> None:
    """Keep the whole *dist*, in one step. OSError, also when dist changes meanwhile: the one kept before stays."""
    there, fresh = builds.good(conf), builds.good(conf).with_name("frontend-good.new")
    copy.remove(fresh)
    files.private_dir(fresh)
    size = sum(os.stat(dist / path).st_size for path in found.files)
    held = size <= LIMIT_BYTES
    if held:
        _copy(dist, fresh / "files", found.files)
    before = read(conf)
    earlier = [*before.earlier, [before.name, before.sources]] if before else []
    made = Good(clock.stamp(now), maker, sources, list(found.sums), found.files, held, earlier[-_EARLIER_KEPT:])
    files.replace(fresh / "build.json", json.dumps(asdict(made)).encode())
    files.reached("frontend.good")
    if not there.exists():
        os.rename(fresh, there)
    elif not files.exchange(fresh, there):
        copy.remove(there)
        os.rename(fresh, there)
    copy.remove(fresh)
    files.sync_dir(conf.state)


def restamp(conf: Settings, good: Good, found: Finding) -> None:
    """Take note that the same bytes lie in other files now."""
    stamped = {path: found.files.get(path, seen) for path, seen in good.files.items()}
    stamped = {path: seen if seen.sum == good.files[path].sum else good.files[path] for path, seen in stamped.items()}
    files.replace(builds.good(conf) / "build.json", json.dumps(asdict(replace(good, files=stamped))).encode())


def lay(conf: Settings, good: Good, target: Path) -> bool:
    """Make *target* a copy of the build kept; False, and nothing there, when it is not held or not sound any more."""
    if not good.held:
        return False
    try:
        _copy(builds.good(conf) / "files", target, good.files)
    except OSError:
        copy.remove(target)
        return False
    return True


def _copy(source: Path, target: Path, wanted: dict[str, Seen]) -> None:
    """Copy the files *wanted*, modes included, and see that each has the bytes that it should have."""
    target.mkdir(mode=0o755)
    for path, seen in wanted.items():
        made = target / path
        made.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(source / path, made)
        os.chmod(made, os.stat(source / path).st_mode & 0o777 | 0o444)
        with made.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != seen.sum:
                raise OSError(f"{source / path} does not hold what it did")
