"""The frontend as a whole: what it is now, since when, what is done about it, and what someone must know of it."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Literal

from daemons import clock
from daemons.budget import Budget
from daemons.clock import Wake
from daemons.files import LockBusy
from daemons.health_checker.alarms import Condition
from daemons.health_checker.frontend import served
from daemons.health_checker.frontend.check import Finding
from daemons.health_checker.frontend.healing import SETTLE_S, Healer, Healing
from daemons.health_checker.frontend.record import Outcome
from daemons.health_checker.frontend.served import Serving
from daemons.health_checker.frontend.state import Looker, State
from daemons.health_checker.frontend.watch import Watch
from daemons.health_checker.notes import Notes
from daemons.health_checker.steadiness import Track, Verdict
from daemons.settings import Settings

ASK_WITHIN_S = 3.0
# Whoever edits sources is building them soon: told at once in the health answer, as an alert when he has not.
STALE_TOLD_AFTER = timedelta(minutes=10)
STALE = "frontend was built from other sources than there are now"

Status = Literal["healthy", "degraded", "absent", "building", "failed"]

_HEADLINES = {
    "build_failed": "frontend is broken and building it failed",
    "no_npm": "frontend is broken and there is no npm to build it",
    "not_buildable": "frontend is broken and has nothing to build it from",
}
_EVENTS: dict[Outcome | None, str] = {
    "published": "frontend.healed",
    "restored": "frontend.healed",
    "failed": "frontend.build_failed",
    "kept": "frontend.kept",
}


class Frontend:
    """Looked after once a cycle. `status`, `detail` and `conditions` tell of the last one."""

    def __init__(self, conf: Settings, budget: Budget, notes: Notes, wake: Wake) -> None:
        self._conf = conf
        self._notes = notes
        self._watch = Watch(conf.dist, wake)
        self._looker = Looker(conf)
        self._healer = Healer(conf, budget, wake)
        self._serving = Track()
        self._state = State(Finding(()))
        self._healing = Healing("nothing")
        self._since: datetime | None = None
        self._stale_since: datetime | None = None
        self._looked_at: datetime | None = None
        self.status: Status = "absent"

    def cycle(self, now: datetime, *, ask: bool) -> None:
        """Look at the files, with *ask* at what HTTP serves, and see to it that what is broken is healed."""
        self._watch.follow()
        self._looked_at = now
        before, was = self.status, self._state
        if os.path.lexists(self._conf.frontend_dir):
            self._state = self._looker.look()
            self._healing = self._heal(now)
            self._look_at_serving(now, ask)
            self.status = self._judged()
        else:
            self._state, self._healing, self.status = State(Finding(())), Healing("nothing"), "absent"
        if self._since is None or before != self.status:
            self._since = now
        self._note(was, now)

    @property
    def _finding(self) -> Finding:
        return self._state.finding

    @property
    def is_unsettled(self) -> bool:
        """Whether what HTTP serves should be looked at again soon."""
        return self._finding.is_whole and self.status != "absent" and not self._serving.is_steady

    @property
    def is_settling(self) -> bool:
        """Whether something waits for dist to be left alone for a moment: a build, or taking note of another dist."""
        return self._healing.doing == "settling" or (self._state.is_unknown and self._watch.quiet_s < 2 * SETTLE_S)

    def detail(self) -> dict[str, object]:
        """For the status file; the API's health answer holds this."""
        return {
            "status": self.status,
            "index_exists": self._finding.index_exists,
            "js_bundle_count": self._finding.js_bundle_count,
            "since": clock.stamp(self._since) if self._since else None,
            "evidence": self.evidence,
            "wrong": self._wrong,
            "healing": self._healing.doing,
            "doing": self._healing.evidence,
            "served": self._serving.verdict.evidence,
            "stale": self._stale(),
            "built": self._built(),
        }

    @property
    def evidence(self) -> str:
        """One line: what is wrong and what is done about it. Empty when all is well."""
        if self.status == "healthy":
            return ""
        return "; ".join(part for part in (self._wrong, self._healing.evidence) if part)

    @property
    def _wrong(self) -> str:
        """What is wrong with dist, or else with how it is served; empty when nothing is."""
        if self.status == "degraded" and self._finding.is_whole:
            return self._serving.believed.evidence
        return self._finding.evidence

    def _stale(self) -> dict[str, object] | None:
        """That dist was built from other sources than there are now, since when, and what is done about that."""
        if not self._stale_since:
            return None
        doing = self._healing.evidence if self._conf.rebuild_stale else "left to you (CMUX_REBUILD_STALE is no)"
        return {"since": clock.stamp(self._stale_since), "evidence": STALE, "doing": doing or "rebuilt soon"}

    def _built(self) -> dict[str, object] | None:
        """By whom dist was built, and when that was found out."""
        kept = self._state.good
        return {"by": kept.maker, "at": kept.at} if kept else None

    def conditions(self) -> list[Condition]:
        """What someone must know. A dist that is being healed for the first time is none of it."""
        trouble = self._healing.trouble
        if trouble:
            parts = (self.evidence or self._healing.evidence, self._healing.output)
            evidence = "\n\n".join(part for part in parts if part)
            headline = f"{_HEADLINES[trouble]}: {self._finding.evidence}"
            if self._finding.is_whole:
                headline = f"{STALE}, and it cannot be built anew: {self._healing.evidence}"
            return [Condition("frontend", trouble, headline, evidence)]
        if self._finding.is_whole and self.status == "degraded":
            wrong = self._serving.believed.evidence
            return [Condition("frontend", "served", f"frontend is whole on the disk but not served so: {wrong}", wrong)]
        if self._stale_since and self._looked_at and self._looked_at - self._stale_since >= STALE_TOLD_AFTER:
            since = f"{self._stale_since:%H:%M:%S} UTC"
            return [Condition("frontend", "stale", STALE, f"{STALE} since {since}; run `npm run build`")]
        return []

    @property
    def is_unsure(self) -> bool:
        """Whether what was told before may still be so: neither proven healed nor seen to fail again."""
        return self.status == "building" or self._healing.doing == "settling"

    def close(self) -> None:
        self._watch.close()
        self._healer.close()

    def _heal(self, now: datetime) -> Healing:
        try:
            # Where nothing is watched, the files themselves say when they changed.
            unchanged_s = now.timestamp() - self._finding.changed_at
            quiet_s = min(self._watch.quiet_s, unchanged_s if unchanged_s >= 0 else self._watch.quiet_s)
            return self._healer.step(self._state, quiet_s, now)
        except (LockBusy, OSError) as cause:  # a full disk, say: nothing can be built, but it can be told
            return Healing("cannot", f"it cannot be healed now: {cause}")

    def _look_at_serving(self, now: datetime, ask: bool) -> None:
        if not self._finding.is_whole:
            self._serving.start_anew()
        elif ask:
            serving = served.compare(
                self._finding, self._conf.frontend_url, within_s=ASK_WITHIN_S, allow=self._conf.host
            )
            self._serving.see(_verdict(serving), now)

    def _judged(self) -> Status:
        if self._finding.is_whole:
            return "degraded" if self._serving.believed.kind in ("degraded", "refused") else "healthy"
        if self._healing.doing == "building":
            return "building"
        return "failed" if self._healing.trouble == "build_failed" else "degraded"

    def _note(self, was: State, now: datetime) -> None:
        if was.finding.is_whole and not self._finding.is_whole:
            self._notes.record("frontend.broken", reason=self._finding.evidence)
        if self._state.is_stale and not self._stale_since:
            self._notes.record("frontend.stale", reason=STALE)
        self._stale_since = (self._stale_since or now) if self._state.is_stale else None
        ended = self._healer.ended
        if ended and ended.outcome in _EVENTS:
            is_broken_again = ended.outcome in ("published", "restored") and not self._finding.is_whole
            event = "frontend.broken_again" if is_broken_again else _EVENTS[ended.outcome]
            self._notes.record(event, reason=ended.reason, seconds=ended.seconds)


def _verdict(serving: Serving) -> Verdict:
    match serving.answer:
        case "yes":
            return Verdict("healthy", "served byte for byte")
        case "no":
            return Verdict("degraded", serving.evidence)
        case "silent":
            return Verdict("refused", serving.evidence)
        case _:
            return Verdict("unknown", serving.evidence)
