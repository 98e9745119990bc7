r"""What loggers put before every line, set aside: `web-1  | password:⏎web-1  |   x` is looked at as `password:⏎  x`.

What a secret's name stands in may go over several lines: a document, a dialogue, a block of YAML, a key. Container
runtimes, syslog, quotes in mails and build tools begin each of them with something of theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from daemons.masking.lazy import lazy

_TIME = r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,]{0,10}(?:Z|[ ]?[+-]\d\d:?\d\d)?\]?"
_MARGIN = lazy(
    rf"(?:[ \t]{{0,8}}+(?:{_TIME}"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?: [\w.-]{1,64})? [\w./-]{1,64}(?:\[\d{1,8}\])?:"
    r"|[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{1,9}[ ]{1,8}\d{1,8} [\w./-]{1,64}:\d{1,6}\]"
    r"|\d{1,8} --- \[[^\]\n]{1,64}\] [\w.$\[\]/-]{1,64}[ ]{0,20}:"
    r"|\[\d\d:\d\d(?::\d\d)?\](?: <[^<>\n]{1,32}>)?"
    r"|\[?(?:ERROR|WARN|WARNING|INFO|DEBUG|TRACE|FATAL|CRITICAL|NOTICE)\]?:?"
    r"|[\w.-]{1,48}[ ]{0,16}\||#\d{1,4} \d{1,5}\.\d{1,4}|remote:|stderr:|stdout:|[>|+`]{1,3}"
    r"|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3} - -)(?:[ \t]|(?=`|\n|$)|(?<=`)))+"
)


def without_margins(text: str, masked: Callable[[str], str]) -> str:
    """*text* as *masked* makes it of its lines without what stands before each of them; that stays."""
    lines = text.split("\n")
    margins = [found.end() if (found := _MARGIN.match(line)) else 0 for line in lines]
    if sum(map(bool, margins)) < 2:
        return text
    inner = [line[margin:] for line, margin in zip(lines, margins, strict=True)]
    made = masked("\n".join(inner)).split("\n")
    if made == inner:
        return text
    head = next((at for at, (one, other) in enumerate(zip(inner, made, strict=False)) if one != other), 0)
    # A key of many lines is one by now: those behind it are counted from the end.
    gone = len(inner) - len(made)
    numbers = [at + gone if at > head else at for at in range(len(made))]
    return "\n".join(lines[at][: margins[at]] + line for at, line in zip(numbers, made, strict=True))


# One of them stands where a colour begins.
COLOURS = ("\x1b[", "x1b[", "033[", "\\e[", "u001b[")
_COLOUR = lazy(r"(?:\x1b|\\x1b|\\033|\\e|\\u001b)\[[\d;]{0,16}m")


def without_colours(text: str, masked: Callable[[str], str]) -> str:
    """*text* as *masked* makes it of what it says without its colours, if that holds a secret; else as it is."""
    plain = _COLOUR.sub("", text)
    made = masked(plain) if plain != text else plain
    return made if made != plain else text
