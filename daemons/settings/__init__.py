"""Every knob, read once: environment over `conf/cmux.conf` over default. The only reader of `os.environ`.

`load()` gives one frozen object that `main()` passes on. A wrong value raises SettingsError, whose text is the one
line that the user sees: the setting, the value, what is allowed.

    model      the object, and where a home's files are
    source     where values come from, so that an error can say where to look
    values     what they are
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daemons.settings import values
from daemons.settings.model import Service, Settings, SettingsError, url
from daemons.settings.source import Source

__all__ = [
    "CODE",
    "ERROR_PATTERNS",
    "IGNORE_PATTERNS",
    "PROMPTS",
    "Service",
    "Settings",
    "SettingsError",
    "child_environment",
    "load",
]

CODE = Path(__file__).resolve().parents[2]

ERROR_PATTERNS = (r"\bERROR\b", r"\bException\b", r"\bTraceback\b", r"\bCRITICAL\b", r"\bFAILED\b")
IGNORE_PATTERNS = ("healthcheck", "GET /api/webhooks/health")
# How Claude Code and Codex show that they wait: `> `, perhaps in a box; what is typed there is the group.
PROMPTS = (r"\s*[│┃|]?\s*[>❯›]\s?(?P<typed>[^│┃|]*)[│┃|]?\s*",)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the home that *environ* (by default this process's) names.

    Raises SettingsError for a value that is not allowed, a name that does not exist, or a file that cannot be read.
    """
    env = os.environ if environ is None else environ
    home = values.home(env.get("CMUX_HOME") or os.getcwd())
    conf = Source(env, home)
    host = conf.get("CMUX_HOST", "127.0.0.1", values.host)
    port = conf.get("CMUX_PORT", "8000", values.port)
    state = home / ".cmux"
    settings = Settings(
        home=home,
        code=CODE,
        host=host,
        port=port,
        session=conf.get("CMUX_SESSION", "cmux", values.session),
        tmux_socket=conf.get("CMUX_TMUX_SOCKET", "", values.optional(values.socket)),
        mailbox=conf.get("CMUX_MAILBOX", str(state / "mailbox"), values.mailbox(home)),
        mailbox_format=conf.get("CMUX_MAILBOX_FORMAT", "line", values.notation),
        log_check_interval_s=conf.get("CMUX_LOG_CHECK_INTERVAL", "60", values.seconds),
        alert_cooldown_s=conf.get("CMUX_ALERT_COOLDOWN", "300", values.seconds_or_none),
        alert_retell_s=conf.get("CMUX_ALERT_RETELL", "", values.optional(values.seconds)),
        stop_timeout_s=conf.get("CMUX_STOP_TIMEOUT", "15", values.seconds),
        stop_grace_s=conf.get("CMUX_STOP_GRACE", "5", values.seconds),
        watched_logs=conf.get("CMUX_WATCHED_LOGS", "/tmp/cmux-server.log:.cmux/router.log", values.paths(home)),
        error_patterns=conf.get("CMUX_ERROR_PATTERNS", "\n".join(ERROR_PATTERNS), values.lines),
        ignore_patterns=conf.get("CMUX_IGNORE_PATTERNS", "\n".join(IGNORE_PATTERNS), values.lines),
        frontend_dir=conf.get("CMUX_FRONTEND_DIR", "src/frontend", values.path(home)),
        frontend_url=conf.get("CMUX_FRONTEND_URL", url(host, port), values.loopback_url),
        health_interval_s=conf.get("CMUX_HEALTH_INTERVAL", "10", values.seconds),
        build_timeout_s=conf.get("CMUX_BUILD_TIMEOUT", "600", values.seconds),
        allow_npm_scripts=conf.get("CMUX_ALLOW_NPM_SCRIPTS", "no", values.yes_no),
        rebuild_stale=conf.get("CMUX_REBUILD_STALE", "no", values.yes_no),
        agents_interval_s=conf.get("CMUX_AGENTS_INTERVAL", "2", values.seconds),
        agent_settle_s=conf.get("CMUX_AGENT_SETTLE", "10", values.seconds_or_none),
        missing_grace_s=conf.get("CMUX_MISSING_GRACE", "86400", values.seconds),
        journal_days=conf.get("CMUX_JOURNAL_DAYS", "90", values.days),
        journal_bytes=conf.get("CMUX_JOURNAL_SIZE", "2G", values.amount),
        agent_memory_bytes=conf.get("CMUX_AGENT_MEMORY", "4G", values.optional(values.amount)),
        agent_cores=conf.get("CMUX_AGENT_CPU", "", values.optional(values.cores)),
        deliver=conf.get("CMUX_DELIVER", "no", values.yes_no),
        prompts=conf.get("CMUX_PROMPTS", "\n".join(PROMPTS), values.prompts),
        services=conf.services(),
        suite_id=env.get("CMUX_SUITE_ID") or None,
    )
    conf.refuse_unknown_names()
    return settings


def child_environment(**extra: str) -> dict[str, str]:
    """A copy of this process's environment with *extra* on top: the one way to hand an environment to a child."""
    return {**os.environ, **extra}
