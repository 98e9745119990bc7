"""What a suite can be told: the shape of it, and where a home's files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


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
        return url(self.host, self.port)


def url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
