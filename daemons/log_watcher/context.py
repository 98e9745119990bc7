"""What stood around an error: the few lines before and after it, read again from the log, for whoever looks into it.

Nothing waits for them: what stands there when the error is told is shown. Other errors near by are told by themselves.
"""

from __future__ import annotations

from itertools import takewhile

from daemons import text
from daemons.log_watcher.events import Event
from daemons.log_watcher.opening import Source
from daemons.log_watcher.patterns import Patterns
from daemons.log_watcher.traces import shape

LINES = 3
LOOK_BYTES = 4096
LOOK_AFTER_BYTES = 64 << 10


def around(source: Source, event: Event, patterns: Patterns) -> tuple[str, str]:
    """The lines before and after *event*; empty where there are none, or where the file holds something else by now."""
    if source.packed:
        return "", ""  # unpacking it again would take as long as reading it all
    block = source.read(event.position, LOOK_AFTER_BYTES)
    telling = block.partition(b"\n")[0].removesuffix(b"\r")
    if telling not in event.lines:
        return "", ""
    before = _before(source, event, event.lines.index(telling))
    after = takewhile(lambda line: not _is_of_error(line, patterns), _after(block, event, telling))
    return _shown(_behind_last_error(before, patterns)), _shown(list(after))


def _behind_last_error(lines: list[bytes], patterns: Patterns) -> list[bytes]:
    errors = [at for at, line in enumerate(lines) if _is_of_error(line, patterns)]
    return lines[errors[-1] + 1 :] if errors else lines


def _is_of_error(line: bytes, patterns: Patterns) -> bool:
    """Whether *line* is an error, or a piece of one."""
    return shape(line) not in ("plain", "blank", "note") or bool(patterns.judge(line.removesuffix(b"\r")).why)


def _before(source: Source, event: Event, preamble_lines: int) -> list[bytes]:
    """The lines above the event, whose telling line has *preamble_lines* of its own above it."""
    start = max(0, event.position - LOOK_BYTES)
    lines = source.read(start, event.position - start).split(b"\n")
    # Whole lines: what stands first may be cut, what stands last is empty.
    above = lines[1 if start else 0 : -1]
    return above[: len(above) - preamble_lines][-LINES:]


def _after(block: bytes, event: Event, telling: bytes) -> list[bytes]:
    position = 0
    for line in event.lines[event.lines.index(telling) :]:
        at = block.find(line, position)
        position = at + len(line) if at >= 0 else position
    end = block.find(b"\n", position)
    return block[end + 1 :].split(b"\n")[:-1][:LINES] if end >= 0 else []


def _shown(lines: list[bytes]) -> str:
    return text.decode(b"\n".join(line.removesuffix(b"\r") for line in lines))
