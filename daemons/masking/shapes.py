"""Secrets that show what they are, whatever stands around them: private keys, tokens with their maker's prefix."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from daemons.masking.lazy import lazy
from daemons.masking.marks import MASK, Span, replaced
from daemons.masking.values import is_identifier, looks_random

# What tokens of known makers begin with, and how they go on. Prefixes alone are words: `sk-learn`, `hf_hub_download`.
_TOKENS = (
    r"sk-(?:ant|proj|svcacct|admin|None|or-v1|lf|service)-[\w-]{16,}",
    r"sk-(?=[A-Za-z]*\d)[A-Za-z0-9]{20,}",
    r"gh[opusr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"gl(?:pat|dt|rt|ptt|cbt|soat|imt|agent|ft|ffct|oas)-[\w.-]{18,}",
    r"xox[abcdeoprs]-(?=[\w-]*\d)[\w-]{10,}",
    r"xapp-\d-[\w-]{20,}",
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"AIza[\w-]{30,}",
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{20,}",
    r"1//0[\w-]{30,}",
    r"SG\.[\w-]{16,}\.[\w-]{16,}",
    r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    r"whsec_[A-Za-z0-9+/=]{20,}",
    r"SK[0-9a-f]{32}(?![A-Za-z0-9])",
    r"npm_(?=[A-Za-z]*\d)[A-Za-z0-9]{30,}",
    r"pypi-[\w-]{50,}",
    r"(?:hf|api_org)_[A-Za-z0-9]{30,}",
    r"do[opr]_v1_[0-9a-f]{40,}",
    r"shp(?:at|ss|ca|pa|tka)_[0-9a-fA-F]{20,}",
    r"hv[sbr]\.[\w-]{20,}",
    r"dapi[0-9a-f]{32}",
    r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{40,}",
    r"PMAK-[0-9a-f]{20,}-[0-9a-f]{30,}",
    r"(?:secret|ntn)_[A-Za-z0-9]{40,}",
    r"sl\.(?:u\.)?[\w-]{60,}",
    r"EAA[\w-]{40,}",
    r"key-[0-9a-f]{32}",
    r"rubygems_[0-9a-f]{40,}",
    r"CLOJARS_[a-z0-9]{50,}",
    r"oy2[a-z0-9]{43}",
    r"sntry[su]_[\w+/=-]{40,}",
    r"NR(?:AK|JS|RA|II|AA|BR)-[A-Za-z0-9-]{19,}",
    r"gl(?:sa|c)_[\w+/=-]{30,}",
    r"pul-[0-9a-f]{40}",
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{50,}",
    r"AT(?:ATT|CTT|OATT)3x[\w=-]{60,}",
    r"ATBB[A-Za-z0-9]{28,}",
    r"BBDC-[A-Za-z0-9+/@]{40,}",
    r"dckr_(?:pat|oat)_[\w-]{20,}",
    r"sbp_[0-9a-f]{40}",
    r"sb_secret_[\w-]{20,}",
    r"nfp_[A-Za-z0-9]{30,}",
    r"fo1_[\w-]{40,}",
    r"fm[12][ra]?_[\w+/=-]{40,}",
    r"rnd_[A-Za-z0-9]{24,}",
    r"pscale_(?:tkn|pw|oauth)_[\w.=-]{30,}",
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}",
    r"[MNO][A-Za-z0-9_-]{23,27}\.[\w-]{6}\.[\w-]{27,}",
    r"mfa\.[\w-]{60,}",
    r"sq0(?:atp|csp|idp)-[\w-]{20,}",
    r"[0-9a-f]{32}-us\d{1,2}(?!\w)",
    r"(?:xkeysib|xsmtpsib)-[0-9a-f]{40,}(?:-[A-Za-z0-9]{10,})?",
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{60,}",
    r"fig[dour]_[\w-]{36,}",
    r"shippo_(?:live|test)_[0-9a-f]{30,}",
    r"duffel_(?:live|test)_[\w=-]{30,}",
    r"EZ[AT]K[A-Za-z0-9]{40,}",
    r"FLW(?:SECK|PUBK)(?:_TEST)?-[\w-]{20,}",
    r"fio-u-[\w=-]{40,}",
    r"(?:live|test)_[0-9a-f]{35}(?!\w)",
    r"access-(?:sandbox|development|production)-[0-9a-f-]{36}",
    r"rdme_[a-z0-9]{50,}",
    r"tfp_[\w=.-]{40,}",
    r"pn[ub]_[A-Za-z0-9]{36}",
    r"tk-us-[\w-]{40,}",
    r"sgp_(?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}",
    r"bk(?:ua|at|ct|pt|pi|aj)_[A-Za-z0-9]{30,}",
    r"CCIP(?:AT|RJ)_[\w-]{30,}",
    r"dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    r"gsk_[A-Za-z0-9]{40,}",
    r"pplx-[A-Za-z0-9]{40,}",
    r"r8_[A-Za-z0-9]{30,}",
    r"xai-[A-Za-z0-9]{60,}",
    r"csk-[a-z0-9]{40,}",
    r"esecret_[a-z0-9]{20,}",
    r"ls(?:v2_(?:pt|sk)|__)_[0-9a-f_]{32,}",
    r"pcsk_[\w]{40,}",
    r"tvly-[\w-]{20,}",
    r"nvapi-[\w-]{40,}",
    r"tgp_v1_[\w-]{40}",
    r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}",
    r"rzp_(?:live|test)_[A-Za-z0-9]{14,}",
    r"ico-[A-Za-z0-9]{32}",
    r"AKCp[A-Za-z0-9]{60,}",
    r"cmVmd[A-Za-z0-9]{40,}",
    r"A3-[A-Z0-9]{6}-[A-Z0-9-]{20,}",
    r"ops_eyJ[\w+/=-]{100,}",
    r"LTAI[A-Za-z0-9]{12,}",
    r"AKID[A-Za-z0-9]{28,}",
    r"AQVN[\w-]{35,}",
    r"y0_[\w-]{50,}",
    r"HRKU-[\w-]{30,}",
    r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}",
    r"tskey-[a-z]+-[\w-]{16,}",
    r"sq[pua]_[0-9a-f]{40}",
    r"(?:pat|sat)\.[\w-]{22}\.[0-9A-Za-z]{24}\.[0-9A-Za-z]{20}",
    r"CFPAT-[\w-]{40,}",
    r"pat-(?:na|eu|ap)\d-[0-9a-f-]{36}",
    r"s-s4t2(?:ud|af)-[0-9a-f]{60,}",
    r"API-[A-Z0-9]{26,}",
    r"sha256~[\w-]{43}",
    r"[A-Za-z0-9_~.]{3}\dQ~[\w~.-]{31,34}",
    r"AstraCS:[A-Za-z0-9]{20,}:[0-9a-f]{60,}",
    r"phx_[A-Za-z0-9]{40,}",
    r"fc-[0-9a-f]{32}",
    r"lk_[0-9a-f]{32}",
    r"p8e-[a-z0-9]{32}(?!\w)",
    r"AIK_(?:CI|SECRET|CLIENT)_[A-Za-z0-9]{20,}",
    r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[\w+/=-]{30,}",
    r"4b1d(?=[A-Za-z0-9]*[A-Z])[A-Za-z0-9]{38}(?!\w)",
    r"dnkey-[\w=-]{26}-[\w=-]{52}",
    r"GR1348941[\w-]{20,}",
    r"A3T[A-Z0-9]{17}(?!\w)",
    r"STS\.[A-Za-z0-9]{16,}",
    r"ZXlK[A-Za-z0-9+/]{40,}",
    r"[ps]k\.eyJ[\w-]{20,}\.[\w-]{20,}",
    r"sm_[aps]at_[A-Za-z0-9]{16}",
    r"xoxe\.xox[bp]-\d-[A-Za-z0-9]{60,}",
    r"(?:v1|v2|v3|v4)\.(?:local|public)\.[\w-]{40,}",
    r"eyJ[\w-]{8,}\.\.[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    r"[xyzt]prv(?=[A-Za-z]*\d)[A-Za-z0-9]{100,}",
    r"nsec1[a-z0-9]{56,}",
    r"(?:SU|SA|SN|SO|SC|SX)(?=[A-Z]*\d)[A-Z0-9]{56}(?!\w)",
    r"SWMTKN-1-[a-z0-9]{40,}-[a-z0-9]{20,}",
    r"oauth:[a-z0-9]{30}(?!\w)",
    r"[srp]k_(?=[A-Za-z]*\d)[A-Za-z0-9]{24,}(?!\w)",
    r"sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{32,}",
    r"(?:pi|seti|cs|ek)_[A-Za-z0-9_]{14,}_secret_[A-Za-z0-9]{20,}",
    r"vc[picark]_[A-Za-z0-9]{24,}",
    r"napi_[a-z0-9]{40,}",
    r"npg_(?=[A-Za-z]*\d)[A-Za-z0-9]{12,}",
    r"cf(?:ut|at|k)_[\w-]{37,}",
    r"SCW(?=[A-Z]*\d)[A-Z0-9]{17}(?!\w)",
    r"\w{32,40}NRAL(?!\w)",
    r"hc[a-z]{2,4}_[a-z0-9]{50,}",
    r"essu_[A-Za-z0-9+/=]{40,}",
    r"(?:sdk|mob|api)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?!\w)",
    r"secret-(?=[A-Za-z]*\d)[A-Za-z0-9]{40,}",
    r"(?:secret|public)-(?:live|test)-[\w=-]{40,}",
    r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?!\w)",
    r"md-(?=[\w-]*[A-Z])[\w-]{22}(?!\w)",
    r"dG9rO[A-Za-z0-9+/]{50,}",
    r"(?:0|1|2)/\d{16}(?:/\d{16})?:[0-9a-f]{32}(?!\w)",
    r"pk_\d{6,10}_[A-Z0-9]{32}",
    r"ATTA[0-9a-f]{60,}",
    r"eyJrIjoi[A-Za-z0-9]{60,}",
    r"ls__[0-9a-f_]{32,}",
    r"4/0[\w-]{40,}",
    r"AAAA[\w-]{7}:[\w-]{100,}",
    r"AAAAAAAAAAAAAAAAAAAA[\w%]{60,}",
    r"ABSK[A-Za-z0-9+/]{100,}",
    r"bedrock-api-key-[A-Za-z0-9+/=]{60,}",
    r"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/]{80,}",
    r"snyk_[us]at\.[0-9a-f]{8}\.[\w.-]{40,}",
    r"cio[A-Za-z0-9]{32}(?!\w)",
    r"packagist_[a-z]{3,4}_[0-9a-f]{40,}",
    r"s\.(?=[A-Za-z]*\d)[A-Za-z0-9]{24}(?!\w)",
    r"st\.[0-9a-f]{24}\.[0-9a-f.]{32,}",
    r"0\.[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\.[A-Za-z0-9]{24,}:[A-Za-z0-9+/]{20,}",
    r"do(?:se|ef)[0-9a-f]{32}(?!\w)",
    r"dbt[cu]_[\w-]{40,}",
    r"cflt[A-Za-z0-9+/]{50,}",
    r"mdb_sa_sk_[\w-]{36,}",
    r"CCDB1_[A-Za-z0-9]{22}_[A-Za-z0-9]{40}",
    (
        r"(?:fw|jina|e2b|crsr|bb_live|wandb_v1|apify_api|flp|pdl_live|pdl_sdbx|polar|lf|dls|pina|nk"
        r"|wpl|sbx)_(?=[A-Za-z_]*\d)[\w+/-]{20,}"
    ),
    r"pa-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{43}(?!\w)",
    r"a[ks]-(?=[A-Za-z]*\d)[A-Za-z0-9]{22}(?!\w)",
    r"(?:live|test)_(?=[A-Za-z]*\d)[A-Za-z0-9]{30,}",
    r"c[ks]_[0-9a-f]{40}(?!\w)",
    r"[0-9a-f]{24}:[0-9a-f]{64}(?!\w)",
    r"IG(?:QV|AA)[\w-]{60,}",
    r"BQ(?=[\w-]*\d)[\w-]{100,}",
    r"t1\.[A-Za-z0-9_-]{20,}={0,2}\.[\w-]{80,}",
    r"YC(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{38}(?!\w)",
    r"bce-v3/ALTAK-[A-Za-z0-9]{16,}/[0-9a-f]{32,}",
    r"AKLT[\w-]{20,}",
    r"[0-9a-f]{32}\.[A-Za-z0-9]{16}(?!\w)",
    r"2[A-Za-z0-9]{26}_[A-Za-z0-9]{20,}(?!\w)",
    r"u\+[A-Za-z0-9_-]{18}(?!\w)",
    r"PMAT-[A-Z0-9]{26}",
    r"00(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{40}(?![\w+/=-])",
    r"[0-9a-f]{10}msh\w{15}p1\w{6}jsn\w{12}",
    r"1000\.[0-9a-f]{32}\.[0-9a-f]{32}",
    r"LS0tLS1CRUdJTi(?:BSU0Eg|BQUklW|BFQyBQ|BPUEVO|BFTkNS|BEU0Eg|BQR1AgUFJJ)[A-Za-z0-9+/]{20,}",
    r"md5[0-9a-f]{32}(?!\w)",
    r"(?:ST|PT|TGT|PGT|PGTIOU)-\d{1,10}-[A-Za-z0-9_-]{18,}(?:-[\w.-]{1,40})?",
    r"base64:[A-Za-z0-9+/]{42,}={0,2}",
    r"aio_[A-Za-z0-9]{24,}",
    r"t1\.[A-Za-z0-9_-]{80,}",
    r"eyJwYXlsb2Fk[A-Za-z0-9+/]{60,}",
    r"eyJpdiI6[A-Za-z0-9+/]{40,}",
    r"live_\d{6,12}_[A-Za-z0-9]{20,}",
    r"[\w-]{2,2048}\.[A-Za-z0-9_-]{6}\.(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[A-Za-z0-9_-]{27}(?![\w-])",
    r"eyJ[\w-]{8,}(?:\.[\w-]{6,}){1,4}\.?",
)
# Tokens are found as whole runs of their letters, so that no prefix inside a longer word counts.
_RUN = lazy(r"(?<![\w.~/:+-])[\w.~/:+-]{16,}=*", re.ASCII)


_UNIT = r"(?:\\[.+/]|[A-Za-z0-9_/-])"


@cache
def _by_beginning() -> dict[str, tuple[re.Pattern[str], ...]]:
    """The patterns of `_TOKENS` by their first two letters, or the first; under none those that begin with any."""
    groups: defaultdict[str, list[re.Pattern[str]]] = defaultdict(list)
    for source in _TOKENS:
        pattern = lazy(source, re.ASCII)
        for beginning in _beginnings(source):
            groups[beginning].append(pattern)
    return {beginning: tuple(patterns) for beginning, patterns in groups.items()}


def _beginnings(source: str) -> set[str]:
    words = re.match(r"\(\?:([^()\[\]]+)\)|\[([A-Za-z0-9]+)\]", source)
    rest = source[words.end() :] if words else source
    found: set[str] = set()
    for word in (words[1].split("|") if words[1] else words[2]) if words else ("",):
        plain = re.match(rf"({_UNIT}{{1,2}})(?![?*{{])", word + rest)
        beginning = plain[1].replace("\\", "") if plain else ""
        found.add(beginning[:1] if beginning and re.match(rf"{_UNIT}[\[(]", word + rest) else beginning)
    return found


# Those are longer than times and versions, which many runs are.
_ANY_MIN = 32


def masked_shapes(text: str) -> str:
    """*text* with each secret that is known by its looks masked."""
    if "PRIVATE KEY" in text or "Private-Lines" in text:
        text = replaced(text, _key_blocks(text))
        text = _END_OF_KEY.sub(f"{MASK}\n", text)
        text = _PUTTY_KEY.sub(rf"\g<lines>\n{MASK}", text)
    if "$" in text or "{" in text:
        text = _PASSWORD_HASH.sub(MASK, text)
    if "::" in text or "S:" in text or "*" in text or "0x0" in text:
        text = replaced(text, (found.span(found.lastgroup or 0) for found in _STORED_HASH.finditer(text)))
    if len(text) >= _LINE_OF_KEY:
        text = _without_key_lines(text)
    if "00D" in text:
        text = _SALESFORCE.sub(MASK, text)
    if "AKIA" in text or "ASIA" in text:
        text = replaced(
            text, (found.span("secret") for found in _BESIDE_ID.finditer(text) if looks_random(found["secret"]))
        )
    return replaced(text, _tokens(text))


def _tokens(text: str) -> Iterator[Span]:
    for run in _RUN.finditer(text):
        start, end = run.span()
        found = _token(text, start, end)
        if found:
            yield found
            continue
        # Others' words may stand before it, as in `bot123456789:AA…` or `token:ghp_…`.
        for cut in _CUTS.finditer(text, start, end):
            found = _token(text, cut.end(), end)
            if found:
                yield found
                break


_CUTS = lazy(r"[:/=.+](?=[\w.-]{10})", re.ASCII)


def _token(text: str, start: int, end: int) -> Span | None:
    patterns = _by_beginning()
    known = (*patterns.get(text[start : start + 2], ()), *patterns.get(text[start], ()))
    for pattern in (*known, *(patterns[""] if end - start >= _ANY_MIN else ())):
        found = pattern.match(text, start, end)
        if found and not _is_class(found.group()):
            return found.span()
    if end - start >= _LONG and any(text.find(mark, start, min(end, start + _MARKED_BYTES)) >= 0 for mark in _MARKS):
        found = _MARKED.match(text, start, end)
        return found.span() if found else None
    telegram = _TELEGRAM.match(text, start, end)
    return telegram.span("token") if telegram else None


def _is_class(token: str) -> bool:
    """Whether *token* is a name of a program with dots, as `org.apache.kafka.common.errors.SaslException`."""
    *modules, last = token.split(".")
    return len(modules) > 1 and is_identifier(last) and all(_MODULE.fullmatch(module) for module in modules)


# Azure's, which are marked inside.
_LONG = 40
_MARKED_BYTES = 130
_MARKS = (
    "AZDO",
    "APIM",
    "ACDb",
    "+ABa",
    "+AMC",
    "+ASt",
    "AIoT",
    "+ASb",
    "+AEh",
    "+ARm",
    "AzFu",
    "AzSe",
    "+ACR",
    "JQQJ99",
    "ACAAAAA",
)
_MARKED = lazy(
    r"[A-Za-z0-9+/_-]{33,90}(?:AZDO|APIM|ACDb|\+ABa|\+AMC|\+ASt|AIoT|\+ASb|\+AEh|\+ARm|AzFu|AzSe|\+ACR|JQQJ99|ACAAAAA)"
    r"[A-Za-z0-9+/_-]{4,30}={0,2}"
)
_MODULE = lazy(r"[A-Za-z_]{1,40}\d{0,3}")
_TELEGRAM = lazy(r"(?:bot)?\d{8,10}:(?P<token>[\w-]{34,36})(?![\w-])", re.ASCII)

# The second half of a key of Amazon's, wherever it stands beside the first.
_SALESFORCE = lazy(r"\b00D[A-Za-z0-9]{12,15}![\w.]{60,}", re.ASCII)
_BESIDE_ID = lazy(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b[^A-Za-z0-9+/][\s\S]{0,120}?(?<![A-Za-z0-9+/_-])(?P<secret>"
    r"[A-Za-z0-9+/]{40})(?![\w+/=-])"
)

# -- private keys -----------------------------------------------------------------------------------------------------

_BEGIN = lazy(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?!\[masked)")
_END = lazy(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_BYTES = 64 << 10
# A key without its end was cut: it goes on as long as there are lines of a key's letters.
_CUT_KEY = lazy(
    r"(?:[\s\\rn\"',|>+]|[A-Z][A-Za-z-]{2,20}: [^\n]{0,80}\n){0,40}[A-Za-z0-9+/=]{16}[A-Za-z0-9+/=\s\\\"',|>]*"
)
_END_OF_KEY = lazy(r"(?:^[A-Za-z0-9+/=]{1,76}\r?\n){1,100}(?=-----END [A-Z0-9 ]{0,40}PRIVATE KEY)", re.MULTILINE)
_PUTTY_KEY = lazy(r"(?P<lines>Private-Lines: \d{1,4})(?:\r?\n[A-Za-z0-9+/=]{1,76})+")


def _key_blocks(text: str) -> Iterator[Span]:
    position, has_end = 0, True
    while begin := _BEGIN.search(text, position):
        start = position = begin.end()
        end = _END.search(text, start) if has_end else None
        has_end = end is not None
        if end and end.end() - start < _BLOCK_BYTES:
            position = end.end()
            yield start, position
        elif cut := _CUT_KEY.match(text, start):
            position = cut.end()
            yield start, position


# The middle of a key whose beginning stands elsewhere: a whole line of base64, which no hash in hex is.
_LINE_OF_KEY = 64
_KEY_LINE = lazy(r"^[A-Za-z0-9+/]{64}(?:[A-Za-z0-9+/]{6}|[A-Za-z0-9+/]{12})?$", re.MULTILINE)
_HEX = lazy(r"[0-9a-f]+|[0-9A-F]+")
# How keys begin in base64, with nothing around them.
_BARE_KEY = lazy(
    r"(?<![A-Za-z0-9+/])(?:MII[EJ][\w+/]{2}(?:IBAAKCA|IBADANBgkqhkiG9w0BAQE)|MHcCAQEEI|MIGHAgEAMBMG|MC4CAQAwBQYDK2V"
    r"|b3BlbnNzaC1rZXktdjE)[A-Za-z0-9+/]{20,}={0,2}"
)
_BEGIN_PUBLIC = lazy(r"-----BEGIN (?![A-Z0-9 ]{0,40}PRIVATE)[A-Z0-9 ]{1,40}-----")


def _without_key_lines(text: str) -> str:
    """*text* with such lines masked; certificates and public keys, which are made of the same, stay."""
    parts: list[str] = []
    position = 0
    while begin := _BEGIN_PUBLIC.search(text, position):
        end = text.find("-----END", begin.end())
        parts += (
            _without_lines(text[position : begin.start()]),
            text[begin.start() : end if end > 0 else None],
        )
        if end < 0:
            return "".join(parts)
        position = end
    return "".join(parts) + _without_lines(text[position:])


def _without_lines(text: str) -> str:
    if "MI" in text or "MHc" in text or "b3B" in text or "MC4" in text:
        text = _BARE_KEY.sub(MASK, text)
    return _KEY_LINE.sub(_masked_line, text)


def _masked_line(found: re.Match[str]) -> str:
    line = found.group()
    is_mixed = line.lower() != line and line.upper() != line and any(sign.isdigit() for sign in line)
    return MASK if is_mixed and not _HEX.fullmatch(line) else line


# What a password was turned into can be guessed back from.
_PASSWORD_HASH = lazy(
    r"\$(?:2[abxy]?|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]{0,16}|[156]|y|7|gy|ml|apr1|sha1"
    r"|krb5\w{2,12}|DCC2)\$[\w./,=$+#*@-]{16,}"
    r"|\$(?:[89]\$[^\s\"';]{8,}|[PHS]\$[\w./]{31})"
    r"|\{(?:SSHA\d{0,3}|SHA\d{0,3}|SMD5|MD5|CRYPT|BLF-CRYPT|ARGON2ID?|PBKDF2[\w-]{0,12})\}[^\s\"';,]{16,}"
    r"|(?:pbkdf2_sha256|pbkdf2_sha1|scrypt|bcrypt_sha256):?\$?[\w.]{1,20}\$[\w./+-]{4,64}\$[\w./+=-]{16,}"
    r"|(?:pbkdf2:sha\d{1,3}:\d{1,7}|scrypt:\d{1,7}:\d{1,3}:\d{1,3})\$[\w./+-]{4,64}\$[0-9a-f]{32,}"
    r"|SCRAM-SHA-\d{1,3}\$\d{1,7}:[A-Za-z0-9+/=]{8,}\$[A-Za-z0-9+/=]{16,}:[A-Za-z0-9+/=]{16,}"
)
# What Windows and MySQL store.
_STORED_HASH = lazy(
    r"(?<=:)\d{1,6}:(?P<lm>[0-9a-fA-F]{32}:[0-9a-fA-F]{32})(?=:::)|(?<![\w*])(?P<mysql>\*[0-9A-F]{40})(?!\w)"
    r"|(?<=::)[^\s:]{0,64}:[0-9a-fA-F]{16}:(?P<ntlm>[0-9a-fA-F]{32}:[0-9a-fA-F]{32,2000})"
    r"|\b(?P<oracle>S:[0-9A-F]{60}(?:;[A-Z]:[0-9A-F]{32,400}){0,3})"
    r"|(?<!\w)(?P<mssql>0x0[12]00[0-9A-Fa-f]{48,})"
)
