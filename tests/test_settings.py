"""Tests of daemons.settings."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from daemons import settings
from daemons.settings import SettingsError


def load(home: Path, **env: str) -> settings.Settings:
    return settings.load({"CMUX_HOME": str(home), **env})


def conf_file(home: Path, text: str) -> Path:
    path = home / "conf" / "cmux.conf"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_hold_without_environment_and_file(home):
    conf = load(home)

    assert (conf.host, conf.port, conf.session) == ("127.0.0.1", 8000, "cmux")
    assert conf.mailbox == home / ".cmux" / "mailbox"
    assert conf.watched_logs == ("/tmp/cmux-server.log", str(home / ".cmux/router.log"))
    assert conf.dist == home / "src/frontend/dist"
    assert conf.services == ()


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(home):
    conf_file(home, "[cmux]\nCMUX_PORT = 8100\nCMUX_SESSION = file\n")

    conf = load(home, CMUX_PORT="8200")

    assert (conf.port, conf.session, conf.stop_timeout_s) == (8200, "file", 15)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CMUX_PORT", "http"),
        ("CMUX_PORT", "0"),
        ("CMUX_PORT", "65536"),
        ("CMUX_PORT", "８０"),
        ("CMUX_HOST", "not a host"),
        ("CMUX_SESSION", "a:b"),
        ("CMUX_SESSION", "=x"),
        ("CMUX_TMUX_SOCKET", "../../x"),
        ("CMUX_MAILBOX_FORMAT", "xml"),
        ("CMUX_LOG_CHECK_INTERVAL", "0"),
        ("CMUX_LOG_CHECK_INTERVAL", "nan"),
        ("CMUX_LOG_CHECK_INTERVAL", "1_0"),
        ("CMUX_MAILBOX", "."),
        ("CMUX_ALERT_COOLDOWN", "-1"),
        ("CMUX_STOP_TIMEOUT", "soon"),
        ("CMUX_ERROR_PATTERNS", "("),
        ("CMUX_FRONTEND_URL", "file:///etc/passwd"),
        ("CMUX_FRONTEND_URL", "http://[x"),
        ("CMUX_FRONTEND_URL", "http://127.0.0.1:99999/"),
        ("CMUX_ALLOW_NPM_SCRIPTS", "perhaps"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_that_names_it(home, name, value):
    with pytest.raises(SettingsError) as told:
        load(home, **{name: value})

    line = str(told.value)
    assert name in line
    assert repr(value) in line
    assert "\n" not in line


def test_a_wrong_value_in_the_file_names_the_file(home):
    path = conf_file(home, "[cmux]\nCMUX_PORT = many\n")

    with pytest.raises(SettingsError, match=re.escape(str(path))):
        load(home)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_took_the_place_of_the_mailbox_is_no_wrong_setting(home, make):
    (home / ".cmux").mkdir()
    make(home / ".cmux" / "mailbox")

    assert load(home).mailbox == home / ".cmux" / "mailbox"


def test_a_misspelt_setting_is_refused_instead_of_ignored(home):
    with pytest.raises(SettingsError, match="did you mean CMUX_PORT"):
        load(home, CMUX_PROT="8000")

    conf_file(home, "[cmux]\nCMUX_PROT = 8000\n")
    with pytest.raises(SettingsError, match="CMUX_PROT"):
        load(home)


def test_names_that_other_tools_use_are_left_alone(home):
    assert load(home, CMUX_SOMEBODY_ELSES="1").port == 8000


def test_a_home_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="CMUX_HOME"):
        load(tmp_path / "nowhere")


def test_a_file_named_by_cmux_conf_must_exist(home):
    with pytest.raises(SettingsError, match="CMUX_CONF"):
        load(home, CMUX_CONF=str(home / "nowhere.conf"))


@pytest.mark.parametrize("text", ["no section\n", "[cmux]\nCMUX_PORT = 1\nCMUX_PORT = 2\n", "[cmux\n", "\xff"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(home, text):
    conf_file(home, "").write_bytes(text.encode("latin-1"))

    with pytest.raises(SettingsError) as told:
        load(home)

    assert "cmux.conf" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_service_is_read_with_its_command_folder_port_and_health(home):
    conf_file(
        home,
        "[service:web]\ncommand = uvicorn 'my app:app' --port 8001\ndirectory = web\nport = 8001\n"
        "health = http://127.0.0.1:8001/health\ncheck = ./check --now\nmemory = 512M\n",
    )

    (service,) = load(home).services

    assert service.command == ("uvicorn", "my app:app", "--port", "8001")
    assert (service.directory, service.port, service.autostart) == (home / "web", 8001, True)
    assert (service.check, service.memory_bytes) == (("./check", "--now"), 512 << 20)


@pytest.mark.parametrize(
    "text",
    [
        "[service:web]\n",
        "[service:web]\ncommand = x\nport = y\n",
        "[service:a b]\ncommand = x\n",
        "[service:web]\ncommand = x\nprot = 1\n",
        "[service:web]\ncommand = x\nmemory = 512\n",
        "[service:web]\ncommand = x\nmemory = 0G\n",
        "[other]\n",
        "[service:web]\ncommand = 'x\n",
    ],
)
def test_a_wrong_service_is_refused_naming_its_section(home, text):
    conf_file(home, text)

    with pytest.raises(SettingsError, match=re.escape(text.splitlines()[0])):
        load(home)


def test_the_commented_file_in_conf_names_every_setting_with_its_default(home):
    text = (settings.CODE / "conf" / "cmux.conf").read_text()
    source = (settings.CODE / "daemons" / "settings" / "__init__.py").read_text()
    knobs = set(re.findall(r'conf\.get\("(CMUX_[A-Z_]+)"', source))

    assert knobs
    assert {name for name in knobs if not re.search(rf"^# ?{name} =", text, re.MULTILINE)} == set()
    assert load(home, CMUX_CONF=str(settings.CODE / "conf" / "cmux.conf")).port == 8000
