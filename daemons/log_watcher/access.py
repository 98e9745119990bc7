"""The records of requests: the HTTP status, where many servers and frameworks put it; and the level of logfmt lines.

10.0.0.1 - - […] "GET / HTTP/1.1" 503 …          nginx, Apache and all who do as they do; also "503"
GET /cart 503 12.3 ms - 17                       morgan, Next.js, hypercorn, koa
… app/srv1 0/0/1/9/10 503 17 - - ---- …          HAProxy; squid, Amazon's balancers and IIS have columns of their own
method=GET … status=503                          logfmt
"""

from __future__ import annotations

import re

from daemons.log_watcher import words

# Only so much of a line is looked at for a status.
FIELDS_BYTES = 9600

_LEVEL = re.compile(
    rb"(?:(?:^|[\s|,])(?:level|lvl|severity|loglevel|log_level)=[\"']?|^\{ (?:.{0,200}, )?level: '"
    rb"|^\{.{0,200}'(?:level|levelname|severity)': ')"
    rb"(?P<word>(?i:" + words.ALL.encode() + rb"))\b"
)
_VERBS = rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT|TRACE|PROPFIND)"
_SENT = (
    rb"\"(?:" + _VERBS + rb"|WebSocket) [^\"\n]{0,8000}\" \"?(?P<quoted>\d{3})\b",
    rb"^\s{0,4}(?:\S{1,80} {1,20}){0,4}" + _VERBS + rb" /\S{0,2000} (?P<bare>\d{3})(?= in | - |\s+[\d.]+ ?m?s\b| \[)",
    rb"\| +(?P<gin>\d{3}) +\|.{0,200}\| *" + _VERBS + rb" ",
    rb"\bCompleted (?P<rails>\d{3}) [A-Z][A-Za-z ]{1,40} in \d",
    rb"\b(?:responded|Sent) (?P<sent>\d{3}) in \d",
    rb"\d+/-?\d+/-?\d+/-?\d+/\+?\d+ (?P<haproxy>\d{3}) \+?\d+ ",
    rb"\" status: (?P<nova>\d{3}) len: ",
    rb"\(HTTP/\d(?:\.\d)? (?P<uwsgi>\d{3})\)",
    rb"(?:^|\s)(?:method=\"?|request=\"|req:)" + _VERBS + rb"\b.{0,2000}\sstatus[=:]\"?(?P<logfmt>\d{3})\b",
    # hypercorn, chi, ASP.NET, squid
    rb" " + _VERBS + rb" /\S{0,2000} (?:1\.[01]|[23]) (?P<hypercorn>\d{3}) \d",
    rb"\"" + _VERBS + rb" \S{1,2000} HTTP/[\d.]+\" from \S{1,60} - (?P<chi>\d{3}) ",
    rb"Request finished HTTP/\S+ " + _VERBS + rb" \S{1,2000} (?:\S{1,80} ){0,3}?- (?P<asp>\d{3}) ",
    rb"Request finished in [\d.]{1,20}ms (?P<elapsed>\d{3})\b",
    rb" [A-Z]{2,12}(?:_[A-Z_]{2,40})?/(?P<squid>\d{3}) \d+ " + _VERBS + rb" ",
    # Amazon's load balancers, with and without their kind in front; CloudFront; IIS
    rb"^(?:\w{2,5} )?\d{4}-\S{15,25}Z \S{1,200} \S{1,60} \S{1,60} (?:-?[\d.]{1,12} ){3}(?P<elb>\d{3}) ",
    rb"^\d{4}-\d\d-\d\d\t\S{8}\t(?:[^\t]{1,200}\t){3}"
    + _VERBS
    + rb"\t[^\t]{1,300}\t[^\t]{1,2000}\t(?P<cloudfront>\d{3})\t",
    rb"^\d{4}-\d\d-\d\d [\d:]{8} .{0,400}\b" + _VERBS + rb" /.{0,4000} (?P<iis>\d{3}) \d{1,3} \d{1,10}(?: \d+){1,3}$",
    # Caddy and zap on a console; PHP's own server
    rb"\t\{.{0,2000}\"method\": ?\"" + _VERBS + rb"\".{0,2000}\"status\": ?(?P<zap>\d{3})\b",
    rb" \[(?P<php>\d{3})\]: " + _VERBS + rb" /",
)
# Without one of these no line is one: a look that costs little.
_WORDS = (
    b"GET ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"HEAD ", b"OPTIONS ", b"GET\x1b", b"CONNECT ", b"TRACE ",
    b"PROPFIND ", b"WebSocket ", b"Completed ", b" responded ", b"Sent ", b"Request finished ", b"method=",
    b'"method":', b"GET\t", b"POST\t", b"PUT\t", b"PATCH\t", b"DELETE\t", b"HEAD\t", b'<BADREQ>"',
)  # fmt: skip
_STATUS = re.compile(b"|".join(_SENT))


def logfmt_level(line: bytes) -> int | None:
    found = _LEVEL.search(line[:1600])
    return words.LEVELS[found["word"].lower()] if found else None


def status(line: bytes) -> int | None:
    """The HTTP status, when *line* is the record of a request."""
    if not any(word in line for word in _WORDS):
        return None
    access = _STATUS.search(line[:FIELDS_BYTES])
    return int(access[access.lastgroup]) if access and access.lastgroup else None


# What the block scan finds those by that stand in columns of their own. Spelt out as far as can be: see `gate`.
_50X = "50[0-4]"
LEADS = (
    rf'" "{_50X}"', rf" 1\.1 {_50X} \d", rf" 2 {_50X} \d+ \d", rf" - {_50X} (?:-|\d+B|\d+ -|[a-z])", rf"\dms {_50X}\b",
    rf"/{_50X} \d+ [A-Z]", rf" {_50X} (?:{_50X}|-) \d", rf"\t{_50X}\t", rf"\tstatus:{_50X}",
    rf" {_50X} \d{{1,2}} \d{{1,10}} \d+\r?$", rf" {_50X} \d{{1,2}} \d{{1,10}} \d+ \d+ \d+\r?$", rf"\[{_50X}\]: [A-Z]",
)  # fmt: skip
