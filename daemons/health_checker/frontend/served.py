"""Is a `dist` what HTTP serves? Asks for the page and everything that it names, and compares byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

from daemons import clock
from daemons.assets import Kind
from daemons.health_checker import fetch
from daemons.health_checker.fetch import NoAnswer, Target
from daemons.health_checker.frontend import check
from daemons.health_checker.frontend.check import Finding

# A browser runs no module and applies no style sheet of another type (nosniff).
_TYPES: dict[Kind, tuple[str, ...]] = {
    "script": ("text/javascript", "application/javascript", "application/x-javascript"),
    "style": ("text/css",),
}


@dataclass(frozen=True, slots=True)
class Serving:
    """`yes`: served as it lies in dist. `no`: *faults* differ. `silent`: no answer. `unknown`: could not ask."""

    answer: Literal["yes", "no", "silent", "unknown"]
    faults: tuple[str, ...] = ()

    @property
    def evidence(self) -> str:
        return "; ".join(self.faults[:5])


def compare(finding: Finding, page_url: str, *, within_s: float, allow: str | None = None) -> Serving:
    """Ask for all that the whole `dist` of *finding* holds of the page at *page_url*, within one deadline."""
    page = Target.parse(page_url, allow=allow)
    deadline_mono = clock.monotonic() + within_s
    faults = []
    wanted: list[tuple[str, str, Kind]] = [("index.html", page.path, "other")]
    wanted += [(asset.path, asset.request, asset.kind) for asset in finding.assets]
    for path, request, kind in wanted:
        try:
            left_s = max(0.0, deadline_mono - clock.monotonic())
            fault = _differs(replace(page, path=request), finding.sums[path], kind, left_s)
        except NoAnswer as none:
            return Serving("unknown" if none.why == "unknown" else "silent", (f"{request}: {none}",))
        if fault:
            faults.append(f"{request} {fault}")
    return Serving("no", tuple(faults)) if faults else Serving("yes")


def _differs(target: Target, wanted_sum: str, kind: Kind, within_s: float) -> str | None:
    answer = fetch.get(target, within_s=within_s, allowance_bytes=check.LIMIT_BYTES)
    if answer.status != 200:
        return f"is answered with {answer.status}"
    if hashlib.sha256(answer.body).hexdigest() != wanted_sum:
        return f"is served with other bytes than dist holds ({len(answer.body)} bytes)"
    if kind in _TYPES and answer.content_type not in _TYPES[kind]:
        return f"is served as {answer.content_type or 'nothing'}: a browser refuses it as a {kind}"
    return None
