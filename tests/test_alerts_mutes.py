"""Tests of mutes, and of what is told again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from daemons import alerts, settings
from daemons.alerts import Alerts, Mutes, Occurrence
from daemons.journal import Journal
from daemons.mailbox import Message
from daemons.settings import Settings

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
Told = Callable[[], list[str]]


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def missing(name: str) -> Occurrence:
    return Occurrence(f"agent-missing:{name}", "agent-missing", name, f"{name} has no window")


@pytest.fixture
def conf(environ: dict[str, str]) -> Settings:
    return settings.load(environ | {"CMUX_ALERT_COOLDOWN": "0"})


@pytest.fixture
def sender(conf: Settings) -> Alerts:
    return Alerts(conf, "system:registry-service")


@pytest.fixture
def told(mail: Callable[[], list[Message]]) -> Told:
    return lambda: [message.subject for message in mail()]


def test_nothing_is_told_of_a_muted_agent_but_it_is_listed(conf: Settings, sender: Alerts, told: Told) -> None:
    alerts.mute(conf, "a", "me", NOON)

    sender.raise_([missing("a")], NOON)
    sender.raise_([missing("b")], NOON)
    sender.clear(["agent-missing:a", "agent-missing:b"], after(5), reason="there again")

    assert told() == ["[ALERT] Registered agent 'b' missing from tmux", "[CLEARED] agent 'b': there again"]
    sender.raise_([missing("a")], after(6))
    assert [alert.subject for alert in alerts.all_open(conf)] == ["a"]
    events = [entry["event"] for entry in Journal(conf, "").entries()]
    assert events.count("alert.muted") == 1


def test_what_is_still_so_when_it_is_unmuted_is_told_then(conf: Settings, sender: Alerts, told: Told) -> None:
    alerts.mute(conf, "a", "me", NOON)
    sender.raise_([missing("a")], NOON)
    sender.tick(after(1))
    assert told() == []

    assert alerts.unmute(conf, "a", after(2))
    sender.tick(after(2))

    assert told() == ["[ALERT] Registered agent 'a' missing from tmux"]
    assert not alerts.unmute(conf, "a", after(3))


def test_a_mute_ends_by_itself(conf: Settings, sender: Alerts, told: Told) -> None:
    alerts.mute(conf, "agent-missing:a", "me", NOON, until=after(60))
    sender.raise_([missing("a")], NOON)

    sender.tick(after(59))
    assert told() == []
    sender.tick(after(60))

    assert told() == ["[ALERT] Registered agent 'a' missing from tmux"]
    assert Mutes(conf).all(after(60)) == []


def test_what_came_and_went_while_muted_is_not_told_later(conf: Settings, sender: Alerts, told: Told) -> None:
    alerts.mute(conf, "a", "me", NOON)
    for at in range(3):
        sender.raise_([missing("a")], after(2 * at))
        sender.clear(["agent-missing:a"], after(2 * at + 1), reason="there again")
    alerts.unmute(conf, "a", after(10))

    sender.tick(after(11))

    assert told() == []
    assert alerts.all_open(conf) == []


def test_while_a_muted_alert_is_open_a_cycle_costs_no_more_than_without(conf: Settings, sender: Alerts) -> None:
    alerts.mute(conf, "a", "me", NOON)
    sender.raise_([missing("a")], NOON)
    sender.tick(after(1))

    assert sender._is_idle(after(2))


def test_mutes_that_can_not_be_read_mute_nothing(conf: Settings, sender: Alerts, told: Told) -> None:
    (conf.state / "mutes.json").parent.mkdir(exist_ok=True)
    (conf.state / "mutes.json").write_text("{")

    sender.raise_([missing("a")], NOON)

    assert len(told()) == 1


def test_what_is_still_so_is_told_again_after_growing_pauses_if_set_so(environ: dict[str, str], told: Told) -> None:
    conf = settings.load(environ | {"CMUX_ALERT_COOLDOWN": "0", "CMUX_ALERT_RETELL": "60"})
    sender = Alerts(conf, "system:registry-service")
    sender.raise_([missing("a"), missing("b")], NOON)

    at = []
    for second in range(0, 1000, 5):
        before = len(told())
        sender.tick(after(second))
        at += [second] if len(told()) > before else []

    assert at == [60, 180, 420, 900]
    assert told()[1] == "[ALERT] still so since 2026-01-31 12:00 UTC: 2 agents missing: a, b"


def test_it_is_told_again_neither_by_default_nor_once_somebody_knows(environ: dict[str, str], told: Told) -> None:
    for retell, acknowledged in (("", False), ("60", True)):
        conf = settings.load(environ | {"CMUX_ALERT_COOLDOWN": "0", "CMUX_ALERT_RETELL": retell})
        sender = Alerts(conf, f"system:test-{len(retell)}")
        sender.raise_([missing("a")], NOON)
        if acknowledged:
            sender.ack("agent-missing:a", "me", after(1))
        before = len(told())

        sender.tick(after(10_000))

        assert len(told()) == before
