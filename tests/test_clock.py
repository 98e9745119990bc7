"""Tests of daemons.clock."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons import clock


@given(st.datetimes(timezones=st.timezones()))
def test_a_stamp_reads_back_as_the_same_moment(moment):
    utc = moment.astimezone(clock.now().tzinfo)

    assert clock.parse_stamp(clock.stamp(utc)) == utc


def test_a_stamp_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="no UTC offset"):
        clock.parse_stamp("2026-01-31T18:54:00")


def test_a_wake_up_before_the_wait_is_not_lost():
    wake = clock.Wake()
    wake.set("event")

    assert wake.wait(60)


def test_wake_ups_that_piled_up_are_taken_together():
    wake = clock.Wake()
    for _ in range(3):
        wake.set("event")

    assert wake.wait(60)
    assert not wake.wait(0)


def test_a_wait_for_a_stop_returns_at_once_ever_after():
    wake = clock.Wake()
    wake.request_stop()

    assert wake.wait(60)
    assert wake.wait(60)


def test_a_signal_handler_wakes_a_waiting_main_thread():
    wake = clock.Wake()

    def handler(_number: int, _frame: FrameType | None) -> None:
        wake.request_stop()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert wake.wait(30)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_wait_until_gives_the_last_answer_when_time_is_up():
    answers = iter([0, 0, 0] + [0] * 1000)

    assert clock.wait_until(lambda: next(answers), within_s=0.05, every_s=0.01) == 0
