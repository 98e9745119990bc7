"""Which suite a home has: its id for good, and the record of the one that runs now.

    .cmux/suite_id         ID INODE HOME, made once: every process of the suite carries ID in its environment
    .cmux/run/suite.json   written by the launcher the moment before it becomes supervisord

Both travel when a home is copied, and then name the suite of the original. So an id counts only where the folder or its
path is still the one that it was made for, and a record only under the id of its home. An id that is lost or makes no
sense is no reason to take a suite that runs for none: there the record stands for it, as long as its supervisord lives,
and without a record the supervisord itself, which carries id and home.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from daemons import __version__, clock, files, processes
from daemons.processes import Identity, Table
from daemons.settings import Settings

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Record:
    """A suite that was started, with what it was told then: settings may have changed since.

    *ports* are those of the API and the services. *sid* is supervisord's session and *cgroup* the folder of its control
    group, where they are its own; its programs stay in both.
    """

    suite_id: str
    supervisord: Identity
    sid: int | None
    started_at: str
    version: str
    home: str
    host: str
    port: int
    ports: tuple[int, ...]
    services: tuple[str, ...]
    session: str
    tmux_socket: str | None
    cgroup: str | None


def start_lock(conf: Settings) -> Path:
    """Held by a start for its whole life: two at once make one suite."""
    return conf.run_dir / "start.lock"


def stop_lock(conf: Settings) -> Path:
    """Held by a stop for its whole life, and by a start while it launches: nothing starts while a stop is under way."""
    return conf.run_dir / "stop.lock"


# -- the id -----------------------------------------------------------------------------------------------------------


def suite_id(conf: Settings) -> str:
    """The id of this home's suite; made at the first call. StorageError when it can be neither read nor made."""
    known = known_id(conf)
    if known and files.read(_id_file(conf)) == _line(known, conf):
        return known
    import uuid  # not for those who only read an id

    files.private_dir(conf.run_dir)
    with files.lock(conf.run_dir / "suite_id.lock"):
        made = known_id(conf) or str(uuid.uuid4())
        files.replace(_id_file(conf), _line(made, conf))
    return made


def known_id(conf: Settings) -> str | None:
    """The id of this home's suite, or None when it has none of its own yet. StorageError when it cannot be read.

    Where its line is gone or makes no sense, it is that of the suite that runs here.
    """
    words = _words(files.read(_id_file(conf)))
    if not words:
        return _id_of_the_running(conf)
    # Moved: the same folder. Restored, or its file system mounted anew: the same path. Copied: neither.
    is_same_folder = words[1] == str(_inode(conf.state))
    is_same_path = words[2] == str(conf.home)
    return words[0] if is_same_folder or is_same_path else None


def has_id(conf: Settings) -> bool:
    """Whether an id is written, this home's or a copied one. StorageError when that cannot be read."""
    return bool(_words(files.read(_id_file(conf))))


def restore_id(known: str, conf: Settings) -> None:
    """Where the id's line is gone or makes no sense, write *known*, which ran here. StorageError, LockBusy if it can't.

    Once its supervisord has ended, nothing vouches for the suite any more, and what is left of it has the id alone to
    be known by.
    """
    if not has_id(conf):
        with files.lock(conf.run_dir / "suite_id.lock"):
            if not has_id(conf):
                files.replace(_id_file(conf), _line(known, conf))


def carried_id(conf: Settings, looked: Table) -> str | None:
    """The id that a supervisord in *looked* carries which was started for this home and works in it, or None.

    For a home whose state was deleted under its suite. The name alone of a home that was moved away would be carried
    too, but the folder that such a suite works in is another one.
    """
    for process in looked.values():
        if "supervisor.supervisord" in process.command and processes.working_folder(process.pid) == conf.home:
            known = processes.marker(process)
            if known and processes.environment_value(process, "CMUX_HOME") == str(conf.home):
                return known
    return None


def _words(raw: bytes | None) -> list[str]:
    """ID, INODE and HOME; nothing when *raw* is none or makes no sense."""
    words = os.fsdecode(raw or b"").rstrip("\n").split(" ", 2)
    return words if len(words) == 3 and _ID.fullmatch(words[0]) else []


def _id_of_the_running(conf: Settings) -> str | None:
    record = _written(conf)
    is_ours = record is not None and record.home == str(conf.home) and processes.is_alive(record.supervisord)
    return record.suite_id if record and is_ours else None


def _id_file(conf: Settings) -> Path:
    return conf.state / "suite_id"


def _line(known: str, conf: Settings) -> bytes:
    return os.fsencode(f"{known} {_inode(conf.state)} {conf.home}\n")


def _inode(folder: Path) -> int:
    try:
        return folder.stat().st_ino
    except OSError:
        return 0


# -- the record -------------------------------------------------------------------------------------------------------


def record_of(conf: Settings, supervisord: Identity, *, cgroup: Path | None, sid: int | None = None) -> Record:
    """The record of a suite that starts now with these settings under *supervisord*.

    *cgroup* and *sid* are its own control group and session, where it has them: all in them is taken for the suite's.
    """
    declared = tuple(service.port for service in conf.services if service.port)
    return Record(
        suite_id=suite_id(conf),
        supervisord=supervisord,
        sid=sid,
        started_at=clock.stamp(clock.now()),
        version=__version__,
        home=str(conf.home),
        host=conf.host,
        port=conf.port,
        ports=(conf.port, *declared),
        services=tuple(service.name for service in conf.services),
        session=conf.session,
        tmux_socket=conf.tmux_socket,
        cgroup=str(cgroup) if cgroup else None,
    )


def write(record: Record, conf: Settings) -> None:
    """Make *record* the record of the running suite, replaced whole. StorageError when the disk says no."""
    content = {**asdict(record), "supervisord": record.supervisord.to_json()}
    files.replace(_record_file(conf), json.dumps(content, indent=1).encode() + b"\n")


def restore(record: Record, conf: Settings) -> bool:
    """Where id or record are gone or make no sense while *record*'s suite runs, write them anew. Whether that was so.

    StorageError, LockBusy when it can't be done.
    """
    is_lost = not has_id(conf) or _written(conf) is None
    if is_lost and processes.is_alive(record.supervisord):
        restore_id(record.suite_id, conf)
        if _written(conf) is None:
            write(record, conf)
    return is_lost


def read(conf: Settings) -> Record | None:
    """The record of the suite that was started last in this home, running or not.

    None when there is none, when it is that of another home (copied along), or when it makes no sense.
    StorageError when it cannot be read.
    """
    record = _written(conf)
    return record if record and record.suite_id == known_id(conf) else None


def running(conf: Settings) -> Record | None:
    """The record of the suite that runs: its supervisord is that very process, and lives."""
    record = read(conf)
    return record if record and processes.is_alive(record.supervisord) else None


def forget(conf: Settings) -> None:
    """Remove the record: what it names has been proven gone."""
    _record_file(conf).unlink(missing_ok=True)


def _written(conf: Settings) -> Record | None:
    raw = files.read(_record_file(conf))
    return _parsed(raw) if raw else None


def _record_file(conf: Settings) -> Path:
    return conf.run_dir / "suite.json"


def _parsed(raw: bytes) -> Record | None:
    try:
        told = json.loads(raw)
        told["supervisord"] = Identity.from_json(told["supervisord"])
        told["ports"] = tuple(int(port) for port in told["ports"])
        told["services"] = tuple(str(name) for name in told["services"])
        return Record(**{field.name: told[field.name] for field in fields(Record)})
    except (ValueError, TypeError, KeyError):
        return None
