"""Which lines of a block may be errors: a superset, found at the speed of a block scan.

Without one of these patterns no line is an error by what it says of itself. What they let through is judged line by
line, so they may err only on the side of letting through; tests hold them to that. They spell out what stands around
a word or a number, because a line that is let through for nothing costs as much as a kilobyte that isn't.
"""

from __future__ import annotations

from daemons.log_watcher import words

_WORDS = sorted(word.decode() for word, level in words.LEVELS.items() if level >= words.ERROR)
# A terminal's colour ends with an m, its "clear the line" with a K.
_LEVEL = rf"(?i)(?:^|[^a-z]|[mk])(?:{'|'.join(_WORDS)})(?:[^a-z]|$)"

_TRACES = (
    r"(?:Error|Exception)(?:[^A-Za-z]|$)",
    r"(?:caught|handled) (?:\w+ )?(?:exception|rejection|promise)",
    r"exception was never retrieved|UnhandledPromise|panicked at |Traceback|terminate called |Segmentation fault",
    r"\*\*\* stack smashing|\bSIG[A-Z]{3,5}: ",
)
_FAILURES = (
    r"\.go:\d+:\d+: ",
    r"make(?:\[\d+\])?: \*\*\* ",
    r"^E: |^e: file:",
    r"build stopped|Build failed|Failed to compile|Module (?:not found|build failed)|Rollup failed",
    r"[1-9]\d{0,9} errors",
    r"ELIFECYCLE|ERR_PNPM_",
    r"not ok \d",
    r"✖|×|✗|✘",
    r"[1-9]\d{0,9} failed",
    r"\*\* \([a-zA-Z]",
    r"unhandledRejection|uncaughtException",
    r"undefined reference to|cannot find -l|Execution failed for|rake aborted|Bail out!|FAILURES!|\[vite:|ERR! ",
    r"\d failure|Failures: [1-9]|^E {3,}\w+(?:Error|Exception)",
    r"core dumped\)|^(?:Aborted|Bus error|Illegal instruction)\r?$",
    r"ut of memory: Kill|invoked oom-killer",
    r": segfault at |protection fault|trap invalid opcode",
    r"kernel: .{0,30}BUG: ",
    r"Failed with result '|: Failed to (?:start|mount|listen|activate) ",
)
_STATUS = (
    r"\" 5\d\d\b",
    r" 5\d\d(?: in | - |\s+[\d.]+ ?m?s\b)",
    r"\| 5\d\d \|",
    r"Completed 5\d\d ",
    r"/\+?\d+ 5\d\d \+?\d",
    r"m ?5\d\d ?\x1b",
    r"\(HTTP/[\d.]+ 5\d\d\)",
    r"status=5\d\d\b",
    r" 5\d\d \[",
    r"status: 5\d\d\b",
    r"\| +5\d\d +\|",
)
# Numbers as levels, and statuses, in any spacing that writers use. One pattern a spacing: hyperscan looks for what
# is spelt out, the longer the faster (one pattern for all of them halves its speed).
_JSON = (
    r"(?:evel|verity|EVEL)\" ?: ?[5-9]\d\b",
    r"(?:evel|verity|EVEL)\" ?: ?[0-3]\b",
    r"(?:evel|verity|EVEL)\":[1-9]\d\d\b",
    r"(?:evel|verity|EVEL)\": [1-9]\d\d\b",
    r"(?:level|severity|LEVEL)\":\"[0-9]",
    r"(?:level|severity|LEVEL)\": \"[0-9]",
    r"(?:tus|ode)\" ?: ?\"?5\d\d",
    r"PRIORITY\" ?: ?\"? ?[0-3]\b",
    r"evel\\\": ?[5-9]\d\b",
    # Spacing that hardly any writer uses: let through as such.
    r"[lysLe]\"(?: ?\t| {2})",
    r"[lysLe]\" ?:(?:  |\t| \t)",
    r"[lysLe]\" ?: ?\"\s",
    r"[lysLe]\" :",
    r"\"s\"\s*:\s*\"[EF]\"",
)
_MARKS = (
    r"^[CEF](?:\d{4} |, \[| \d{4}-)",
    r" std(?:err|out) [FP] [EF]\d{4} ",
    r"\d\s+[CEF]\s",
    r"[\[<][ECF][\] >\t]",
    r"^<\d{1,3}>",
)
GATE = (_LEVEL, *_TRACES, *_FAILURES, *_STATUS, *_JSON, *_MARKS)


def adds_nothing(pattern: str) -> bool:
    """Whether *pattern* finds only what the gate lets through anyway: a level's word, whole (`\\bERROR\\b`)."""
    return pattern.startswith(r"\b") and pattern.endswith(r"\b") and pattern[2:-2].lower() in _WORDS
