"""Every knob, read once: environment over `conf/cmux.conf` over default. The only reader of `os.environ`.

`load()` gives one frozen object that `main()` passes on. A wrong value raises SettingsError, whose text is the one
line that the user sees: the setting, the value, what is allowed.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")

CODE = Path(__file__).resolve().parent.parent

ERROR_PATTERNS = (r"\bERROR\b", r"\bException\b", r"\bTraceback\b", r"\bCRITICAL\b", r"\bFAILED\b")
IGNORE_PATTERNS = ("healthcheck", "GET /api/webhooks/health")
# How Claude Code and Codex show that they wait: `> `, perhaps in a box; what is typed there is the group.
PROMPTS = (r"\s*[│┃|]?\s*[>❯›]\s?(?P<typed>[^│┃|]*)[│┃|]?\s*",)

_SESSION = re.compile(r"[^\W_][\w@+-]{0,63}")
_SOCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}")


class SettingsError(Exception):
    """A setting is wrong. The text is one line for a person; programs print it and end with exit code 2."""


@dataclass(frozen=True, slots=True)
class Service:
    """A user's own server, run, probed and stopped with the suite. *command* is never given to a shell."""

    name: str
    command: tuple[str, ...]
    directory: Path
    port: int | None
    health_url: str | None
    autostart: bool
    check: tuple[str, ...] | None = None
    """A command whose exit code 0 says that the service is healthy."""
    memory_bytes: int | None = None
    """What it may use with all that it starts, before somebody is told."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the suite of one home was told to do. Paths are absolute; times are seconds."""

    home: Path
    code: Path
    host: str
    port: int
    session: str
    tmux_socket: str | None
    mailbox: Path
    mailbox_format: Literal["line", "jsonl"]
    log_check_interval_s: float
    alert_cooldown_s: float
    alert_retell_s: float | None
    stop_timeout_s: float
    stop_grace_s: float
    watched_logs: tuple[str, ...]
    error_patterns: tuple[str, ...]
    ignore_patterns: tuple[str, ...]
    frontend_dir: Path
    frontend_url: str
    health_interval_s: float
    build_timeout_s: float
    allow_npm_scripts: bool
    rebuild_stale: bool
    agents_interval_s: float
    agent_settle_s: float
    missing_grace_s: float
    journal_days: int
    journal_bytes: int
    agent_memory_bytes: int | None
    agent_cores: float | None
    deliver: bool
    prompts: tuple[str, ...]
    services: tuple[Service, ...]
    suite_id: str | None

    @property
    def state(self) -> Path:
        return self.home / ".cmux"

    @property
    def run_dir(self) -> Path:
        return self.state / "run"

    @property
    def registry(self) -> Path:
        return self.state / "agent_registry.json"

    @property
    def journal_dir(self) -> Path:
        return self.state / "journal"

    @property
    def archive_dir(self) -> Path:
        return self.state / "mailbox-archive"

    @property
    def cursors_dir(self) -> Path:
        return self.state / "cursors"

    @property
    def alerts_dir(self) -> Path:
        return self.state / "alerts"

    @property
    def status_dir(self) -> Path:
        return self.state / "status"

    @property
    def logs_dir(self) -> Path:
        return self.state / "logs"

    @property
    def markers_dir(self) -> Path:
        return self.state / ".log_markers"

    @property
    def quarantine_dir(self) -> Path:
        return self.state / ".quarantine"

    @property
    def dist(self) -> Path:
        return self.frontend_dir / "dist"

    @property
    def api_url(self) -> str:
        """Where the API answers; by default the page is there too."""
        return _url(self.host, self.port)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the home that *environ* (by default this process's) names.

    Raises SettingsError for a value that is not allowed, a name that does not exist, or a file that cannot be read.
    """
    env = os.environ if environ is None else environ
    home = _home(env.get("CMUX_HOME") or os.getcwd())
    conf = _Source(env, home)
    host = conf.get("CMUX_HOST", "127.0.0.1", _host)
    port = conf.get("CMUX_PORT", "8000", _port)
    state = home / ".cmux"
    settings = Settings(
        home=home,
        code=CODE,
        host=host,
        port=port,
        session=conf.get("CMUX_SESSION", "cmux", _match(_SESSION, "a tmux session name (letters, digits, _ @ + -)")),
        tmux_socket=conf.get("CMUX_TMUX_SOCKET", "", _optional(_match(_SOCKET, "a tmux -L name, no path"))),
        mailbox=conf.get("CMUX_MAILBOX", str(state / "mailbox"), _mailbox(home)),
        mailbox_format=conf.get("CMUX_MAILBOX_FORMAT", "line", _notation),
        log_check_interval_s=conf.get("CMUX_LOG_CHECK_INTERVAL", "60", _seconds),
        alert_cooldown_s=conf.get("CMUX_ALERT_COOLDOWN", "300", _seconds_or_none),
        alert_retell_s=conf.get("CMUX_ALERT_RETELL", "", _optional(_seconds)),
        stop_timeout_s=conf.get("CMUX_STOP_TIMEOUT", "15", _seconds),
        stop_grace_s=conf.get("CMUX_STOP_GRACE", "5", _seconds),
        watched_logs=conf.get("CMUX_WATCHED_LOGS", "/tmp/cmux-server.log:.cmux/router.log", _paths(home)),
        error_patterns=conf.get("CMUX_ERROR_PATTERNS", "\n".join(ERROR_PATTERNS), _lines),
        ignore_patterns=conf.get("CMUX_IGNORE_PATTERNS", "\n".join(IGNORE_PATTERNS), _lines),
        frontend_dir=conf.get("CMUX_FRONTEND_DIR", "src/frontend", _path(home)),
        frontend_url=conf.get("CMUX_FRONTEND_URL", _url(host, port), _loopback_url),
        health_interval_s=conf.get("CMUX_HEALTH_INTERVAL", "10", _seconds),
        build_timeout_s=conf.get("CMUX_BUILD_TIMEOUT", "600", _seconds),
        allow_npm_scripts=conf.get("CMUX_ALLOW_NPM_SCRIPTS", "no", _yes_no),
        rebuild_stale=conf.get("CMUX_REBUILD_STALE", "no", _yes_no),
        agents_interval_s=conf.get("CMUX_AGENTS_INTERVAL", "2", _seconds),
        agent_settle_s=conf.get("CMUX_AGENT_SETTLE", "10", _seconds_or_none),
        missing_grace_s=conf.get("CMUX_MISSING_GRACE", "86400", _seconds),
        journal_days=conf.get("CMUX_JOURNAL_DAYS", "90", _days),
        journal_bytes=conf.get("CMUX_JOURNAL_SIZE", "2G", _amount),
        agent_memory_bytes=conf.get("CMUX_AGENT_MEMORY", "4G", _optional(_amount)),
        agent_cores=conf.get("CMUX_AGENT_CPU", "", _optional(_cores)),
        deliver=conf.get("CMUX_DELIVER", "no", _yes_no),
        prompts=conf.get("CMUX_PROMPTS", "\n".join(PROMPTS), _prompts),
        services=conf.services(),
        suite_id=env.get("CMUX_SUITE_ID") or None,
    )
    conf.refuse_unknown_names()
    return settings


def child_environment(**extra: str) -> dict[str, str]:
    """A copy of this process's environment with *extra* on top: the one way to hand an environment to a child."""
    return {**os.environ, **extra}


# -- where values come from -------------------------------------------------------------------------------------------

_SERVICE_OPTIONS = ("command", "directory", "port", "health", "check", "memory", "autostart")
# Set by the suite for its own programs and by the tests; no knobs.
_NOT_KNOBS = {"CMUX_HOME", "CMUX_CONF", "CMUX_SUITE_ID", "CMUX_AGENT_ID", "CMUX_TOKEN"}


class _Source:
    """Raw values by name, each with the place it came from, so that an error can say where to look."""

    def __init__(self, env: Mapping[str, str], home: Path) -> None:
        self._env = env
        self._home = home
        self._file = Path(env.get("CMUX_CONF") or home / "conf" / "cmux.conf")
        self._parsed = _read_conf(self._file, must_exist=bool(env.get("CMUX_CONF")))
        self._asked: set[str] = set()

    def get(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        self._asked.add(name)
        raw, place = self._raw(name, default)
        try:
            return parse(raw)
        except ValueError as wrong:
            hint = f" (in {place})" if place else ""
            example = default.splitlines()[0] if default else "nothing"
            raise SettingsError(f"{name}={raw!r} is not {wrong}; try {name}={example}{hint}") from None

    def _raw(self, name: str, default: str) -> tuple[str, str]:
        if name in self._env:
            return self._env[name], ""
        if self._parsed.has_option("cmux", name):
            return self._parsed.get("cmux", name).strip(), str(self._file)
        return default, ""

    def services(self) -> tuple[Service, ...]:
        names = [section for section in self._parsed.sections() if section != "cmux"]
        return tuple(self._service(section) for section in names)

    def _service(self, section: str) -> Service:
        kind, _, name = section.partition(":")
        if kind != "service" or not _SERVICE.fullmatch(name):
            raise SettingsError(
                f"section [{section}] in {self._file} is not known; allowed: [cmux] and [service:NAME], "
                "NAME of up to 32 letters, digits, _ and -"
            )
        options = dict(self._parsed.items(section))
        unknown = options.keys() - set(_SERVICE_OPTIONS)
        if unknown:
            raise SettingsError(
                f"{min(unknown)!r} in [{section}] of {self._file} is not known; allowed: {', '.join(_SERVICE_OPTIONS)}"
            )

        def option(key: str, default: str, parse: Callable[[str], T]) -> T:
            raw = options.get(key, default)
            try:
                return parse(raw)
            except ValueError as wrong:
                raise SettingsError(f"{key} = {raw!r} in [{section}] of {self._file} is not {wrong}") from None

        return Service(
            name=name,
            command=option("command", "", _command),
            directory=option("directory", ".", _path(self._home)),
            port=option("port", "", _optional(_port)),
            health_url=option("health", "", _optional(_loopback_url)),
            autostart=option("autostart", "yes", _yes_no),
            check=option("check", "", _optional(_command)),
            memory_bytes=option("memory", "", _optional(_amount)),
        )

    def refuse_unknown_names(self) -> None:
        """A knob that is misspelt would silently do nothing: say so instead."""
        named = set(self._parsed.options("cmux")) if self._parsed.has_section("cmux") else set()
        for name in sorted(named - self._asked):
            raise SettingsError(f"{name} in {self._file} is not a setting; see the commented list in conf/cmux.conf")
        for name in sorted(set(self._env) - self._asked - _NOT_KNOBS):
            # Other tools use CMUX_* names too, so only a slip of the keys is refused, not every unknown name.
            if name.startswith("CMUX_") and (close := _near(name, self._asked)):
                raise SettingsError(f"{name} is not a setting; did you mean {close}?")


def _near(name: str, known: set[str]) -> str | None:
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    return close[0] if close else None


def _read_conf(path: Path, *, must_exist: bool) -> configparser.RawConfigParser:
    parsed = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=True)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # names are case-sensitive here
    try:
        parsed.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"CMUX_CONF={str(path)!r} does not exist; name a file, or unset it") from None
    except (OSError, UnicodeDecodeError, configparser.Error) as wrong:
        first = str(wrong).splitlines()[0]
        raise SettingsError(f"{path} cannot be read: {first}; compare it with the commented conf/cmux.conf") from None
    return parsed


# -- what values are: each raises ValueError with what the value should have been -------------------------------------


def _home(raw: str) -> Path:
    home = Path(raw).expanduser()
    if "\n" in raw or "\0" in raw or not home.is_dir():
        raise SettingsError(f"CMUX_HOME={raw!r} is not a folder; name the folder that the suite shall look after")
    return home.resolve()


def _host(raw: str) -> str:
    if not _HOST.fullmatch(raw):
        raise ValueError("a host name or address, such as 127.0.0.1")
    return raw


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _port(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit() and 1 <= int(raw) <= 65535):
        raise ValueError("a port from 1 to 65535")
    return int(raw)


def _seconds(raw: str) -> float:
    value = _seconds_or_none(raw)
    if value <= 0:
        raise ValueError("a positive number of seconds")
    return value


def _seconds_or_none(raw: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", raw, re.ASCII):
        raise ValueError("a positive number of seconds")
    return float(raw)


def _cores(raw: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", raw, re.ASCII) or not float(raw):
        raise ValueError("a number of cores such as 1 or 2.5")
    return float(raw)


def _notation(raw: str) -> Literal["line", "jsonl"]:
    if raw == "line":
        return "line"
    if raw == "jsonl":
        return "jsonl"
    raise ValueError("'line' or 'jsonl'")


def _yes_no(raw: str) -> bool:
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


def _path(home: Path) -> Callable[[str], Path]:
    def parse(raw: str) -> Path:
        if not raw or "\0" in raw or "\n" in raw:
            raise ValueError("a path")
        return Path(os.path.normpath(home / Path(raw).expanduser()))

    return parse


def _mailbox(home: Path) -> Callable[[str], Path]:
    def parse(raw: str) -> Path:
        path = _path(home)(raw)
        # Whatever else stands there is met by who writes: it may be moved away while all runs.
        if path.is_dir() and path != home / ".cmux" / "mailbox":
            raise ValueError("the path of a file: there is a folder of that name")
        return path

    return parse


def _paths(home: Path) -> Callable[[str], tuple[str, ...]]:
    one = _path(home)
    return lambda raw: tuple(str(one(part)) for part in re.split(r"[:\n]", raw) if part.strip())


def _lines(raw: str) -> tuple[str, ...]:
    patterns = tuple(line.strip() for line in raw.splitlines() if line.strip())
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as wrong:
            raise ValueError(f"a list of regular expressions, one a line: {pattern!r} has an error ({wrong})") from None
    return patterns


def _prompts(raw: str) -> tuple[str, ...]:
    patterns = _lines(raw)
    for pattern in patterns:
        if "typed" not in re.compile(pattern).groupindex:
            raise ValueError(f"a list of regular expressions with a group (?P<typed>…): {pattern!r} has none")
    return patterns


def _loopback_url(raw: str) -> str:
    # http only, by name or address of this machine's own choosing; what it may reach is checked where it is used.
    found = re.fullmatch(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(/[!-~]*)?", raw)
    if not found or not 0 < int(found[1] or 80) < 65536:
        raise ValueError("an http:// address such as http://127.0.0.1:8000/health")
    return raw


def _days(raw: str) -> int:
    if not re.fullmatch(r"\d{1,5}", raw, re.ASCII) or not int(raw):
        raise ValueError("a whole number of days, 1 or more")
    return int(raw)


def _amount(raw: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([KMGT])", raw, re.ASCII)
    if not found or not int(found[1]):
        raise ValueError("an amount of bytes such as 500M or 2G")
    return int(found[1]) << {"K": 10, "M": 20, "G": 30, "T": 40}[found[2]]


def _command(raw: str) -> tuple[str, ...]:
    words = tuple(shlex.split(raw))
    if not words:
        raise ValueError("a command")
    return words


def _match(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if not pattern.fullmatch(raw):
            raise ValueError(what)
        return raw

    return parse


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda raw: parse(raw) if raw else None
