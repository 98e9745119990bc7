"""Secrets behind a name that says so: `password: x`, `--api-key x`, `"apiKey": "x"`, `<secret>x</secret>`, `Bearer x`.

Behind the name stands what separates it from its value, in any of the notations that logs have; then the value, in
quotes or not. Each is tried at its place alone, so that no text takes more than time in proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span, replaced
from daemons.masking.names import Name, cues, name_at
from daemons.masking.notations import (
    BELOW,
    BRACKETED,
    LISTED,
    NEXT_OF_CHANGE,
    NEXT_OF_LIST,
    QUOTE,
    SEPARATOR,
    WRAPPER,
    bare,
    quoted,
)
from daemons.masking.told import codes, may_be_told, reversed_order, told
from daemons.masking.values import Place, is_opaque, is_secret, looks_random

_ELEMENT_OPENS = lazy(r"<[\w.:-]{0,38}$")
_ELEMENT_BEGINS = lazy(r"(?:[ \t][^<>\n]{0,120})?(?<!/)>(?:\s{0,40}<[vV]alue>)?")
# `<entry key="db.password">x</entry>`
_ATTRIBUTE_OPENS = lazy(r"<[\w:.-]{1,40}[ \t][^<>\n]{0,80}\b(?:name|key|id|field|property)=[\"'][\w.:/-]*$")
_ATTRIBUTE_ENDS = lazy(r"[\"'][^<>\n]{0,120}(?<!/)>(?:<value>|<string>)?(?=[^\s<]|<!)")
# `"value": "x", "name": "password"`
_VALUE_BEFORE = lazy(
    r"value[\"']?[ \t]?[:=][ \t]?[\"'](?P<value>[^\"'\n]{3,200})[\"'](?:,|\s{1,8}where)\s{0,40}"
    r"[\"']?(?:name|key|setting)[\"']?[ \t]?[:=][ \t]?"
    r"[\"'][\w./-]{0,60}$",
    re.IGNORECASE,
)
# `value: x (DB_PASSWORD)`
_VALUE_EXPLAINED = lazy(r"value[\"']?[ \t]?[:=][ \t]?(?P<value>\S{4,200})[ \t]\([\w.-]{0,60}$")
_SCHEME = lazy(
    r"(?:(?:Bearer|Basic|Token|Digest|Negotiate|NTLM|Api-?Key|Api-Token|Bot|SSWS|GenieKey|Hawk"
    r"|OAuth|Key)(?:[ \t]+|%20)(?!\w{1,40}=[^=])"
    r"|sha(?:1|256|512)=)",
    re.IGNORECASE,
)
# Of a header that any maker gives a scheme of his own.
_ANY_SCHEME = lazy(r"[A-Za-z][A-Za-z-]{2,30}[ \t]+(?:[\w.-]{1,60}:)?(?=[\w+/=.~-]{16})")
# Those hold several values, each with a name of its own.
_SIGNED = lazy(r"AWS4-HMAC-SHA256|GOOG4-RSA-SHA256|Signature[ \t]|Credential=", re.IGNORECASE)
_CODE_LINE = lazy(
    r"(?:[ \t|>]{2,}|\t)(?:\d+[ \t|:]+)?[A-Za-z_\"'({\[@*]"
    r"|(?:const|let|var|final|return|raise|throw|def|fn|func|if|while|for|public|private|self"
    r"|await|import|from|export)\b"
)
_FLAG = lazy(r"(?:^|[\s\"'\[(])--?[\w.-]{0,39}$")
# Behind a comma: the next name in a list or in JSON, which is no value whatever follows it.
_WORD_OF_LIST = lazy(r"([\"'])[a-z]{2,20}\1(?![)\]])")
_FIRST_OF_PAIR = lazy(rf"[(\[][ \t]*[bu]?{QUOTE}[\w.-]{{0,36}}$")
_TUPLE = lazy(r"\{:?\w*$")
_SETS = lazy(
    rf"\b(?:[sS]et\w{{0,20}}|put\w{{0,12}}|define|header|append|[aA]dd\w{{0,12}})\([ \t]*{QUOTE}"
    rf"[\w.-]{{0,36}}$"
)
_RESOURCE = lazy(r"\b(?:resource|data|ephemeral) \"[\w-]{0,38}$")
# The row of a table up to a name in it; what stands behind others' `|` is a command.
_ROW = lazy(r"(?:.*\n)?(?:.*[:\]][ \t])?[ \t]*(?:\|.*\|?)?[ \t]*\w*", re.DOTALL)
# Of `{Port:5432 User: Password: Mode:x}` a field without a value, and the next one.
_FIELDS_BEFORE = lazy(r"(?:[{\[]|[{\[ ][A-Za-z]\w*:[^\s:]* )\w*$")
_NEXT_FIELD = lazy(r"[A-Za-z]+:")
# `session:…`, what a cache calls one.
_KEY_OF_ONE = lazy(
    r"(?<=:)(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])|[a-z][a-z_-]{1,30}:|\d{1,12}(?![\w.-]))"
)
_GROUPS = lazy(r"\d{6,12}|[A-Za-z0-9]{4,8}(?:-[A-Za-z0-9]{4,8}){1,4}")
_REFERENCE = lazy(r"\$\{?\w{0,40}$")
# Of a package: `Setting up passwd (1:4.13-1)`
_VERSION = lazy(r"\((?:\d{1,3}:)?\d{1,4}\.\d[\w.+~-]{0,60}\)")
_ASSIGNS = lazy(r"\w{1,40}=")
_SETTING_BEGINS = lazy(r"[ \t|>]*(?:-[ \t])?[\w.\"'-]*")
_SETTING_ENDS = lazy(r"[\"']?[ \t]*(?:[\r\n]|$)")
# `Using --password via the CLI is insecure`
_PROSE = lazy(
    r"(?:[a-z]+[ \t]+(?:the|an?|is|on|in|of|for|to|from|via|with|and|or|was|has|can|as|by|will|option|flag|argument"
    r"|parameter|instead|because|since|must)\b|and\b|or\b|is\b|was\b|to\b|option\b|flag\b)"
)
_CODE_BYTES = 400
# So far before a name what stands around it is looked for, and so many of a list are looked at.
_NEAR = 300
_MEMBERS = 64
_VALUE_BYTES = 8192

# -- where no name and sign stand before the value --------------------------------------------------------------------

_HEADERS = {
    "bearer": lazy(
        r"bearer[ \t]+(?:token[ \t]*[:=]?[ \t]*)?[\"']?(?P<value>[A-Za-z0-9._~+/-]{8,}={0,2})(?![=\w])", re.IGNORECASE
    ),
    "digest ": lazy(r"digest[ \t]+username=[^\n]{0,400}?\bresponse=\"?(?P<value>[0-9a-f]{32,64})", re.IGNORECASE),
    "auth plain": lazy(r"auth plain[ \t]+(?P<value>[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9])", re.IGNORECASE),
    "auth login": lazy(r"auth login[ \t]+(?P<value>[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9])", re.IGNORECASE),
    "basic ": lazy(r"basic[ \t]+(?P<value>[A-Za-z0-9+/_-]{8,}={0,2})(?![A-Za-z0-9])", re.IGNORECASE),
}
_COOKIE = lazy(r"[\w.%-]{1,80}=(?P<value>[^;,\s\"'\\]{6,4096})")
_COOKIE_OF_JSON = lazy(r"[\"'][\w.%-]{1,80}[\"']\s?:\s?[\"'](?P<value>[^\"'\n]{6,4096})")
_COOKIE_ATTRIBUTES = lazy(r"(?:path|domain|expires|max-age|samesite|version|lang|theme|locale)=", re.IGNORECASE)
_QUERY = lazy(r"[?&](?:key|\w{0,12}[cC]ode|auth|hash|t|k|s|access)=(?P<value>[A-Za-z0-9._~%+/=-]{16,2048})")
_CODE_OF_FORM = lazy(r"(?<![\w-])code=(?P<value>[A-Za-z0-9._~%+/=-]{16,2048})(?=&)")
_INPUT = lazy(r"<input\b[^<>]{0,300}?\bvalue=[\"'](?P<value>[^\"'<>\n]{3,200})[\"'][^<>]{0,300}>", re.IGNORECASE)
# The words that a wallet is restored from.
_PHRASE = lazy(
    r"(?:(?:seed|recovery|secret|backup)[ _-]?(?:phrase|words)|mnemonic(?:[ _-]?phrase)?|brain ?key)[^\n:=\"']{0,20}"
    r"(?:[\"']?[ \t]*[:=][ \t]*|[ \t](?=[\"']))[\"']?"
    r"(?P<value>(?:[a-z0-9]{3,10} ){5,23}[a-z0-9]{3,10})",
    re.IGNORECASE,
)
_TYPE_PASSWORD = lazy(r"type=[\"']?password", re.IGNORECASE)


def masked_names(text: str) -> str:
    """*text* with what stands behind the names of secrets masked."""
    lower = _lower(text)
    spans: list[Span] = []
    end = 0
    for at, cue in cues(lower, tuple(_HEADERS)):
        if at >= end:
            spans += _header(text, at, cue) if cue in _HEADERS else _named(text, at, cue)
            end = spans[-1][1] if spans else 0
    spans += codes(text, lower)
    spans += reversed_order(text, lower)
    if "<input" in lower:
        spans += [found.span("value") for found in _INPUT.finditer(text) if _TYPE_PASSWORD.search(found.group())]
    if "phrase" in lower or "mnemonic" in lower or "brain" in lower or "words" in lower:
        spans += [found.span("value") for found in _PHRASE.finditer(text)]
    if "code=" in text:
        spans += [found.span("value") for found in _CODE_OF_FORM.finditer(text) if looks_random(found["value"])]
    if "?" in text or "&" in text:
        spans += [found.span("value") for found in _QUERY.finditer(text) if looks_random(found["value"])]
    return replaced(text, spans)


def holds_name(text: str) -> bool:
    """Whether anything in *text* is the name of a secret with what may be its value, or an address that is one."""
    lower = _lower(text)
    if any(word in lower for word in ("hook", "ifttt", "seed", "mnemonic", *_HEADERS)):
        return True
    return any(_may_have_value(text, at, cue) for at, cue in cues(lower, ()))


def _may_have_value(text: str, at: int, cue: str) -> bool:
    name = name_at(text, at, cue)
    separator = name and SEPARATOR.match(text, name.end)
    if not name or not separator:
        return bool(name and _ELEMENT_OPENS.search(name.left))
    if separator["comma"] and _WORD_OF_LIST.match(text, separator.end()):
        return False
    is_prose = name.family in ("token", "pin", "key") and not name.called.isupper()
    is_prose = is_prose and not name.left.lower().endswith("-api-")
    if not separator["blank"] or not is_prose:
        return True
    return bool(_FLAG.search(name.left)) or may_be_told(text, name)


def _lower(text: str) -> str:
    """*text* without capitals, each letter at its place."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(sign.lower()[:1] for sign in text)


_CUT_SHORT = 24


def _header(text: str, at: int, cue: str) -> Iterator[Span]:
    found = _HEADERS[cue].match(text, at)
    if not found or (at and text[at - 1].isalnum()):
        return
    value = found["value"]
    if value.endswith("..") and len(value) < _CUT_SHORT:
        return
    changes = sum(one.islower() and other.isupper() for one, other in pairwise(value))
    if any(sign.isdigit() for sign in value) or changes >= 2 or value.endswith("=") or len(value) >= 24:
        yield found.span("value")


def _named(text: str, at: int, cue: str) -> Iterator[Span]:
    """The secrets behind the name that has *cue* at *at*; none when it is no secret's name, or has no value."""
    name = name_at(text, at, cue)
    if not name:
        return
    element = _inside_element(text, name)
    if element is not None:
        yield from _judged(text, name, element, "<")
        return
    separator = SEPARATOR.match(text, name.end)
    if not separator:
        yield from _value_before(text, name)
    elif separator["blank"]:
        yield from _behind_blank(text, name, separator.end())
    elif separator["sign"]:
        yield from _behind_sign(text, name, separator)
    elif separator["cell"] or separator["data"]:
        if separator["cell"] != "|" or _ROW.fullmatch(name.left):
            yield from _judged(text, name, separator.end(), "|")
    else:
        yield from _judged(text, name, separator.end(), separator["comma"] or "=")


def _behind_sign(text: str, name: Name, separator: re.Match[str]) -> Iterator[Span]:
    position, sign = separator.end(), separator["sign"]
    cookies = list(_cookies(text, position)) if text[name.at : name.at + 6].lower() == "cookie" else []
    if cookies:
        yield from cookies
    elif text.startswith(("\n", "\r"), position):
        yield from _below(text, name, position)
    elif sign != ":" or name.family not in ("token", "key") or not _KEY_OF_ONE.match(text, position):
        yield from _judged(text, name, position, sign)


def _inside_element(text: str, name: Name) -> int | None:
    """Where the text of the element begins that is called *name*, or has it for an attribute."""
    begins = _ELEMENT_BEGINS.match(text, name.end) if _ELEMENT_OPENS.search(name.left) else None
    if not begins and text[name.end : name.end + 1] in ("'", '"'):
        ends = _ATTRIBUTE_ENDS.match(text, name.end)
        begins = ends if ends and _ATTRIBUTE_OPENS.search(text, max(0, name.at - _NEAR), name.at) else None
    return begins.end() if begins else None


def _value_before(text: str, name: Name) -> Iterator[Span]:
    """`{"value": "x", "name": "DB_PASSWORD"}`"""
    sign = text[name.end : name.end + 1]
    pattern = _VALUE_BEFORE if sign in ("'", '"') else _VALUE_EXPLAINED if sign == ")" else None
    before = pattern.search(text, max(0, name.at - _NEAR), name.at) if pattern else None
    if before and is_opaque(before["value"]):
        yield before.span("value")


def _below(text: str, name: Name, position: int) -> Iterator[Span]:
    below = BELOW.match(text, position)
    if below:
        yield from _judged(text, name, below.end(), "=")
    elif text[name.end - 1] in "sS":
        yield from _listed(text, text.index("\n", position) + 1)


def _listed(text: str, position: int) -> Iterator[Span]:
    """What stands on the lines below `Recovery codes:`, one each."""
    for _ in range(_MEMBERS):
        line = LISTED.match(text, position)
        if not line or not (_GROUPS.fullmatch(line["value"]) or is_opaque(line["value"])):
            return
        yield line.span("value")
        position = line.end()


def _behind_blank(text: str, name: Name, position: int) -> Iterator[Span]:
    """`--password x`, `PASSWORD 'x'`, `ENV API_TOKEN x`; a word behind a word is prose, `resource "a" "b"` a name."""
    if _RESOURCE.search(name.left):
        return
    if _REFERENCE.search(name.left) or _VERSION.match(text, position):
        return
    follows = text[position : position + 1]
    said = told(text, name)
    if _FLAG.search(name.left) and follows not in "-[<":
        if not _PROSE.match(text, position):
            yield from _judged(text, name, position, "=")
    elif name.family in ("password", "secret") and follows in "\"'":
        yield from _judged(text, name, position, "space")
    elif said:
        yield said
    elif _is_setting_or_header(name) and not _ASSIGNS.match(text, position):
        yield from _judged(text, name._replace(family="token"), position, "space")


def _is_setting_or_header(name: Name) -> bool:
    return (name.called.isupper() and "_" in name.called) or name.left.lower().endswith("-api-")


def _judged(text: str, name: Name, position: int, sign: str) -> Iterator[Span]:
    """The value at *position*, and those behind it in a list, unless they are none or no secrets."""
    if text[position - 1] == " " and _NEXT_FIELD.match(text, position) and _FIELDS_BEFORE.search(name.left):
        return
    wrapper = WRAPPER.match(text, position) or (BRACKETED.match(text, position) if name.family != "pin" else None)
    position = wrapper.end() if wrapper else position
    if _SIGNED.match(text, position):
        return
    following = NEXT_OF_LIST if wrapper and wrapper.group().startswith("[") else NEXT_OF_CHANGE
    for _ in range(_MEMBERS):
        start, end, is_quoted = _value_at(text, name, position, sign)
        if start >= end:
            after = NEXT_OF_CHANGE.match(text, end) if is_quoted else None
            if not after:
                return
            position = after.end()
            continue
        place = _place(text, name, end, sign, is_quoted=is_quoted)
        if is_secret(text[start:end], name.family, place):
            yield start, end
        after = following.match(text, end) if is_quoted else None
        if not after:
            return
        position = after.end()


def _value_at(text: str, name: Name, position: int, sign: str) -> tuple[int, int, bool]:
    """Where the value at *position* begins and ends, and whether in quotes."""
    inside = quoted(text, position)
    start, end = inside or bare(text, position, sign)
    scheme = _SCHEME.match(text, start) if name.family == "token" else None
    if not scheme and name.called.lower().endswith("authorization"):
        scheme = _ANY_SCHEME.match(text, start)
    if scheme:
        start, end = (scheme.end(), end) if inside else bare(text, scheme.end(), sign)
    return start, end, inside is not None


def _place(text: str, name: Name, end: int, sign: str, *, is_quoted: bool) -> Place:
    is_last = text[end + 1 : end + 2] in ")]" and bool(_FIRST_OF_PAIR.search(name.left))
    is_last = is_last or bool(_SETS.search(name.left)) or (sign == "," and bool(_TUPLE.search(name.left)))
    is_flag = bool(_FLAG.search(name.left))
    is_code = sign not in "<|" and _is_code(text, name.at) and not _is_setting(text, name, end, sign)
    follows = text[end : end + 40]
    return Place(is_quoted, sign, follows, name.called, is_code=is_code, is_pair=is_last or is_flag)


def _is_setting(text: str, name: Name, end: int, sign: str) -> bool:
    """Whether the line is a name, a colon and a value alone, as in YAML, or of a shell, with no blank beside `=`.

    A program's has more: a comma at its end, a bracket before the name.
    """
    line = text.rfind("\n", max(0, name.at - _CODE_BYTES), name.at) + 1
    if sign == "=" and text.startswith("=", name.end):
        return "(" not in text[line : name.at] and text[end : end + 1] not in (",", ")", "(")
    return sign == ":" and bool(_SETTING_BEGINS.fullmatch(text, line, name.at) and _SETTING_ENDS.match(text, end))


def _cookies(text: str, position: int) -> Iterator[Span]:
    """The values of `name=value; other=value`, but for what browsers are told about them."""
    newline = text.find("\n", position)
    stop = min(len(text) if newline < 0 else newline, position + _VALUE_BYTES)
    again = text.find("ookie", position, stop)
    pairs = _COOKIE_OF_JSON if text.startswith("{", position) else _COOKIE
    for found in pairs.finditer(text, position, again if again >= 0 else stop):
        if not _COOKIE_ATTRIBUTES.match(found.group()) and is_opaque(found["value"]):
            yield found.span("value")


def _is_code(text: str, at: int) -> bool:
    """Whether the line looks like one of a program, as traces show them."""
    start = text.rfind("\n", max(0, at - _CODE_BYTES), at) + 1
    return bool(_CODE_LINE.match(text, start))
