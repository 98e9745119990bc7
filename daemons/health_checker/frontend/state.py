"""What dist is, compared with the last whole build and with its sources: all that healing decides by."""

from __future__ import annotations

from dataclasses import dataclass

from daemons import builds, clock
from daemons.health_checker.frontend import good, signature
from daemons.health_checker.frontend.check import Checker, Finding
from daemons.health_checker.frontend.good import Good
from daemons.health_checker.frontend.signature import Signature
from daemons.health_checker.frontend.sources import Sources
from daemons.settings import Settings

_SOURCES_SHARE = 1 / 400


@dataclass(frozen=True, slots=True)
class State:
    """One look. *sources* is the digest of the sources as they are now, None where that is not known."""

    finding: Finding
    good: Good | None = None
    sources: str | None = None
    is_unknown: bool = False
    """A whole dist that is not the one that was kept: to be taken note of."""

    @property
    def is_restorable(self) -> bool:
        return bool(self.good and self.good.held)

    @property
    def is_stale(self) -> bool:
        """Whether it was built from other sources than there are now."""
        return bool(self.good and self.good.sources and self.sources and self.good.sources != self.sources)


class Looker:
    """Looks at dist again and again."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._checker = Checker(conf.frontend_dir / "index.html")
        self._sources = Sources(conf.frontend_dir, conf.dist.name)
        self._digest: str | None = None
        self._sources_due_mono = float("-inf")
        self._good: Good | None = None
        self._good_seen: Signature | None = None

    def look(self) -> State:
        """What is there now."""
        finding = self._checker.look(self._conf.dist, self._conf.frontend_url)
        kept, sources = self._kept(), self._digest_now()
        if not finding.is_whole:
            return State(finding, kept, sources)
        related, _ = good.relation(kept, finding, sources)
        return State(good.judged(kept, finding, sources), kept, sources, related in ("new", "moved", "replaced"))

    def _digest_now(self) -> str | None:
        """Of the sources: looked at within each interval, and so seldom that it costs nothing."""
        began_mono = clock.monotonic()
        if began_mono >= self._sources_due_mono:
            self._digest = self._sources.digest()
            took_s = clock.monotonic() - began_mono
            wait_s = max(0.4 * self._conf.health_interval_s, took_s / _SOURCES_SHARE)
            self._sources_due_mono = clock.monotonic() + wait_s
        return self._digest

    def _kept(self) -> Good | None:
        try:
            seen = signature.of((builds.good(self._conf) / "build.json").stat())
        except OSError:
            self._good = self._good_seen = None
            return None
        if seen != self._good_seen:
            self._good, self._good_seen = good.read(self._conf), seen
        return self._good
