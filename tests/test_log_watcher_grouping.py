"""How well fingerprints group messages, measured as Loghub's benchmark does; the figures are printed.

Of its samples only the templates are here, with values made up: eleven systems, two thousand lines each, some templates
a thousand times as common as others.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from pathlib import Path

from daemons.log_watcher import fingerprint

TEMPLATES = Path(__file__).parent / "fixtures" / "grouping" / "templates.txt"
LINES = 2000
LEAST_ACCURACY = 0.86
MOST_MIXED = 0.03
_HOSTS = ("dn228", "cse-proxy.example.edu", "msra-sa-41", "mail.shop.example", "localhost", "web-3", "wkst.example")
_WORDS = ("chrome", "static", "telnet", "mapreduce", "outlook", "thunder", "proxy")
_USERS = ("root",) * 12 + ("admin", "oracle", "test", "cyrus", "news", "guest1", "ftp")


def _value(kind: str, chance: random.Random) -> str:
    number = chance.randrange(10 ** chance.choice((1, 2, 3, 5)))
    address = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
    digits = f"{chance.getrandbits(128):032x}"
    clock = f"{number % 24:02}:{number % 60:02}:{number % 59:02}"
    values = {
        "n": str(number),
        "f": f"{number}.{chance.randrange(100)}",
        "hex": f"0x{digits[:8]}",
        "id": f"{chance.randrange(10**9)}_{digits[:4]}",
        "uuid": f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}",
        "ip": address,
        "ipp": f"{address}:{chance.randrange(1024, 65536)}",
        "host": chance.choice(_HOSTS),
        "path": f"/{chance.choice(_WORDS)}/{chance.choice(('lib', 'data', digits[:6]))}/{digits[6:12]}.log",
        "w": chance.choice(_WORDS),
        "user": chance.choice(_USERS),
        "day": "2017-05-16",
        "clock": clock,
    }
    return values[kind]


def _systems() -> dict[str, list[str]]:
    systems: dict[str, list[str]] = {}
    for row in TEMPLATES.read_text().splitlines():
        if row.startswith("= "):
            systems[row[2:]] = latest = []
        elif row and not row.startswith("# "):
            latest.append(row)
    return systems


def _sample(templates: list[str], seed: int) -> list[tuple[str, bytes]]:
    chance = random.Random(seed)
    shuffled = chance.sample(templates, len(templates))
    weights = [1 / (rank + 1) for rank in range(len(shuffled))]
    drawn = chance.choices(shuffled, weights, k=LINES)
    return [(one, re.sub(r"<(\w+)>", lambda slot: _value(slot[1], chance), one).encode()) for one in drawn]


def _measured(sample: list[tuple[str, bytes]]) -> tuple[float, float, int]:
    """Share of lines whose group holds just the lines of their template; share in groups of several; groups."""
    groups: dict[str, list[str]] = defaultdict(list)
    truth: dict[str, int] = defaultdict(int)
    for template, line in sample:
        groups[fingerprint.of(line, (line,))].append(template)
        truth[template] += 1
    right = sum(len(kept) for kept in groups.values() if len(set(kept)) == 1 and truth[kept[0]] == len(kept))
    mixed = sum(len(kept) for kept in groups.values() if len(set(kept)) > 1)
    return right / len(sample), mixed / len(sample), len(groups)


def test_messages_of_one_kind_are_one_group_and_kinds_are_not_mixed(capsys):
    rows = []
    for seed, (name, templates) in enumerate(_systems().items()):
        rows.append((name, len(templates), *_measured(_sample(templates, seed))))

    accuracy = sum(row[2] for row in rows) / len(rows)
    mixed = sum(row[3] for row in rows) / len(rows)
    with capsys.disabled():
        print()
        for name, kinds, right, wrong, groups in rows:
            print(f"{name:10} {kinds:4} kinds {groups:4} groups: accuracy {right:.3f}, in mixed groups {wrong:.2%}")
        print(f"all        accuracy {accuracy:.3f}, lines in groups that mix kinds {mixed:.2%}")
    assert accuracy >= LEAST_ACCURACY
    assert mixed <= MOST_MIXED
