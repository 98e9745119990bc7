"""Tests of daemons.log."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from daemons import clock, log, settings


def test_a_log_line_is_one_json_object_with_its_fields(capsys):
    log.warning("frontend.build_failed", attempt=2, output="a\nb\x1b[31m")

    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\x1b" not in line
    fields = json.loads(line)
    assert (fields["level"], fields["event"], fields["attempt"]) == ("WARNING", "frontend.build_failed", 2)
    assert fields["output"] == "a\nb\x1b[31m"
    assert clock.parse_stamp(fields["ts"]) <= clock.now()


def test_logging_to_a_full_disk_or_a_closed_pipe_does_not_end_the_daemon():
    code = "from daemons import log\nfor _ in range(99): log.error('x.happened', text=chr(233))\nprint('alive')"
    with open("/dev/full", "wb") as full:
        child = subprocess.run(
            [sys.executable, "-c", code],
            stderr=full,
            stdout=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=str(settings.CODE), LC_ALL="C", PYTHONUTF8="0"),
            check=False,
        )

    assert child.stdout == b"alive\n"
