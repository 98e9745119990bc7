"""`cmux doctor`: what the suite needs here, and the registries that were put aside; brings agents back from one."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemons import alerts, clock, files, processes, strict_json, suite
from daemons.cli import condition, requirements
from daemons.cli.command import DEGRADED, DONE, MISSING, Refused, subcommands
from daemons.cli.screen import Screen, Sign, ago, many, shown, size
from daemons.registry import NoRegistry, Registry, Trouble
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux doctor", "check programs, folders, port, disk, registry"),
    ("cmux doctor restore last-good -n", "which agents the last good registry would bring back"),
    ("cmux doctor restore .cmux/.quarantine/FILE", "bring back the agents of a registry that was put aside and mended"),
)
LAST_GOOD = "last-good"
LITTLE_SPACE_BYTES = 500 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. *todo* is what to do about it, empty when there is nothing to do."""

    sign: Sign
    name: str
    found: str
    todo: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    add = subcommands(parser)
    restore = add("restore", "bring back agents that are in a kept registry and not in the present one")
    restore.add_argument("kept", metavar="FILE", help=f"a file, or {LAST_GOOD}: the registry as it was last known good")
    restore.add_argument("-n", "--dry-run", action="store_true", help="say which, change nothing")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    return _restore(options, conf, screen) if options.what == "restore" else _examine(conf, screen)


# -- looking ----------------------------------------------------------------------------------------------------------


def _examine(conf: Settings, screen: Screen) -> int:
    checks = [*_machine(conf), *_home(conf), *_port(conf), *_registry(conf), *_alerts(conf)]
    screen.table(
        ("", "CHECK", "FOUND"), [(screen.sign(check.sign), check.name, shown(check.found)) for check in checks]
    )
    troubles = Registry(conf).troubles()  # after the look at the registry, which finds them
    _show_troubles(troubles, screen)
    todos = [(check.todo, check.name) for check in checks if check.todo]
    screen.next_steps(*todos)
    code = _code(checks)
    told = [{"check": c.name, "sign": c.sign, "found": c.found, "todo": c.todo or None} for c in checks]
    kept = [{"at": t.at, "kind": t.kind, "reason": t.reason, "kept": t.kept, "agents": t.agents} for t in troubles]
    screen.answer({"checks": told, "registry_troubles": kept}, ok=code == DONE)
    return code


def _code(checks: Sequence[Check]) -> int:
    if any(check.sign == "bad" for check in checks):
        return DEGRADED
    return (
        MISSING if any(check.sign == "degraded" and check.name in ("tmux", "node", "npm") for check in checks) else DONE
    )


def _machine(conf: Settings) -> Iterator[Check]:
    yield Check("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.release()}")
    lacks = {lack.program: lack for lack in (*requirements.lacks(conf), *requirements.outdated(conf))}
    for program, flag in (("tmux", "-V"), ("node", "--version"), ("npm", "--version")):
        lack = lacks.get(program)
        if lack:
            yield Check("degraded", program, f"{lack.found}: {lack.so}", lack.how)
        elif shutil.which(program):
            yield Check("ok", program, requirements.told_version(program, flag) or "doesn't say its version")
        else:
            yield Check("off", program, "not installed, and not needed: there is no frontend to build")


def _home(conf: Settings) -> Iterator[Check]:
    if not os.access(conf.home, os.W_OK):
        yield Check("bad", "home", f"{conf.home} can't be written by you", f"chown {_user()} {conf.home}")
        return
    source = conf.home / "conf" / "cmux.conf"
    yield Check("ok", "home", f"{conf.home}, settings {source if source.exists() else 'all default'}")
    if conf.state.is_dir():
        mode = stat.S_IMODE(conf.state.stat().st_mode)
        if mode & 0o077:
            todo = f"chmod 700 {conf.state}"
            yield Check("degraded", "state", f"{conf.state} has mode {mode:04o}: others can look into it", todo)
    free = shutil.disk_usage(conf.home).free
    little = free < LITTLE_SPACE_BYTES
    yield Check("bad" if little else "ok", "disk", f"{size(free)} free", "free some space" if little else "")


def _user() -> str:
    return processes.user_name(os.getuid())


def _port(conf: Settings) -> Iterator[Check]:
    found = processes.listeners(conf.port)
    if not found:
        yield Check("ok", "port", f"{conf.port} is free")
        return
    pids = sorted({pid for who in processes.holders([each.inode for each in found]).values() for pid in who})
    who = " and ".join(map(processes.describe, pids)) or "a program that you may not see"
    record = suite.running(conf)
    ours = record and processes.tree({record.supervisord.pid}, processes.table())
    if ours and ours.issuperset(pids):
        yield Check("ok", "port", f"{conf.port} is held by our own {who}")
    else:
        yield Check("bad", "port", f"{conf.port} is held by {who}", "end it, or set CMUX_PORT to another port")


def _registry(conf: Settings) -> Iterator[Check]:
    agents, unread = condition.or_reason(lambda: Registry(conf).snapshot().agents)
    if agents is None:
        yield Check("bad", "registry", f"unknown: {unread}", f"ls -ld {conf.registry}")
        return
    yield Check("ok", "registry", many(len(agents), "agent"))
    lost = sorted(set(Registry(conf).last_good()) - set(agents))
    if lost:
        found = f"the last good copy holds {many(len(lost), 'agent')} more: {', '.join(lost[:5])}"
        yield Check("degraded", "last good", found, f"cmux doctor restore {LAST_GOOD} -n")


def _alerts(conf: Settings) -> Iterator[Check]:
    _, unread = condition.or_reason(lambda: alerts.all_open(conf))
    if unread:
        yield Check("bad", "alerts", f"unknown: {unread}", f"ls -l {conf.alerts_dir}")


def _show_troubles(troubles: Sequence[Trouble], screen: Screen) -> None:
    if not troubles:
        return
    now = clock.now()
    screen.say()
    screen.say("The registry was broken, and restored from its last good copy:")
    screen.table(
        ("WHEN", "WHAT", "KEPT AS", "WHY"),
        [(ago(clock.parse_stamp(t.at), now), t.kind, shown(t.kept or "–"), shown(t.reason)) for t in troubles],
    )


# -- restoring --------------------------------------------------------------------------------------------------------


def _restore(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    store = Registry(conf)
    kept = _kept(options.kept, conf)
    back = _missing(kept, store) if options.dry_run else _brought_back(kept, store)
    verb = "would bring back" if options.dry_run else "brought back"
    screen.say(f"{screen.sign('ok')} {verb} {many(len(back), 'agent')}{': ' if back else ''}{shown(', '.join(back))}")
    screen.answer({"agents": back, "dry_run": options.dry_run})
    return DONE


def _kept(name: str, conf: Settings) -> Path:
    path = conf.state / ".registry-last-good.json" if name == LAST_GOOD else Path(name)
    if not path.is_file():
        raise Refused(f"{path} is no file; `cmux doctor` lists what was kept")
    return path


def _brought_back(kept: Path, store: Registry) -> list[str]:
    try:
        return store.restore(kept)
    except NoRegistry as wrong:
        raise _unreadable(kept, wrong) from None


def _missing(kept: Path, store: Registry) -> list[str]:
    try:
        held = strict_json.loads(files.read(kept) or b"")
    except strict_json.BadJson as wrong:
        raise _unreadable(kept, wrong) from None
    return sorted(set(held) - set(store.snapshot().agents)) if isinstance(held, dict) else []


def _unreadable(kept: Path, wrong: Exception) -> Refused:
    return Refused(f"{kept} is no registry: {wrong}; mend it with an editor, then say this again")
