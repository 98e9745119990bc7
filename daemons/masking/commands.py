"""Passwords on command lines, where the program tells which word is one: `mysql -psecret`, `curl -u user:secret`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span, replaced
from daemons.masking.values import Place, is_secret

_PLACE = Place(is_quoted=True, separator="=", follows="", name="", is_code=False, is_pair=False)

# Between two words of a command: blanks, or what a list of words has there.
_GAP = r"(?:[ \t]{1,8}|[\"'],[ \t]?[\"'])"
_MORE = r"[^\n;|&]{0,160}?"
_WORD = r"(?:\"(?P<quoted>[^\"\n]{1,200})\"|'(?P<single>[^'\n]{1,200})'|(?P<bare>[^\s\"'\-][^\s\"']{0,200}))"
# Of `user:password` the password. Numbers alone are ids of a user and a group.
_PAIR = (
    r"(?:(?![\"'])[^\s\"':]{1,100}:(?!\d+(?:\s|$))"
    r"(?:(?P<inner>[\"'])(?P<single>[^\"'\n]{1,200})(?=(?P=inner))|(?P<pair>[^\s\"']{1,200}))"
    r"|(?P<open>[\"'])(?:[^\"':\n]{0,100}:(?P<quoted>[^\"'\n]{1,200})|(?P<bare>[^\"':\n]{8,100}):)(?=(?P=open)))"
)
# The options of one command stand on several lines, each but the last with a backslash at its end.
_OPTIONS = r"(?:[^\n;|&]|\\\n|(?<=\\)\n){0,240}?"
_COMMANDS = (
    ("mysql", rf"mysql(?:dump|admin|import|show|check)?\b{_MORE}[\s\"']-p(?=[^\s\"'])(?P<bare>[^\s\"']{{1,200}})"),
    ("mariadb", rf"mariadb(?:-\w+)?\b{_MORE}[\s\"']-p(?=[^\s\"'])(?P<bare>[^\s\"']{{1,200}})"),
    ("mycli", rf"mycli\b{_MORE}[\s\"']-p(?=[^\s\"'])(?P<bare>[^\s\"']{{1,200}})"),
    ("sshpass", rf"sshpass{_GAP}-p[ \t]{{0,8}}(?:[\"'],[ \t]?(?=[\"']))?{_WORD}"),
    (
        "login",
        rf"(?:docker|podman|nerdctl|helm|skopeo|buildah|az|oc|cf){_GAP}(?:registry{_GAP})?login\b{_MORE}[\s\"']-p{_GAP}[\"']?{_WORD}",
    ),
    ("mongo", rf"mongo(?:sh|dump|restore|export|import)?\b{_MORE}[\s\"']-p{_GAP}[\"']?{_WORD}"),
    ("redis-cli", rf"redis-cli\b{_MORE}[\s\"']-a{_GAP}[\"']?{_WORD}"),
    ("ldap", rf"ldap(?:search|modify|add|delete|whoami|passwd|modrdn|compare)\b{_MORE}[\s\"']-w{_GAP}[\"']?{_WORD}"),
    ("mosquitto_", rf"mosquitto_(?:pub|sub|rr)\b{_MORE}[\s\"']-P{_GAP}[\"']?{_WORD}"),
    ("ipmitool", rf"ipmitool\b{_MORE}[\s\"']-P{_GAP}[\"']?{_WORD}"),
    ("SecureString", rf"ConvertTo-SecureString(?:[ \t]+-String)?[ \t]+{_WORD}"),
    ("chpasswd", r"chpasswd\b[^\n]{0,80}?[\s\"'][\w.-]{1,32}:(?P<bare>[^\s:\"']{4,200})"),
    ("PASSWORD FOR", rf"PASSWORD FOR[ \t]+\S{{1,120}}[ \t]*=[ \t]*(?:PASSWORD\()?{_WORD}"),
    ("pass:", r"-pass(?:in|out)?[ \t]{1,4}pass:(?P<bare>[^\s\"']{1,200})"),
    ("smbclient", rf"smbclient\b{_MORE}[\s\"']-U[ \t]{{0,4}}[^\s%\"']{{1,64}}%(?P<bare>[^\s\"']{{1,200}})"),
    ("htpasswd", rf"htpasswd{_GAP}-[a-zA-Z]*b[a-zA-Z]*{_GAP}\S{{1,200}}{_GAP}[^\s\"']{{1,64}}{_GAP}{_WORD}"),
    ("zip", rf"\b(?:zip|unzip){_GAP}{_MORE}-P{_GAP}[\"']?{_WORD}"),
    ("curl", rf"curl\b{_OPTIONS}[\s\"'](?:-u|--user|-U|--proxy-user)(?:=|{_GAP}|(?=[\"']))?{_PAIR}"),
    ("machine", rf"machine[ \t]+\S{{1,200}}\s+login[ \t]+\S{{1,200}}\s+password[ \t]+{_WORD}"),
    ("configure set", rf"configure set[ \t]+\S{{0,60}}(?:secret|token|password|key)\w{{0,40}}[ \t]+{_WORD}"),
    ("requirepass", rf"\brequirepass\"?[ \t]+{_WORD}"),
    ("masterauth", rf"\bmasterauth\"?[ \t]+{_WORD}"),
    (
        "identified",
        rf"identified[ \t]+(?:with[ \t]+\S{{1,60}}[ \t]+)?(?:by|as)[ \t]+(?:password[ \t]+)?(?=[\"']){_WORD}",
    ),
)
_PATTERNS = [(cue, lazy(source, re.IGNORECASE if cue == "identified" else 0)) for cue, source in _COMMANDS]


def masked_commands(text: str) -> str:
    """*text* with the passwords on its command lines masked."""
    lower = text.lower() if "dentified" in text or "DENTIFIED" in text else text
    due = [pattern for cue, pattern in _PATTERNS if cue in (lower if cue == "identified" else text)]
    for pattern in due:
        text = replaced(text, _spans(text, pattern))
    return text


def holds_command(text: str) -> bool:
    """Whether something in *text* may be a command with a password on its line."""
    lower = text.lower()
    return any(cue.lower() in lower for cue, _ in _COMMANDS)


def _spans(text: str, pattern: re.Pattern[str]) -> Iterator[Span]:
    for found in pattern.finditer(text):
        name = next(name for name, value in found.groupdict().items() if value and name not in ("open", "inner"))
        if is_secret(found[name], "password", _PLACE):
            yield found.span(name)
