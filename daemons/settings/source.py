"""Where values come from: the environment over `conf/cmux.conf` over the default."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from daemons.settings import values
from daemons.settings.model import Service, SettingsError

T = TypeVar("T")

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SERVICE_OPTIONS = ("command", "directory", "port", "health", "check", "memory", "autostart")
# Set by the suite for its own programs and by the tests; no knobs.
_NOT_KNOBS = {"CMUX_HOME", "CMUX_CONF", "CMUX_SUITE_ID", "CMUX_AGENT_ID", "CMUX_TOKEN"}


class Source:
    """Raw values by name, each with the place it came from, so that an error can say where to look."""

    def __init__(self, env: Mapping[str, str], home: Path) -> None:
        self._env = env
        self._home = home
        self._file = Path(env.get("CMUX_CONF") or home / "conf" / "cmux.conf")
        self._parsed = _read_conf(self._file, must_exist=bool(env.get("CMUX_CONF")))
        self._asked: set[str] = set()

    def get(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        """The value of the setting *name*. SettingsError, naming its place, where *parse* raises ValueError."""
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
        """What `[service:NAME]` sections declare, in their order."""
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
            command=option("command", "", values.command),
            directory=option("directory", ".", values.path(self._home)),
            port=option("port", "", values.optional(values.port)),
            health_url=option("health", "", values.optional(values.loopback_url)),
            autostart=option("autostart", "yes", values.yes_no),
            check=option("check", "", values.optional(values.command)),
            memory_bytes=option("memory", "", values.optional(values.amount)),
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
