"""Which names are those of secrets, and how sure that is: `dbPassword`, `SECRET_KEY_BASE`, but no `primary_key`.

Such a name ends in a word of a few, its cue, maybe with an addition behind it; what stands before the word may make it
a secret's, or something else's.
"""

from __future__ import annotations

import re
from bisect import insort
from typing import NamedTuple

from daemons.masking.lazy import lazy
from daemons.masking.values import Family

# A cue as a plain substring, the family of the names that end in it, and the words that it begins.
_CUES: tuple[tuple[str, Family, str], ...] = (
    ("pass", "password", r"pass(?:word|wd|phrase|code|w|wort|kw|key)?s?"),
    ("pwd", "password", r"pwd"),
    ("pw", "password", r"pw"),
    ("psk", "password", r"psk"),
    ("contrase", "password", r"contrase(?:ñ|n)a"),
    ("secret", "secret", r"secrets?"),
    ("credential", "secret", r"credentials?"),
    ("mnemonic", "secret", r"mnemonic(?:[_-]?phrase)?"),
    ("seed", "secret", r"seed[ _-]?phrase"),
    ("key", "secret", r"key"),
    ("token", "token", r"tokens?"),
    ("auth", "token", r"auth(?:orization)?"),
    ("cookie", "token", r"cookie"),
    ("session", "token", r"session(?:[_-]?(?:id|key))?"),
    ("sessid", "token", r"sessid"),
    ("sid", "token", r"sid"),
    ("signature", "token", r"signature"),
    ("sig", "token", r"sig"),
    ("jwt", "token", r"jwt"),
    ("assertion", "token", r"assertion"),
    ("samlresponse", "token", r"samlresponse"),
    ("code", "pin", r"code"),
    ("otp", "pin", r"otp"),
    ("pin", "pin", r"pin"),
    ("appid", "token", r"appid"),
    ("communit", "secret", r"community(?:[_-]?string)?"),
    ("licen", "token", r"licen[sc]e"),
)
_ADDITION = (
    r"(?:[._-]?(?:base64|base|b64|data|value|val|old|new|current|prod|dev|test|staging|raw|text|plain(?:text)?|string"
    r"|hash|digest|confirm(?:ation)?|repeat|again|encrypted|enc|sha256|256|hex|str|bin|\d{1,2})| \d{1,2}(?=:))?"
    r"(?![A-Za-z0-9_]|[.-][A-Za-z]{2})"
)
_WORDS = {cue: lazy(word + _ADDITION, re.IGNORECASE) for cue, _, word in _CUES}
_FAMILIES: dict[str, Family] = {cue: family for cue, family, _ in _CUES}
CUES = tuple(cue for cue, _, _ in _CUES)
# So far to the left a name is looked at.
LEFT = 40
# Above that many, sorting once costs less than keeping them in order.
_FEW = 64


def _ends(words: str) -> re.Pattern[str]:
    """What stands before a cue, ending in one of *words*."""
    return lazy(rf"(?:{words})[ _.-]?$", re.IGNORECASE)


# Words that make `pass`, `key` and `code` a secret's; other keys are those of tables, caches and doors.
_BEFORE_PASS = lazy(
    r"(?:[._\"'{(@?&$-]|db|my|smtp|root|mail|ftp|admin|redis|pg|sql|user|login|proxy|store|key|[a-z](?=P))$",
    re.IGNORECASE,
)
_BEFORE_KEY = _ends(
    r"api|access|secret|private|account|authentication|encryption|signing|master|shared ?access|preshared|storage"
    r"|subscription|auth|hmac|unseal|fernet"
)
_BEFORE_LIKELY_KEY = _ends(
    r"(?<![a-z])(?:encrypt|decryption|sign|shared|license|service|ssh|deploy|deployment|ssl|tls|aes|des|rsa|webhook"
    r"|consumer|admin|jwt|crypto|cipher|app|application|write|read|server|client|functions?|root|registration"
    r"|integration|ingest(?:ion)?|project|tenant|sas|bot|restricted|psk|wallet|vault|recovery|session|cookie|token"
    r"|salt|merchant|publishable|data|sentry|stripe|openai|anthropic|google|maps|github|gitlab|aws|azure|gcp|twilio"
    r"|sendgrid|mailgun|datadog|dd|algolia|firebase|pinecone|cohere)|x-functions"
)
_BEFORE_CODE = _ends(r"verification|auth|access|security|one-?time|otp|2fa|mfa|login|confirmation|recovery|device|sms")
_PUBLIC = _ends(r"public|pub|public[ _.-]?(?:access|api)|public[ _-]?key")
_ASKS = _ends(r"is|has|use|no|with")
# These end many words that have nothing to do with them.
_NEED_BORDER = ("auth", "sig", "sid", "jwt", "appid", "session", "licen", "assertion", "psk", "otp", "pin")


class Name(NamedTuple):
    """A secret's name in a text: where its cue begins, where it ends, how sure it is, what it is called."""

    at: int
    end: int
    family: Family
    called: str
    left: str


def cues(lower: str, more: tuple[str, ...]) -> list[tuple[int, str]]:
    """Where cues, and those of *more*, stand in a text without capitals, in order."""
    found: list[tuple[int, str]] = []
    for cue in (*CUES, *more):
        at = lower.find(cue)
        while at >= 0:
            if len(found) < _FEW:
                insort(found, (at, cue))
            else:
                found.append((at, cue))
            at = lower.find(cue, at + len(cue))
    return found if len(found) < _FEW else sorted(found)


def name_at(text: str, at: int, cue: str) -> Name | None:
    """The secret's name whose last word begins with *cue* at *at*; None: it is no secret's name."""
    word = _WORDS[cue].match(text, at)
    if not word:
        return None
    left = text[max(0, at - LEFT) : at]
    family = _family(cue, word.group(), left)
    called = re.split(r"[^\w]", left)[-1] + word.group()
    return Name(at, word.end(), family, called, left) if family else None


def _family(cue: str, word: str, left: str) -> Family | None:
    before = left[-1:]
    is_border = not before.isalpha() or (before.islower() and word[:1].isupper())
    if cue == "key":
        return _of_key(left)
    if cue == "code":
        return "pin" if _BEFORE_CODE.search(left) else None
    if cue in _NEED_BORDER and not is_border and not (word.isupper() and before.isupper()):
        return None
    if cue == "pass" and word.lower() == "pass":
        return "password" if _BEFORE_PASS.search(left) else "token" if is_border else None
    if (cue == "secret" and before == ":") or (cue == "sid" and word != "sid"):
        return None  # an ARN; the name of a statement in a policy
    if cue == "token" and _PUBLIC.search(left):
        return None
    return "token" if cue == "secret" and _ASKS.search(left) else _FAMILIES[cue]


def _of_key(left: str) -> Family | None:
    if _PUBLIC.search(left):
        return None
    if _BEFORE_KEY.search(left):
        return "secret"
    return "token" if _BEFORE_LIKELY_KEY.search(left) else None
