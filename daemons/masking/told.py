"""Secrets in sentences: `the password for bob is x`, `using token x`, `your verification code is 123456`.

A word behind a word is prose as a rule, so the value must look like one: of letters and digits for a password, as long
and mixed as programs make them for a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span
from daemons.masking.names import Name
from daemons.masking.values import Place, is_identifier, is_opaque, is_secret, is_told, looks_random

_COPULA = r"(?:is|was|are|lautet|ist|est|es|je|jest|è|é|är|er|это|là)"
_IS = rf"(?:{_COPULA}|be|been|=|set|to|as|now|has|will|reset|changed|updated|assigned|from|REG_SZ)"
_FILLER = (
    rf"(?:{_IS}|generated|created|issued|temporary|new|your|the|a|an|root|admin|user|value|with|private"
    rf"|provisoire|temporaire|temporal|provisional|initial|actuel|nouveau|nuevo|neues|neue|provided"
    rf"|given|received"
    r"|got|used|using|\w{1,32}@[\w.-]{1,64}|[\"'][\w.-]{1,64}[\"'])"
)
_VALUE = r"[\"'`]{0,2}(?P<value>[^\s\"'`]{6,400})"
# `password is x`, `password generated: x`
_SAID = lazy(rf"(?:[ \t]+{_FILLER}){{0,7}}[ \t]*(?P<sign>(?<!user):|=)?[ \t]+{_VALUE}", re.IGNORECASE)
# `password for bob: x`
_SAID_OF = lazy(
    rf"(?:[ \t]+[^\s:=,;]{{0,63}}[^\s:=,;.]){{1,7}}?(?:(?<!user)(?<!role)(?<!name)(?::(?=[ \t]?\S)|[ \t]+=(?=[ \t]))"
    rf"|[ \t]+{_COPULA}(?:[ \t]+(?:now|set[ \t]+to))?:?(?=[ \t]))[ \t]*{_VALUE}",
    re.IGNORECASE,
)
# `the passphrase for the archive is "several words"`
_SAID_IN_QUOTES = lazy(
    (
        rf"[^\"\n]{{0,60}}?\b{_IS}[ \t:]{{1,3}}(?:[\"“„](?P<value>[^\"“”\n]{{4,120}})[\"”]|'(?P<single>"
        rf"[^'\n]{{4,120}})')"
    ),
    re.IGNORECASE,
)
_IN_GUILLEMETS = lazy(r"[ \t]*:?[ \t]*[»„“«‹](?P<value>[^\n»„“«”]{3,100})[«“”»›]")
_SAYS = lazy(r"token|jwt|keys?|secrets?(?:_id)?|credentials?|session(?:[ _-]?(?:id|key))?", re.IGNORECASE)
_TOLD_KEY = lazy(
    r"(?:api|access|secret|private|_sec|license|sdk|service|auth|app|deploy|encryption|signing|account"
    r"|client|activation|recovery|setup"
    r"|entry|master|unseal|subscription|session|shared|sign)[ _-]?$",
    re.IGNORECASE,
)
_DEMANDS = lazy(
    (
        r"\b(?:must|should|not|cannot|can't|required|needs?|missing|failed|invalid|wrong|incorrect"
        r"|upgraded)\b"
    ),
    re.IGNORECASE,
)
_ASSIGNED = lazy(r"[A-Za-z_]\w{0,40}=[^=]")
_FOR_API = lazy(r"[ \t]for[ \t][^\n:]{0,40}\b(?:API|api|service|account)\b")
_UUID = lazy(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_END = ".,:;!?)"
_IN_QUOTES = Place(is_quoted=True, separator="=", follows="", name="", is_code=False, is_pair=False)
_PLACE = Place(is_quoted=False, separator=":", follows="", name="", is_code=False, is_pair=False)
_FIELD = lazy(r"(?:^|\n)[ \t]*(?:\w{1,30}[_.-]){0,4}$")
_SAYS_SO = lazy(rf"\b{_IS}:$", re.IGNORECASE)
_USING = lazy(r"\b(?:use|using|with|and|the|temporary|new|initial|default|generated)[ \t]+$", re.IGNORECASE)
_VERSION = lazy(
    r"arn:.*|[\w.-]+\.\w{1,5}:\d+|0x[0-9a-fA-F]{40}|v?\d+(?:\.\d+)+[\w.-]*|\d{4}-\d\d-\d\d\S*|\d+"
    r"[a-z]{1,7}"
)
# The whole line is a name and a value: `bindpw x`, `SetEnv DB_PASSWORD x`.
_DIRECTIVE = lazy(
    r"(?:^|\n|[:>|\]][ \t])[ \t]*(?:(?:SetEnv|setenv|env|ENV|ARG|export|set)[ \t]+\w{1,40}_|bind|root|ldap"
    r"|admin|ppp[ \t]|\w{0,20}[bB]ind"
    r"|(?:.*[ \t])?user[ \t]+[\w.@-]{1,40}[ \t]+(?:[a-z]+-)?|[\w-]{1,40}\.(?:[\w-]{1,40}\.){0,6})$"
)
_ONE_WORD = lazy(r"(?:[ \t]+--[a-z]{2,20})?[ \t]{1,60}[\"']?(?P<value>[^\s\"']{4,200})[\"']?[ \t]*(?:[\r\n]|$)")
_CELLS = lazy(r"(?:[ \t]{2,60}|\t)(?P<value>[^\s\"']{6,200})[ \t]*(?:[\r\n]|$)")


def told(text: str, name: Name) -> Span | None:
    """The secret that is told behind *name* in the same sentence."""
    if name.family == "password":
        inside = _IN_GUILLEMETS.match(text, name.end) or _SAID_IN_QUOTES.match(text, name.end)
        if inside and is_secret(inside[inside.lastgroup or 0], "password", _IN_QUOTES):
            return inside.span(inside.lastgroup or 0)
        directive = _ONE_WORD.match(text, name.end) if _DIRECTIVE.search(name.left) else None
        if directive and is_secret(directive["value"], "password", _IN_QUOTES):
            return directive.span("value")
    elif not may_be_told(text, name):
        return None
    for pattern in (_SAID, _SAID_OF):
        found = pattern.match(text, name.end)
        if found and (_is_password(text, name, found) if name.family == "password" else _is_made_of(found, name)):
            return found.start("value"), found.start("value") + len(found["value"].rstrip(_END))
    return None


def _is_made_of(found: re.Match[str], name: Name) -> bool:
    value = found["value"].rstrip(_END)
    return ":" not in value and _is_made(value, name)


def _is_password(text: str, name: Name, found: re.Match[str]) -> bool:
    value = found["value"].rstrip(_END)
    before = text[name.end : found.start("value")].rstrip(" \t\"'`(")
    if _ASSIGNED.match(value) or name.left.endswith("/") or _DEMANDS.search(before):
        return False
    if _SAYS_SO.search(before) and is_secret(value, "password", _PLACE):
        return True
    if not is_told(value) or _VERSION.fullmatch(value) or "(" in value:
        return False
    is_field = _FIELD.search(name.left) is not None and _ONE_WORD.match(text, name.end) is not None
    is_sure = is_field or (name.called.isupper() and "_" in name.called) or _USING.search(name.left) is not None
    return bool(before) or is_sure or (is_opaque(value) and not is_identifier(value))


def may_be_told(text: str, name: Name) -> bool:
    """Whether *name* is one that sentences tell the value of, with something behind it that may be one."""
    is_key = text[name.at : name.end].lower().startswith("key")
    if is_key and not _TOLD_KEY.search(name.left) and not _FOR_API.match(text, name.end):
        return False
    is_word = is_key or _SAYS.fullmatch(text, name.at, name.end) is not None
    return is_word and _LONG.search(text, name.end, name.end + _FAR) is not None


_FAR = 120
_LONG = lazy(r"(?<![^\s\"'`(])[\w~.+/=-]{16}")


def _is_made(value: str, name: Name) -> bool:
    if _ASSIGNED.match(value):
        return False
    if _UUID.fullmatch(value):
        return not name.called.lower().startswith("session")
    if (
        not looks_random(value)
        or _VERSION.fullmatch(value)
        or is_identifier(value)
        or not value.replace("=", "").isascii()
        or "(" in value
    ):
        return False
    has_both = value.lower() != value and value.upper() != value
    return (has_both and sum(map(str.isdigit, value)) >= 2) or (len(value) >= 20 and value.isalnum())


# -- one-time codes ---------------------------------------------------------------------------------------------------

_KIND = (
    r"(?:verification|two[- ]?factor|confirmation|security|login|log-in|sign-in|authentication|auth|access|one"
    r"[- ]?time|otp|2fa|mfa|sms"
    r"|pass|pin|backup|recovery|activation|bestätigungs|sicherheits|einmal)"
)
_CODE = rf"(?:\b{_KIND}[ _-]?(?:code|password|passcode|pin|otp|passwort|kennwort)|\botp|\bpin|\bTAN)"
_NUMBER = r"(?P<value>(?<![\w.:/-])(?:\d{4,10}|\d{3}(?:[ -]\d{3}){1,2})(?![\w:/]|[.,-]\d))"
_GROUPS = r"(?P<value>(?=[a-z-]*\d)[a-zA-Z0-9]{4,8}(?:-[a-zA-Z0-9]{4,8}){1,5})"
_CODES = (
    # in other languages: a word for a code, one for what it is for
    lazy(
        rf"\b(?:c[oó]digo|kod|code|codice|kode)\b[^\n\d]{{0,12}}?\b(?:acces|verif|vérif|weryf|segur"
        rf"|sécur|confirm|uso|usage|usa)"
        rf"[^\n\d]{{0,30}}?(?::|\b(?:es|est|to|è|é|er|är)\b)[ \t]*{_NUMBER}",
        re.IGNORECASE,
    ),
    lazy(rf"\b(?:PIN|PUK)\b[^\n\d:=]{{0,20}}[:=][ \t]*{_NUMBER}"),
    lazy(
        rf"{_CODE}[ \t]*(?:[:=]|\bis\b|\bwas\b|\blautet\b|\bist\b|\bes\b|\best\b)[:= \t]{{0,3}}[\"']?{_NUMBER}",
        re.IGNORECASE,
    ),
    lazy(
        (
            rf"{_CODE}[ \t]+(?:for|to|für)[ \t]+(?:[^\s:]{{1,40}}[ \t]+){{0,5}}?[^\s:]{{1,60}}(?::|[ \t]is)"
            rf"[ \t]+{_NUMBER}"
        ),
        re.IGNORECASE,
    ),
    lazy(
        rf"{_CODE}[ \t]+{_NUMBER}(?=[ \t]*(?:$|[\r\n.]|sent|set|is|was|for|to|expires|valid|generated|used))",
        re.IGNORECASE,
    ),
    lazy(
        rf"{_NUMBER}[ \t]+(?:is|as)[ \t]+(?:your|the|ihr)[ \t][\w \t-]{{0,40}}(?:code|password|passcode|pin|otp)",
        re.IGNORECASE,
    ),
    lazy(rf"\byour[ \t](?:[\w-]{{1,20}}[ \t])?(?:code|pin)(?:[ \t]is|:)[ \t]*{_NUMBER}", re.IGNORECASE),
    lazy(r"\bcode:?[ \t]+(?:is[ \t]+)?(?P<value>[A-Z0-9]{4}-[A-Z0-9]{4})(?![\w-])"),
    lazy(rf"\b(?:backup|recovery|scratch|rescue)[ _-]codes?(?:[ \t]is|:)?[ \t]+{_GROUPS}", re.IGNORECASE),
    lazy(
        rf"\b(?:use|enter|type)[ \t]+{_NUMBER}[ \t]+to[ \t]+(?:log|sign|verify|confirm|complete|finish|continue)",
        re.IGNORECASE,
    ),
    lazy(rf"{_CODE}\b[^\n]{{0,80}}?\bexpected:?[ \t]+[\"']?{_NUMBER}", re.IGNORECASE),
    lazy(r"\b[A-Z]-(?P<value>\d{4,8}) is your\b"),
    lazy(rf"\b(?:enter|use)[ \t]+(?:(?:this|the)[ \t]+)?(?:[\w-]{{1,20}}[ \t]+)?code:?[ \t]+{_NUMBER}", re.IGNORECASE),
    lazy(
        (
            rf"\b(?:sms|otp|2fa|mfa|verif\w{{0,12}}|one-time)\b[^\n]{{0,60}}?\bcode[\"']?[ \t]?[:=][ \t]?"
            rf"[\"']?{_NUMBER}"
        ),
        re.IGNORECASE,
    ),
)


# What is said before its name: `use x as the password`; the secret of a second factor, in groups.
_REVERSED = lazy(
    r"\b(?:use|used|typed|entered|try|tried|set[ \t]it[ \t]to|set[ \t]to)[ \t]+[\"'`]?(?P<value>"
    r"[^\s\"'`]{6,100})[\"'`]?[ \t]+(?:as|into|in|for|is|-|–)[ \t]"
    r"[^\n]{0,30}?(?:password|passphrase|passcode)",
    re.IGNORECASE,
)
_GROUPED = lazy(
    r"(?:key|secret)\b[^\n:]{0,30}:[ \t]*(?P<value>(?:[A-Z2-7]{4}[ -]){3,15}[A-Z2-7]{4})(?!\w)", re.IGNORECASE
)


_LIST = lazy(
    r"\b(?:recovery|backup|scratch|rescue|emergency)[ _-]codes?\b[^\n:=]{0,40}[:=][ \t]*(?P<list>[A-Za-z0-9-]{6,24}"
    r"(?:[,; ]{1,3}[A-Za-z0-9-]{6,24}){0,20})",
    re.IGNORECASE,
)
_OF_LIST = lazy(r"\d{6,12}|[a-z0-9]{4,6}(?:-[a-z0-9]{4,6}){1,3}|(?=[a-zA-Z]*\d)[a-zA-Z0-9]{8,16}")


def reversed_order(text: str, lower: str) -> Iterator[Span]:
    """What sentences tell before they call it a password."""
    if "pass" in lower:
        yield from (found.span("value") for found in _REVERSED.finditer(text) if is_told(found["value"]))
    if "key" in lower or "secret" in lower:
        yield from (found.span("value") for found in _GROUPED.finditer(text))


def codes(text: str, lower: str) -> Iterator[Span]:
    """The one-time codes that *text* tells; *lower* is it without capitals."""
    if not any(
        cue in lower for cue in ("code", "otp", "pin", "tan", "one-time", "einmal", "digo", "kod", "puk")
    ) or not any(map(str.isdigit, text)):
        return
    for found in _LIST.finditer(text):
        yield from (code.span() for code in _OF_LIST.finditer(text, *found.span("list")))
    for pattern in _CODES:
        yield from (found.span("value") for found in pattern.finditer(text))
