"""Lines without a level that tell of a failure in the words of whoever wrote them, or of a success.

Compilers, build tools, test runners, shells, the kernel and systemd have no levels; what they mean is known by their
phrases. What a phrase begins with, or a rare piece of it, is among `LEADS`, by which the block scan finds it.
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
    r"Internal Server Error: /|Finished: FAILURE$|error Command failed",
    r"SQLSTATE\[|ORA-\d{5}: |Errors in file |AH\d{5}: \S{1,40} error |\(\d{1,3}\)[A-Z][a-z ]{3,40}: AH\d{5}: ",
)
_TOLD = (
    r"(?:[Ff]ailed|[Uu]nable) to [a-z]|(?:[Cc]ould not(?! reliably)|[Cc]annot|[Cc]an't) [a-z]",
    r"dependency failed to start: |Job for \S+ failed because |failed: \[",
    r"(?:yarn|bun|pnpm|sh|bash|zsh): .{0,80}(?:command not found|error )",
    r"(?:\W{1,8} ?)?(?i:error) (?!(?:rate|count|log|page|code|level|message)s?\b|hand|budget|report)[\w\"']",
)
_TESTS = (
    r"\s*not ok \d",
    r"\s{0,8}(?:✖|×|✗|✘|✕|⨯) ",
    r"\s?FAIL(?::|\t| {1,2})\S|\s*--- FAIL: ",
    r"\S.{0,300} \.\.\. FAIL$",
    r"[=!]+ (?:.{0,200}\W)?[1-9]\d* (?:failed|errors?)\b.{0,200} [=!]+$",
    r"(?:Tests|Test Suites): +[1-9]\d* failed|\d+ examples, [1-9]\d* failure",
    r"FAILURES!$|Tests: \d+, .{0,40}Failures: [1-9]",
    r"\s{0,8}[1-9]\d* (?:Error\(s\)|fail(?:ed|ing)$|errors? generated\.)|Bail out!",
    r"E {3,}(?:\w+(?:Error|Exception)\b|assert )|\s{0,8}● .{1,200} › ",
)
_RUNTIME = (
    r"\*\* \((?:exit|throw|\w+(?:\.\w+)*Error)\) ",
    r"\s?(?:\S{1,4} )?(?:unhandledRejection|uncaughtException): ",
    r"(?:\d+:[A-Z] .{20,30} # )Fatal error",
    r"(?:Aborted|Segmentation fault|Bus error|Illegal instruction|Killed)(?: \(core dumped\))?$",
    r"\d+:[A-Z] .{20,30} # (?:Fatal|Error|Failed|Can't|Could not|MISCONF|Unable|Bad file|Warning: Could not)",
    r"Task timed out after ",
    r"(?:\S{1,80} )?(?:[Pp]rocess |[Cc]ontainer |App )?.{0,60}exited with (?:code|status) \[?[1-9]",
    r"[Cc]ontainer \S{1,80} exited \([1-9]\d*\)|.{0,40}app crashed - ",
    r"Can't locate \S+ in @INC",
)
_ERRNO = (
    "No such file or directory|Permission denied|Connection refused|Connection reset by peer|Connection timed out",
    "No space left on device|Address already in use|Cannot allocate memory|Too many open files|Network is unreachable",
    "Network is down|No route to host|Read-only file system|Is a directory|Not a directory|Input/output error",
    "Operation not permitted|Name or service not known|Temporary failure in name resolution|Device or resource busy",
    "[Ee]xec format error|Broken pipe|File exists|Directory not empty|command not found|not found",
)
# The kernel and systemd speak behind a header that has no end of its own: `Jan 31 10:00:00 web-1 kernel: [12.3] …`
_ANYWHERE = (
    r"ut of memory: Kill|invoked oom-killer",
    r": segfault at [0-9a-f]+ ip |: general protection fault|general protection fault ip:|trap invalid opcode",
    r"Kernel panic - |kernel: (?:\[[ \d.]+\] )?BUG: ",
    r"\bI/O error(?:,| on) dev|(?:EXT4-fs|BTRFS|XFS) error|BTRFS: error",
    r"XFS \([\w-]+\): .{0,40}error|\[Hardware Error\]: ",
    r"\.\w+: Failed with result '|systemd\[\d+\]: (?:Failed to (?:start|mount|listen|activate)|Dependency failed for) ",
    r"\.\w+: (?:Main|Control) process exited, code=\w+, status=[1-9]",
    r"\.service: (?:Start request repeated|Watchdog timeout)",
    r"killed by the OOM killer|\) of user \d+ dumped core",
    r"\] (?:watchdog: )?BUG: |\] INFO: (?:task \S+ blocked for|rcu\w* .{0,40}stall)|\]: (?:\[[ \d.]+\] )?I/O error",
    r"(?:Server \S+/\S+ is DOWN|(?:backend|proxy) \S+ has no server available)|\bTLS Error: |got signal \d+ ;",
    r": (?:line )?\d+: +\d+ (?:Segmentation fault|Aborted|Killed|Bus error) |\b[Ss]yntax [Ee]rror (?:on|near|at|in|:)",
    r": (?:" + "|".join(_ERRNO) + r")(?: \(\w[^)]{0,80}\))?\.?$",
    r"(?<!\b0 )(?<!\bno )\b[Ff]ailed(?:!|: [^\s\d]| with (?!0\b)| because | due to )|\btests? failed\.$",
    r"(?:: |\] |\) |! )(?:[Ff]ailed|[Uu]nable) to [a-z]",
    r": (?:[Cc]ould not(?! reliably)|[Cc]annot|[Cc]an't) [a-z]",
    r"CEF:\d\|(?:[^|]*\|){5}(?:[7-9]|10|High|Very-High)\|",
    r"#<(?:\w+::)*\w+(?:Error|Exception): ",
    r"\s(?:failed|unreachable)=[1-9]|: Error [A-Z]\d\d ",
)
_FAILURE = re.compile("|".join((*_BUILD, *_TESTS, *_RUNTIME, *_TOLD)).encode())
# The word in front of what went wrong, in any dress: `│ Error: …`, `Type error: …`, `imap-login: Fatal: …`
_NO_QUOTE = r"(?:^|(?<!after)(?<!\bon)(?<!the)(?<!\bno)[\s\[(>])"
_SAID = (
    _NO_QUOTE + r"(?:[Ee]rror|ERROR|[Ff]atal) ?: (?!0\b|none|null|nil|false|no\b|undefined|$)",
    r"[Ff]atal error\b",
)
_RESULT = re.compile("|".join((*_BUILD, *_TESTS)).encode())
LEADS = (
    r"[\]:] BUG: ", r"\] INFO: (?:task|rcu)", "status=[1-9]", "annot [a-z]", "ould not [a-z]", "[Cc]an't [a-z]",
    "ailed to [a-z]", "ailed(?:!|: | with | because | due to )", r"tests? failed\.", "nable to [a-z]",
    ": (?:No such file|Permission den|Connection (?:ref|res|tim)|command not f|not found|Cannot alloc|No space left)",
    ": (?:Address already|Too many open|Network is|No route to|Read-only file|Is a dir|Not a dir|Input/output)",
    ": (?:Operation not p|Name or serv|Temporary fail|File exists|Device or res|Directory not|[Ee]xec form)",
    ": Broken pipe",
    r"exited with (?:code|status) \[?[1-9]", r"exited \([1-9]", r"CEF:\d\|", "OOM killer", "dumped core",
    "repeated too quickly", "Watchdog timeout", "Task timed out", "ependency failed",
    "app crashed", "is DOWN", "no server available", r"SQLSTATE\[", r"ORA-\d", "Errors in file",
    "(?:failed|unreachable)=[1-9]", r"got signal \d",
    r" # (?:Can't|Could|MISCONF|Unable|Failed|Internal|Bad|Warning: C)",
        r": AH\d{5}: ", "^Killed\\r?$",
    "^E       assert", r"\xe2\x80\xba", "command not found", "^Job for ",
    r"^failed: \[",
)  # fmt: skip
_FAILURE_ANYWHERE = re.compile("|".join((*_ANYWHERE, *_SAID)).encode())
_REMARK = re.compile(rb"\s{0,8}# ")
_SUCCESS = re.compile(
    rb"\s+(?:warnings\.)?warn\(|\s*(?:not )?ok \d+\b.{0,300}# *(?i:todo|skip)|\s*ok \d+\b"
    rb"|\s*(?:\xe2\x9c\x94|\xe2\x9c\x93|\[x\]) |(?:\s*--- )?PASS\b|.{1,300} (?:\.\.\. ok|PASSED(?: +\[ *\d+%\])?)$"
    rb"|==\d+== ERROR SUMMARY: 0 |\S{1,4} \d+ problems? \(0 errors|(?:ok|changed|skipping): \["
)


def is_failure(line: bytes, *parts: bytes) -> bool:
    """Whether *line*, which has no level, tells of a failure; or one of its *parts*, where its message may begin."""
    start = line[:LOOK_BYTES]
    if _REMARK.match(start):
        return b"atal error has been detected" in start
    if any(_FAILURE.match(part, 0, LOOK_BYTES) for part in (start, *parts) if part):
        return not _SUCCESS.match(start)
    return _FAILURE_ANYWHERE.search(start) is not None and not _SUCCESS.match(start)


def is_result(line: bytes) -> bool:
    """Whether *line*, which is set in, is what a compiler or a test prints so."""
    return bool(_RESULT.match(line[:LOOK_BYTES])) and not _SUCCESS.match(line[:LOOK_BYTES])


def is_success(line: bytes) -> bool:
    """Whether *line*, which has no level, tells that something went well: words in it don't count."""
    return bool(_REMARK.match(line) or _SUCCESS.match(line[:LOOK_BYTES]))
