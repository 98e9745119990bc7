"""Secrets in addresses: `scheme://user:password@host`, a token in place of the user, webhooks that are the secret."""

from __future__ import annotations

from collections.abc import Iterator

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span, replaced
from daemons.masking.values import is_placeholder, looks_random

_AUTHORITY = lazy(r"://(?P<all>[^\s\"'<>`,\\]{1,400})")
# Parts of a user and a password that hold what should have been escaped: `root:pa/ss@host`.
_ODD_PASSWORD = lazy(r"(?P<user>[^\s:/@?#]{0,100}):(?P<password>[^\s@]{2,100}@?[^\s@/]{0,40})@(?=[\w\[.-])")
_PORT = lazy(r"\d{1,5}(?:[/?#]|$)")
_HOOK = lazy(
    r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<slack>[\w/+-]{20,})"
    r"|discord(?:app)?\.com/api/(?:v\d+/)?webhooks/(?P<discord>\d{10,24}/[\w-]{20,})"
    r"|[\w.-]{1,80}\.office(?:365)?\.com/webhookb?2?/(?P<teams>[\w@/-]{36,})"
    r"|hooks\.zapier\.com/hooks/catch/(?P<zapier>[\w/]{8,})"
    r"|open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/v2/hook/(?P<lark>[\w-]{16,})"
    r"|rtmps?://[^\s\"'<>]{4,200}/(?P<stream>[\w-]{16,})(?![\w/])"
    r"|hook\.(?:[\w-]{1,20}\.){0,2}(?:make|integromat)\.com/(?P<make>[\w-]{16,})"
    r"|maker\.ifttt\.com/[\w/{}]{1,80}/with/key/(?P<ifttt>[\w-]{16,})"
)
# What gives access by being in an address: `/reset-password/x`, `/integration/x`.
_PART = lazy(
    r"/(?:(?P<sure>reset|passw|contrase|senha|mot-de-passe|invit|magic)[\w-]{0,30}|(?:forgot|verif"
    r"|confirm|activat|magic|invit|unsubscribe|(?:web)?hooks?"
    r"|integrations?|login|signin)"
    r"[a-z_-]{0,20})(?:/[\w=-]{1,40}){0,2}/(?P<part>[\w.~-]{20,400})(?=[/?#\s\"'<>)\]]|$)"
)
_FILE = lazy(r"\.[a-z][a-z0-9]{1,4}$")
_UUID = lazy(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
# The data source names of Go, and others without a scheme before them: `user:password@host:5432`.
_SOURCE = lazy(
    r"(?<![\w.%:/@-])(?!mailto:|[A-Z][a-z]+[A-Z])[\w.-]{1,64}:(?P<password>[^\s@:/\"'][^\s@:\"']{2,128})"
    r"@(?:(?:tcp|unix|cloudsql)?\(|[\w.-]{1,100}:\d{2,5}(?!\w))"
)


# What stands for a password in examples.
_EXAMPLES = frozenset(
    "redacted masked hidden filtered removed xxx pass passwd password pwd your-password your_password".split()
)


def masked_urls(text: str) -> str:
    """*text* with what gives access in its addresses masked."""
    if "@" in text:
        text = replaced(text, (found.span("password") for found in _SOURCE.finditer(text)))
    if "://" not in text and "hook" not in text:
        return text
    return replaced(text, _spans(text))


def _spans(text: str) -> Iterator[Span]:
    for found in _AUTHORITY.finditer(text):
        span = _in_authority(text, *found.span("all"))
        if span:
            yield span
    for part in _PART.finditer(text):
        if (
            looks_random(part["part"])
            and not _FILE.search(part["part"])
            and (part["sure"] or not _UUID.fullmatch(part["part"]))
        ):
            yield part.span("part")
    for hook in _HOOK.finditer(text) if "hook" in text or "ifttt" in text or "rtmp" in text else ():
        yield hook.span(hook.lastgroup or 0)


def _in_authority(text: str, start: int, end: int) -> Span | None:
    ends = [at for at in (text.find(sign, start, end) for sign in "/?#") if at >= 0]
    authority_end = min(ends, default=end)
    at = text.rfind("@", start, authority_end)
    if at < 0:
        return _odd_password(text, start, end, authority_end)
    colon = text.find(":", start, at)
    if colon < 0:
        return (start, at) if looks_random(text[start:at]) else None
    name = (start, colon) if looks_random(text[start:colon]) and text[colon + 1 : at] in ("", "x-oauth-basic") else None
    password = text[colon + 1 : at]
    return name or (None if is_placeholder(password) or password.lower() in _EXAMPLES else (colon + 1, at))


def _odd_password(text: str, start: int, end: int, authority_end: int) -> Span | None:
    """The password of `user:pa/ss@host`, where the first sign that should be escaped seems to end the host."""
    colon = text.find(":", start, authority_end)
    if colon < 0 or _PORT.match(text, colon + 1, end):
        return None
    found = _ODD_PASSWORD.match(text, start, end)
    return found.span("password") if found else None
