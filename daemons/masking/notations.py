"""The notations that a name and its value stand in: what separates them, what is put around the value, where it ends.

Each is tried at its place alone, so that no text takes more than time in proportion to its length.
"""

from __future__ import annotations

import re

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span

# Colours were shown as escapes by `text.safe`; JSON in JSON has its quotes escaped, often more than once.
_COLOUR = r"(?:(?:\\x1b|\x1b)\[[\d;]{0,12}m){0,4}"
QUOTE = r"(?:\\{0,15}[\"'`]|&quot;|&#34;|&#39;|%22|%27|\\u0022)"
SEPARATOR = lazy(
    rf"{_COLOUR}(?:\[?\]|%5[Dd])?{QUOTE}?\]?{_COLOUR}(?:"
    # `"name": "password", "value": "x"`, `name="password" value="x"`, and over two lines in YAML
    rf"(?:(?:[ \t]{{1,4}}[a-z-]{{1,20}}=\"[^\"<>\n]{{0,60}}\"){{0,4}}[ \t]{{1,4}}(?:value|content)=\""
    rf"|(?:\s{{0,40}},\s{{0,40}}{QUOTE}\w{{1,24}}{QUOTE}[ \t]?:[ \t]?(?:{QUOTE}[^\"\n]{{0,60}}{QUOTE}"
    rf"|\w{{1,12}})){{0,3}}"
    rf"[ \t]*[,({{]?\s{{0,40}}(?:-[ \t])?{QUOTE}?(?:[A-Za-z]{{3,16}}_?)??(?:value|Value|VALUE)"
    rf"(?:={QUOTE}?|{QUOTE}?[ \t]?[:=][ \t]?))"
    # `apiKey: String = "x"`, `password VARCHAR DEFAULT 'x'`
    r"|[ \t]?:[ \t]?[A-Z&][\w<>?\[\]]{0,30}[ \t]?=[ \t]?(?=\")|[ \t]+\w{2,20}(?:\(\d{1,5}\))?[ \t]+DEFAULT[ \t]+(?=')"
    r"|[ \t]{0,4}(?:<-[ \t]{0,4}(?=[\"'])|~>[ \t])"
    # a form of several parts; a property list; a variable of Terraform; what pydantic was given
    r"|(?<=[\"'])(?:;[^\n]{0,80})?\r?\n(?:[A-Z][\w-]{1,30}:[^\n]{0,80}\r?\n)?\r?\n"
    r"|</t[dh]>\s{0,20}(?P<data><t[dh][^<>\n]{0,60}>(?:<(?:code|b|strong|span|tt)[^<>\n]{0,60}>)?)"
    r"|</(?:key|name)>\s{0,40}<(?:string|value|data)>(?:\s{0,20}<string>)?"
    r"|(?<=\")[ \t]{0,4}\{[^{}]{0,240}?\bdefault[ \t]{0,8}=[ \t]{0,8}"
    r"|\n[ \t]{1,8}[^\n]{0,240}?\binput_value="
    # the arguments of a program, as the kernel's audit counts them
    r"|[ \t]a\d{1,3}=(?=\")"
    # PowerShell, and the registry of Windows
    r"|[ \t]+-(?:Value|value)[ \t]+(?=\S)|[ \t]+(?:/t[ \t]+\w{3,20}[ \t]+)?/d[ \t]+(?=\S)|[ \t]+--value[ =](?=\S)"
    r"|[ \t]?\.{3,80}[ \t:]{0,4}(?=[^\s.])"
    rf"|[ \t]{{0,40}}(?:(?:\([^()\n]{{1,40}}\)|\[[^\[\]\n]{{0,40}}\]|are)[ \t]{{0,4}}(?=:))?"
    rf"(?P<sign>={{1,3}}(?:>|&gt;)?|:=|::[ \t]?(?="
    rf"(?=[A-Za-z_+/=-]*\d)[\w+/=-]{{16}})|:(?!:)|：|%3[AaDd])[ \t]{{0,12}}(?:[|>][+-]?\n[ \t]{{1,40}})?"
    rf"|(?P<comma>(?<=[\"'`]),|(?<=\w),(?=[ \t]?(?:<<)?\"[^\"\n]{{3,200}}\"(?:>>)?\}}))[ \t]{{0,40}}"
    rf"(?=(?:[bBuU]|<<)?{QUOTE})"
    r"|[ \t]{0,60}(?P<cell>[│┃║|])[ \t]{1,60}(?=[^\s│┃║|]{3,512}[ \t]*(?:[│┃║|\r\n]|$))"
    r"|(?P<blank>[ \t]{1,60})"
    rf"){_COLOUR}"
)
WRAPPER = lazy(
    # what is looked up comes first, what stands for it then
    r"(?:[A-Za-z_$][\w.$]{0,60}(?:[(\[][^()\[\]\n]{0,80}[)\]])?[ \t](?:or|\|\||\?\?)[ \t](?=[\"']))?"
    r"(?:[\"'](?:Bearer|Basic|Token) [\"'][ \t]?[+.&][ \t]?(?=[\"']))?"
    r"(?:<<(?=\"))?(?:\[\](?:byte|rune)\()?(?:\[\s{0,40}(?=\\{0,3}[\"'b]))?"
    r"(?:\{\s{0,20}[\"']?(?:[SB]|[vV]alue|stringValue|string|plaintext|_value|_text|#text)[\"']?"
    r"[ \t]{0,4}(?::|=>)[ \t]{0,4})?"
    r"(?:\s{0,20}string\(\d{1,5}\)[ \t]?(?=\"))?"
    r"(?:(?:Some|Just|SecretStr|Secret|String|Sensitive|Optional|str|bytes|PASSWORD|MD5|SHA1"
    r"|SHA2)\(?\s{0,40}(?=[\"'b]))?"
    r"[bBrRuUfF@N]{0,2}(?:\"\"(?=\"[^\"\n])|''(?='[^'\n]))?(?=\\{0,3}[\"'])"
)
# A list in Go's way, without quotes: `X-Api-Key:[x]`.
BRACKETED = lazy(r"\[(?=[A-Za-z_+/=.-]{0,200}\d[\w+/=.-]{6,200}[\] ])")
# The next of several: of a list, of a change.
NEXT_OF_LIST = lazy(r"([\"'])\s{0,40},\s{0,40}(?=[\"'][^\"'\n]{3,400}\1\s{0,40}[,\])])")
NEXT_OF_CHANGE = lazy(r"[\"'][ \t]{1,4}(?:->|=>)[ \t]{1,4}(?=\")")
LISTED = lazy(r"(?:[ \t]{0,12}(?:[-*•+]|\d{1,2}[.):])?[ \t]{0,4}(?P<value>[^\s:]{6,80})[ \t]*(?:\n|$))")
# The value of a name that ends its line.
BELOW = lazy(r"\r?\n[ \t]{1,40}(?=[bB]?[\"']|string\()")
_OPENING = lazy(QUOTE)
_PLAIN_QUOTED = lazy(r"\"((?:[^\"\\\n]|\\.){0,8192})\"|'((?:[^'\\\n]|\\.){0,8192})'|`([^`\n]{0,8192})`", re.DOTALL)
_BRACED = lazy(r"(?<==)\{(?![\w.]{1,80}![rsa]\})([^{}\n\"':=]{3,100})\}")
_BARE = lazy(
    r"(?:[^\s\"'<>&;,|`\\%{}]|%(?!22|27)|[{}](?=[^\s,;\])}\"'])"
    # a sign that separates, unless a password goes on behind it
    r"|\|(?=[\w-]{16})|[,;&|](?![\s\w\"'\[{(]|$)|,(?=[^\s=:,]{1,24}(?:[ \t\n]|$))(?![ \t])(?!\w{1,40}[=:])"
    r"|\\(?![\"'nrtx\\u]))+"
)
_ENTITY = lazy(r"&(?:quot|#34|#39|lt|gt|amp);")
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_VALUE_BYTES = 8192
_LITERAL = "<![CDATA["


def quoted(text: str, position: int) -> Span | None:
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


def bare(text: str, position: int, sign: str) -> Span:
    """The value without quotes that starts at *position*."""
    if sign == "<":
        is_literal = text.startswith(_LITERAL, position)
        start = position + len(_LITERAL) if is_literal else position
        return start, text.find("]]>" if is_literal else "<", start, start + _VALUE_BYTES)
    found = _BARE.match(text, position)
    if not found:
        return position, position
    start, end = found.span()
    escaped = text.find("[\\", start, min(end + 1, len(text)))
    end = escaped if escaped > start and text[escaped + 2 : escaped + 4] in ("r]", "n]") else end
    entity = _ENTITY.search(text, start, end)
    end = entity.start() if entity else end
    while end > start and text[end - 1] in _CLOSERS and _CLOSERS[text[end - 1]] not in text[start:end]:
        end -= 1
    return start, end
