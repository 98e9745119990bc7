"""The report where others find it: `run/last-stop.json`, and the journal."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from daemons import files
from daemons.files import LockBusy, StorageError
from daemons.settings import Settings
from daemons.stop.report import Report


def write(conf: Settings, report: Report) -> str:
    """Keep *report*. Why that could not be, or nothing. A home in which nothing was ever started stays untouched."""
    if not conf.run_dir.is_dir():
        return ""
    from daemons.journal import Journal

    try:
        files.replace(_path(conf), json.dumps(report.to_json(), indent=1).encode() + b"\n", durable=False)
        Journal(conf, "system:stop").record("suite.stopped", reason=report.problem or None, **_evidence(report))
    except (StorageError, LockBusy) as problem:
        return str(problem)
    return ""


def since(conf: Settings, moment: str) -> Report | None:
    """The report of another stop that ended after *moment*, or None."""
    try:
        report = Report.from_json(files.read(_path(conf)) or b"")
    except (StorageError, ValueError):
        return None
    return dataclasses.replace(report, joined=True) if report.at >= moment else None


def _path(conf: Settings) -> Path:
    return conf.run_dir / "last-stop.json"


def _evidence(report: Report) -> dict[str, object]:
    return {
        "outcome": report.outcome,
        "took_s": report.took_s,
        "processes": [each.line() for each in report.processes],
        "windows": [f"{each.kind} {each.name}" for each in report.windows],
        "foreign": [each.line() for each in report.foreign],
    }
