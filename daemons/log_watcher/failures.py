"""Lines without a level that tell of a failure in the words of whoever wrote them, or of a success.

Compilers, build tools, test runners, the kernel and systemd have no levels; what they mean is known by their phrases.
A success may quote the words that failures use: `ok 3 - handles ERROR`, `✔ tells Exception from ERROR`.
"""

from __future__ import annotations

import re

# What these look like shows at the beginning; a bound keeps the time bounded too.
LOOK_BYTES = 600

_BUILD = (
    # a.c:1:2: error: …   src/a.ts(1,2): error TS2304: …   src/a.ts:1:2 - error TS2322: …   psql: error: …
    r"(?:\S{1,300}[:)\]]|\S{1,300}:\d+:\d+ -) (?:fatal |internal )?error(?: [A-Z]{1,4}\d{2,5})?(?::| processing )",
    r"error(?: [A-Z]{1,4}\d{2,5}:| during build:| Command failed )",
    r"\S{1,300}\.go:\d+:\d+: |\S{1,300}\.py:\d+:\d+: [EF]\d{2,4} ",
    r"\s+\d+:\d+ +error  ",
    r"\S.{0,200}(?:\): undefined reference to |ld: cannot find -l)|Execution failed for task |rake aborted!",
    r"g?make(?:\[\d+\])?: \*\*\* |ninja: build stopped|CMake Error",
    r"E: |e: file:",
    r"(?:\d\S{4,10} )?\[vite\]:? (?:Internal server error|Rollup failed)|\[!\] ",
    r"Failed to compile|(?:\S{1,4} )?Build failed(?:[.!]?$| (?:in|because) )",
    r"An (?:unexpected )?error (?:has )?occurred|\[(?:plugin:)?vite:[\w:-]+\] |Module (?:not found|build failed)",
    r"(?:.{0,40} - )?Found [1-9]\d* errors?\b|\S{1,40} \S{1,40} compiled with [1-9]\d* errors?\b",
    r"\s?(?:ELIFECYCLE|ERR_PNPM_\w+) ",
    r"(?:\w{1,20}: )?Error response from daemon|##\[error\]|::error[ :]|\w{1,20} ERR! ",
    r"Internal Server Error: /",
)
_TESTS = (
    r"\s*not ok \d",
    r"\s{0,8}(?:✖|×|✗|✘|✕|⨯) ",
    r"\s?FAIL(?::|\t| {1,2})\S|\s*--- FAIL: ",
    r"\S.{0,300} \.\.\. FAIL$",
    r"[=!]+ (?:.{0,200}\W)?[1-9]\d* (?:failed|errors?)\b.{0,200} [=!]+$",
    r"(?:Tests|Test Suites): +[1-9]\d* failed|\d+ examples, [1-9]\d* failure",
    r"FAILURES!$|Tests: \d+, .{0,40}Failures: [1-9]",
    r"\s{0,8}[1-9]\d* (?:Error\(s\)|fail(?:ed|ing)$|errors? generated\.)|Bail out!|E {3,}\w+(?:Error|Exception)\b",
)
_RUNTIME = (
    r"\*\* \((?:exit|throw|\w+(?:\.\w+)*Error)\) ",
    r"\s?(?:\S{1,4} )?(?:unhandledRejection|uncaughtException): ",
    r"(?:\d+:[A-Z] .{20,30} # )Fatal error",
    r"(?:Aborted|Segmentation fault|Bus error|Illegal instruction)(?: \(core dumped\))?$",
)
# The kernel and systemd speak behind a header that has no end of its own: `Jan 31 10:00:00 web-1 kernel: [12.3] …`
_ANYWHERE = (
    r"ut of memory: Kill|invoked oom-killer",
    r": segfault at [0-9a-f]+ ip |: general protection fault|general protection fault ip:|trap invalid opcode",
    r"Kernel panic - |kernel: (?:\[[ \d.]+\] )?BUG: ",
    r"\bI/O error(?:,| on) dev|(?:EXT4-fs|BTRFS|XFS) error|BTRFS: error",
    r"XFS \([\w-]+\): .{0,40}error|\[Hardware Error\]: ",
    r"\.\w+: Failed with result '|systemd\[\d+\]: Failed to (?:start|mount|listen|activate) ",
)
_FAILURE = re.compile("|".join((*_BUILD, *_TESTS, *_RUNTIME)).encode())
# The word in front of what went wrong, in any dress: `│ Error: …`, `Type error: …`, `imap-login: Fatal: …`
_SAID = (
    r"^(?:\W{1,8} ?)?(?i:error) (?!(?:rate|count|log|page|code|level|message)s?\b|hand|budget|report)[\w\"']",
    r"(?:^|[\s\[(>])(?:[Ee]rror|ERROR|[Ff]atal) ?: (?!0\b|none|null|nil|false|no\b|undefined|$)",
    r"[Ff]atal error\b",
)
_FAILURE_ANYWHERE = re.compile("|".join((*_ANYWHERE, *_SAID)).encode())
_REMARK = re.compile(rb"\s{0,8}# ")
_SUCCESS = re.compile(
    rb"\s*(?:not )?ok \d+\b.{0,300}# *(?i:todo|skip)|\s*ok \d+\b"
    rb"|\s*(?:\xe2\x9c\x94|\xe2\x9c\x93|\[x\]) |(?:\s*--- )?PASS\b|.{1,300} (?:\.\.\. ok|PASSED(?: +\[ *\d+%\])?)$"
    rb"|\S{1,4} \d+ problems \(0 errors"
)


def is_failure(line: bytes) -> bool:
    """Whether *line*, which has no level, tells of a failure."""
    start = line[:LOOK_BYTES]
    if _REMARK.match(start):
        return b"atal error has been detected" in start
    return bool(_FAILURE.match(start) or _FAILURE_ANYWHERE.search(start)) and not _SUCCESS.match(start)


def is_success(line: bytes) -> bool:
    """Whether *line*, which has no level, tells that something went well: words in it don't count."""
    return bool(_REMARK.match(line) or _SUCCESS.match(line[:LOOK_BYTES]))
