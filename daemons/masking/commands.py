"""Passwords on command lines, where the program tells which word is one: `mysql -psecret`, `curl -u user:secret`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from daemons.masking.calls import CALLS
from daemons.masking.dialogues import DIALOGUES
from daemons.masking.lazy import lazy
from daemons.masking.marks import Span, replaced
from daemons.masking.reported import REPORTED
from daemons.masking.values import Place, is_identifier, is_opaque, is_secret, is_told

_PLACE = Place(is_quoted=True, separator="=", follows="", name="", is_code=False, is_pair=False)

# Between two words of a command: blanks, or what a list of words has there.
_GAP = r"(?:[ \t]{1,8}|[\"'],[ \t]?[\"'])"
_MORE = r"[^\n;|&]{0,160}?"
_WORD = r"(?:\"(?P<quoted>[^\"\n]{1,200})\"|'(?P<single>[^'\n]{1,200})'|(?P<bare>[^\s\"'\-][^\s\"']{0,200}))"
# Stuck to its option: `-psecret`, `-p'secret'`.
_STUCK = r"(?:'(?P<single>[^'\n]{1,200})'|\"(?P<quoted>[^\"\n]{1,200})\"(?!,)|(?P<bare>[^\s\"'][^\s\"']{0,199}))"
# Of `user:password` the password. Numbers alone are ids of a user and a group.
_PAIR = (
    r"(?:(?![\"'])[^\s\"':]{1,100}:(?!\d+(?:\s|$))"
    r"(?:(?P<inner>[\"'])(?P<single>[^\"'\n]{1,200})(?=(?P=inner))|(?P<pair>[^\s\"']{1,200}))"
    r"|(?P<open>[\"'])(?:[^\"':\n]{0,100}:(?P<quoted>[^\"'\n]{1,200})|(?P<bare>[^\"':\n]{8,100}):)(?=(?P=open)))"
)
# The options of one command stand on several lines, each but the last with a backslash at its end.
_OPTIONS = r"(?:[^\n;|&]|\\\n|(?<=\\)\n){0,240}?"
# What a tool is logged in with; other words there are names, and verbs of its own.
_LIKELY = (
    r"(?!--?\w)(?!(?:[\w-]{1,63}\.){1,6}[a-z]{2,12}(?::\d{1,5})?(?:\s|$))(?![\w.+-]{1,64}@[\w-]{1,63}\.)"
    r"[\"']?(?P<likely>[^\s\"'=][^\s\"']{7,400})"
)
_CHOSEN = _LIKELY.replace("likely", "chosen").replace("{7,400}", "{5,400}")
_PROMPT = r"^(?:[^\n$#%>]{0,80}[$#%>]|\+)[ \t]+(?:sudo[ \t]+)?"
# Oracle's `user/password@database`.
_ORACLE = r"[\w$#.-]{1,64}/(?:\"(?P<quoted>[^\"\n]{1,128})\"|(?P<bare>[^\s\"'/@][^\s\"'@]{0,128}))"
_USER_OF_BUNDLE = r"[\"']?[^\s\"':/=]{1,100}:(?P<bare>[^\s\"'/][^\s\"']{2,200})"
# Samba's `user%password`.
_PERCENT = r"-U[ \t]{0,4}[\"']?[^\s%\"']{1,64}%(?P<bare>[^\s\"']{1,200})"
# Alone on its line, below one that says what it is.
_NEXT_LINE = (
    r"[ \t]*\r?\n(?:[ \t]*\r?\n)?[ \t│|>*]{0,40}"
    r"(?![\w.]{1,60}[(\[]|\S{1,100}[#$>%][ \t]*$)(?P<likely>[^\s\"'/]{8,200})[ \t]*$"
)
_IS = (
    r"[\"']?\]?[ \t]*(?:=>|[:=,])[ \t]*"
    r"(?:\"(?P<quoted>[^\"\n]{8,200})\"|'(?P<single>[^'\n]{8,200})'|(?P<likely>[^\s\"']{16,200}))"
)
# What a command is given by another; traced, each has a line of its own.
_PIPE = r"(?:\||\r?\n\+{1,4})"
# A new password is said twice.
_SAYING = r"(?:echo|printf)[ \t]+(?:-\w+[ \t]+)?"
_SAID = r"[^\s\"'\\]{4,100}"
_COMMANDS = (
    ("mysql", rf"mysql(?:dump|admin|import|show|check)?\b{_MORE}[\s\"']-p{_STUCK}"),
    ("mariadb", rf"mariadb(?:-\w+)?\b{_MORE}[\s\"']-p{_STUCK}"),
    ("mycli", rf"mycli\b{_MORE}[\s\"']-p{_STUCK}"),
    ("sshpass", rf"sshpass{_GAP}-p[ \t]{{0,8}}(?:[\"'],[ \t]?(?=[\"']))?{_WORD}"),
    (
        "login",
        (
            rf"(?:docker|podman|nerdctl|helm|skopeo|buildah|az|oc|cf|expo|eas){_GAP}"
            rf"(?:registry{_GAP})?login\b{_MORE}[\s\"']-p(?:=|{_GAP})[\"']?{_WORD}"
        ),
    ),
    ("mongo", rf"mongo(?:sh|dump|restore|export|import)?\b{_MORE}[\s\"']-p{_GAP}[\"']?{_WORD}"),
    ("redis-cli", rf"redis-cli\b{_MORE}[\s\"']-a{_GAP}[\"']?{_WORD}"),
    ("ldap", rf"ldap(?:search|modify|add|delete|whoami|passwd|modrdn|compare)\b{_MORE}[\s\"']-w{_GAP}[\"']?{_WORD}"),
    ("mosquitto_", rf"mosquitto_(?:pub|sub|rr)\b{_MORE}[\s\"']-P{_GAP}[\"']?{_WORD}"),
    ("ipmitool", rf"ipmitool\b{_MORE}[\s\"']-P{_GAP}[\"']?{_WORD}"),
    ("SecureString", rf"ConvertTo-SecureString(?:[ \t]+-String)?[ \t]+{_WORD}"),
    ("chpasswd", r"chpasswd\b[^\n]{0,80}?[\s\"'][\w.-]{1,32}:(?P<bare>[^\s:\"']{4,200})"),
    ("PASSWORD FOR", rf"PASSWORD FOR[ \t]+\S{{1,120}}[ \t]*=[ \t]*(?:PASSWORD\()?{_WORD}"),
    (
        "pass:",
        (
            r"-pass(?:in|out)?[ \t]{1,4}[\"']?pass:(?:\"(?P<quoted>[^\"\n]{1,200})|'(?P<single>"
            r"[^'\n]{1,200})|(?P<bare>[^\s\"']{1,200}))"
        ),
    ),
    ("openssl", rf"openssl\b{_MORE}[\s\"'](?:-k|-K|-pass){_GAP}(?!pass:|env:|file:|fd:|stdin){_WORD}"),
    ("ssh-keygen", rf"ssh-keygen\b{_MORE}[\s\"']-N{_GAP}?{_WORD}"),
    ("ssh-keygen", rf"ssh-keygen\b{_MORE}[\s\"']-P{_GAP}?{_WORD}"),
    ("passwd", rf"{_SAYING}[\"'](?P<bare>{_SAID})\\n{_SAID}(?:\\n)?[\"'][ \t]*\|[^\n|]{{0,60}}passwd\b"),
    ("passwd", rf"{_SAYING}[\"'](?:{_SAID}|\[masked\])\\n(?P<bare>{_SAID})(?:\\n)?[\"'][ \t]*\|[^\n|]{{0,60}}passwd\b"),
    ("operator unseal", rf"operator{_GAP}unseal{_GAP}{_LIKELY}"),
    ("sonar.login", r"sonar\.login=(?P<likely>[^\s\"']{16,100})"),
    (
        "ecret set",
        (
            rf"secrets?{_GAP}set{_GAP}(?:-\S{{1,40}}{_GAP})?\w{{2,80}}\b{_MORE}[\s\"'](?:--body|-b|--value"
            rf"|-v)(?:=|{_GAP})[\"']?{_WORD}"
        ),
    ),
    (
        " put",
        (
            rf"\bput{_GAP}[\w/.-]{{0,100}}(?:pass(?:word|wd)?|secret|token|api-?key|credential)s?{_GAP}"
            rf"(?!--?\w){_WORD}"
        ),
    ),
    (
        " put-",
        (
            rf"\bput-\w{{4,20}}\b{_OPTIONS}--name(?:=|{_GAP})[\"']?[\w/.-]{{0,100}}(?:pass|secret|token|key"
            rf"|cred)[\w-]{{0,20}}[\"']?{_OPTIONS}--value(?:=|{_GAP}){_WORD}"
        ),
    ),
    ("word-command", rf"password-command(?:=|{_GAP})[\"']echo[ \t]+(?P<bare>[^\s\"']{{3,100}})"),
    ("password_cmd", rf"password_cmd(?:=|{_GAP})[\"']echo[ \t]+(?P<bare>[^\s\"']{{3,100}})"),
    (
        " -u",
        (
            rf"(?:-u|-U|--user(?:name)?)(?:=|{_GAP})[\"']?[^\s\"']{{1,80}}[\"']?{_MORE}[\s\"'](?:-p|-P|-w|-pw)"
            rf"(?:=|{_GAP}){_CHOSEN}"
        ),
    ),
    ("check_", rf"\bcheck_\w{{2,20}}\b{_MORE}[\s\"']-a{_GAP}{_PAIR}"),
    ("sql ", rf"\b(?:isql|osql|tsql|fisql|sqsh)\b{_MORE}[\s\"']-P{_GAP}?{_WORD}"),
    ("certutil", rf"certutil\b{_MORE}[\s\"']-p{_GAP}{_WORD}"),
    ("keychain", rf"(?:unlock|create)-keychain\b{_MORE}[\s\"']-p{_GAP}{_WORD}"),
    ("rar ", rf"\b(?:un)?rar\b{_MORE}[\s\"']-h?p{_STUCK}"),
    ("ads", rf"\bnet{_GAP}ads\b{_MORE}[\s\"']{_PERCENT}"),
    ("curl", rf"curl\b{_OPTIONS}[\s\"'](?:-b|--cookie)(?:=|{_GAP})[\"']?[\w.-]{{1,80}}=(?P<likely>[^\s;\"']{{8,600}})"),
    ("oathtool", rf"oathtool\b{_MORE}[\s\"'](?:-b|--base32){_GAP}(?:{_MORE}{_GAP})?{_LIKELY}"),
    (" -U", rf"-U{_GAP}[^\s\"']{{1,80}}{_MORE}[\s\"'](?:-p|-P|-w){_GAP}{_CHOSEN}"),
    (" -p ", rf"[ \t]-p[ \t]+(?![0-9a-f]{{7,64}}(?:\s|$)){_LIKELY}"),
    (" -y ", r"[ \t]-y[ \t]+(?:hmac-\w{1,12}:)?[\w.-]{1,100}:(?P<bare>[A-Za-z0-9+/]{8,400}={0,2})"),
    ("/p ", rf"[ \t]/p[ \t]+{_LIKELY}"),
    ("+login", r"\+login[ \t]+\S{1,64}[ \t]+(?P<bare>[^\s+]\S{2,100})"),
    ("addauth", r"\baddauth[ \t]+digest[ \t]+[^\s:]{1,64}:(?P<bare>\S{3,100})"),
    ("pserver:", r":pserver:[^\s:@]{1,64}:(?P<bare>[^\s@]{3,100})@"),
    ("-password ", rf"\b(?:set|change|reset)-(?:\w{{1,20}}-){{0,2}}password[ \t]+(?!--?\w){_WORD}"),
    ("smbclient", rf"smbclient\b{_MORE}[\s\"']{_PERCENT}"),
    (
        "htpasswd",
        (
            rf"htpasswd(?:{_GAP}-[a-zA-Z]+)*?{_GAP}-[a-zA-Z]*b[a-zA-Z]*(?:{_GAP}-"
            rf"[a-zA-Z]+)*{_GAP}\S{{1,200}}{_GAP}[^\s\"']{{1,64}}{_GAP}{_WORD}"
        ),
    ),
    ("zip", rf"\b(?:zip|unzip){_GAP}{_MORE}-P{_GAP}[\"']?{_WORD}"),
    ("curl", rf"curl\b{_OPTIONS}[\s\"'](?:-u|--user|-U|--proxy-user)(?:=|{_GAP}|(?=[\"']))?{_PAIR}"),
    ("machine", rf"machine[ \t]+\S{{1,200}}\s+login[ \t]+\S{{1,200}}\s+password[ \t]+{_WORD}"),
    ("configure set", rf"configure set[ \t]+\S{{0,60}}(?:secret|token|password|key)\w{{0,40}}[ \t]+{_WORD}"),
    ("requirepass", rf"\brequirepass\"?[ \t]+{_WORD}"),
    ("masterauth", rf"\bmasterauth\"?[ \t]+{_WORD}"),
    ("jdbc:oracle", rf"jdbc:oracle:\w{{1,8}}:{_ORACLE}@"),
    ("sqlplus", rf"sqlplus\w{{0,3}}(?:[ \t]+-[A-Za-z]+(?:[ \t]+\d[\d.]*)?){{0,4}}[ \t]+[\"']?{_ORACLE}(?=[@\s\"']|$)"),
    ("sqlldr", rf"sqlldr[ \t]+(?:\w{{1,20}}=\S{{1,60}}[ \t]+){{0,4}}[\"']?(?:userid=)?{_ORACLE}(?=[@\s\"']|$)"),
    ("mpdp", rf"\bimpdp[ \t]+[\"']?(?:userid=)?{_ORACLE}(?=[@\s\"']|$)"),
    ("expdp", rf"\bexpdp[ \t]+[\"']?(?:userid=)?{_ORACLE}(?=[@\s\"']|$)"),
    ("rman", rf"\brman\b{_MORE}\btarget[ \t=]{{1,4}}{_ORACLE}(?=[@\s\"']|$)"),
    ("@//", rf"(?<![\w/:.-]){_ORACLE}@(?=//[\w.-])"),
    ("racle", rf"(?:cx_Oracle|oracledb)\.\w{{1,20}}\([ \t]*[\"']{_ORACLE}@"),
    ("SQL>", rf"^SQL>[ \t]?(?i:connect|conn)[ \t]+{_ORACLE}@(?=\w)"),
    ("CONN", rf"^(?:CONNECT|CONN)[ \t]+{_ORACLE}@(?=\w)"),
    (
        "login",
        (
            rf"\b(?:cargo|vault|wandb|consul|nomad|pulumi|fly|flyctl|heroku|sentry-cli|npm|snyk|rails|railway|supabase"
            rf"|wrangler|doppler|infisical|hf|huggingface-cli|grafana-cli|dagger|depot|modal|replicate){_GAP}"
            rf"(?:auth{_GAP})?"
            rf"login{_GAP}(?!--?\w){_LIKELY}"
        ),
    ),
    (" login ", rf"{_PROMPT}[\w./-]{{2,40}}{_GAP}(?:auth{_GAP})?login{_GAP}{_LIKELY}[\"']?[ \t]*$"),
    (" auth", rf"\b(?:flyctl|fly|heroku|railway){_GAP}auth(?::|{_GAP})(?:token|login){_GAP}{_LIKELY}"),
    ("refresh-token", rf"activate-refresh-token{_GAP}\S{{1,100}}{_GAP}{_LIKELY}"),
    ("<<<", rf"--(?:with-token|password-stdin|token-stdin)[ \t]*<<<[ \t]*{_WORD}"),
    (
        "with-token",
        rf"(?:echo|printf)[ \t]+(?:-\w[ \t]+|[\"']?%s[\"']?[ \t]+)?{_WORD}[ \t]*{_PIPE}[^\n|]{{1,160}}--with-token",
    ),
    ("authtoken", rf"\b(?:add-)?authtoken{_GAP}{_LIKELY}"),
    (" auth ", rf"\b(?:snyk|doctl|cf|deployctl|codecov|fossa){_GAP}auth{_GAP}(?:[\w.@+-]{{1,60}}{_GAP})?{_LIKELY}"),
    (" auth ", rf"\b(?:doctl|glab){_GAP}auth{_GAP}(?:init|login)\b{_MORE}[\s\"']-t{_GAP}{_LIKELY}"),
    ("bw ", rf"\bbw{_GAP}(?:unlock|login{_GAP}\S{{3,100}}@\S{{3,100}}){_GAP}(?!--?\w){_WORD}"),
    ("pypi-token", rf"\bpypi-token\.[\w-]{{1,60}}{_GAP}{_LIKELY}"),
    ("http-basic", rf"\bconfig\b{_MORE}http-basic\.[\w.-]{{1,100}}{_GAP}[\w.@-]{{1,100}}{_GAP}{_WORD}"),
    ("-oauth", rf"\b(?:github|gitlab|bitbucket)-oauth\.[\w.-]{{1,100}}{_GAP}{_LIKELY}"),
    ("uthToken", rf"\bconfig{_GAP}set{_GAP}[\w./:@-]{{0,120}}_?[aA]uthToken{_GAP}{_LIKELY}"),
    (
        "mc ",
        rf"\bmc{_GAP}(?:alias{_GAP}set|config{_GAP}host{_GAP}add){_GAP}\S{{1,60}}{_GAP}\S{{4,200}}{_GAP}\S{{1,100}}{_GAP}{_WORD}",
    ),
    (
        "BUNDLE_",
        rf"BUNDLE_\w{{1,80}}__\w{{1,80}}[\"']?[ \t]*[:=][ \t]*{_USER_OF_BUNDLE}",
    ),
    (
        "bundle",
        (
            rf"bundle[r]?{_GAP}config{_GAP}(?:set{_GAP})?(?:--\w+{_GAP})?[\w-]{{1,60}}\."
            rf"[\w.-]{{2,100}}{_GAP}{_USER_OF_BUNDLE}"
        ),
    ),
    (" USE", rf"(?i:\bnet use\b[^\n]{{0,160}}?/(?:u|user):)\S{{1,80}}[ \t]+(?![/\\]){_WORD}"),
    ("winexe", rf"winexe\b{_MORE}[\s\"']{_PERCENT}"),
    (" use", rf"(?i:\bnet use\b[^\n]{{0,160}}?/(?:u|user):)\S{{1,80}}[ \t]+(?![/\\]){_WORD}"),
    ("net use", rf"net use[ \t]+(?:[A-Z*]:?[ \t]+)?\\\\\S{{1,160}}[ \t]+(?![/*]){_WORD}[ \t]+/user:"),
    ("net user", rf"net user[ \t]+[\w.-]{{1,40}}[ \t]+(?![/*]){_WORD}"),
    ("/pass:", rf"/pass:{_WORD}"),
    ("/p:", rf"freerdp\b{_MORE}[\s\"']/p:{_WORD}"),
    ("/rp", rf"schtasks\b{_MORE}[ \t]/rp[ \t]+{_WORD}"),
    ("-pw", rf"\b(?:plink|pscp|psftp|putty|kitty)\b{_MORE}[ \t]-pw{_GAP}{_WORD}"),
    ("sexec", rf"sexec\b{_MORE}[ \t]-p{_GAP}{_WORD}"),
    ("rdesktop", rf"rdesktop\b{_MORE}[ \t]-p{_GAP}(?!-){_WORD}"),
    ("sqlcmd", rf"sqlcmd\b{_MORE}[\s\"']-P{_GAP}?{_WORD}"),
    ("bcp", rf"\bbcp\b{_MORE}[\s\"']-P{_GAP}?{_WORD}"),
    ("cqlsh", rf"cqlsh\b{_MORE}[\s\"']-p{_GAP}{_WORD}"),
    ("rabbitmq", rf"rabbitmqctl\b{_MORE}(?:add_user|change_password|authenticate_user){_GAP}\S{{1,80}}{_GAP}{_WORD}"),
    ("rabbitmq", rf"rabbitmqadmin\b{_MORE}[\s\"']-p{_GAP}{_WORD}"),
    ("lftp", rf"lftp\b{_MORE}[\s\"']-u{_GAP}[\"']?[^\s,\"']{{1,80}},(?P<bare>[^\s\"']{{1,200}})"),
    ("twine", rf"twine\b{_MORE}[\s\"']-p{_GAP}{_WORD}"),
    ("nuget", rf"nuget{_GAP}push\b{_MORE}[\s\"']-k{_GAP}{_LIKELY}"),
    ("etcdctl", rf"etcdctl\b{_MORE}--user(?:=|{_GAP}){_PAIR}"),
    ("http", rf"\bhttps?{_GAP}{_MORE}(?<=[\s\"'])(?:-a|--auth)(?:=|{_GAP}){_PAIR}"),
    (
        "rpc",
        rf"\b(?:net{_GAP}(?:rpc|ads)|rpcclient)\b{_MORE}[\s\"']{_PERCENT}",
    ),
    (
        "snmp",
        rf"\bsnmp[a-z]{{2,10}}\b{_OPTIONS}[\s\"']-A{_GAP}?{_WORD}",
    ),
    (
        "snmp",
        rf"\bsnmp[a-z]{{2,10}}\b{_OPTIONS}[\s\"']-X{_GAP}?{_WORD}",
    ),
    ("snmp", rf"\bsnmp[a-z]{{2,10}}\b{_MORE}[\s\"']-c{_GAP}?{_CHOSEN}"),
    ("community", rf"\br[ow]community6?[ \t]+{_LIKELY}"),
    ("createUser", rf"\bcreateUser[ \t]+\S{{1,64}}[ \t]+(?:MD5|SHA(?:-?\d{{3}})?)[ \t]+{_WORD}"),
    (
        "createUser",
        (
            r"\bcreateUser[ \t]+\S{1,64}[ \t]+(?:MD5|SHA(?:-?\d{3})?)[ \t]+\S{1,200}[ \t]+(?:DES|AES)[ \t]+"
            r"(?P<bare>\S{1,200})"
        ),
    ),
    ("wpa_passphrase", rf"wpa_passphrase{_GAP}\S{{1,64}}{_GAP}{_WORD}"),
    ("nmcli", rf"nmcli\b{_MORE}[ \t](?:password|psk){_GAP}{_WORD}"),
    (
        "chpasswd",
        (
            rf"echo[ \t]+(?:-\w[ \t]+)?[\"']?[\w.-]{{1,32}}:(?P<bare>[^\s\"']{{3,200}})[\"']?[ \t]*{_PIPE}"
            rf"[^\n|]{{0,20}}chpasswd"
        ),
    ),
    ("sudo", rf"echo[ \t]+(?:-\w[ \t]+)?{_WORD}[ \t]*{_PIPE}[ \t]*sudo[ \t]+(?:-\w+[ \t]+){{0,3}}-\w*S"),
    (
        "word-stdin",
        rf"(?:echo|printf)[ \t]+(?:-\w[ \t]+|[\"']?%s[\"']?[ \t]+)?{_WORD}[ \t]*{_PIPE}[^\n|]{{1,160}}--password-stdin",
    ),
    ("7z", rf"\b7z[ar]?{_GAP}{_MORE}[\s\"']-p(?=[^\s\"'])(?P<bare>[^\s\"']{{1,200}})"),
    ('"AUTH"', r"\"AUTH\"(?: \"[^\"\n]{1,64}\")? \"(?P<quoted>[^\"\n]{1,200})\""),
    ('"auth"', r"\d \[\d{1,3} [^\]\n]{1,60}\] \"auth\"(?: \"[^\"\n]{1,64}\")? \"(?P<quoted>[^\"\n]{1,200})\""),
    ("> AUTH", r"\d> AUTH[ \t]+(?:[^\s\"]{1,64}[ \t]+)?\"?(?P<bare>[^\s\"]{1,200})"),
    ("> auth", r"\d> auth[ \t]+(?:[^\s\"]{1,64}[ \t]+)?\"?(?P<bare>[^\s\"]{1,200})"),
    ("AUTH\r\n$", r"AUTH\r\n(?:\$\d{1,3}\r\n\S{1,64}\r\n)?\$\d{1,3}\r\n(?P<bare>\S{1,200})"),
    ("AUTH\\r\\n$", r"AUTH\\r\\n(?:\$\d{1,3}\\r\\n[^\s\\]{1,64}\\r\\n)?\$\d{1,3}\\r\\n(?P<bare>[^\s\\]{1,200})"),
    ("SETUSER", r"\bSETUSER\b[^\n]{1,120}?[\s\"]>(?P<bare>[^\s\"]{1,200})"),
    ("assword", rf"assword[^\n]{{0,200}}(?<=:){_NEXT_LINE}"),
    (
        "assword",
        (
            r"(?:enerated|nitial|emporary|[nN]ew|efault|andom)[^\n:]{0,40}assword"
            r"[^\n:]{0,100}(?<!user)(?<!name)(?<!ount)(?<!role):[ \t]*"
            r"(?P<chosen>[^\s\"']{6,200})"
        ),
    ),
    ("oken", rf"[Tt]oken[^\n:]{{0,80}}:{_NEXT_LINE}"),
    (
        " key",
        rf"(?i:API|access|secret|recovery|license|enrollment|activation|master|unseal) key[^\n:]{{0,80}}:{_NEXT_LINE}",
    ),
    ("New value", r"assword[^\n]{0,100}\r?\nNew value:[ \t]*(?P<bare>\S{4,200})"),
    ("PASSWORD ", r"(?:^|[ \t])PASSWORD \w{1,40} = (?P<chosen>\S{8,200})$"),
    ("_SALT", rf"\b(?:AUTH|LOGGED_IN|NONCE)_SALT{_IS}"),
    ("_KEY", rf"\b(?:LOGGED_IN|NONCE)_KEY{_IS}"),
    ("hash_salt", rf"\bhash_salt{_IS}"),
    ("salt' =>", r"'salt'[ \t]{0,8}=>[ \t]{0,8}[\"'](?P<likely>[^\"'\s]{16,200})[\"']"),
    (
        "identified",
        r"(?:create|alter)[ \t]+user[ \t]+\S{1,80}[ \t]+identified[ \t]+by[ \t]+(?P<bare>[^\s\"';]{3,200})",
    ),
    (
        "identified",
        (
            rf"(?:(?-i:IDENTIFIED)|\b(?:user|role|grant|to|account)\b[^\n;]{{0,200}}?identified)[ \t]+"
            rf"(?:with[ \t]+\S{{1,60}}[ \t]+)?(?:by|as)[ \t]+(?:password[ \t]+)?(?=[\"']){_WORD}"
        ),
    ),
)
# In any case, as SQL is written; and calls, which all have a bracket.
_SQL = "identified"


def _patterns(table: Iterable[tuple[str, str]]) -> list[tuple[str, tuple[re.Pattern[str], ...]]]:
    """The patterns of *table* by their cues, to be looked for once each."""
    by_cue: defaultdict[str, list[re.Pattern[str]]] = defaultdict(list)
    for cue, source in table:
        by_cue[cue].append(lazy(source, re.MULTILINE | (re.IGNORECASE if cue == _SQL else 0)))
    return [(cue, tuple(patterns)) for cue, patterns in by_cue.items()]


# Most lines have no option, and most cues are those of commands that need one.
_OPTION = r"[\s\"']-"
_OPTION_BEGINS = (" -", '"-', "'-", "\n-", "\t-")
_PATTERNS = _patterns(row for row in (*_COMMANDS, *DIALOGUES, *REPORTED) if _OPTION not in row[1])
_WITH_OPTION = _patterns(row for row in _COMMANDS if _OPTION in row[1])
_CALLS = _patterns(CALLS)
_LOWER = tuple((cue.lower(), patterns) for cue, patterns in (*_PATTERNS, *_WITH_OPTION, *_CALLS))


def masked_commands(text: str) -> str:
    """*text* with the passwords on its command lines, and in its calls, masked."""
    due = [patterns for cue, patterns in _PATTERNS if cue in text]
    if "IDENTIFIED" in text or "Identified" in text:
        due += [patterns for cue, patterns in _PATTERNS if cue == _SQL]
    if any(begins in text for begins in _OPTION_BEGINS):
        due += [patterns for cue, patterns in _WITH_OPTION if cue in text]
    if "(" in text or "auth:" in text:
        due += [patterns for cue, patterns in _CALLS if cue in text]
    for patterns in due:
        for pattern in patterns:
            text = replaced(text, _spans(text, pattern))
    return text


def holds_command(text: str) -> bool:
    """Whether something in *text* is a command with what may be a password on its line, or a call with one."""
    lower = text.lower()
    due = [patterns for cue, patterns in _LOWER if cue in lower]
    return any(pattern.search(text) for patterns in due for pattern in patterns)


def _spans(text: str, pattern: re.Pattern[str]) -> Iterator[Span]:
    for found in pattern.finditer(text):
        name = next(name for name, value in found.groupdict().items() if value and name not in ("open", "inner"))
        is_likely = is_opaque(found[name]) and not is_identifier(found[name])
        if (name == "likely" and not is_likely) or (name == "chosen" and not is_likely and not is_told(found[name])):
            continue
        if is_secret(found[name], "password", _PLACE):
            yield found.span(name)
