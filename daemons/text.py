"""Text by strangers, made safe to show: control characters, Markdown fences, secrets.

Log lines, agents' names and messages end in terminals, in Markdown and in front of AI supervisors. Whatever comes
from outside passes through here before it is written anywhere a reader will see it.
"""

from __future__ import annotations

import re

# C0 (but not tab and newline), DEL and C1; bidirectional and zero-width characters; line and paragraph separators;
# lone surrogates, which cannot be encoded.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_BREAKS = re.compile(r"[\t\n]")
_BACKTICKS = re.compile(r"`+")


def safe(text: str, *, one_line: bool = False) -> str:
    """*text* with everything that could move a cursor, hide or reorder text shown as an escape.

    Tabs and newlines stay unless *one_line*. A carriage return before a newline is dropped, others are shown.
    """
    shown = _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))
    return _BREAKS.sub(_escape, shown) if one_line else shown


def decode(raw: bytes) -> str:
    """Bytes of a stranger as text: UTF-8, what is none of it shown as `\\xNN`. Never fails, loses nothing."""
    return raw.decode("utf-8", "backslashreplace")


def fence(text: str, language: str = "text") -> str:
    """*text* as a fenced Markdown block that nothing inside can close."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code in (0x09, 0x0A, 0x0D):
        return {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}[code]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


# -- secrets ----------------------------------------------------------------------------------------------------------

MASK = "[masked]"

_KEY_WORDS = (
    r"pass(?:wd|word|phrase)?|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|auth[_-]?token|private[_-]?key"
    r"|client[_-]?secret|credentials?|session[_-]?id|cookie|signature"
)
# One pass over the text: the first alternative that matches at a place wins, so a value is masked once.
_SECRET = re.compile(
    r"(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))"
    r"|(?P<userinfo>(?<=://)(?P<user>[^\s:/@]*):[^\s/@]+(?=@))"
    # A word after "Bearer" is only a token when it holds a digit: "Bearer authentication failed" stays readable.
    r"|(?P<scheme>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:[a-z]+\s+)?|\bBearer\s+(?=\S*\d))[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<prefix>\b(?:sk-(?:ant-|proj-)?|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|npm_|pypi-|AKIA|ASIA|AIza|hf_"
    r"|SG\.|rk_live_|sk_live_|pk_live_|whsec_|dop_v1_)[A-Za-z0-9_.\-]{10,})"
    r"|(?P<jwt>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
    r"|(?P<key>(?:\b|_)(?:" + _KEY_WORDS + r")\b[\"']?\s*(?:=>|[:=])\s*)"
    r"(?:\"[^\"\n]*\"|'[^'\n]*'|(?!//)[^\s,;&\"'})\]]+)",
    re.IGNORECASE | re.DOTALL,
)
# Cheap literals without one of which no alternative can match: most text has none and costs one look.
_GATE = re.compile(
    r"PRIVATE KEY|://|bearer|basic|token|pass|pwd|secret|key|credential|session|cookie|signature|eyJ|sk-|_live_|gh[pousr]_"
    r"|github_pat_|glpat-|xox|npm_|pypi-|AKIA|ASIA|AIza|hf_|SG\.|whsec_|dop_v1_",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """*text* with keys, tokens and passwords replaced by `[masked]`; names of keys and users stay readable."""
    if not _GATE.search(text):
        return text
    return _SECRET.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    if match.group("userinfo"):
        return f"{match.group('user')}:{MASK}"
    return (match.group("scheme") or match.group("key") or "") + MASK
