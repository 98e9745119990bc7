"""The API.

    tick:  keep the heartbeats -> settle the registry -> say how it goes

Requests are served by waitress's threads meanwhile. On SIGTERM streams and long polls end at once, requests in flight
are finished, and all is let go within a second.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime

from daemons import log, loop, supervisor
from daemons.agents import Touches
from daemons.api import app, server, sockets, state
from daemons.api.server import CONNECTIONS, TCP_THREADS, UNIX_THREADS, Server
from daemons.clock import Wake
from daemons.files import LockBusy, StorageError
from daemons.settings import Settings, SettingsError

FINISH_WITHIN_S = 0.8


class Api:
    """The servers and what they share, from the first request to the last."""

    interval_s = 1.0

    def __init__(self, conf: Settings, _wake: Wake) -> None:
        server.log_like_the_others()
        sockets.allow_many_files(CONNECTIONS)
        tcp = sockets.listen_tcp(conf)
        try:
            unix = sockets.listen_unix(supervisor.prepare_socket(conf, "api.sock"))
            self._state = state.of(conf)
            application = app.wsgi(self._state)
        except StorageError as broken:
            tcp.close()
            raise SettingsError(str(broken)) from None
        except SettingsError:
            tcp.close()
            raise
        self._touches = Touches(conf)
        self._servers = [
            Server(application, tcp, threads=TCP_THREADS),
            Server(application, unix, threads=UNIX_THREADS),
        ]
        for each in self._servers:
            each.start()
        log.info("api.listening", host=conf.host, port=conf.port)

    def tick(self, _now: datetime) -> Mapping[str, object]:
        shared = self._state
        shared.commits.check()  # a cycle that fails again and again is a missing heartbeat: the listener restarts us
        self._keep_up()
        return {
            "connections": sum(each.connections for each in self._servers),
            "watchers": shared.changes.watchers,
            "answers": {str(code): count for code, count in sorted(shared.answers.items())},
            "edits": shared.commits.edits,
            "commits": shared.commits.groups,
        }

    def close(self) -> None:
        self._state.changes.end()
        for each in self._servers:
            each.end(within_s=FINISH_WITHIN_S)
        for each in self._servers:
            each.join()
        self._state.close()

    def _keep_up(self) -> None:
        # A disk that fails is told to whoever asks; this program lives on without it.
        try:
            self._state.registry.settle(timeout_s=0.2)
            registered = self._state.agents.listing().ids
            self._state.beats.take_in(self._touches.read(), registered)
            self._state.beats.keep(registered)
        except (LockBusy, StorageError) as trouble:
            log.warning("registry.not_settled", reason=str(trouble))


def main() -> int:
    return loop.run("api", Api)


if __name__ == "__main__":
    sys.exit(main())
