"""Which names are those of secrets, and how sure that is: `dbPassword`, `SECRET_KEY_BASE`, but no `primary_key`.

Such a name ends in a word of a few, its cue, maybe with an addition behind it; what stands before the word may make it
a secret's, or something else's.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable
from typing import NamedTuple

from daemons.masking.lazy import lazy
from daemons.masking.values import Family

# A cue as a plain substring, the family of the names that end in it, and the words that it begins.
_CUES: tuple[tuple[str, Family, str], ...] = (
    ("pass", "password", r"pass(?:_?word|wd|phrase|code|w|wort|ord|kw|key)?s?"),
    ("pwd", "password", r"pwd"),
    ("authtok", "password", r"authtok"),
    ("pw", "password", r"pw"),
    ("psk", "password", r"psk"),
    ("contrase", "password", r"contrase(?:ñ|n)a"),
    ("kennwort", "password", r"kennwort"),
    ("clave", "token", r"clave(?:[ _-](?:api|secreta|privada|de acceso))?"),
    ("parola", "password", r"parola(?: d['’]ordine)?"),
    ("senha", "password", r"senhas?"),
    ("wachtwoord", "password", r"wachtwoord(?:en)?"),
    ("haslo", "password", r"haslo"),
    ("heslo", "password", r"heslo"),
    ("salasana", "password", r"salasana"),
    ("adgangskode", "password", r"adgangskode"),
    ("passe", "password", r"passe"),
    ("secret", "secret", r"secrets?(?:[_-]?id(?![a-z]))?"),
    ("credential", "secret", r"credentials?"),
    ("mnemonic", "secret", r"mnemonic(?:[_-]?phrase)?"),
    ("seed", "secret", r"seed(?:[ _-]?phrase)?"),
    ("key", "secret", r"keys?"),
    ("token", "token", r"tokens?(?:_ID)?"),
    ("auth", "token", r"auth(?:orization)?"),
    ("cookie", "token", r"cookie"),
    ("session", "token", r"session(?:[ _-]?(?:id|key))?"),
    ("sessid", "token", r"sessid"),
    ("sid", "token", r"sid"),
    ("signature", "token", r"signature"),
    ("sig", "token", r"sig"),
    ("jwt", "token", r"jwt"),
    ("verifier", "token", r"verifier"),
    ("assertion", "token", r"assertion"),
    ("samlresponse", "token", r"samlresponse"),
    ("code", "pin", r"codes?"),
    ("otp", "pin", r"otp"),
    ("pin", "pin", r"pin"),
    ("cvv", "pin", r"cvv2?"),
    ("cvc", "pin", r"cvc2?"),
    ("salt", "token", r"salt"),
    ("pk", "key", r"pk"),
    ("wif", "token", r"wif"),
    ("appid", "token", r"appid"),
    ("communit", "secret", r"community(?:[_-]?string)?"),
    ("licen", "token", r"licen[sc]e"),
)
# Those that no text of ASCII has.
_FOREIGN: tuple[tuple[str, Family, str], ...] = (
    ("clé", "token", r"clés?[ _-](?:api|secrète|d['’ ]accès)"),
    ("schlüssel", "token", r"schlüssel"),
    ("парол", "password", r"парол[ьяюем]{0,2}"),
    ("密", "password", r"密[码碼]"),
    ("パスワード", "password", "パスワード"),
    ("비밀번호", "password", "비밀번호"),
    ("hasł", "password", r"hasł[oa]"),
    ("lösenord", "password", "lösenord(?:et)?"),
    ("şifre", "password", r"şifre"),
    ("jelszó", "password", r"jelszó"),
    ("mật khẩu", "password", "mật khẩu"),
)
_ADDITION = (
    r"(?:[._-]?(?:base64|base|b64|data|value|val|old|new|current|prod|dev|test|staging|raw|text|plain(?:text)?|string"
    r"|hash|digest|confirm(?:ation)?|repeat|again|encrypted|enc|sha256|256|hex|str|bin|v?\d{1,2}|"
    r"[nN])| \d{1,2}(?=:))?_{0,2}"
    r"(?![A-Za-z0-9_]|[.-][A-Za-z]{2})"
)
_WORDS = {cue: lazy(word + _ADDITION, re.IGNORECASE) for cue, _, word in (*_CUES, *_FOREIGN)}
_FAMILIES: dict[str, Family] = {cue: family for cue, family, _ in (*_CUES, *_FOREIGN)}
CUES = tuple(cue for cue, _, _ in _CUES)
_FOREIGN_CUES = tuple(cue for cue, _, _ in _FOREIGN)
# So far to the left a name is looked at.
LEFT = 40
# Above that many, sorting once costs less than keeping them in order.
_FEW = 64


def _ends(words: str) -> re.Pattern[str]:
    """What stands before a cue, ending in one of *words*."""
    return lazy(rf"(?:{words})[ _.:-]?$", re.IGNORECASE)


# Words that make `pass`, `key` and `code` a secret's; other keys are those of tables, caches and doors.
_BEFORE_PASS = lazy(
    r"(?:[._\"'{(@?&$-]|(?:^|\n)[ \t]*(?:export[ \t]+)?|db|my|smtp|root|mail|ftp|admin|redis|pg"
    r"|sql|user|login|proxy|store"
    r"|key|ssh|bind|ldap|http|imap|pop3|wifi|vpn|rpc|unlock|auth|svc|become|account|master|server|client|web"
    r"|\buser[ \t]+[\w.@-]{1,40}[ \t]+|\b(?:reset|set|change|new|the|my|your|root|admin|default"
    r"|temp)[ \t]+|(?:user|login|usr|uname|email)\w{0,8}[\"']?[ \t]?[:=][ \t]?"
    r"[^\s,;&]{1,32}[\s,;&]{1,2}[\"']?)$",
    re.IGNORECASE,
)
_MEMBER_OF = lazy(r"\w::(?:[A-Z]\w{0,30})?$")
_MOT_DE = lazy(r"mots?[ _-]de[ _-]$", re.IGNORECASE)
_OF_PAM = lazy(r"pam_\w{1,20}\($")
# `BYPASS`, and other words in capitals that end in it.
_OTHER_PASS = lazy(
    (
        r"(?:by|com|tres|sur|over|under|encom|im|pre|post|spy|multi|single|two|first|test|all|low|high|band|fast|one)"
        r"[_-]?$"
    ),
    re.IGNORECASE,
)
_BEFORE_KEY = _ends(
    r"api|access|secret|private|account|authentication|encryption|signing|master|shared ?access"
    r"|pre-?shared|secret ?or|storage|(?<![a-z])sec|priv"
    r"|subscription|auth|hmac|unseal|fernet|validation|decryption"
)
_BEFORE_LIKELY_KEY = _ends(
    r"(?<![a-z])(?:encrypt|sign|shared|license|service|ssh|deploy|deployment|ssl|tls|aes|des|rsa|webhook"
    r"|consumer|admin|jwt|crypto|cipher|app|application|write|read|server|client|functions?|root|registration"
    r"|integration|ingest(?:ion)?|project|tenant|sas|bot|restricted|psk|wallet|vault|recovery|session|cookie|token"
    r"|salt|merchant|publishable|data|sentry|stripe|openai|anthropic|google|maps|github|gitlab|aws|azure|gcp|twilio"
    r"|sendgrid|mailgun|datadog|dd|algolia|firebase|pinecone|cohere|instrumentation|sdk|entry|setup|authenticator|totp"
    r"|2fa|mfa|enrol?lment|activation|provisioning|bitlocker|product|security|blowfish|cdn|push|apns|fcm|vapid|partner"
    r"|developer|user|customer|company|organi[sz]ation|org|team|workspace|environment|env|mobile|network|join|cluster"
    r"|node|machine|agent|collector|hec|insert|query|search|admin|station|feed|export|backup|restore|unlock|rpc|web3"
    r"|infura|alchemy|etherscan|moralis|weather|bearer|login|gateway|payment|checkout|billing|smtp"
    r"|mail|email|sms|stream)"
    r"|x-functions"
)
# Whose keys are none, whatever their looks.
_BEFORE_OTHER_KEY = _ends(
    r"public|pub|recv|receive|send|list|delete|remove|refresh|trusted|cache|primary|foreign"
    r"|partition|sort|routing|object|idempotency|row|shard|dedup"
    r"(?:lication)?|group|message"
    r"|lock|hash|range|map|index|composite|natural|s3|bucket|event|record|state|translation|i18n|locale|feature|flag"
    r"|host|hot|unique|business|surrogate|join|parent|child|entity|document|doc|redis|item|field|column|attribute|dict"
    r"|json|storage|blob|file|image|upload|attachment|sql|query|page|cursor|pagination|react|list|tree|kind|resource"
    r"|issue|jira|ticket|project|space|trace|span|job|queue|task|dedupe|request|transaction|hash|etag|version|last|next"
    r"|start|end|min|max|prev(?:ious)?|minimum|maximum|left|right|up|down|enter|escape|shift|any|press|arrow|tab|hot"
    r"|the|a|an|this|that|no|new|old|for|with|by|of|missing|unknown|invalid|duplicate|known|each|every|same|which"
)
_BEFORE_CODE = _ends(
    r"verification|auth|authorization|access|security|one-?time|otp|2fa|mfa|login|confirmation"
    r"|recovery|device|sms|backup|reset"
    r"|activation|unlock|pairing|authenticator|totp|pin|scratch|invite|invitation|rescue|emergency"
)
_PUBLIC = _ends(r"public|pub|public[ _.-]?(?:access|api)|public[ _-]?key")
# Of those nothing is opened: where to go on reading, a coin.
_OTHER_TOKEN = _ends(
    r"next|next[ _-]?page|page|continuation|pagination|sync|delta|resume|cursor|fencing|cancel(?:l?ation)?|lock|paging"
    r"|position|partition|ring|erc20|erc721|nft|start|since|stop|end|pad|eos|bos|unk|mask|sep|special|first|last|per"
)
_ASKS = _ends(r"is|has|use|no|with|from|existing")
# These end many words that have nothing to do with them.
_NEED_BORDER = frozenset(
    "auth sig sid jwt appid session licen assertion psk otp pin cvv cvc salt pk wif clave senha heslo haslo".split()
)


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
    for cue in (*CUES, *more, *(() if lower.isascii() else _FOREIGN_CUES)):
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
        return _of_key(left, word)
    if cue in _NEED_BORDER and not is_border and not (word.isupper() and before.isupper()) and before not in "jJ":
        return None
    if cue in _IS_NONE and _IS_NONE[cue](word, left):
        return None
    if not word.isupper() and (word[0].isupper() or not left.endswith("::")) and _MEMBER_OF.search(left):
        return None  # a type: `AWS::ApiGateway::ApiKey`
    if cue == "pass" and word.lower() == "pass":
        return _of_pass(left, word, is_border=is_border)
    if cue == "seed" and "phrase" not in word.lower():
        return "key"
    is_asked = cue == "secret" and (_ASKS.search(left) or word.lower().endswith("id"))
    return "token" if is_asked else _FAMILIES[cue]


# Which words after which are no secret's name.
_IS_NONE: dict[str, Callable[[str, str], object]] = {
    "code": lambda _, left: not _BEFORE_CODE.search(left),
    "passe": lambda _, left: not _MOT_DE.search(left),
    "pass": lambda _, left: _OF_PAM.search(left),
    "pin": lambda word, _: "sha" in word.lower(),
    "salt": lambda word, _: not word.isupper(),
    "pk": lambda word, _: not word.isupper(),
    "secret": lambda _, left: left.endswith(":"),  # an ARN
    "sid": lambda word, _: word != "sid",  # the name of a statement in a policy
    "token": lambda word, left: (
        (word.lower().endswith("_id") and not word.isupper()) or _PUBLIC.search(left) or _OTHER_TOKEN.search(left)
    ),
}


def _of_pass(left: str, word: str, *, is_border: bool) -> Family | None:
    if _BEFORE_PASS.search(left):
        return "token" if _OTHER_PASS.search(left) else "password"
    if word == "PASS" and left[-1:].isupper():
        return None if _OTHER_PASS.search(left) else "password"
    if left[-1:].islower() and not _OTHER_PASS.search(left):
        return "password"
    return "token" if is_border else None


def _of_key(left: str, word: str) -> Family | None:
    if _PUBLIC.search(left):
        return None
    if _BEFORE_KEY.search(left):
        return "secret"
    if _BEFORE_LIKELY_KEY.search(left):
        return "token"
    before = left[-1:]
    is_camel = (before.islower() and word[0] == "K") or (before.isupper() and word.isupper())
    is_alone = not before or before in "\"'-" or before.isspace()
    return "key" if (before in ("_", "-", ".") or is_camel or is_alone) and not _BEFORE_OTHER_KEY.search(left) else None
