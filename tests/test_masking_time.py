"""Masking, against texts that would keep a pattern which can read them in many ways busy for ever."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from daemons import text
from tests import test_alerts_plain


@pytest.mark.parametrize(
    "value", ["/" + "a" * 400 + "=", "~/" + "ab " * 300 + "=", "/" + "a/" * 300 + "=", "C:\\" + "a" * 99 + "="]
)
def test_a_path_that_is_none_is_told_at_once(value):
    program = f"from daemons import text; text.mask('password=' + {value!r}); text.mask('secret: ' + {value!r})"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=10)


def test_no_mixture_of_what_is_looked_for_takes_long():
    chosen = random.Random(7)
    until = time.process_time() + 1.5
    while time.process_time() < until:
        mixed = "".join(
            chosen.choice((*test_alerts_plain._PIECES, "a" * chosen.randrange(90), "0" * chosen.randrange(40)))
            for _ in range(12)
        )
        began = time.process_time()

        text.mask(text.safe(mixed))

        assert time.process_time() - began < 0.5, mixed
