"""The words that stand for levels, in every spelling that writers use."""

from __future__ import annotations

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

_SPELT = {
    DEBUG: "trace trce finest finer fine verbose debug debu debg dbug dbg trc vrb",
    INFO: "info inf information informational notice note system config log success hint statement detail",
    WARNING: "warn warning wrn",
    ERROR: "error erro eror err critical crit crt fatal fata ftl severe alert emerg emergency panic dpanic pnc "
    "fail failure",
}
# Words that are also ordinary: bare, they are a level only where a level must stand.
ORDINARY = {
    "fine", "note", "system", "config", "log", "success", "hint", "statement", "detail", "fail", "failure", "panic",
    "alert",
}  # fmt: skip
LEVELS = {word.encode(): level for level, words in _SPELT.items() for word in words.split()}
# As a pattern, the longer before those that they begin with.
ALL = "|".join(sorted((word.decode() for word in LEVELS), key=len, reverse=True))


def level_of(word: str) -> int | None:
    """The level that *word* spells in a field of its own: `ERROR`, `Error`, `ERROR+2`, `DEBUG-4`."""
    plain = word.strip().lower().encode("utf-8", "replace")
    return LEVELS.get(plain) or LEVELS.get(plain[:-2] if plain[-2:-1] in (b"+", b"-") else b"")


def level_of_severity(number: int) -> int:
    """The level of syslog's severity *number*, 0 to 7."""
    return ERROR if number <= 3 else WARNING if number == 4 else INFO if number <= 6 else DEBUG
