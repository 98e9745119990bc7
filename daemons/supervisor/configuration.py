"""One home's configuration of supervisord: `conf/supervisord.conf` with that home's folders, Python and services."""

from __future__ import annotations

import configparser
import io
import math
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from daemons import files
from daemons.settings import Service, Settings, SettingsError
from daemons.supervisor.sockets import prepare_socket

PROGRAMS = ("api", "log_keeper", "log_watcher", "health_checker", "registry_service", "listener")

_PYTHON = "%(here)s/../.venv/bin/python"
_CHECKOUT = "%(here)s/.."
_LOGS = "%(here)s/../.cmux/logs/"


def render(conf: Settings) -> Path:
    """Write this home's `run/supervisord.conf` out of `conf/supervisord.conf`, replaced whole. Where it is.

    The home is written as `%(here)s/../..` or relative to supervisord's working folder, never spelt out, so that no
    character of its path can mean something to supervisord. StorageError when it cannot be written, SettingsError when
    the checkout is not whole.
    """
    files.private_dir(conf.run_dir)
    files.private_dir(conf.logs_dir)
    parsed = _template(conf)
    for section in parsed.sections():
        _move(parsed, section)
    where = prepare_socket(conf)
    if where.parent != conf.run_dir:
        parsed.set("unix_http_server", "file", str(where))
        parsed.set("supervisorctl", "serverurl", f"unix://{where}")
    for service in conf.services:
        parsed[f"program:service-{service.name}"] = _service(service, conf)
    rendered = conf.run_dir / "supervisord.conf"
    files.replace(rendered, _written(parsed), durable=False)
    return rendered


def _template(conf: Settings) -> configparser.RawConfigParser:
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    source = conf.code / "conf" / "supervisord.conf"
    raw = files.read(source)
    if raw is None:
        raise SettingsError(f"{source} is missing: this checkout is not whole; clone it again")
    parsed.read_string(raw.decode(), source=str(source))
    return parsed


def _move(parsed: configparser.RawConfigParser, section: str) -> None:
    """Rewrite the paths of one section from `CHECKOUT/conf` to `HOME/.cmux/run`, where the rendered file lies."""
    parsed.remove_option(section, "directory")  # supervisord itself runs in the home
    for option, value in parsed.items(section):
        if option == "command":
            value = value.replace(_PYTHON, _quoted(sys.executable))
        elif value.startswith(_LOGS) and section != "supervisord":
            # Relative: supervisord expands a program's log file twice, and would trip over a % in %(here)s.
            value = value.replace(_LOGS, ".cmux/logs/")
        parsed.set(section, option, value.replace(_CHECKOUT, f"{_CHECKOUT}/.."))


def _service(service: Service, conf: Settings) -> Mapping[str, str]:
    return {
        # By name: the launcher reads the command from the settings, so nothing of it has to be quoted here.
        "command": f"{_quoted(sys.executable)} -P -m daemons.launcher.service {service.name}",
        "autostart": "true" if service.autostart else "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "10",
        # The leader alone gets SIGTERM, and drains its workers; SIGKILL goes to all of them.
        "stopasgroup": "false",
        "killasgroup": "true",
        "stopwaitsecs": str(math.ceil(conf.stop_grace_s)),
        "redirect_stderr": "true",
        "stdout_logfile": f".cmux/logs/service-{service.name}.log",
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "3",
    }


def _quoted(word: str) -> str:
    """*word* for `command=`, which is cut at " ;" and " #", expanded by %, and then split like a shell's line.

    A word that holds a space stands in single quotes; two quotes more inside (`''`) end and open them again.
    """
    return shlex.quote(word).replace(" ;", " '';").replace(" #", " ''#").replace("%", "%%")


def _written(parsed: configparser.RawConfigParser) -> bytes:
    text = io.StringIO()
    text.write("; Written by `cmux start` for this home out of conf/supervisord.conf and cmux.conf: edit those.\n\n")
    parsed.write(text, space_around_delimiters=False)
    return os.fsencode(text.getvalue())
