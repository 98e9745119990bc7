"""Passwords among the arguments of a call, as programs and traces show them: `PDO->__construct('…', 'u', 'pw')`."""

from __future__ import annotations

_ARGUMENT = r"(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'|[\w$.>:\[\]()# -]{1,80})"
_NEXT = r"\s{0,20},\s{0,20}"
_TEXT = r"[bru]?(?:\"(?P<quoted>[^\"\n]{1,200})\"|'(?P<single>[^'\n]{1,200})')"
_CHOSEN = r"[bru]?[\"'](?P<chosen>[^\"'\s]{6,200})[\"']"
_OPAQUE = r"[bru]?[\"'](?P<likely>[^\"'\s]{6,200})[\"']"


def _call(name: str, place: int, value: str = _TEXT) -> str:
    """A call of *name* whose password is the argument number *place*, from 1."""
    return rf"{name}\(\s{{0,20}}" + (_ARGUMENT + _NEXT) * (place - 1) + value


# A substring that such a call has, and the call.
CALLS = (
    ("PDO", _call(r"\bPDO\w{0,20}(?:->__construct|::__construct|::connect)?", 3)),
    (
        "mysql",
        _call(r"\b(?:mysqli?_p?connect|mysqli|mysqli(?:->|::)(?:__construct|(?:real_)?connect)|pymysql\.connect)", 3),
    ),
    ("PdoConnection", _call(r"\w{1,20}PdoConnection", 3)),
    ("mysqli_real_connect", _call("mysqli_real_connect", 4)),
    ("MySQLdb", _call(r"MySQLdb\.connect", 3)),
    ("Mysql", _call(r"Mysql2?(?:::Client)?\.new", 3)),
    ("getConnection", _call(r"\bgetConnection", 3)),
    ("DBI::", _call(r"\bDBI::connect(?:_cached)?", 4)),
    ("DBI", _call(r"\bDBI(?:->|\.)connect(?:_cached)?", 3)),
    ("odbc_", _call(r"\bodbc_p?connect", 3)),
    ("ibase_", _call(r"\bibase_p?connect", 3)),
    ("oci_", _call(r"\boci_p?connect", 2)),
    ("Redis(", _call(r"\bRedis", 4, _OPAQUE)),
    (".connect(", _call(r"\.connect", 4, _OPAQUE)),
    ("FTP", _call(r"\bFTP(?:_TLS)?", 3)),
    ("ftp_login", _call(r"\bftp_login", 3)),
    ("ldap_bind", _call(r"\bldap_bind", 3)),
    ("imap_open", _call(r"\bimap_open", 3)),
    ("ssh2_auth", _call(r"\bssh2_auth_password", 3)),
    ("Sequelize", _call(r"\bSequelize", 3)),
    ("simple_bind", _call(r"\.simple_bind(?:_s)?", 2)),
    ("InfluxDBClient", _call(r"\bInfluxDBClient", 4)),
    ("PlainAuth", _call(r"\bPlainAuth", 3)),
    ("asicAuth", _call(r"\b(?:HTTP|Set|set|with)?[Bb]asicAuth(?:entication)?", 2)),
    ("uth.basic", _call(r"\b[Aa]uth\.basic", 2)),
    ("redential]::new(", _call(r"\w{0,30}Credentials?\]::new", 2)),
    ("TOTP(", _call(r"\b[TH]OTP", 1, _OPAQUE)),
    ("redential(", _call(r"\b\w{0,30}Credentials?", 2)),
    ("db.auth(", _call(r"\bdb\.auth", 2)),
    ("pgp_sym_", _call(r"\bpgp_sym_\w{2,20}", 2)),
    ("CRYPT(", _call(r"\b(?:AES|DES)_(?:EN|DE)CRYPT", 2)),
    ("ogin(", _call(r"\b\w{0,20}[lL]ogin", 2, _CHOSEN)),
    ("uthenticate(", _call(r"\b\w{0,20}[aA]uthenticate", 2, _CHOSEN)),
    ("password_", _call(r"\bpassword_(?:verify|hash)", 1)),
    ("assword(", _call(r"\b\w{0,20}[pP]assword", 1, _OPAQUE)),
    ("assword(", _call(r"\b\w{0,20}[pP]assword", 2, _OPAQUE)),
    ("asswordCredential", _call(r"\b(?:Username)?PasswordCredentials?", 2)),
    ("PasswordAuthentication", _call(r"\bPasswordAuthentication", 2)),
    ("NetworkCredential", _call(r"\bNetworkCredential", 2)),
    ("HTTPDigestAuth", _call(r"\bHTTPDigestAuth", 2)),
    ("PlainAuthProvider", _call(r"\bPlainTextAuthProvider", 2)),
    ("AWSCredentials", _call(r"\b(?:Basic)?AWSCredentials", 2)),
    ("AwsBasicCredentials", _call(r"\bAwsBasicCredentials\.create", 2)),
    ("basic_auth", _call(r"\b(?:http_)?basic_auth(?:=|[ \t])?", 2)),
    ("http_auth", _call(r"\bhttp_auth(?:=|[ \t])?", 2)),
    (".login", _call(r"(?:\.|->|::)login", 2, _OPAQUE)),
    (".auth(", _call(r"\.auth", 2, _OPAQUE)),
    (".auth(", _call(r"[rR]edis\w{0,20}\.auth", 1)),
    ("->auth(", _call(r"[rR]edis\w{0,20}->auth", 1)),
    ("auth=(", _call(r"\bauth=", 2)),
    ("auth = (", _call(r"\bauth = ", 2)),
    ("auth:", r"\bauth:[ \t]{0,4}\[?[\"'][^\"'\n]{1,100}[\"'],[ \t]{0,4}" + _OPAQUE + r"\]"),
    ("USERPWD", r"(?:CURLOPT_)?(?:PROXY)?USERPWD,\s{0,20}[\"'][^\s:\"']{1,100}:(?P<bare>[^\"'\n]{1,200})[\"']"),
    # the key before it may be masked by now
    ("Client(", r"Client\(\s{0,20}[\"'](?:AC[0-9a-f]{32}|\[masked\])[\"']" + _NEXT + _OPAQUE),
    ("client(", r"client\(\s{0,20}[\"'](?:AC[0-9a-f]{32}|\[masked\])[\"']" + _NEXT + _OPAQUE),
    (
        "wilio",
        r"[tT]wilio[\w.:\"\')]{0,30}\(\s{0,20}(?:[\"'](?:[A-Z]{2}[0-9a-f]{32}|\[masked\])[\"']|[\w.]{1,40})"
        + _NEXT
        + _OPAQUE,
    ),
    ("redentials(", r"[cC]redentials\(\s{0,20}[\"'](?:[A-Z0-9]{16,40}|\[masked\])[\"']" + _NEXT + _OPAQUE),
)
