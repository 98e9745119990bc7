"""`python -m daemons.launcher.service NAME`: becomes the user's own server NAME, as supervisord's child.

The command comes from the settings, so a changed one counts at the next restart, and nothing of it passes through
supervisord's quoting. The server ends with supervisord, however that ends: without this, its `kill -9` would leave the
server running, and the next start would double it.
"""

from __future__ import annotations

import os
import signal
import sys

from daemons import loop, settings
from daemons.settings import Service, SettingsError


def main() -> int:
    """Exit code 2 with one line for wrong settings, 127 when the command cannot be run; otherwise never returns."""
    parent = os.getppid()
    try:
        service = _named(sys.argv[1] if len(sys.argv) == 2 else "")
    except SettingsError as wrong:
        sys.stderr.write(f"service: {wrong}\n")
        return 2
    # Python ignores SIGPIPE, and an ignored signal stays ignored over exec: a server would then write for ever.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.chdir(service.directory)
        loop.die_with_parent(parent)
        os.execvp(service.command[0], service.command)  # noqa: S606  # a list, never a shell string
    except OSError as reason:
        what = f"{service.command[0]!r} cannot be run in {service.directory}"
        sys.stderr.write(f"service {service.name}: {what}: {reason.strerror}; see [service:{service.name}]\n")
        return 127


def _named(name: str) -> Service:
    declared = {service.name: service for service in settings.load().services}
    if name not in declared:
        raise SettingsError(f"{name!r} is not a declared service; declared: {', '.join(declared) or 'none'}")
    return declared[name]


if __name__ == "__main__":
    sys.exit(main())
