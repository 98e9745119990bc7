"""Traces of Python, Node, Java, Go, Rust and others: which line heads one, and which line belongs to one.

Each shape is told by the line alone; what a run of shapes means is for `events` to say.

    head        begins a trace by itself: `Traceback (most …`, `panic: …`, `Exception in thread …`, `TypeError: …`
    lead        announces one that follows: `Task exception was never retrieved`
    preamble    stands above the line that can be recognised: `/srv/app.js:10`, `  File "x.py", line 1`
    frame       a place in the code: `  File "…", line 3, in f`, `\\tat a.B.c(B.java:3)`, `goroutine 1 [running]:`
    chain       ties one trace to the next: `Caused by: …`, `During handling of the above exception, …`
    note        trails after one: `Node.js v20.1.0`, `exit status 2`, `note: run with …`, `}`
    indented    set in from the margin, so part of what stands above it
"""

from __future__ import annotations

import re
from typing import Literal

Shape = Literal["head", "exception", "lead", "frame", "chain", "note", "indented", "blank", "plain"]

# `ValueError: x`, `java.lang.IllegalStateException: y`, `TypeError [ERR_X]: z`, `foo::bar::Error: w`, `KeyError` alone.
_NAME = rb"(?!NoError|OnError|IsError|HasError)(?:[A-Za-z_$][\w$]*(?:\.|::|\$|\\))*(?:[A-Z_][\w$]*)?(?:Error|Exception)"
_EXCEPTION = re.compile(
    rb"\[?(?:Uncaught |Unhandled )?(?P<type>" + _NAME + rb")(?: \[\w+\])?"
    rb"(?:: |:?\]?(?: \{)?$| \((?=[A-Z]\w*::).{0,390}$| \(.{0,390}\):$)|\*\* \((?P<elixir>[A-Z][\w.]*|exit|throw"
    rb"|EXIT[^)]{0,80})\) "
)
_RUBY = re.compile(rb"\S{1,200}:\d+:in ['`][^'`]{1,200}': .{0,500}\((?:\w+::)*\w+(?:Error|Exception)\)$")
_HEAD = re.compile(
    rb"(?:[ +|]*)(?:Exception Group )?Traceback \(most recent call (?:last|first)\):"
    rb"|panic: |http: panic serving |fatal error: |SIG[A-Z]{3,5}: "
    rb"|thread '[^']*' (?:\(\d+\) )?panicked at "
    rb"|Exception in thread "
    rb"|(?:Uncaught|Unhandled) (?:\w+ )?(?:exception|rejection|promise)"
    rb"|\[?UnhandledPromiseRejection|\(node:\d+\) (?:\[\w+\] )?(?:Unhandled|Uncaught)"
    rb"|(?:PHP )?(?:Fatal|Parse) error: |terminate called (?:after throwing|without an active)|Segmentation fault"
    rb"|Out of memory: Kill|\*\*\* (?:stack smashing|Error in `)|Fatal Python error: |FATAL ERROR: "
    rb"|(?:double free or corruption|corrupted (?:size|double)|(?:free|malloc|realloc|munmap_chunk)\(\): [a-z])"
    rb"|[^:]{1,80}:(?: ?\S{1,80}:\d+: .{1,200}:)? [Aa]ssertion [`'\"].{1,300}' failed\.?$|[Aa]ssertion failed: "
    rb"|memory allocation of \d+ bytes failed|thread \d+ panic: |(?:\S{0,40}/)?lua[\w.]*: \S+:\d+: "
    rb"|Process terminated\. Assertion|\[ERROR:flutter/|E/AndroidRuntime.{0,20}: FATAL EXCEPTION"
    rb"|" + _RUBY.pattern
)
_LEAD = re.compile(
    rb"(?:Task|Future) exception was never retrieved|Unhandled exception in event loop|Exception ignored in:?"
    rb"|Exception in thread [^\"]|(?:\w+\.)*_?RemoteTraceback: ?$|rake aborted!$|Failed to compile\.?$"
    rb"|Unhandled exception:$"
    rb"|#<Thread:.{1,200}> terminated with exception|bundler: failed to load command|== Compilation error in file "
    rb"|thread '[^']*' has overflowed its stack|Error occurred during initialization of (?:VM|boot)|Execution error \("
    rb"|AH00526: |ERROR in \.{0,2}/|error during build:|\[Recovery\] .{0,40}panic recovered:|\s?FAIL  \S"
    rb"|Errors in file |Module build failed|\s\xe2\xa8\xaf \S{1,200} \(\d+:\d+\) @ "
    rb"|error - \./|--- Logging error ---$"
)
# Where Java's own logging has the time: above the line with the level.
_TIME_ABOVE = re.compile(
    rb"[A-Z][a-z]{2} \d{1,2}, \d{4},? \d{1,2}:\d\d:\d\d[\s\xe2\x80\xaf]{1,3}[AP]M \S{1,200} \S{1,100}$"
)
_PROCESS_ABOVE = re.compile(rb"Process \S{1,80}-\d+:$")
_LEVEL_ALONE = re.compile(rb"(?:SEVERE|WARNING|INFO|CONFIG|FINE|FINER|FINEST): ")
_EMBEDDED = re.compile(rb"Traceback \(most recent call last\):$")
_PREAMBLE = re.compile(
    rb"<--- Last few GCs --->|(?:/|file:///|node:|[A-Z]:\\)[^\s:]*:\d+$|  File \"[^\"]+\", line \d+$"
)
_FRAME = re.compile(
    rb"(?:[ |]*(?:  )|> )File \"[^\"]+\", line \d+|(?:Current thread|Thread) 0x[0-9a-f]+ "
    rb"|\s*>? *\d+ ?[|\xe2]|stack traceback:$|Stacktrace:$|Stack trace:$|Call stack:$|Thrown at:$|Stack backtrace:$"
    rb"|\S{1,200}(?: \([\d.]+\) \S{1,200})?:\d+:in [`'](?![^`']{1,200}': .{0,300}\(\w+\)$)"
    rb"|  thrown in |State: |Calls: |Execution halted|\s+@ +0x|Last message(?: \(|:)|\*\*\* Check failure stack trace"
    rb"|\s+at \S"
    rb"|\s+\.\.\. \d+ (?:more|common frames)"
    rb"|goroutine \d+ \[|created by \S|\[signal SIG"
    rb"|\s+\d+: +\S|stack backtrace:"
    rb"|\s+from \S+:\d+:in "
    rb"|#\d+ +(?:0x|/|\{main\}|\[internal|[A-Za-z_<][\w.:<>$~*\\]*(?: \(|\())"
    rb"|(?:Raised|Re-raised|Called) (?:at|from|by) |\d+\. .{1,300} @ 0x|\s+\[\d+\] \S|/\S{1,300}:\d+ \(0x"
)
_GO_CALL = re.compile(rb"(?:panic|[\w./*()\[\]{}%-]+\.[\w.*()\[\]{}-]+)\(.*\)$")
_CHAIN = re.compile(
    rb"\s*(?:Caused by:|Suppressed: |Wrapped by: | ?---> \S)"
    rb"|(?:During handling of the above exception|The above exception was the direct cause)"
)
_NOTE = re.compile(
    rb"Node\.js v\d|Emitted '\w+' event |Require stack:|\(Use `node --trace-|npm ERR!|npm error"
    rb"|\(Background on this error|Dumping heap to |\(See full trace|BEGIN failed--|Tasks: TOP|LINE \d+: |(?:DETAIL"
    rb"|HINT|CONTEXT):  |operable program or"
    rb"|exit status \d+$|note: |[}\])]+;?$|  what\(\):|Aborted|\+-+|\(core dumped\)"
)
_TAIL = re.compile(
    rb"BEGIN failed--|Aborted|operable program or|Execution halted|note: |See [\"']systemctl|compilation terminated"
    rb"| @ \./|digest: |\"\}\s*$|\s\xe2\x9d\xaf |info Visit |in expression starting at |\):$"
)
_NPM = re.compile(rb"npm (?:ERR!|error)(?: |$)")


# What a line looks like shows at its beginning; a bound keeps every pattern's time bounded too.
SHAPE_BYTES = 400


def shape(line: bytes) -> Shape:
    """What *line*, without its newline, looks like."""
    line = line[:SHAPE_BYTES]
    if not line.strip():
        return "blank"
    if _LEAD.match(line):
        return "lead"
    if _HEAD.match(line):
        return "head"
    if _CHAIN.match(line):
        return "chain"
    if _FRAME.match(line):
        return "frame"
    if line[:1] in (b" ", b"\t", b"|"):
        return "indented"
    if _EXCEPTION.match(line):
        return "exception"
    return "note" if _NOTE.match(line) or _TAIL.match(line) else "plain"


def is_head(line: bytes) -> bool:
    """Whether a line that says nothing of its level is an error by its shape alone."""
    line = line[:SHAPE_BYTES]
    return bool(_HEAD.match(line) or _LEAD.match(line) or _EXCEPTION.match(line) or _NPM.match(line))


def opens_python_frames(line: bytes) -> bool:
    """Whether frames of Python follow: `Traceback …` on a line of its own or at the end of a record's line."""
    return b"Traceback (most recent call last)" in line and bool(_EMBEDDED.search(line) or _HEAD.match(line))


def names_its_exception(line: bytes) -> bool:
    """Whether a head is the whole telling: `panic: x`, `Exception in thread "main" a.B: x`."""
    return bool(_HEAD.match(line)) and not opens_python_frames(line)


def is_java(line: bytes) -> bool:
    """Whether *line* is `java.io.IOException: x`, below which frames stand."""
    kind = _EXCEPTION.match(line[:SHAPE_BYTES])
    return kind is not None and (kind["type"] or b"").count(b".") >= 2


_GO_NAME = re.compile(rb"[\w./-]+\.[\w.()*\[\]{}-]+$")


def is_go_name(line: bytes) -> bool:
    """Whether *line* may be a function's name in the stack that zap prints."""
    return bool(_GO_NAME.match(line))


def is_tail(line: bytes) -> bool:
    """Whether *line* trails after an error of any look."""
    return bool(_TAIL.match(line))


def lines_announced(line: bytes) -> int:
    """How many lines of any look follow a lead."""
    return 2 if line.startswith((b"Failed to compile", b"error - ")) else 1


def ends_ruby(line: bytes) -> bool:
    """Whether *line* is `/srv/a.rb:3:in `f': boom (RuntimeError)`, which may stand below its frames."""
    return bool(_RUBY.match(line[:SHAPE_BYTES]))


def names_group_member(line: bytes) -> bool:
    """Whether *line* is `  | ValueError: x`: the last line of one trace inside an exception group."""
    return line.lstrip(b" ").startswith(b"| ") and exception_type(line) is not None


def says_more_below(line: bytes) -> bool:
    """Whether the message stands on the next lines, as in Rust's panics and Node's assertions."""
    announces = b"panicked at" in line or line == b"Require stack:" or exception_type(line) is not None
    return announces and line.rstrip().endswith(b":")


def is_preamble(line: bytes) -> bool:
    return bool(_PREAMBLE.match(line))


def is_above(above: bytes, line: bytes) -> bool:
    """Whether *above*, the line over *line*, has its time, or names the process whose trace it is."""
    if _PROCESS_ABOVE.match(above):
        return opens_python_frames(line)
    return bool(_LEVEL_ALONE.match(line) and _TIME_ABOVE.match(above))


def announces(line: bytes) -> bool:
    """Whether *line*, a record, says that a trace follows below one more line."""
    return b" exception was never retrieved" in line[-60:]


def is_below_record(line: bytes) -> bool:
    """Whether *line* begins a trace as loggers print it below a record."""
    return opens_python_frames(line) or shape(line) == "exception"


def is_below_head(line: bytes) -> bool:
    """Whether *line* is a place in the code, or set in."""
    return shape(line) in ("frame", "indented")


def may_be_above(line: bytes) -> bool:
    return bool(_TIME_ABOVE.match(line) or _PROCESS_ABOVE.match(line))


def is_npm(line: bytes) -> bool:
    return bool(_NPM.match(line))


def is_go_call(line: bytes) -> bool:
    return bool(_GO_CALL.match(line[:SHAPE_BYTES]))


# Go's places and calls; what Node tells of an error; the sides of an assertion of Rust's; the last lines of all.
_PIECE = re.compile(
    rb"\t\S{1,300}:\d+(?: \+0x[0-9a-f]+)?$|goroutine \d+ |created by \S"
    rb"|  +(?:errno|code|syscall|path|address|port|cause|requireStack|generatedMessage|actual|expected|operator)\W"
    rb"| +(?:left|right): |    at |  \[?(?:errors|cause)\]?: | {4,}\w*Error: | +\],?$|[}\])]+,?;?$|Node\.js v\d"
    rb"|Require stack:|- /\S+$"
    rb"|exit status \d+$|note: |\s+\.\.\. \d+ |assertion [`']left"
)


def is_piece(line: bytes) -> bool:
    """Whether *line* is part of some trace, whoever wrote the line before it."""
    start = line[:SHAPE_BYTES]
    return bool(_PIECE.match(start)) or is_go_call(start)


def exception_type(line: bytes) -> bytes | None:
    """The exception's name in `pkg.ValueError: text`, without its package; None when *line* names none."""
    line = line[:SHAPE_BYTES].removeprefix(b"Caused by: ").removeprefix(b'Exception in thread "main" ').lstrip(b" |")
    found = _EXCEPTION.match(line)
    return re.split(rb"[.:$\\]", found["type"] or found["elixir"])[-1] if found else None


_CALLS = (
    re.compile(rb"[ |]*File \"(?P<file>[^\"]*)\", line \d+, in (?P<call>\S+)"),
    re.compile(rb"\s+at (?:async |new )?(?P<call>[\w$.<>\[\]/ -]+) ?\((?P<file>[^():]*)"),
    re.compile(rb"\s+at (?P<file>\S+):\d+:\d+$"),
    re.compile(rb"\s+\d+: +(?P<call>[\w:<>{}$# ,*&]+)"),
    re.compile(rb"(?P<call>[\w./*()-]+\.[\w.*()-]+)\([^)]*\)$"),
    re.compile(rb"\s+from (?P<file>[^:]+):\d+:in ['`](?P<call>[^'`]+)"),
)


def call(line: bytes) -> bytes | None:
    """File and function of a frame, without folders and line numbers, which change with every release; else None."""
    for pattern in _CALLS:
        found = pattern.match(line[:SHAPE_BYTES])
        if found:
            names = found.groupdict()
            file = (names.get("file") or b"").rsplit(b"/", 1)[-1]
            return file + b":" + (names.get("call") or b"").strip()
    return None


# What the block scan finds the rarer heads by.
LEADS = (
    "double free or", "corrupted (?:size|double)", r"(?:free|malloc|realloc|munmap_chunk)\(\): ",
    "ssertion (?:[`'\"]|failed)",
    "memory allocation of", r"lua[\w.]*: ", "rake aborted!", "terminated with exception",
    "has overflowed its", "nhandled exception:", "AH00526: ",
)  # fmt: skip
