"""`cmux logs --coverage`: what became of every byte of the watched logs: examined, waiting, or not and why.

From the log watcher's last status, and from its markers, which stand on the disk also while nothing runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from daemons import files, loop
from daemons.cli.screen import Screen, Sign, shown
from daemons.settings import Settings

# Not examined because nobody asked for it.
_MEANT = {"older than the first look"}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def show(conf: Settings, screen: Screen) -> bool:
    """Show it. False when there are bytes that nobody can account for."""
    status = loop.read_status(conf, "log_watcher")
    detail: Mapping[str, Any] = status.detail if status else {}
    ledgers = {**_on_disk(conf), **_mapping(detail.get("by_log"))}
    refused = _mapping(detail.get("refused"))
    is_whole = not any(one["unexplained_bytes"] for one in ledgers.values())
    screen.answer({"logs": ledgers, "refused": refused, "log_keeper": detail.get("log_keeper")}, ok=is_whole)
    if not ledgers and not refused:
        screen.say("no log was read yet; CMUX_WATCHED_LOGS says which are; see conf/cmux.conf")
    rows = [[*_row(path, one, screen)] for path, one in sorted(ledgers.items())]
    screen.table(["", "LOG", "CAME", "EXAMINED", "WAITS", "ERRORS", "NOT EXAMINED"], rows)
    for path, reason in refused.items():
        screen.say(f"{screen.sign('degraded')}  {shown(path)}: {shown(reason)}")
    return is_whole


def _on_disk(conf: Settings) -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(conf.markers_dir.glob("*-*.json")):
        # One that can't be read is the watcher's to deal with, and to tell of.
        with suppress(OSError, ValueError, TypeError, KeyError):
            marker = json.loads(files.read(file) or b"")
            found[str(marker["path"])] = _ledger_of(marker)
    return found


def _ledger_of(marker: Mapping[str, Any]) -> dict[str, Any]:
    gaps = {reason: {"times": times, "bytes": size} for reason, (times, size) in marker["gaps"].items()}
    seen = marker["appended_bytes"] + sum(known["offset"] - known["counted_from"] for known in marker["open"])
    in_gaps = sum(gap["bytes"] for gap in gaps.values())
    return {
        "seen_bytes": seen,
        "examined_bytes": marker["examined_bytes"],
        "pending_bytes": 0,
        "unexplained_bytes": seen - marker["examined_bytes"] - in_gaps,
        "events": marker["events"],
        "gaps": gaps,
        "looked_for": 0,
    }


def _row(path: str, one: Mapping[str, Any], screen: Screen) -> Iterator[str]:
    words = [_gap(reason, gap) for reason, gap in one["gaps"].items()]
    if one["unexplained_bytes"]:
        words.append(f"{_bytes(one['unexplained_bytes'])} for no known reason")
    is_whole = not one["gaps"].keys() - _MEANT
    sign: Sign = "bad" if one["unexplained_bytes"] else "ok" if is_whole else "degraded"
    yield screen.sign(sign)
    yield shown(path)
    yield from (_bytes(one[f"{name}_bytes"]) for name in ("seen", "examined", "pending"))
    yield str(one["events"])
    yield "; ".join(words) or "–"


def _gap(reason: str, gap: Mapping[str, Any]) -> str:
    times = f"{gap['times']} × " if gap["times"] > 1 else ""
    size = _bytes(gap["bytes"]) if gap["bytes"] else "how much can't be known"
    return f"{times}{shown(reason)} ({size})"


def _bytes(size: int) -> str:
    amount, unit = float(size), 0
    while abs(amount) >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {_UNITS[unit]}"


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
