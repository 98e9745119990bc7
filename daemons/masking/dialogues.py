"""Passwords in what programs say to servers, and in the lines of configuration files that have no sign between words.

PASS secret          FTP, POP3, IRC          username admin password 7 0822455D0A16      routers and switches
a1 LOGIN user secret IMAP                    snmp-server community secret RO
AUTH secret          Redis                   : PSK "secret"                              IPsec
"""

from __future__ import annotations

# What stands before a line of a client's: a time, an arrow, a prompt.
_SENT = r"(?:^|[>\]|:<*\"'}][ \t]*|---?>[ \t]*|\b(?:sent|send|command|client|[Cc])[ \t:=>\"']{1,4})"
_SURE = r"(?:---?>|[<>*]|[Cc]:|[Cc]lient:|\bsent:?|\bcommand:?|ftp>|FTP:|SENT:|\][:>]?)[ \t]*[\"']?"
_LINE_END = r"(?=[\"']?[ \t]*(?:\\r|\\n|[\r\n]|$))"
_ANY = r"\"?(?P<bare>[^\s\"':/][^\s\"']{2,200}?)\"?"
_LIKELY = r"[\"']?(?P<likely>[^\s\"'/]{6,200}?)[\"']?"
# The passwords of routers: as they are, or behind a digit that says how they are hidden.
_HIDDEN = (
    r"(?:(?:[0-9]|encrypted|ascii-text|hexadecimal|cipher|simple|clear|hash|sha256|sha512|irreversible-cipher)[ \t]+)?"
)
_SECRET = rf"{_HIDDEN}[\"']?(?P<bare>(?!\d{{1,3}}(?:\s|$))[^\s\"';]{{3,200}})"

DIALOGUES = (
    ("PASS ", rf"{_SURE}PASS[ \t]+{_ANY}{_LINE_END}"),
    ("PASS ", rf"^USER[ \t]+\S{{1,100}}[ \t]*\r?\n(?:[^\n]{{0,200}}\n){{0,3}}?PASS[ \t]+{_ANY}{_LINE_END}"),
    ("PASS ", rf"(?:^|:[ \t])PASS[ \t]+{_LIKELY}{_LINE_END}"),
    ("LOGIN ", rf"(?:{_SENT})[A-Za-z]{{0,3}}\d{{1,6}}[ \t]+LOGIN[ \t]+\"?[^\s\"]{{1,100}}\"?[ \t]+{_ANY}{_LINE_END}"),
    (
        " login ",
        rf"(?:{_SENT})[A-Za-z]{{0,3}}\d{{1,6}}[ \t]+login[ \t]+\"?[^\s\"]{{1,100}}\"?[ \t]+{_LIKELY}{_LINE_END}",
    ),
    (
        "AUTH ",
        (
            rf"{_SENT}AUTH[ \t]+(?:(?!PLAIN|LOGIN|CRAM|XOAUTH|EXTERNAL|GSSAPI|NTLM|DIGEST|SCRAM|TLS"
            rf"|SSL)\w{{1,40}}[ \t]+)?{_LIKELY}{_LINE_END}"
        ),
    ),
    (
        "334 ",
        (
            rf"334[ \t]+[A-Za-z0-9+/]{{8,}}={{0,2}}[ \t]*\r?\n(?:[^\s\w]{{0,4}}[ \t]?[CS]?[:>][ \t]?)?"
            rf"(?P<bare>[A-Za-z0-9+/]{{4,}}={{0,2}}){_LINE_END}"
        ),
    ),
    ("IDENTIFY", rf"\bIDENTIFY[ \t]+(?:\S{{1,40}}[ \t]+)?{_LIKELY}{_LINE_END}"),
    ("assword", r"\bsend(?:_user)?[ \t]+(?:--[ \t]+)?[\"'](?P<likely>[^\s\"']{6,200}?)\\r[\"']"),
    # routers and switches
    (
        "username ",
        (
            rf"\busername[ \t]+\S{{1,64}}[ \t]+(?:privilege[ \t]+\d{{1,2}}[ \t]+)?(?:role[ \t]+\S{{1,40}}"
            rf"[ \t]+)?(?:password|secret)[ \t]+{_SECRET}"
        ),
    ),
    ("enable ", rf"\benable[ \t]+(?:password|secret)[ \t]+(?:level[ \t]+\d{{1,2}}[ \t]+)?{_SECRET}"),
    (
        "snmp-server",
        (
            rf"\bsnmp-server[ \t]+(?:community|host[ \t]+\S{{3,100}}(?:[ \t]+version[ \t]+\S{{1,4}})?)"
            rf"[ \t]+{_SECRET}"
        ),
    ),
    ("-server ", rf"\b(?:tacacs|radius)-server[ \t]+(?:host[ \t]+\S{{3,100}}[ \t]+)?key[ \t]+{_SECRET}"),
    ("neighbor ", rf"\bneighbor[ \t]+\S{{3,100}}[ \t]+password[ \t]+{_SECRET}"),
    ("chap ", rf"\bchap[ \t]+(?:password|secret)[ \t]+{_SECRET}"),
    ("isakmp key", rf"\bisakmp[ \t]+key[ \t]+{_SECRET}"),
    (
        "pre-shared-key",
        rf"\bpre-shared-key[ \t]+(?:(?:local|remote|address[ \t]+\S{{3,64}}(?:[ \t]+key)?)[ \t]+)?{_SECRET}",
    ),
    ("key-string", rf"\bkey-string[ \t]+{_SECRET}"),
    (
        "-key",
        (
            rf"\b(?:message-digest-key[ \t]+\d{{1,3}}[ \t]+md5|authentication-key[ \t]+(?:\d{{1,5}}"
            rf"[ \t]+md5)?)[ \t]+{_SECRET}"
        ),
    ),
    ("wpa", rf"\bwpa-(?:psk|passphrase)[ \t]+(?:set-key[ \t]+)?{_SECRET}"),
    ("psk", rf"\bpsk[ \t]+(?:set-key[ \t]+)?(?:ascii|hex)[ \t]+{_SECRET}"),
    ("-password", rf"\b(?:encrypted|plain-text)-password(?:-value)?[ \t]+{_SECRET}"),
    (" PSK ", r":[ \t]*PSK[ \t]+(?:0[xs])?[\"']?(?P<bare>[^\s\"']{3,200})"),
    (" EAP ", r":[ \t]*EAP[ \t]+[\"'](?P<quoted>[^\"'\n]{3,200})"),
    (" XAUTH ", r":[ \t]*XAUTH[ \t]+[\"'](?P<quoted>[^\"'\n]{3,200})"),
    ("auth_basic_user", r"\bauth_basic_user[ \t]+[^\s:]{1,64}:(?P<bare>[^\s;]{3,200})"),
    # what names a user and a password at once
    ("redentials", r"\b[cC]redentials?[ \t]*[:=]?[ \t]+[\w.@+-]{1,64}[:/](?P<likely>[^\s\"',;)]{6,200})"),
    ("creds", r"\bcreds?[ \t]*[:=]?[ \t]+[\w.@+-]{1,64}[:/](?P<likely>[^\s\"',;)]{6,200})"),
    (
        "assword",
        (
            r"\b(?:login|log in|user|account)[^\n/]{0,20}[ \t][\w.@+-]{1,64}[ \t]/[ \t](?P<likely>"
            r"[^\s\"',;)/]{6,200})"
        ),
    ),
    ("::add-mask::", r"::add-mask::(?P<bare>\S{4,400})"),
)
