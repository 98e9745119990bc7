"""Something else in the place of a shared file: health, the plain page and the commands still answer, and name it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from conftest import Cmux, answer
from test_api import Client, publish, publish_all

from daemons import clock, files
from daemons.alerts import Alerts, Occurrence
from daemons.api.__main__ import Api
from daemons.asking import Reply
from daemons.cli.condition import Condition
from daemons.clock import Wake
from daemons.files import StorageError
from daemons.settings import Settings
from daemons.suite import Record

Plant = Callable[[Path], None]
PLANTS = {"fifo": os.mkfifo, "folder": os.mkdir}


@pytest.fixture
def api(conf: Settings) -> Iterator[Client]:
    served = Api(conf, Wake())
    yield Client(conf.port)
    served.close()


@pytest.fixture(params=PLANTS)
def plant(request: pytest.FixtureRequest) -> Plant:
    make: Plant = PLANTS[request.param]

    def put(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        make(path)

    return put


def paths(conf: Settings) -> dict[str, Path]:
    return {
        "agents": conf.registry,
        "alerts": conf.alerts_dir / "system:log-watcher.json",
        "mailbox": conf.mailbox,
    }


def test_what_is_no_regular_file_is_said_to_be_none_and_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    for use in (files.read, lambda path: files.append(path, b"x\n"), files.check_appendable):
        with pytest.raises(StorageError, match="no regular file: move it away"):
            use(tmp_path / "fifo")
    assert "Invalid argument" in str(StorageError("read", tmp_path, OSError(errno.EINVAL, "Invalid argument")))


@pytest.mark.parametrize("part", ["agents", "alerts"])
def test_health_tells_the_part_that_cannot_be_read_and_all_others(
    api: Client, conf: Settings, plant: Plant, part: str
) -> None:
    publish_all(conf)
    plant(paths(conf)[part])

    for path in ("/health", "/api/webhooks/health"):
        told = api.get(path)
        assert (told.status, told.json["status"]) == (503, "degraded")
        assert told.json[part]["status"] == "unknown"
        assert str(paths(conf)[part]) in told.json[part]["evidence"]
        assert "move it away" in told.json[part]["evidence"]
        assert told.json["daemons"]["log_watcher"]["status"] == "healthy"

    os.rename(paths(conf)[part], conf.home / "away")
    assert api.get("/health").status == 200


@pytest.mark.parametrize("part", ["agents", "alerts", "mailbox"])
def test_the_plain_page_names_the_part_that_cannot_be_read(
    api: Client, conf: Settings, plant: Plant, part: str
) -> None:
    publish_all(conf)
    plant(paths(conf)[part])

    for path in ("/", "/status"):
        page = api.get(path)
        assert page.status == 200
        assert "move it away" in page.body.decode()


def test_health_is_degraded_while_the_mailbox_is_none(api: Client, conf: Settings, plant: Plant) -> None:
    publish_all(conf)
    plant(conf.mailbox)

    told = api.get("/health")

    assert (told.status, told.json["mailbox"]["status"], told.json["mailbox"]["undelivered"]) == (503, "degraded", 2)
    assert "move it away" in told.json["mailbox"]["evidence"]


def test_health_is_degraded_while_alerts_wait_to_be_sent(api: Client, conf: Settings) -> None:
    publish_all(conf)
    publish(conf, "log_watcher", alerts_waiting="the disk is full")

    told = api.get("/health")

    assert (told.status, told.json["mailbox"]["evidence"]) == (503, "alerts of log_watcher wait: the disk is full")


def test_what_another_process_has_sent_waits_no_more(conf: Settings, plant: Plant) -> None:
    first = Alerts(conf)
    plant(conf.mailbox)
    first.raise_([Occurrence("k", "log", "/srv/a.log", "ERROR")], clock.now())
    assert "move it away" in (first.stuck or "")
    os.rename(conf.mailbox, conf.home / "away")

    Alerts(conf).tick(clock.now())
    first.tick(clock.now())

    assert first.stuck is None


@pytest.mark.parametrize("part", ["agents", "alerts"])
def test_status_shows_the_others_and_why_one_is_unknown(cmux: Cmux, conf: Settings, plant: Plant, part: str) -> None:
    plant(paths(conf)[part])

    shown = cmux("status")
    told = answer(cmux("status", "--json"))

    assert shown.returncode == 4, shown.stderr
    [line] = [line for line in shown.stdout.splitlines() if line.startswith(part)]
    assert "unknown" in line
    assert "move it away" in line
    assert list(told["unknown"]) == [part]


def test_why_survives_alerts_that_cannot_be_read(cmux: Cmux, conf: Settings, plant: Plant) -> None:
    plant(paths(conf)["alerts"])

    shown = cmux("why")

    assert shown.returncode == 4, shown.stderr
    assert "nothing runs" in shown.stdout
    assert "move it away" in shown.stdout


@pytest.mark.parametrize("part", ["agents", "alerts"])
def test_doctor_goes_on_after_what_cannot_be_read(cmux: Cmux, conf: Settings, plant: Plant, part: str) -> None:
    plant(paths(conf)[part])

    examined = cmux("doctor")

    assert examined.returncode == 3, examined.stderr
    assert "python" in examined.stdout
    assert "move it away" in examined.stdout


def test_why_names_messages_that_cannot_be_sent(conf: Settings) -> None:
    body = {"status": "degraded", "service": "cmux", "mailbox": {"status": "degraded", "evidence": "the disk is full"}}
    any_suite = cast(Record, "runs")
    now = Condition(conf, clock.now(), any_suite, health=Reply(503, body, 0.1))

    assert [(finding.what, finding.evidence) for finding in now.findings] == [
        ("messages cannot be sent", "the disk is full")
    ]
    assert now.verdict == "degraded"


@pytest.mark.parametrize(("status", "named"), [("full", [("the disk is full", "512 bytes are left")]), ("low", [])])
def test_why_names_a_disk_that_is_full(conf: Settings, status: str, named: list[tuple[str, str]]) -> None:
    disk = {"status": status, "evidence": "512 bytes are left"}
    body = {"status": "degraded" if named else "healthy", "service": "cmux", "disk": disk}
    now = Condition(conf, clock.now(), cast(Record, "runs"), health=Reply(503, body, 0.1))

    assert [(finding.what, finding.evidence) for finding in now.findings] == named
    assert all("free some space" in finding.todo for finding in now.findings)
