"""What `--env` gave a permanent agent, kept so that it can be brought back: `.cmux/environments/`, a file an agent.

Beside the registry and not in it: the registry is served, journalled and copied, and these values may be secrets. Never
more than what was given for the agent; nothing of the environment that it was given in.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from daemons import clock, files, log, strict_json
from daemons.settings import Settings
from daemons.strict_json import BadJson

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# One that is being opened has its file before its entry.
_YOUNG_S = 3600.0


def checked(environment: Mapping[str, str]) -> dict[str, str]:
    """*environment*, or ValueError: names that no program could read, values that none could be given."""
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"environment name {name!r} is none; allowed: letters, digits and _, not a digit first")
        if "\0" in value or len(value) > 1 << 16:
            raise ValueError(f"the value of {name} holds a NUL character or more than 65536 characters")
    return dict(environment)


def keep(conf: Settings, agent_id: str, environment: Mapping[str, str]) -> None:
    """From now on this is what *agent_id* was given. StorageError."""
    path = _path(conf, agent_id)
    if not environment:
        files.discard(path)
        return
    files.private_dir(path.parent)
    files.replace(path, strict_json.dumps({"agent_id": agent_id, "environment": dict(environment)}) + b"\n")


def kept(conf: Settings, agent_id: str) -> dict[str, str] | None:
    """What it was given, nothing for most; None when that can't be read, so that nobody runs it without."""
    path = _path(conf, agent_id)
    try:
        raw = files.read(path)
        told = strict_json.loads(raw) if raw else {"environment": {}}
        return checked(told["environment"]) if isinstance(told, dict) else None
    except (BadJson, OSError, ValueError, TypeError, KeyError, AttributeError) as wrong:
        log.warning("environment.unreadable", file=str(path), reason=str(wrong))
        return None


def forget(conf: Settings, agent_id: str) -> None:
    """It was ended on purpose."""
    files.discard(_path(conf, agent_id))


def forget_others(conf: Settings, registered: Collection[str]) -> None:
    """Remove what belongs to nobody *registered*."""
    wanted = {_path(conf, agent_id).name for agent_id in registered}
    try:
        with os.scandir(_folder(conf)) as found:
            others = [entry for entry in found if entry.name not in wanted]
            old = [entry.path for entry in others if clock.now().timestamp() - entry.stat().st_mtime > _YOUNG_S]
    except OSError:
        return  # there is none, or it just goes
    for path in old:
        files.discard(Path(path))


def _folder(conf: Settings) -> Path:
    return conf.state / "environments"


def _path(conf: Settings, agent_id: str) -> Path:
    # An id may be longer, written in percent, than a file's name.
    return _folder(conf) / f"{hashlib.blake2b(agent_id.encode(), digest_size=12).hexdigest()}.json"
