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
_CHOSEN = r"[\"']?(?P<chosen>[^\s\"'/=]{6,200}?=*)[\"']?"
# The passwords of routers: as they are, or behind a digit that says how they are hidden.
_HIDDEN = (
    r"(?:(?:[0-9]|encrypted|ascii-text|hexadecimal|cipher|simple|clear|hash|sha256|sha512|irreversible-cipher)[ \t]+)?"
)
_SECRET = rf"{_HIDDEN}[\"']?(?P<bare>(?!\d{{1,3}}(?:\s|$))[^\s\"';]{{3,200}})"

# `user/password: bob/secret`
_BOTH = (
    r"(?i:\b(?:id|user(?:name)?|login|account)[ \t]?[/&][ \t]?(?:pw|pwd|pass|passwd|password)\b)"
    r"[ \t]*(?:[:=(-]|->|\bis|\bare)?"
    r"[ \t(]*[\w.@+-]{1,64}"
)
_BOTH_CUES = ("/pa", "/pw", "/Pa", "/PA", "/PW", "/ P", "/ p")
_KEYLOG = r"[0-9a-f]{64}[ \t](?P<bare>[0-9a-f]{64,})"
# What a command that makes a secret, or decodes one, prints.
_PRINTS = r"[^\n]{0,60}\r?\n(?P<chosen>[^\s\"']{8,8000})(?=[ \t]*(?:[\r\n]|$))"
# Commands that show a secret, behind a prompt.
_ASKING = (" get", " show ", " read ", " access ", " lookup ", " output ", ":get ", "-password ")
_ASKS = (
    r"(?m:^)[^\n$#%>]{0,60}[$#%>+][ \t][^\n]{1,60}?[ \t:-](?:get|get-secret-value|get-parameter"
    r"|show|read|access|lookup|output|print"
    r"|find-generic-password)\b[^\n]{0,120}?(?i:pass|secret|token|key|cred)"
)
# What takes a password from its input; who logged in, and with what.
_TAKES = (
    r"(?:kinit|cryptsetup|[^\n|]{1,120}(?:--pass\w{0,12}-(?:on-)?stdin|passphrase-fd|--stdin\b|smbpasswd|htpasswd))"
)
_SLASHED = r"[\w.@\\-]{1,64}[ \t]?/[ \t]?(?P<chosen>[^\s\"',;)/\]]{6,100})(?![\w/])"
DIALOGUES = (
    ("PASS ", rf"{_SURE}PASS[ \t]+{_ANY}{_LINE_END}"),
    ("PASS ", rf"^USER[ \t]+\S{{1,100}}[ \t]*\r?\n(?:[^\n]{{0,200}}\n){{0,3}}?PASS[ \t]+{_ANY}{_LINE_END}"),
    ("PASS ", rf"(?:^|:[ \t])PASS[ \t]+{_CHOSEN}{_LINE_END}"),
    (
        "LOGIN ",
        (
            rf"(?:{_SENT})(?=[A-Za-z]*\d)[A-Za-z0-9]{{1,8}}[ \t]+LOGIN[ \t]+\"?[^\s\"]{{1,100}}\"?"
            rf"[ \t]+{_ANY}{_LINE_END}"
        ),
    ),
    (
        " login ",
        rf"(?:{_SENT})[A-Za-z]{{0,3}}\d{{1,6}}[ \t]+login[ \t]+\"?[^\s\"]{{1,100}}\"?[ \t]+{_CHOSEN}{_LINE_END}",
    ),
    (
        "AUTH ",
        (
            rf"{_SENT}AUTH[ \t]+(?:(?!PLAIN|LOGIN|CRAM|XOAUTH|EXTERNAL|GSSAPI|NTLM|DIGEST|SCRAM|TLS"
            rf"|SSL)\w{{1,40}}[ \t]+)?{_CHOSEN}{_LINE_END}"
        ),
    ),
    (
        "334 ",
        (
            rf"334(?:[ \t]+[A-Za-z0-9+/]{{8,}}={{0,2}})?[ \t]*\r?\n(?:[^\s\w]{{0,4}}[ \t]?[CS]?[:>][ \t]?)?"
            rf"(?P<bare>[A-Za-z0-9+/]{{4,}}={{0,2}}){_LINE_END}"
        ),
    ),
    ("IDENTIFY", rf"\bIDENTIFY[ \t]+(?:\S{{1,40}}[ \t]+)?{_CHOSEN}{_LINE_END}"),
    ("assword", r"\bsend(?:_user)?[ \t]+(?:--[ \t]+)?[\"'](?P<chosen>[^\s\"']{6,200}?)\\r[\"']"),
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
    (
        "redentials",
        (
            r"\b[cC]redentials?[ \t]*[:=]?[ \t]+(?:(?:is|are)[ \t:]{1,3})?[\w.@+-]{1,64}[ \t]?[:/][ \t]?"
            r"(?P<chosen>[^\s\"',;)]{6,200})"
        ),
    ),
    ("creds", r"\bcreds?[ \t]*[:=]?[ \t]+[\w.@+-]{1,64}[:/](?P<chosen>[^\s\"',;)]{6,200})"),
    (
        "assword",
        (
            r"\b(?:login|log in|user|account)[^\n/]{0,20}[ \t][\w.@+-]{1,64}[ \t]/[ \t](?P<chosen>"
            r"[^\s\"',;)/]{6,200})"
        ),
    ),
    *((cue, rf"{_BOTH}[ \t]?(?:/{{1,2}}|[:,])[ \t]?(?P<bare>[^\s\"'(),;][^\s\"'(),;]{{2,100}})") for cue in _BOTH_CUES),
    *((cue, rf"{_BOTH}[ \t]+(?P<chosen>[^\s\"'(),;/]{{5,100}})") for cue in _BOTH_CUES),
    (
        "-secrets",
        (
            r"(?:chap|pap)-secrets[^\n]{0,80}\n(?:#[^\n]*\n){0,4}[^\s#]{1,80}[ \t]+\S{1,80}[ \t]+\"?"
            r"(?P<bare>[^\s\"]{3,100})"
        ),
    ),
    (" on ", r"\buser[ \t]+\S{1,64}[ \t]+on[ \t]+(?:\S{1,40}[ \t]+){0,6}?>(?P<bare>\S{1,200})"),
    ("_RANDOM ", rf"\bCLIENT_RANDOM[ \t]{_KEYLOG}"),
    ("_SECRET", rf"\b(?:CLIENT|SERVER|EXPORTER|EARLY)_[A-Z_]{{0,40}}SECRET(?:_0)?[ \t]{_KEYLOG}"),
    *((cue, rf"{_ASKS}{_PRINTS}") for cue in _ASKING),
    ("genkey", rf"genkey{_PRINTS}"),
    ("genpsk", rf"genpsk{_PRINTS}"),
    ("rand ", rf"\brand[ \t]+-(?:hex|base64)[ \t]+\d{{1,4}}{_PRINTS}"),
    ("print-", rf"print-(?:access|identity)-token{_PRINTS}"),
    ("base64 -", rf"(?:ecret|assword|oken|ey)[^\n]{{0,120}}base64[ \t]+(?:-d|-D|--decode){_PRINTS}"),
    ("get-password", rf"get-(?:login-)?password{_PRINTS}"),
    ("stats auth", r"\bstats[ \t]+auth[ \t]+[^\s:]{1,64}:(?P<bare>\S{3,100})"),
    ("login=", r"\blogin=[\w.@-]{1,64}:(?P<chosen>[^\s\"']{6,100})"),
    (" password ", r"[\w-]{1,40}/\S{0,40}passw\S{0,40}[ \t]+(?:password|string)[ \t]+(?P<bare>\S{3,200})"),
    ("d-i ", r"\bd-i[ \t]+\S{0,60}passw\S{0,40}[ \t]+(?:password|string)[ \t]+(?P<bare>\S{3,200})"),
    ("Key Content", r"\bKey Content[ \t]*:[ \t]*(?P<bare>\S{3,100})"),
    ("WIFI:", r"\bWIFI:[^\n]{0,100}?;P:(?P<bare>[^;\n]{3,100})"),
    ("oneycomb-", r"(?i:x-honeycomb-team)[\"']?[ \t]*[:=][ \t]*[\"']?(?P<bare>[^\s\"',]{8,100})"),
    (
        " | ",
        (
            rf"(?:echo|printf)[ \t]+(?:-\w[ \t]+)?(?:\"(?P<quoted>[^\"\n]{{4,100}})\"|'(?P<single>"
            rf"[^'\n]{{4,100}})'|(?P<chosen>\S{{4,100}}))[ \t]*\|[ \t]*(?:sudo[ \t]+)?{_TAKES}"
        ),
    ),
    ("--pat", r"--pat(?:=|[ \t]+)[\"']?(?P<bare>[^\s\"'-][^\s\"']{7,200})"),
    ("ogin", rf"(?i:\blog-?in\b|\blogon\b)[^\n/]{{0,30}}?[\s:\[(]{_SLASHED}"),
    ("LOGIN", rf"\bLOGIN\b[^\n/]{{0,30}}?[\s:\[(]{_SLASHED}"),
    ("[+]", r"\[\+\][ \t]+[^\s:]{1,64}:(?P<chosen>[^\s:/]{5,100})"),
    ("USER_INFO", r"USER_INFO=[\"']?[^\s:\"']{1,100}:(?P<bare>[^\s\"']{4,200})"),
    ("user.info", r"user\.info=[\"']?[^\s:\"']{1,100}:(?P<bare>[^\s\"']{4,200})"),
    (" * ", r"(?m:^|[ \t])[^\s#*]{1,64}[ \t]+\*[ \t]+\"?(?P<chosen>[^\s\"]{5,100})\"?[ \t]+\*[ \t]*(?:#|$)"),
    (
        "samba-tool",
        (
            r"samba-tool[ \t]+user[ \t]+(?:create|add|setpassword)[ \t]+\S{1,64}[ \t]+(?P<bare>"
            r"[^\s-]\S{3,100})"
        ),
    ),
    ("initial-password", rf"initial-password{_PRINTS}"),
    ("secret key", r"untrusted comment:[^\n]{0,80}secret key[^\n]{0,40}\r?\n(?P<bare>[A-Za-z0-9+/]{40,400}={0,2})"),
    ("wordpress_", r"wordpress_(?:logged_in|sec)_[0-9a-f]{16,64}=(?P<bare>[^\s;\"']{16,600})"),
    ("accounts", r"\baccounts[\"']?[ \t]?[:=][ \t]?\[[ \t]?[\"'](?:0x)?(?P<bare>[0-9a-fA-F]{64})"),
    ("davfs", r"davfs\S{0,20}[^\n]{0,40}?[ \t]\S{1,100}[ \t]+\S{1,64}[ \t]+\"?(?P<chosen>[^\s\"]{5,100})\"?[ \t]*$"),
    ("::", r"\bname=\w{0,40}(?i:pass|secret|token|key)\w{0,20}::(?P<bare>\S{4,400})"),
    (
        "obscure",
        (
            r"\brclone[ \t]+obscure[ \t]+(?:\"(?P<quoted>[^\"\n]{3,100})\"|'(?P<single>[^'\n]{3,100})'|"
            r"(?P<bare>[^\s-]\S{2,100}))"
        ),
    ),
    ("radtest", r"\bradtest[ \t]+(?:-\S{1,20}[ \t]+)*\S{1,64}[ \t]+[\"']?(?P<bare>[^\s\"']{3,100})"),
    (
        "SSID",
        (
            r"\bSSID[\"']?[=:][ \t]?[^\s,;]{1,64}[\s,;]{1,3}(?:key|psk|pass\w{0,8}|pwd)[=:][ \t]?[\"']?"
            r"(?P<bare>[^\s\"',;]{3,100})"
        ),
    ),
    (
        "ssid",
        (
            r"\bssid[\"']?[=:][ \t]?[^\s,;]{1,64}[\s,;]{1,3}(?:key|psk|pass\w{0,8}|pwd)[=:][ \t]?[\"']?"
            r"(?P<bare>[^\s\"',;]{3,100})"
        ),
    ),
    ("SecureString", r"SecureString\\?\"[^\n{}]{0,300}?\\?\"Value\\?\"[ \t]?:[ \t]?\\?\"(?P<quoted>[^\"\\\n]{3,400})"),
    ("dockerc", r"dockerc(?:onfigjson|fg)[\"']?[ \t]?[:=][ \t]?[\"']?(?P<bare>[A-Za-z0-9+/]{16,8000}={0,2})"),
    ("auth-pass", r"\bauth-pass[ \t]+\S{1,64}[ \t]+(?P<chosen>\S{5,200})"),
    ("##vso", r"variable=\w{0,40}(?i:pass|secret|token|key)\w{0,20}[^\]\n]{0,40}\](?P<bare>\S{3,400})"),
    ("RSAKeyValue", r"<(?:D|P|Q|DP|DQ|InverseQ)>(?P<bare>[A-Za-z0-9+/]{16,4000}={0,2})(?=</|$)"),
    ("Label=", r"\b(?P<open>\w{1,12})Label=\w{0,20}?(?i:pass\w{0,8}|secret|token)[ \t]+(?P=open)=(?P<bare>\S{3,200})"),
    ("sending ", r"\bsending[ \t]+\"(?P<quoted>[^\"\n\\]{3,200})\\r\""),
    ("importprivkey", r"importprivkey[ \t]+[\"']?(?P<bare>\w{40,60})"),
    (
        "SecureString",
        (
            r"SecureString\b[^\n]{0,100}?--value[ \t=]+(?:'(?P<single>[^'\n]{3,200})'|\"(?P<quoted>"
            r"[^\"\n]{3,200})\"|(?P<bare>[^\s\"']{3,200}))"
        ),
    ),
    ("lftp", r"\blftp\b[^\n]{0,240}?[ \t]-u[ \t]+[^\s,]{1,64},(?P<bare>\S{3,200})"),
    ("codecov", r"codecov[^\n]{0,120}?[ \t]-t[ \t]+(?P<bare>[\w-]{16,100})"),
    (
        "echo $",
        (
            r"\becho[ \t]+\$\w{0,40}(?:PASS|SECRET|TOKEN|KEY|pass|secret|token|key)\w{0,20}[ \t]*\r?\n"
            r"(?P<chosen>\S{6,400})(?=[ \t]*(?:[\r\n]|$))"
        ),
    ),
    ("└", r"(?i:token|secret|passw|api_?key)[^\n]{0,80}\n[^\n└]{0,240}└[ \t][bB]?[\"'](?P<likely>[^\"'\n]{8,400})"),
    ("::add-mask::", r"::add-mask::(?P<bare>\S{4,400})"),
)
