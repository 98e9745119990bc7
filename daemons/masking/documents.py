"""Secrets that the document around them says to be some: a Secret of Kubernetes, Terraform's state, a key in JSON, SQL.

No name stands before them that says so: a value in `data:` is called what its owner liked, a password of Terraform's is
a `result`, and in SQL the names of the columns stand in another bracket.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator

from daemons.masking.lazy import lazy
from daemons.masking.marks import Span, replaced
from daemons.masking.names import cues, name_at
from daemons.masking.values import Place, is_opaque, is_secret

_NEAR = 4000

# -- Kubernetes -------------------------------------------------------------------------------------------------------

_KIND_SECRET = lazy(r"kind[\\\"']{0,4}[ \t]?:[ \t]?[\\\"']{0,4}Secret(?![\w])")
_DATA = lazy(r"(?:string)?[dD]ata[\\\"']{0,4}[ \t]?:[ \t]?")
_DATA_LINE = lazy(
    r"\r?\n(?P<indent>[ \t]+)[\w.\"'-]{1,120}:[ \t]*[\"']?(?P<value>[^\s\"'|>{]{4,8192})[\"']?"
    r"[ \t]*(?=[\r\n]|$)"
)
_DATA_MEMBER = lazy(
    r"[\s,{]{0,40}[\\\"']{1,4}[\w.-]{1,120}[\\\"']{1,4}[ \t]?:[ \t]?[\\\"']{1,4}(?P<value>"
    r"[A-Za-z0-9+/=_.:-]{4,8192})[\\\"']{1,4}"
)

# -- Terraform --------------------------------------------------------------------------------------------------------

_RANDOM = lazy(
    r"random_(?:password|string)\b[^\n]{0,2000}?[\\\"']{0,4}(?:result|bcrypt_hash)[\\\"']{0,4}"
    r"[ \t]?[:=][ \t]?[\\\"']{1,4}(?P<value>[^\s\\\"']{4,256})"
    r"|random_(?:password|string)\b(?:[^\n]{0,200}\n){1,20}?[ \t+~-]*[\"']?result[\"']?[ \t]*[:=]"
    r"[ \t]*[\"'](?P<below>[^\s\"']{4,256})"
)

# -- JSON Web Keys ----------------------------------------------------------------------------------------------------

_PRIVATE_PART = lazy(r"[\\\"']{1,4}(?:d|k|p|q|dp|dq|qi)[\\\"']{1,4}[ \t]?:[ \t]?[\\\"']{1,4}(?P<value>[\w-]{16,4096})")

# -- SQL --------------------------------------------------------------------------------------------------------------

_INSERT = lazy(r"\binto[ \t]+[\w.\"`\[\]]{1,120}[ \t]*\((?P<columns>[^()]{3,2000})\)\s{0,20}values\s{0,20}", 2)
_ROW = lazy(r"\(\s{0,20}(?P<row>(?:[nN]?'(?:[^'\n]|'')*'|[^'()\n]|\((?:[^()\n'])*\)){1,4000})\)\s{0,8},?\s{0,8}")
_FIELD = lazy(r"\s{0,20}(?:[nN]?'(?P<text>(?:[^'\n]|'')*)'|(?P<other>[^,'\n]*))\s{0,20}(?:,|$)")
_ROWS = 64

# -- lines of files ---------------------------------------------------------------------------------------------------

# `host:5432:database:user:password` of .pgpass; `[smtp.x.org]:587 user:password` of Postfix
_PGPASS = lazy(
    r"(?m)(?:^|(?<=[ \t\"']))(?:[\w.*-]{1,200}):(?:\d{4,5}|\*):[\w.*-]{1,64}:[\w.*@-]{1,64}:"
    r"(?P<value>[^\s:]{3,200})[ \t]*$"
)
_SASL = lazy(r"(?m)(?:^|:[ \t])\[?[\w.-]{3,100}\]?(?::\w{2,10})?[ \t]+[\w.+@-]{1,100}:(?P<value>[^\s:/]{6,200})[ \t]*$")
# One of them stands in such a line, or close by.
_LINES = (":*:", ":5432:", ":5433:", ":6432:", ":5439:", "pgpass", "sasl", "]:587", "]:465", "]:25 ")
_IN_HEADS = tuple(sign + word for sign in ",;\t" for word in ("pass", "Pass", "secret", "token", "api_key", "PASS"))
# `username,password` above rows of as many values
_HEADS = lazy(
    r"(?m)^[ \t]*\"?[A-Za-z][\w -]{1,30}\"?(?P<sign>[,;\t])(?:\"?[A-Za-z][\w -]{1,30}\"?"
    r"(?P=sign)){0,12}\"?[A-Za-z][\w -]{1,30}\"?[ \t]*\r?\n"
)
_PLACE = Place(is_quoted=True, separator="=", follows="", name="", is_code=False, is_pair=False)


def masked_documents(text: str) -> str:
    """*text* with the secrets masked that its kind of document makes some."""
    spans: list[Span] = []
    if "Secret" in text and "ata" in text:
        spans += _of_kubernetes(text)
    if "random_" in text and "result" in text:
        spans += (found.span(found.lastgroup or 0) for found in _RANDOM.finditer(text))
    if "kty" in text:
        spans += (found.span("value") for found in _PRIVATE_PART.finditer(text))
    if "VALUES" in text or "values" in text:
        spans += _of_sql(text)
    if any(mark in text for mark in _LINES):
        spans += _of_lines(text)
    if " = '" in text and "= $" in text:
        spans += _of_parameters(text)
    if "]" in text and any(head in text for head in _IN_HEADS):
        spans += _of_brackets(text)
    if "\n" in text and any(head in text for head in _IN_HEADS):
        spans += _of_rows(text)
    return replaced(text, spans)


def _of_kubernetes(text: str) -> Iterator[Span]:
    kinds = [kind.start() for kind in _KIND_SECRET.finditer(text)]
    position = 0
    for data in _DATA.finditer(text) if kinds else ():
        nearest = bisect(kinds, data.start())
        if data.start() < position or all(
            abs(at - data.start()) > _NEAR for at in kinds[max(0, nearest - 1) : nearest + 1]
        ):
            continue
        position, member = data.end(), _DATA_LINE
        if text.startswith("{", position):
            position, member = position + 1, _DATA_MEMBER
        while found := member.match(text, position):
            if is_secret(found["value"], "password", _PLACE):
                yield found.span("value")
            position = found.end()


def _of_sql(text: str) -> Iterator[Span]:
    for insert in _INSERT.finditer(text):
        columns = [column.strip().strip("\"`[]'") for column in insert["columns"].split(",")]
        secret = {number for number, column in enumerate(columns) if _is_secret_column(column)}
        position = insert.end()
        for _ in range(_ROWS if secret else 0):
            row = _ROW.match(text, position)
            if not row:
                break
            for number, field in enumerate(_FIELD.finditer(text, row.start("row"), row.end("row"))):
                if number in secret and field["text"] and is_secret(field["text"], "password", _PLACE):
                    yield field.span("text")
            position = row.end()


def _of_parameters(text: str) -> Iterator[Span]:
    """`SET password = $2` … `$2 = 'x'`, as PostgreSQL logs it."""
    names = [name_at(text, at, cue) for at, cue in cues(text.lower(), ())]
    numbers = [_PARAMETER.match(text, name.end) for name in names if name and name.family != "pin"]
    secret = {number["number"] for number in numbers if number}
    yield from (found.span("value") for found in _PARAMETERS.finditer(text) if found["number"] in secret)


def _of_brackets(text: str) -> Iterator[Span]:
    for found in _COLUMNS.finditer(text):
        columns, values = found["columns"].split(","), found["row"].split(",")
        start = found.start("row")
        for column, value in zip(columns, values, strict=False) if len(columns) == len(values) else ():
            if _is_secret_column(column.strip()) and is_secret(value.strip(), "password", _PLACE):
                yield start, start + len(value)
            start += len(value) + 1


_PARAMETER = lazy(r"\"?[ \t]{0,4}=[ \t]{0,4}(?P<number>\$\d{1,2})(?!\d)")
_PARAMETERS = lazy(r"(?P<number>\$\d{1,2}) = '(?P<value>[^'\n]{3,400})'")
_COLUMNS = lazy(r"\[(?P<columns>[A-Za-z_]\w{0,30}(?:, ?\w{1,30}){1,20})\][^\[\]\n]{0,30}\[(?P<row>[^\[\]\n]{3,600})\]")


def _of_rows(text: str) -> Iterator[Span]:
    for heads in _HEADS.finditer(text):
        columns = [column.strip().strip('"') for column in heads.group().rstrip("\r\n").split(heads["sign"])]
        secret = [number for number, column in enumerate(columns) if _is_secret_column(column)]
        position = heads.end()
        while secret and position < len(text):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            fields = text[position:end].split(heads["sign"])
            if len(fields) != len(columns):
                break
            for number in secret:
                value = fields[number].strip().strip('"')
                start = position + sum(map(len, fields[:number])) + number
                if is_opaque(value) and is_secret(value, "password", _PLACE):
                    start = text.index(value, start)
                    yield start, start + len(value)
            position = end + 1


def _is_secret_column(column: str) -> bool:
    names = [name_at(column, at, cue) for at, cue in cues(column.lower(), ())]
    return any(name and name.end == len(column) and name.family in ("password", "secret", "token") for name in names)


def _of_lines(text: str) -> Iterator[Span]:
    for found in _PGPASS.finditer(text):
        if is_secret(found["value"], "password", _PLACE) and (is_opaque(found["value"]) or "pgpass" in text):
            yield found.span("value")
    for found in _SASL.finditer(text):
        if is_opaque(found["value"]) and "." in found.group():
            yield found.span("value")
