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
_EXCEPTION = re.compile(rb"\[?(?:Uncaught |Unhandled )?(?P<type>" + _NAME + rb")(?: \[\w+\])?(?:: |:?\]?(?: \{)?$)")
_HEAD = re.compile(
    rb"(?:[ +|]*)(?:Exception Group )?Traceback \(most recent call (?:last|first)\):"
    rb"|panic: |http: panic serving |fatal error: |SIG[A-Z]{3,5}: "
    rb"|thread '[^']*' (?:\(\d+\) )?panicked at "
    rb"|Exception in thread "
    rb"|(?:Uncaught|Unhandled) (?:\w+ )?(?:exception|rejection|promise)"
    rb"|\[?UnhandledPromiseRejection|\(node:\d+\) (?:\[\w+\] )?(?:Unhandled|Uncaught)"
    rb"|(?:PHP )?(?:Fatal|Parse) error: |terminate called (?:after throwing|without an active)|Segmentation fault"
    rb"|Out of memory: Kill|\*\*\* stack smashing"
    rb"|\S{1,200}:\d+:in ['`][^'`]{1,200}': .{0,500}\(\w+(?:Error|Exception)\)$"
)
_LEAD = re.compile(
    rb"(?:Task|Future) exception was never retrieved|Unhandled exception in event loop|Exception ignored in:?"
    rb"|Exception in thread [^\"]|(?:\w+\.)*_?RemoteTraceback: ?$"
)
_EMBEDDED = re.compile(rb"Traceback \(most recent call last\):$")
_PREAMBLE = re.compile(rb"(?:/|file:///|node:|[A-Z]:\\)[^\s:]*:\d+$|  File \"[^\"]+\", line \d+$")
_FRAME = re.compile(
    rb"[ |]*(?:  )File \"[^\"]+\", line \d+"
    rb"|\s+at \S"
    rb"|\s+\.\.\. \d+ (?:more|common frames)"
    rb"|goroutine \d+ \[|created by \S|\[signal SIG"
    rb"|\s+\d+: +\S|stack backtrace:"
    rb"|\s+from \S+:\d+:in "
    rb"|#\d+ \S"
)
_GO_CALL = re.compile(rb"(?:panic|[\w./*()\[\]{}%-]+\.[\w.*()\[\]{}-]+)\(.*\)$")
_CHAIN = re.compile(
    rb"\s*(?:Caused by: |Suppressed: |Wrapped by: )"
    rb"|(?:During handling of the above exception|The above exception was the direct cause)"
)
_NOTE = re.compile(
    rb"Node\.js v\d|Emitted '\w+' event |Require stack:|\(Use `node --trace-|npm ERR!|npm error"
    rb"|exit status \d+$|note: |[}\])]+;?$|  what\(\):|Aborted|\+-+|\(core dumped\)"
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
    return "note" if _NOTE.match(line) else "plain"


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


def names_group_member(line: bytes) -> bool:
    """Whether *line* is `  | ValueError: x`: the last line of one trace inside an exception group."""
    return line.lstrip(b" ").startswith(b"| ") and exception_type(line) is not None


def says_more_below(line: bytes) -> bool:
    """Whether the message stands on the next lines, as in Rust's panics and Node's assertions."""
    announces = b"panicked at" in line or line == b"Require stack:" or exception_type(line) is not None
    return announces and line.endswith(b":")


def is_preamble(line: bytes) -> bool:
    return bool(_PREAMBLE.match(line))


def is_npm(line: bytes) -> bool:
    return bool(_NPM.match(line))


def is_go_call(line: bytes) -> bool:
    return bool(_GO_CALL.match(line[:SHAPE_BYTES]))


# Go's places and calls; what Node tells of an error; the sides of an assertion of Rust's; the last lines of all.
_PIECE = re.compile(
    rb"\t\S{1,300}:\d+(?: \+0x[0-9a-f]+)?$|goroutine \d+ |created by \S"
    rb"|  +(?:errno|code|syscall|path|address|port|cause|requireStack|generatedMessage|actual|expected|operator)\W"
    rb"|  +(?:left|right): |    at |  \[?(?:errors|cause)\]?: |[}\])]+,?;?$|Node\.js v\d|Require stack:|- /\S+$"
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
    return re.split(rb"[.:$\\]", found["type"])[-1] if found else None


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
