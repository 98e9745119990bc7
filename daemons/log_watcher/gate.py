"""Which lines of a block may be errors: a superset, found at the speed of a block scan.

Without one of these patterns no line is an error by what it says of itself. What they let through is judged line by
line, so they may err only on the side of letting through; tests hold them to that. They spell out what stands around
a word or a number, because a line that is let through for nothing costs as much as a kilobyte that isn't.

How they are cut is measured (`scripts/bench logs`): hyperscan looks for what is spelt out, four bytes and more at a
stride, and one pattern whose rarest piece is two bytes long, or common in quiet lines, halves the speed of them all.
So there is one pattern a spacing, and a first digit is named where it can be; `acebac` finds a Traceback, and makes the
scan of all a twelfth faster than the whole word.
"""

from __future__ import annotations

from daemons.log_watcher import access, blocks, failures, traces

_END = "(?:[^a-z]|$)"
# The words of `words.LEVELS` that are errors, and what exceptions are called; whatever stands in front.
_WORDS = (
    "err(?:or?)?", "eror", "crit(?:ical)?", "fatal?", "ftl", "pnc", "crt", "severe", "alert", "emerg(?:ency)?", "panic",
    "fail(?:ure)?", "exception",
)  # fmt: skip
_LEVELS = tuple(f"(?i){word}{_END}" for word in _WORDS)
_TRACES = (
    "was never retrieved", "panicked at ", "acebac", "terminate called ", "egmentation fault", "stack smashing",
    r"\bSIG[A-Z]{3,5}: ", "(?i)handled (?:[a-z_]+ )?(?:rejection|promise)", "UnhandledPromise",
    "ut of memory: Kill", "oom-killer", r"core dumped\)", "^(?:Aborted|Bus error|Illegal instruction)\\r?$",
)  # fmt: skip
_FAILURES = (
    r"\.go:\d+:\d+: ",
    r"\.py:\d+:\d+: [EF]\d", r"make: \*\*\* |make\[\d+\]: \*\*\* ", "^E: ", "^e: file:", "build stopped",
    "(?:B|b)uild failed",
    "Module (?:not found|build failed)",
    r"[1-9]\d{0,9} errors", "ELIFECYCLE", "ERR_PNPM_", r"not ok \d", r"\xe2\x9c(?:\x95|\x96|\x97|\x98)|\xe2\xa8\xaf",
    r"(?:^|\s|\x1b\[\d+m)\xc3\x97 ",  # crosses
    r"[1-9]\d{0,9} fail(?:ed|ing)", r"\*\* \([a-zA-Z]",
    "(?:aughtException|unhandledRejection): ", "undefined reference to",
    "cannot find -l", "Execution failed for", "rake aborted", "Bail out!", "FAILURES!", r"[\[:]vite:", "ERR! ",
    r"\d failure", "Failures: [1-9]", ": segfault at ", "protection fault", "invalid opcode",
    "kernel: .{0,30}BUG: ", "Failed with result '",
)  # fmt: skip
_5XX = r"5[0-39]\d"
_STATUS = (
    rf"\" {_5XX}\b| {_5XX}(?: in | - | \[|\s+[\d.]+ ?m?s\b| +\|)|[m ]{_5XX} ?\x1b\[|\d/\+?\d+ {_5XX} \+?\d",
    rf"Completed {_5XX} ",
    rf"\(HTTP/\d(?:\.\d)? {_5XX}\)",
    rf"status(?:=|: ){_5XX}\b",
)
_KEYS = ("evel", "verity", "EVEL", "RIORITY")
_STATUS_KEYS = ("tus", "ode")
_NUMBER = r"(?:[5-9]\d|[0-3]|\d{3})\b"
_JSON = (
    *(f"{key}{gap}{_NUMBER}" for key in _KEYS for gap in ('":', '": ', r'\\":')),
    *(f"{key}{gap}[0-9]" for key in _KEYS for gap in ('":"', '": "')),
    *(f"{key}{gap}{_5XX}" for key in _STATUS_KEYS for gap in ('":', '": ', '":"', '": "')),
    *(f'"s{gap}"[EF]"' for gap in ('":', '": ')),
    '"severityNumber": ?(?:1[7-9]|2)',
    '"error(?:Message|_message|Type|_type)": ?"',
    # Spacing that hardly any writer uses: let through as such.
    *(rf"{key}\"{gap}" for key in (*_KEYS, *_STATUS_KEYS, '"s') for gap in (r"\s", r":\s\s", r":\t", r": ?\"\s")),
)
_MARKS = (
    r"^[CEF]\d{4}(?:\d\d|\d{4})? \d\d:",
    r" [CEF]\d{4}(?:\d\d)? \d\d:\d\d:\d\d\.",
    r"\d [CEF] \| ",
    r"^[EF], \[\d{4}-",
    r"^[CEF] \d{4}-\d\d",
    r"[\[<][ECF][\] >\t]",
    r"^<\d{1,3}>",
    r" std(?:err|out) [FP] [EF]\d{4} ",
    r"^[CEF]  ?\(\d+\) ",
    r"^[EF]/[A-Za-z_][^ (]*[ (]",
    r"^[EF] \[\d\d/",
    r" \(EE\) ",
    r"[\dZ] E!? [A-Za-z\[/]",
    r"[\dZ] F!? [A-Za-z\[/]",
)
_LEADS = (*access.LEADS, *blocks.LEADS, *failures.LEADS, *traces.LEADS)
GATE = (*_LEVELS, *_TRACES, *_FAILURES, *_STATUS, *_JSON, *_MARKS, *_LEADS)


def adds_nothing(pattern: str) -> bool:
    """Whether *pattern* finds only what the gate lets through anyway: a level's word, whole (`\\bERROR\\b`)."""
    word = pattern[2:-2]
    return pattern == rf"\b{word}\b" and (word.lower() in _WHOLE or word == "Traceback")


_WHOLE = {"err", "error", "critical", "fatal", "severe", "alert", "emergency", "panic", "fail", "failure", "exception"}
