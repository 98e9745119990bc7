"""What values are: each parser raises ValueError with what the value should have been."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from daemons.settings.model import SettingsError

T = TypeVar("T")

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")


def home(raw: str) -> Path:
    folder = Path(raw).expanduser()
    if "\n" in raw or "\0" in raw or not folder.is_dir():
        raise SettingsError(f"CMUX_HOME={raw!r} is not a folder; name the folder that the suite shall look after")
    return folder.resolve()


def host(raw: str) -> str:
    if not _HOST.fullmatch(raw):
        raise ValueError("a host name or address, such as 127.0.0.1")
    return raw


def port(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit() and 1 <= int(raw) <= 65535):
        raise ValueError("a port from 1 to 65535")
    return int(raw)


def seconds(raw: str) -> float:
    value = seconds_or_none(raw)
    if value <= 0:
        raise ValueError("a positive number of seconds")
    return value


def seconds_or_none(raw: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", raw, re.ASCII):
        raise ValueError("a positive number of seconds")
    return float(raw)


def cores(raw: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", raw, re.ASCII) or not float(raw):
        raise ValueError("a number of cores such as 1 or 2.5")
    return float(raw)


def notation(raw: str) -> Literal["line", "jsonl"]:
    if raw == "line":
        return "line"
    if raw == "jsonl":
        return "jsonl"
    raise ValueError("'line' or 'jsonl'")


def yes_no(raw: str) -> bool:
    answers = {
        "yes": True,
        "true": True,
        "on": True,
        "1": True,
        "no": False,
        "false": False,
        "off": False,
        "0": False,
    }
    if raw.lower() not in answers:
        raise ValueError("yes or no")
    return answers[raw.lower()]


def path(home: Path) -> Callable[[str], Path]:
    def parse(raw: str) -> Path:
        if not raw or "\0" in raw or "\n" in raw:
            raise ValueError("a path")
        return Path(os.path.normpath(home / Path(raw).expanduser()))

    return parse


def mailbox(home: Path) -> Callable[[str], Path]:
    def parse(raw: str) -> Path:
        file = path(home)(raw)
        # Whatever else stands there is met by who writes: it may be moved away while all runs.
        if file.is_dir() and file != home / ".cmux" / "mailbox":
            raise ValueError("the path of a file: there is a folder of that name")
        return file

    return parse


def paths(home: Path) -> Callable[[str], tuple[str, ...]]:
    one = path(home)
    return lambda raw: tuple(str(one(part)) for part in re.split(r"[:\n]", raw) if part.strip())


def lines(raw: str) -> tuple[str, ...]:
    patterns = tuple(line.strip() for line in raw.splitlines() if line.strip())
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as wrong:
            raise ValueError(f"a list of regular expressions, one a line: {pattern!r} has an error ({wrong})") from None
    return patterns


def prompts(raw: str) -> tuple[str, ...]:
    patterns = lines(raw)
    for pattern in patterns:
        if "typed" not in re.compile(pattern).groupindex:
            raise ValueError(f"a list of regular expressions with a group (?P<typed>…): {pattern!r} has none")
    return patterns


def loopback_url(raw: str) -> str:
    # http only, by name or address of this machine's own choosing; what it may reach is checked where it is used.
    found = re.fullmatch(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(/[!-~]*)?", raw)
    if not found or not 0 < int(found[1] or 80) < 65536:
        raise ValueError("an http:// address such as http://127.0.0.1:8000/health")
    return raw


def days(raw: str) -> int:
    if not re.fullmatch(r"\d{1,5}", raw, re.ASCII) or not int(raw):
        raise ValueError("a whole number of days, 1 or more")
    return int(raw)


def amount(raw: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([KMGT])", raw, re.ASCII)
    if not found or not int(found[1]):
        raise ValueError("an amount of bytes such as 500M or 2G")
    return int(found[1]) << {"K": 10, "M": 20, "G": 30, "T": 40}[found[2]]


def command(raw: str) -> tuple[str, ...]:
    words = tuple(shlex.split(raw))
    if not words:
        raise ValueError("a command")
    return words


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda raw: parse(raw) if raw else None


def _match(pattern: str, what: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if not re.fullmatch(pattern, raw):
            raise ValueError(what)
        return raw

    return parse


session = _match(r"[^\W_][\w@+-]{0,63}", "a tmux session name (letters, digits, _ @ + -)")
socket = _match(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", "a tmux -L name, no path")
