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
from daemons.masking.values import Place, is_opaque, is_secret, is_told, looks_random

# Colours were shown as escapes by `text.safe`; JSON in JSON has its quotes escaped, often more than once.
_COLOUR = r"(?:(?:\\x1b|\x1b)\[[\d;]{0,12}m){0,4}"
_QUOTE = r"(?:\\{0,15}[\"'`]|&quot;|&#34;|&#39;|%22|%27|\\u0022)"
_SEPARATOR = lazy(
    rf"{_COLOUR}(?:\[?\])?{_QUOTE}?\]?{_COLOUR}(?:"
    # `"name": "password", "value": "x"`, `name="password" value="x"`, and over two lines in YAML
    rf"(?:(?:[ \t]{{1,4}}[a-z-]{{1,20}}=\"[^\"<>\n]{{0,60}}\"){{1,4}}[ \t]{{1,4}}value=\""
    rf"|[ \t]*,?\s{{0,40}}(?:-[ \t])?{_QUOTE}?(?:value|Value|VALUE)(?:={_QUOTE}?|{_QUOTE}?[ \t]?[:=][ \t]?))"
    # a form of several parts
    r"|[^\n]{0,80}\r?\n\r?\n"
    r"|[ \t]{0,12}(?P<sign>={1,3}>?|:=|:|%3[AaDd])[ \t]{0,12}(?:[|>][+-]?\n[ \t]{1,40})?"
    rf"|(?P<comma>(?<=[\"'`]),)[ \t]{{0,40}}(?=[bBuU]?{_QUOTE})"
    r"|[ \t]{0,60}(?P<cell>[│┃║|])[ \t]{1,60}(?=[^\s│┃║|]{3,512}[ \t]*(?:[│┃║|\r\n]|$))"
    r"|(?P<blank>[ \t]{1,8})"
    rf"){_COLOUR}"
)
_ELEMENT_OPENS = lazy(r"<[\w.:-]{0,38}$")
_ELEMENT_BEGINS = lazy(r"(?:[ \t][^<>\n]{0,120})?(?<!/)>")
_WRAPPER = lazy(
    r"(?:\[[ \t]?(?=[\"'b]))?"
    r"(?:(?:Some|Just|SecretStr|Secret|String|Sensitive|Optional|str|bytes)\(?[ \t]?(?=[\"'b]))?"
    r"[bBrRuUfF@]{0,2}(?=[\"'])"
)
_SCHEME = lazy(
    r"(?:(?:Bearer|Basic|Token|Digest|Negotiate|NTLM|Api-?Key|Api-Token|Bot|SSWS|GenieKey|Hawk|OAuth|Key)(?:[ \t]+|%20)"
    r"|sha(?:1|256|512)=)",
    re.IGNORECASE,
)
# Those hold several values, each with a name of its own.
_SIGNED = lazy(r"AWS4-HMAC-SHA256|GOOG4-RSA-SHA256|Signature[ \t]|Credential=", re.IGNORECASE)
_OPENING = lazy(_QUOTE)
_PLAIN_QUOTED = lazy(r"\"((?:[^\"\\\n]|\\.){0,8192})\"|'((?:[^'\\\n]|\\.){0,8192})'|`([^`\n]{0,8192})`", re.DOTALL)
_BRACED = lazy(r"(?<==)\{(?![\w.]{1,80}![rsa]\})([^{}\n\"':=]{3,100})\}")
_BARE = lazy(
    r"(?:[^\s\"'<>&;,|`\\%{}]|%(?!22|27)|[{}](?=[^\s,;\])}\"'])"
    # a sign that separates, unless a password goes on behind it
    r"|[,;&|](?![\s\w\"'\[{(]|$)|,(?=[^\s=:,]{1,24}(?:[ \t\n]|$))(?![ \t])(?!\w{1,40}[=:])"
    r"|\\(?![\"'nrtx\\u]))+"
)
_ENTITY = lazy(r"&(?:quot|#34|#39|lt|gt|amp);")
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_CODE_LINE = lazy(
    r"[ \t|>]{2,}(?:\d+[ \t|:]+)?[A-Za-z_\"'({\[@*]"
    r"|(?:const|let|var|final|return|raise|throw|def|fn|func|if|while|for|public|private|self|await|import|from|export)\b"
)
_FLAG = lazy(r"(?:^|[\s\"'\[(])--?[\w.-]{0,39}$")
# Behind a comma: the next name in a list or in JSON, which is no value whatever follows it.
_WORD_OF_LIST = lazy(r"([\"'])[a-z]{2,20}\1(?![)\]])")
_FIRST_OF_PAIR = lazy(rf"[(\[][ \t]*[bu]?{_QUOTE}[\w.-]{{0,36}}$")
_RESOURCE = lazy(r"\b(?:resource|data|ephemeral) \"[\w-]{0,38}$")
# The row of a table up to a name in it; what stands behind others' `|` is a command.
_ROW = lazy(r"(?:.*\n)?[ \t]*(?:\|.*\|?)?[ \t]*\w*", re.DOTALL)
# Of `{Port:5432 User: Password: Mode:x}` a field without a value, and the next one.
_FIELDS_BEFORE = lazy(r"(?:[{\[]|[{\[ ][A-Za-z]\w*:[^\s:]* )\w*$")
_NEXT_FIELD = lazy(r"[A-Za-z]+:")
_CODE_BYTES = 400
_VALUE_BYTES = 8192

# -- where no name and sign stand before the value --------------------------------------------------------------------

_HEADERS = {
    "bearer": lazy(r"bearer[ \t]+(?:token[ \t]*[:=]?[ \t]*)?[\"']?(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE),
    "auth plain": lazy(r"auth plain[ \t]+(?P<value>[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9])", re.IGNORECASE),
    "auth login": lazy(r"auth login[ \t]+(?P<value>[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9])", re.IGNORECASE),
    "basic ": lazy(r"basic[ \t]+(?P<value>[A-Za-z0-9+/_-]{8,}={0,2})(?![A-Za-z0-9])", re.IGNORECASE),
}
_COOKIE = lazy(r"[\w.%-]{1,80}=(?P<value>[^;,\s\"'\\]{6,4096})")
_COOKIE_ATTRIBUTES = lazy(r"(?:path|domain|expires|max-age|samesite|version|lang|theme|locale)=", re.IGNORECASE)
_QUERY = lazy(r"[?&](?:key|code|auth|hash|t|k|s|access)=(?P<value>[A-Za-z0-9._~%+/=-]{16,2048})")
_INPUT = lazy(r"<input\b[^<>]{0,300}?\bvalue=[\"'](?P<value>[^\"'<>\n]{3,200})[\"'][^<>]{0,300}>", re.IGNORECASE)
# The words that a wallet is restored from.
_PHRASE = lazy(
    r"(?:seed[ _-]?phrase|mnemonic(?:[ _-]?phrase)?)[\"']?[ \t]*[:=][ \t]*[\"']?"
    r"(?P<value>(?:[a-z0-9]{3,10} ){5,23}[a-z0-9]{3,10})",
    re.IGNORECASE,
)
_TYPE_PASSWORD = lazy(r"type=[\"']?password", re.IGNORECASE)
# `the password for bob is: x`
_TOLD = lazy(
    r"(?:[ \t]+(?:is|was|be|=|for|set|generated|temporary|new|your|a|root|admin|user|to|as|\w{1,32}@[\w.-]{1,64}"
    r"|[\"'][\w.-]{1,64}[\"'])){1,8}[ \t]*(?:(?<!user):|=|[ \t]is)?[ \t]+[\"']?(?P<value>[^\s\"']{6,200})",
    re.IGNORECASE,
)


def masked_names(text: str) -> str:
    """*text* with what stands behind the names of secrets masked."""
    lower = _lower(text)
    spans: list[Span] = []
    end = 0
    for at, cue in cues(lower, tuple(_HEADERS)):
        if at >= end:
            spans += _header(text, at, cue) if cue in _HEADERS else _named(text, at, cue)
            end = spans[-1][1] if spans else 0
    if "<input" in lower:
        spans += [found.span("value") for found in _INPUT.finditer(text) if _TYPE_PASSWORD.search(found.group())]
    if "seed" in lower or "mnemonic" in lower:
        spans += [found.span("value") for found in _PHRASE.finditer(text)]
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
    separator = name and _SEPARATOR.match(text, name.end)
    if not name or not separator:
        return bool(name and _ELEMENT_OPENS.search(name.left))
    if separator["comma"] and _WORD_OF_LIST.match(text, separator.end()):
        return False
    is_prose = name.family in ("token", "pin") and not name.called.isupper() and not name.left.lower().endswith("-api-")
    return not (separator["blank"] and is_prose) or bool(_FLAG.search(name.left))


def _lower(text: str) -> str:
    """*text* without capitals, each letter at its place."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(sign.lower()[:1] for sign in text)


def _header(text: str, at: int, cue: str) -> Iterator[Span]:
    found = _HEADERS[cue].match(text, at)
    if not found or (at and text[at - 1].isalnum()):
        return
    value = found["value"]
    changes = sum(one.islower() and other.isupper() for one, other in pairwise(value))
    if any(sign.isdigit() for sign in value) or changes >= 2 or value.endswith("=") or len(value) >= 24:
        yield found.span("value")


def _named(text: str, at: int, cue: str) -> Iterator[Span]:
    """The secrets behind the name that has *cue* at *at*; none when it is no secret's name, or has no value."""
    name = name_at(text, at, cue)
    if not name:
        return
    element = _ELEMENT_BEGINS.match(text, name.end) if _ELEMENT_OPENS.search(name.left) else None
    if element:
        yield from _judged(text, name, element.end(), "<")
        return
    separator = _SEPARATOR.match(text, name.end)
    if not separator:
        return
    cookies = list(_cookies(text, separator.end())) if cue == "cookie" and separator["sign"] else []
    if cookies:
        yield from cookies
    elif separator["cell"]:
        if separator["cell"] != "|" or _ROW.fullmatch(name.left):
            yield from _judged(text, name, separator.end(), "|")
    elif separator["blank"]:
        yield from _behind_blank(text, name, separator.end())
    else:
        yield from _judged(text, name, separator.end(), separator["sign"] or separator["comma"] or "=")


def _behind_blank(text: str, name: Name, position: int) -> Iterator[Span]:
    """`--password x`, `PASSWORD 'x'`, `ENV API_TOKEN x`; a word behind a word is prose, `resource "a" "b"` a name."""
    if _RESOURCE.search(name.left):
        return
    follows = text[position : position + 1]
    told = _TOLD.match(text, position - 1) if name.family == "password" else None
    if _FLAG.search(name.left) and follows not in "-[<":
        yield from _judged(text, name, position, "=")
    elif name.family in ("password", "secret") and follows in "\"'":
        yield from _judged(text, name, position, "space")
    elif told and is_told(told["value"]):
        yield told.span("value")
    elif (name.called.isupper() and "_" in name.called) or name.left.lower().endswith("-api-"):
        yield from _judged(text, name._replace(family="token"), position, "space")


def _judged(text: str, name: Name, position: int, sign: str) -> Iterator[Span]:
    """The value at *position*, unless it is none or no secret."""
    if text[position - 1] == " " and _NEXT_FIELD.match(text, position) and _FIELDS_BEFORE.search(name.left):
        return
    wrapper = _WRAPPER.match(text, position)
    position = wrapper.end() if wrapper else position
    if _SIGNED.match(text, position):
        return
    quoted = _quoted(text, position)
    start, end = quoted or _bare(text, position, sign)
    scheme = _SCHEME.match(text, start) if name.family == "token" else None
    if scheme:
        start, end = (scheme.end(), end) if quoted else _bare(text, scheme.end(), sign)
    if start >= end:
        return
    is_last = text[end + 1 : end + 2] in ")]" and bool(_FIRST_OF_PAIR.search(name.left))
    place = Place(
        is_quoted=quoted is not None,
        separator=sign,
        follows=text[end : end + 40],
        name=name.called,
        is_code=sign != "<" and _is_code(text, name.at),
        is_pair=is_last or bool(_FLAG.search(name.left)),
    )
    if is_secret(text[start:end], name.family, place):
        yield start, end


def _quoted(text: str, position: int) -> Span | None:
    """The inside of the quotes that open at *position*; up to the end of the line when they don't close."""
    opening = _OPENING.match(text, position)
    if not opening:
        braced = _BRACED.match(text, position)
        return braced.span(1) if braced else None
    plain = _PLAIN_QUOTED.match(text, position)
    if plain and plain.lastindex:
        return plain.span(plain.lastindex)
    newline = text.find("\n", position)
    line_end = len(text) if newline < 0 else newline
    end = text.find(opening.group(), opening.end(), line_end)
    if end < 0 and not text[opening.end() : opening.end() + 1].isalnum():
        return position, position  # it closes what was opened before the name
    return opening.end(), end if end >= 0 else line_end


def _bare(text: str, position: int, sign: str) -> Span:
    """The value without quotes that starts at *position*."""
    if sign == "<":
        return position, text.find("<", position, position + _VALUE_BYTES)
    found = _BARE.match(text, position)
    if not found:
        return position, position
    start, end = found.span()
    entity = _ENTITY.search(text, start, end)
    end = entity.start() if entity else end
    while end > start and text[end - 1] in _CLOSERS and _CLOSERS[text[end - 1]] not in text[start:end]:
        end -= 1
    return start, end


def _cookies(text: str, position: int) -> Iterator[Span]:
    """The values of `name=value; other=value`, but for what browsers are told about them."""
    newline = text.find("\n", position)
    stop = min(len(text) if newline < 0 else newline, position + _VALUE_BYTES)
    again = text.find("ookie", position, stop)
    for found in _COOKIE.finditer(text, position, again if again >= 0 else stop):
        if not _COOKIE_ATTRIBUTES.match(found.group()) and is_opaque(found["value"]):
            yield found.span("value")


def _is_code(text: str, at: int) -> bool:
    """Whether the line looks like one of a program, as traces show them."""
    start = text.rfind("\n", max(0, at - _CODE_BYTES), at) + 1
    return bool(_CODE_LINE.match(text, start))
