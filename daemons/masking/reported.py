"""Passwords in what programs report: input that was refused, what a value was set to, a code that was expected."""

from __future__ import annotations

_CHOSEN = r"[\"'`]?(?P<chosen>[^\s\"'`,;()\[\]]{6,200})"
_FIELD = r"\w{0,20}(?i:passw(?:or)?d|passphrase|secret|token)\w{0,20}"
_HEX = r"[\"'](?:0x)?(?P<bare>[0-9a-fA-F]{64})[\"']"
_SIGNS = rf"\b(?:\w{{0,20}}sign\w{{0,20}}|privateKeyToAccount|Wallet|from_key|fromPrivateKey)\([^()\n]{{0,80}}?{_HEX}"
_RESET = r"/(?:reset|recover|activate|confirm|unlock)/(?P<likely>[\w.~=-]{16,400})"
_TRIED = (
    r"(?i:pass(?:word|wd)?|pwd)_(?:tried|given|entered|attempt(?:ed)?|used|supplied|received|sent|typed|submitted"
    rf"|provided|guess(?:ed)?)[\"']?[ \t]?[=:][ \t]?{_CHOSEN}"
)
_CREDS = (
    r"\b[cC]red(?:ential)?s?[ \t]+(?:for|of|on|to)[ \t]+[^\n:/]{1,40}:[ \t]*[\w.@+-]{1,64}[ \t]?[:/][ \t]?" + _CHOSEN
)
REPORTED = (
    (
        " is ",
        (
            r"\b(?i:pw|pwd|pass|passw(?:or)?d|passphrase)\b[^\n:=]{0,40}?[ \t]is[ \t]+"
            r"(?:still|now|currently|again|always|just|actually)[ \t]+"
            r"[\"'`]?(?P<chosen>[^\s\"'`]{6,200})"
        ),
    ),
    (
        " to ",
        (
            r"\b(?i:passw(?:or)?d|passphrase|pw)(?:[ \t]+(?:for|of)[ \t]+[^\n:]{1,60}?)?[ \t]+"
            rf"(?:(?:has been|was|is)[ \t]+)?(?:re)?(?:set|changed|updated|rotated)[ \t]+to[ \t]+{_CHOSEN}"
        ),
    ),
    (
        "ser",
        (
            r"\b[uU]ser(?:name)?[ \t:=]{1,3}[\w.@+-]{1,64}[ \t]{0,2}[,;/&]?[ \t]{0,2}(?:and[ \t]+|with[ \t]+)?"
            rf"[pP](?:ass(?:word|wd)?|wd?)[ \t]+{_CHOSEN}"
        ),
    ),
    ("redentials ", _CREDS),
    ("creds ", _CREDS),
    ("rivate key", rf"rivate key[^\n\"']{{0,40}}{_HEX}"),
    *((cue, _SIGNS) for cue in ("sign", "privateKeyTo", "Wallet(", "from_key(", "fromPrivateKey(")),
    (
        "(columns",
        (
            r"[;,|][ \t]?[\"']?(?P<chosen>[^\s\"';,|]{5,100})[\"']?[ \t]{0,4}"
            rf"\(columns: [^()\n]{{1,200}}[;,|][ \t]?{_FIELD}\)"
        ),
    ),
    ("rejected value", rf"field [\"'](?:[\w.]{{0,40}}\.)?{_FIELD}[\"']: rejected value \[(?P<bare>[^\]\s]{{3,200}})\]"),
    (
        "loc",
        (
            rf"[\"']loc[\"']: ?[\[(][^\])\n]{{0,80}}?[\"']{_FIELD}[\"'][\])][^\n{{}}]{{0,300}}?"
            r"[\"']input[\"']: ?[\"'](?P<quoted>[^\"'\n]{3,200})[\"']"
        ),
    ),
    *((cue, _RESET) for cue in ("/reset/", "/recover/", "/activate/", "/confirm/", "/unlock/")),
    ("=[", rf"\b{_FIELD}=\[{_CHOSEN}\]"),
    ("expected ", r"\b(?:2FA|MFA|T?OTP|[oO]ne-time)\b[^\n]{0,80}?\bexpected[ \t:=]{1,4}[\"']?(?P<bare>\d{6,8})(?!\w)"),
    *((cue, _TRIED) for cue in ("assword_", "asswd_", "pass_", "pwd_")),
    ("AUTH ", rf"\bAUTH[ \t]+{_CHOSEN}[ \t]+failed\b"),
    (
        " code to ",
        r"\bcode to (?:sign|log|verify|confirm|login|complete|finish)[^\n:]{0,60}:\s{1,10}(?P<bare>\d{6,8})(?![\w:.-])",
    ),
    (
        "bind",
        (
            r"bind(?:_s)?\((?:\$?\w{1,20},[ \t]?)?[\"'][^\"'\n]{0,100}[=@\\][^\"'\n]{1,100}[\"'],[ \t]?"
            r"[\"'](?P<quoted>[^\"'\n]{3,200})[\"']"
        ),
    ),
)
