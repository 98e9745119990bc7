"""Whether what stands behind a name is a secret: `password: required`, `token=None`, `key = get("KEY")` hold none."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, NamedTuple

from daemons.masking.lazy import lazy

# How much a name says: behind a password's nearly anything is one; a token, a key or a session must look like one, and
# behind `FASTLY_KEY`, of which nobody knows what it opens, only what no person would have chosen.
Family = Literal["password", "secret", "token", "pin", "key"]


class Place(NamedTuple):
    """Where a value stands: in quotes or not, what separates it from its name, what follows it on its line.

    *is_pair*: it is the second and last of two in brackets.
    """

    is_quoted: bool
    separator: str
    follows: str
    name: str
    is_code: bool
    is_pair: bool


_WORDS = frozenset(
    """
    null none nil undefined nan true false yes no on off enabled disabled empty blank unset set not missing required
    optional invalid valid expired revoked rejected refused denied wrong incorrect bad unknown unexpected expecting
    expected mismatch mismatched failed failure failing fail ok error errors success successful pass passed passes
    skipped unauthorized unauthenticated authenticated forbidden unavailable available unsupported supported changed
    unchanged reset resetting updated rotated removed deleted created generated verified unverified accepted malformed
    corrupt found lost default defaults basic bearer digest negotiate ntlm oauth oauth1 oauth2 jwt ldap saml kerberos
    plain md5 sha1 sha256 sha512 hmac rsa hs256 rs256 es256 string str strings bytes bytearray int integer float number
    bool boolean object dict list tuple map array any text void char symbol self this redacted masked hidden filtered
    removed omitted protected sanitized secret password passwd passphrase passcode token tokens key keys user username
    email login auth authorization authentication authorize credential credentials cookie cookies session sessions
    signature env environment file stdin stdout prompt ask interactive file path value name id type the a an is was are
    be has have must should can cannot could will would for from with without at by in of to and or but if when while
    please your you we it this that there here http https anonymous guest nobody public private internal external
    active inactive connected disconnected closed open opened opening started stopped strict lax secure secured end eof
    ident identifier literal operator keyword comma colon semicolon rparen lparen rbrace lbrace newline indent dedent
    used unused using use new old next previous current first last option options flag flags argument arguments
    salt union enum struct record varchar parameter parameters require requires same-origin include omit
    client_credentials authorization_code
    amd64 arm64 armhf aarch64 i386 x86_64 latest
    """.split()
)
# Words that a password of several words hardly has, and a message about one nearly always.
_PROSE = lazy(
    r"\b(?:is|are|was|were|be|been|must|should|can(?:not|'t)?|could|will|would|may|not|no|the|this|that|field|fields"
    r"|required|invalid|enter|please|your|you|too|characters?|least|failed|incorrect|wrong|missing|expected|found|for"
    r"|with|without|from|of|to|does|do|doesn't|don't|has|have|or|and|short|long|common|match(?:es)?|already|expired)\b",
    re.IGNORECASE,
)
_PLACEHOLDER = lazy(
    r"[*x•●.…_?#-]{2,}|[xX*]+|\*{2,}.{0,8}|.{0,4}\*{3,}"
    r"|<[^<>]{0,80}>?[\])}\"]{0,2}|[A-Za-z_ ]{1,30}>|\[[^\[\]]{0,60}\]?|\(.{0,60}\)|\(\w{0,20}|`[^`]{0,80}`?"
    r"|\$\{.{0,200}|\$?\{\{[^{}]{0,200}(?:\}\}.{0,40})?|\{[\w.!:'\"\[\]() ,]{0,80}\}?(?:\\[nrt])?"
    r"|&#?\w{1,6};.{0,200}|#\{.{0,80}"
    r"|(?:%[\w.-]{0,4}[srdxi]|[:/@.,_ -])+|%\(\w{1,60}\)[srd]|%{1,2}[\w.-]{1,60}%{0,2}"
    r"|\$\d.{0,8}|\$[A-Za-z_]\w{0,80}-?(?:(?:->|::|\[|/|\.\w).{0,200})?|\$__\w{1,20}\{.{0,200}"
    r"|\$\(.{0,200}|\$env:.{0,80}"
    r"|:[a-z_]{1,40}|@[A-Za-z_]{1,40}\d{0,2}@?|&[A-Za-z_]{1,40}\d{0,2}|\?|\|[+-]?|>[+-]?|\\+[ntr]?|[^\w]{1,3}"
    r"|%5B\w{0,40}%5D|\(?[(\[][\[?.\\^].{0,100}|\w+\}/.{0,200}|VALUE_SPECIFIED_IN\w{0,40}"
    r"|\?.{0,200}|![A-Za-z][\w-]{1,30}|[\w-]{0,12}(?:\.{2,}|…)"
    r"|hmac-sha\d{1,3}:[0-9a-f]{32,128}"
    r"|.{0,200}\[(?:masked|redacted|filtered|hidden|removed)\].{0,200}",
    re.IGNORECASE | re.DOTALL,
)
_TYPE = lazy(
    r"[A-Z][A-Za-z]{2,40}(?:<[^<>]{0,60}>)?\??\).{0,80}|(?:typing\.)?(?:Optional|Union|List|Dict"
    r"|Literal|Annotated|Secret|SecretStr|Str|Maybe|Option"
    r"|Promise|Callable|Type)"
    r"\b.{0,80}"
    r"|(?:str|string|bytes|int|bool|number|any|None|null|undefined)\b[ |\[\]?).,;:=].{0,80}",
    re.DOTALL,
)
_NUMBER = lazy(
    r"0x[0-9a-fA-F]{1,16}|(?!\d{6,}(?!ms|ns|us|kb|KB|MB)[A-Za-z]{2,3}$)[+-]?\d[\d_,]*(?:\.\d+)?(?:%|[a-zA-Z]{1,3})?"
)
_TIME = lazy(r"\d{4}-\d\d-\d\d(?:[T ].{0,40})?|\d{1,2}:\d\d(?::\d\d)?.{0,12}|v?\d{1,4}(?:\.\d{1,4}){1,3}")
_PATH = lazy(
    # Between two slashes there is one way to read it: with a slash that may be missing, 26 letters took 3 s.
    r"(?:~|\.{1,2}|[A-Za-z]:|file:)?[/\\]{1,3}(?=[\w .@+%-])(?:[\w .@+%-]+[/\\])*[\w .@+%-]*"
    r"|[\w-]{1,60}\.(?:pem|key|crt|cer|ya?ml|json|txt|conf|ini|p12|pfx|jks|py|js|ts|go|rs|java|log|html)"
)
_URL = lazy(r"[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_EXPRESSION = lazy(
    r"(?:await |new |new_|not |&)?[A-Za-z_$][A-Za-z_$]*(?:_?\d{1,4})?(?:(?:\.|->|::|\?\.)[A-Za-z_$]\w*)*[(\[].{0,400}"
    r"|[a-z]{2,}\w{0,60}_\w{1,60}\([\w., ]{0,200}\);?",
    re.DOTALL,
)
_MEMBER = lazy(
    r"(?:self|this|cls|os|config|conf|cfg|settings|req|request|res|response|process|env|environ|options|opts|args|ctx"
    r"|context|params|props|app|user|data|module|import|body|headers|kwargs|session|db|client|credentials|secrets|vars)"
    r"(?:(?:\.|->|::|\?\.)[A-Za-z_]\w*)+"
)
# In code: a call or a look-up, a member, a plain name. Digits stand at the ends of its words, if anywhere.
_CODE_CALL = lazy(
    r"(?:await |new |not |&)?[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)*[(\[].{0,400}", re.DOTALL
)
_FILLED_IN = lazy(r"\{[\w.\[\]'\"!:()-]{1,80}\}")
_QUALIFIED = lazy(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_NAME = lazy(r"[A-Za-z_$][A-Za-z_$]*(?:[._-][A-Za-z_]+)*")
_LETTERS = lazy(r"[A-Za-z]+(?:['’-][A-Za-z]+)*[.,:;!?]?")
_PAIR = lazy(r"[A-Za-z_]\w{0,40}=[^=]")
# What things of a cluster are called: `app-tls-2024`, `sh.helm.release.v1.app.v1`.
_LABEL = lazy(r"(?:[a-z]+\d{0,4}|\d{1,4})(?:[._-](?:[a-z]+\d{0,4}|\d{1,4}))*")
_CUE = lazy(r"(?i:pass|pwd|secret|token|cred|auth|api_?key)|(?<![a-z])key|Key|KEY")
_MORE_WORDS = lazy(r"[ \t]+(?:[a-z]{2,}|[A-Z][a-z]+$|[A-Z][a-z]+[ \t,.]|[A-Za-z]+[ \t]+[a-z]{2,})")


def looks_random(value: str) -> bool:
    """Whether no person would have chosen *value*: long, of letters and digits mixed, or of both cases mixed inside."""
    if len(value) < 16 or any(sign.isspace() for sign in value):
        return False
    digits = sum(sign.isdigit() for sign in value)
    letters = sum(sign.isalpha() for sign in value)
    if digits < 2:
        return value.isalnum() and _words_are_odd(value)
    return letters >= 4 and not is_identifier(value)


def _words_are_odd(value: str) -> bool:
    """Whether the cases of *value*, which has no digit, change too often for words that were written together."""
    words = _words(value)
    is_short = len(words) >= 4 and sum(map(len, words)) / len(words) < 3
    return is_short or (len(value) >= 8 and sum(map(_strange_pairs, words)) > 2)


def _words(value: str) -> list[str]:
    return [word for word in _BORDERS.split(value) if word]


_BORDERS = lazy(r"[._\-]|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = lazy(r"[A-Za-z]{2,}\d{0,5}|\d{1,2}[a-z]{1,12}|[a-zA-Z]\d{0,2}|\d{1,4}|[a-z]{1,12}\d{1,4}[a-z]{1,12}")


def is_identifier(value: str) -> bool:
    """Whether *value* reads as words that were written together: `hide_cookie2`, `Ed25519PrivateKey`."""
    words = _words(value)
    if not re.fullmatch(r"[A-Za-z_$][\w.$-]*", value) or not all(_WORD.fullmatch(word) for word in words):
        return False
    odd = sum(map(_is_odd, words))
    strange = sum(map(_strange_pairs, words))
    if (odd > 1 and odd * 3 >= len(words)) or strange > 1 or (odd and strange):
        return False
    numbered = sum(any(sign.isdigit() for sign in word) for word in words)
    return sum(map(len, words)) / max(1, len(words)) >= (4 if numbered > 1 else 3) and numbered <= 3


# The words of two letters that names are made of; two others in one say that it is none.
_SHORT_WORDS = frozenset(
    """
    id ip db io os ui ux is to of in on by at as up no go do ok my we it an or if so vs pk fk tx rx cb fn cv ml ai js
    ts py rb rs cc us eu uk de fr en tv pc qa ci cd kv vm pv vs ad az gh gl tf ca kb mb gb px hz dm ws me he ed ec
    """.split()
)


def _is_odd(word: str) -> bool:
    letters = word.rstrip("0123456789").lower()
    if len(letters) == 2:
        return letters.isalpha() and letters not in _SHORT_WORDS
    return len(letters) >= 5 and not _VOWEL.search(letters) and letters not in _WITHOUT_VOWEL


# Letters, and those that hardly ever follow them in the names that programs have: of 160,000 of them 98 % have less
# than two such pairs, and of random words of 12 letters half have more.
_STRANGE = {
    pair[0]: pair[1:]
    for pair in (
        "aoz bfkqwxz cgjwxz dkxz ejz fghjkqvwxz gfjkpqvxy hfghjkpqvwxz ihjwy jcdfghijklmnpqrstvwxyz kbcfghjkmnqrvxyz"
        " lhjmrwxz mcghjnqwxz njqxz ojqyz pjqvxz qbdfghijklnopstvwxyz rhjqxz sjz tjkqv uhjkquvwyz vbdfghjklnqruvxyz"
        " wbfgjkmpquvwxyz xbdghjklmnoqruvwyz ybdfghjkoqruvwxyz zbcdfghjklmnpqrstuvwxyz"
    ).split()
}


def _strange_pairs(word: str) -> int:
    lower = word.lower()
    return sum(second in _STRANGE.get(first, "") for first, second in pairwise(lower))


_VOWEL = lazy(r"[aeiou]")
_WITHOUT_VOWEL = frozenset("bcrypt scrypt crypt mysql https pgsql mssql rhythm xhtml dhcpv nghttp".split())


def is_secret(value: str, family: Family, place: Place) -> bool:
    """Whether *value*, behind a name of that *family*, is a secret."""
    value = value.strip()
    if value.casefold().rstrip(".,:;!?)") in _WORDS or is_placeholder(value):
        return False
    if _NUMBER.fullmatch(value) and not (value.isdigit() and _may_be_number(value, family)):
        return False
    if (family == "key" and not _is_made(value, place)) or _is_short_of(value, place):
        return False
    if family != "password" and _WHERE.fullmatch(value):
        return False
    if _TIME.fullmatch(value) or _LICENCE.match(value) or _is_elsewhere(value):
        return False
    if family != "pin" and _is_label(value, place):
        return False
    if not _fits(value, family, place):
        return False
    if place.is_quoted:
        return _is_secret_in_quotes(value, family, place.name)
    return _is_secret_bare(value, family, place)


def _fits(value: str, family: Family, place: Place) -> bool:
    """Whether *value* is what stands there for a secret: in a column, in a list, in a program."""
    if place.separator == "|" and not _is_likely_in_cell(value, family):
        return False  # a column of a table, and what is said of it
    if place.separator == "," and not (place.is_pair or (is_opaque(value) and not is_identifier(value))):
        return False  # two of a list of names
    if place.is_code and (_FILLED_IN.search(value) or (value[0] in "([" and not place.is_quoted)):
        return False
    # secret "db-creds" not found
    is_word = place.separator == "space" and family == "secret" and (_LABEL.fullmatch(value) or not is_opaque(value))
    is_said = place.separator == "space" and family == "secret" and _HAPPENS.match(place.follows)
    return not is_word and not is_said


_HAPPENS = lazy(
    r"[\"']?[ \t]+(?:not|created|deleted|configured|unchanged|updated|already|is|in|from|of"
    r"|references|for|does|was|has)\b"
)


def _is_short_of(value: str, place: Place) -> bool:
    """Whether *value* is shorter than licences and signatures are."""
    return len(value) < 14 and place.name.lower().endswith(("license", "licence", "signature"))


def _is_made(value: str, place: Place) -> bool:
    """Whether *value* is one that programs make: one run, long, of all three kinds of sign; in `FASTLY_KEY` of two."""
    if not _RUN.fullmatch(value) or is_identifier(value) or _WORD_OF_PATH.search(value):
        return False
    if place.name.lower().endswith("seed"):
        return bool(_SEED.fullmatch(value))
    if place.name.endswith("PK") or place.name.lower().replace("_", "") in ("keyhex", "keybytes", "keymaterial"):
        return bool(_HEX_KEY.fullmatch(value))
    if place.is_pair or (place.name.isupper() and "_" in place.name):
        return sum(map(str.isdigit, value)) >= 2 and len(value) >= 20
    is_mixed = value.lower() != value and value.upper() != value and sum(map(str.isdigit, value)) >= 2
    return is_mixed and len(value) >= (20 if len(place.name) > 4 else 30)


_SEED = lazy(r"[A-Z2-7]{16,128}|(?:0x)?[0-9a-fA-F]{32,128}")
# `secret/data/app`, `dbpass:/etc/creds/dbpass`, `id=npm`
_WHERE = lazy(
    r"[a-z][a-z_-]{0,30}(?:/[a-z][a-z0-9_-]{0,30})+|[\w.-]{1,60}:/[\w./-]{1,200}|(?:id|src|source"
    r"|type|env|name|file)=.{0,200}"
)
_HEX_KEY = lazy(r"(?:0x)?[0-9a-fA-F]{32,128}")
_RUN = lazy(r"[A-Za-z0-9_+/~.-]{20,512}={0,2}")
_WORD_OF_PATH = lazy(r"(?<![A-Za-z0-9])[A-Za-z][a-z]{3,}(?![A-Za-z0-9])")
_LICENCE = lazy(r"(?:Apache|MIT|BSD|A?GPL|LGPL|MPL|CC|EPL|EUPL|ISC|Zlib|SSPL|BUSL|Artistic)(?:-[\d.A-Za-z+-]{1,20})?$")


def _is_likely_in_cell(value: str, family: Family) -> bool:
    if _COLUMN_TYPE.fullmatch(value):
        return False
    return is_opaque(value) if family == "password" else looks_random(value) and not _LABEL.fullmatch(value)


def _is_label(value: str, place: Place) -> bool:
    """Whether *value* is what people are to read above a field: `Passwort vergessen? (99)`."""
    if any(sign.isdigit() for sign in value.split(" ", maxsplit=1)[0]):
        return False
    if place.is_quoted:
        is_said = " " in value and (_ASKED.search(place.name) is not None or value[0].isupper())
        is_word = _LETTERS_OF_ANY.fullmatch(value if value.isascii() else value.replace("-", "")) is not None
        return (not value.isascii() and (is_word or not _ASCII_WORD.search(value))) or (
            (is_said and _PASSWORD_WORD.search(value) is not None)
            or (is_word and _SECRET_WORD.search(value) is not None)
        )
    return bool(_LETTERS_OF_ANY.fullmatch(value) and _PASSWORD_LABEL.fullmatch(value + place.follows.split("\n")[0]))


# What a password is called where people read it.
_CALLED_IN_ANY = (
    r"(?:pass ?words?|pass ?phrase|(?:kenn|pass)wort\w*|passwörter\w*|mots? de passe|contraseñas?|contrasenya|clave"
    r"|senhas?|palavra-passe|wachtwoord(?:en)?|lösenord\w*|adgangskode\w*|passor[d]\w*|salasana\w*|hasł[aoe]\w*"
    r"|hesl[aoe]\w*|jelsz\w*|парол\w*|şifre\w*|parola\w*|lozink\w*|geslo|gesla|κωδικ\w*|mật khẩu|kata sandi"
    r"|密[码碼]|パスワード|비밀번호)"
)
_PASSWORD_WORD = lazy(rf"(?<!\w){_CALLED_IN_ANY}(?!\w)|[码碼密]|パスワード|비밀번호", re.IGNORECASE)
_SECRET_WORD = lazy(
    rf"(?<!\w)(?:{_CALLED_IN_ANY}|geheimnis\w*|schlüssel\w*|token|secret|clé|chave|llave|chiave)(?!\w)|schlüssel$",
    re.IGNORECASE,
)
_PASSWORD_LABEL = lazy(
    rf"(?:[^\W\d_]+[ \t]+){{0,4}}{_CALLED_IN_ANY}(?:[ \t]+[^\W\d_]+){{0,5}}[?!.:]?[ \t]*", re.IGNORECASE
)
_LETTERS_OF_ANY = lazy(r"[^\W\d_]+[?!.:…]?")
_ASCII_WORD = lazy(r"[A-Za-z0-9]")
_ASKED = lazy(r"forgot|reset|change|confirm|repeat|again|new|old|current|enter|label|your", re.IGNORECASE)
_COLUMN_TYPE = lazy(r"[A-Za-z][\w ]{1,40}\([^()]{0,60}\)?|[a-z]{3,12}\d{1,2}|utf\w+")


def is_placeholder(value: str) -> bool:
    """Whether *value* only marks the place of one: `***`, `${PASSWORD}`, `<token>`, `[masked]`."""
    return len(value) < 3 or bool(_PLACEHOLDER.fullmatch(value))


def _may_be_number(value: str, family: Family) -> bool:
    return len(value) >= {"password": 5, "pin": 3, "secret": 12, "token": 16, "key": 99}[family]


def _is_elsewhere(value: str) -> bool:
    """Whether *value* only says where the secret is: a path, an address."""
    if _URL.match(value):
        return True
    return bool(_PATH.fullmatch(value.rstrip(":,;"))) and not any(
        looks_random(part) for part in re.split(r"[/\\]", value)
    )


def _is_secret_in_quotes(value: str, family: Family, name: str) -> bool:
    words = set(re.findall(r"[a-z0-9]+", value.lower()))
    if words and words <= set(re.findall(r"[a-z0-9]+", name.lower())):
        return False  # "aws_secret_access_key": "AWS Secret Access Key"
    if " " in value or "\t" in value:
        return family in ("password", "secret") and not _PROSE.search(value) and not _EXPRESSION.fullmatch(value)
    if (
        value[0] in ",)"
        or value.startswith("+ ")
        or (_is_compound(value) and _CUE.search(value) and is_identifier(value))
    ):
        return False  # between two strings; the name of a secret
    if family == "password":
        return True
    if family == "secret":
        return not (_LETTERS.fullmatch(value) and len(value) < 6)
    return is_opaque(value) or (family == "pin" and value.isdigit())


def _is_secret_bare(value: str, family: Family, place: Place) -> bool:
    if value.endswith(":") and place.separator == ":" and is_identifier(value[:-1]):
        return False  # `password: ldap_bind: invalid credentials`
    if (
        _TYPE.fullmatch(value)
        or _is_expression(value, place)
        or _is_reference(value.rstrip(":;,") or value, family, place)
    ):
        return False
    value = value.rstrip(":;,") or value
    if family == "pin":
        return value.isdigit() or is_opaque(value) or re.fullmatch(r"\d{2,4}(?:-\d{2,4}){1,3}", value) is not None
    is_word = bool(_LETTERS.fullmatch(value))
    if place.separator in ("==", "===", ",", "space"):
        return looks_random(value) or (not is_word and family == "password" and is_opaque(value))
    is_program = place.name.lower() in ("passwd", "chpasswd", "vncpasswd", "gpasswd")
    if is_word and place.separator == ":" and (is_program or _MORE_WORDS.match(place.follows)):
        return False  # "password: must be …"
    if family == "password":
        return not (is_word and value[-1] in ":!?")
    if family == "secret":
        return not is_word or (place.separator != ":" and len(value) >= 6) or len(value) >= 20
    return is_opaque(value)


def _is_reference(value: str, family: Family, place: Place) -> bool:
    """Whether *value* only names the secret: a member, a class, a label of one: `--secret=db-password`."""
    if place.separator == ":" and family != "password" and _PAIR.match(value):
        return True
    if family != "password" and _is_of_program(value, place.name):
        return True
    is_label = family == "secret" and _LABEL.fullmatch(value) is not None and _CUE.search(value) is not None
    return is_label or _MEMBER.fullmatch(value) is not None or _names_itself(value.rstrip(":;,."), place)


def _is_of_program(value: str, name: str) -> bool:
    """Whether *value* is a class, or what is called like *name*: `tf2sos_signature = lp2bp_signature`."""
    last = _words(name)[-1:]
    is_alike = (
        bool(last) and len(last[0]) > 3 and _words(value)[-1:] == last and re.fullmatch(r"[\w.]+", value) is not None
    )
    return is_alike or (
        _QUALIFIED.fullmatch(value) is not None and is_identifier(value.rsplit(".", 1)[-1]) and "Token" in value
    )


def _is_expression(value: str, place: Place) -> bool:
    """Whether *value* is a call or a look-up, which a program's line may break off behind the bracket, or an object."""
    if _OBJECT.match(value):
        return True
    if not (_CODE_CALL if place.is_code else _EXPRESSION).fullmatch(value):
        return False
    is_closed = place.is_code or value[-1] in "([=:" or any(bracket in value + place.follows for bracket in ")]")
    return is_closed and not looks_random(re.split(r"[(\[]", value)[0])


def _names_itself(value: str, place: Place) -> bool:
    """Whether *value* is the name of what holds the secret: `password=password`, `token = access_token`."""
    if value.casefold() == place.name.casefold():
        return True
    if any(sign.isdigit() for sign in value):
        is_one = _QUALIFIED.fullmatch(value) or ("_" in value and is_identifier(value))
        is_one = is_one and not _CHOSEN.search(value)
        return bool(place.is_code and is_one and not looks_random(value))
    if not _NAME.fullmatch(value) or _words_are_odd(value):
        return False
    if place.is_code or not _is_compound(value):
        return place.is_code
    # `password=db_password`, or handed on in a call; `password=super_secret` alone is one
    shared = _CUE.findall(value.lower()) and set(_CUE.findall(value.lower())) & set(_CUE.findall(place.name.lower()))
    return bool(shared) or (bool(_CUE.search(value)) and place.follows[:1] in (")", ","))


# Three digits, or capitals beside an underscore: no variable is called so.
_CHOSEN = lazy(r"\d{3}|[A-Z][a-z]+\d*_|_[A-Z][a-z]")


def _is_compound(value: str) -> bool:
    """Whether *value* is made of words: by case, by a dot or an underscore."""
    return "_" in value or "." in value or " " in value or (value[1:].lower() != value[1:] and value.upper() != value)


# `AppWindowToken{9f4ef63 …`, `com.example.Token@1a2b3c4d`
_OBJECT = lazy(r"[A-Z][a-z]{2,}[A-Za-z]*\{[^{}]{0,200}|[a-z]\w{0,40}(?:\.[\w$]{1,60}){1,8}@[0-9a-f]{3,8}$")


def is_opaque(value: str) -> bool:
    """Whether *value* is no word, name or number: letters and digits, cases mixed inside, or very long."""
    if len(value) < 6 or " " in value:
        return False
    if _LETTERS.fullmatch(value) or _NAME.fullmatch(value):
        return _words_are_odd(value) or (len(value) >= 32 and len(_words(value)) == 1)
    digits = sum(sign.isdigit() for sign in value)
    letters = sum(sign.isalpha() for sign in value)
    if len(value) < 8:
        return digits >= 2 and letters >= 2 and value.isalnum()
    return (digits >= 1 and letters >= 1 and (digits >= 2 or len(value) >= 12)) or digits >= 16


def is_told(value: str) -> bool:
    """Whether *value* looks like a password in the middle of a sentence: of two kinds of sign, digits among them."""
    if (
        len(value) >= 10
        and value.replace("-", "").replace("_", "").replace(".", "").isalpha()
        and _words_are_odd(value)
    ):
        return True
    if value.endswith(":") or not any(map(str.isdigit, value)) or re.fullmatch(r"[\d.:,/-]+|.*[@/].*", value):
        return False
    return any(map(str.islower, value)) or any(map(str.isupper, value)) or not value.isalnum()
