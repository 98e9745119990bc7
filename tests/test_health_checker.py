"""The health checker at work: real processes, real npm, real servers; what it publishes, heals and tells."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemons import clock, loop, processes, settings, suite
from daemons.health_checker.frontend import check, exchange, npm, record
from daemons.mailbox import Message
from daemons.settings import Settings
from daemons.supervisor import Rpc
from tests.conftest import Start, eventually, free_port
from tests.site import serving, shown
from tests.stand_ins import in_place_of_the_daemons, pids, run_supervisord, states

FIXTURE = Path(__file__).parent / "fixtures" / "frontend"

Detail = dict[str, Any]
Mail = Callable[[], list[Message]]
Api = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def project(conf: Settings) -> Path:
    shutil.copytree(FIXTURE, conf.frontend_dir)
    return conf.frontend_dir


@pytest.fixture
def detail(conf: Settings) -> Callable[[], Detail]:
    """What the health checker published last."""

    def read() -> Detail:
        status = loop.read_status(conf, "health_checker")
        return dict(status.detail) if status else {}

    return read


def is_at_rest(detail: Callable[[], Detail]) -> bool:
    """Whether dist is whole, and nothing is done about it any more: it was built, and kept."""
    told = detail().get("frontend", {})
    return told.get("status") == "healthy" and told.get("healing") == "nothing" and told.get("built") is not None


def events(conf: Settings) -> list[str]:
    lines = [line for day in conf.journal_dir.glob("*/events.jsonl") for line in day.read_text().splitlines()]
    return [json.loads(line)["event"] for line in lines]


def of_frontend(conf: Settings) -> list[str]:
    return [event for event in events(conf) if event.startswith("frontend.")]


def about(thing: str, mail: Mail) -> list[Message]:
    return [message for message in mail() if thing in message.subject]


def status_of(detail: Callable[[], Detail], part: str) -> Callable[[], str | None]:
    return lambda: detail().get(part, {}).get("status")


# -- the frontend -----------------------------------------------------------------------------------------------------


def test_no_frontend_is_absent_and_nothing_is_told(start: Start, detail: Callable[[], Detail], mail: Mail) -> None:
    start("health_checker", CMUX_HEALTH_INTERVAL="0.5")

    eventually(lambda: status_of(detail, "frontend")() == "absent", but=detail)

    assert mail() == []


def test_a_frontend_that_was_never_built_is_built(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail], mail: Mail
) -> None:
    start("health_checker")

    eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)

    assert check.look(conf.dist, conf.frontend_url).is_whole
    assert detail()["frontend"]["index_exists"] is True
    assert detail()["frontend"]["js_bundle_count"] == 2
    assert about("frontend", mail) == []


def test_a_removed_dist_shows_within_a_second_and_is_healed(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail], mail: Mail
) -> None:
    with serving(conf):
        start("health_checker")
        eventually(lambda: is_at_rest(detail), within_s=30, but=detail)

        shutil.rmtree(conf.dist)

        eventually(lambda: status_of(detail, "frontend")() in ("degraded", "building"), within_s=1, but=detail)
        eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)

        # Whole is seen at once; that it was healed is noted when its builder has ended.
        eventually(lambda: of_frontend(conf)[-2:] == ["frontend.broken", "frontend.healed"], but=lambda: events(conf))

    assert check.look(conf.dist, conf.frontend_url).is_whole
    assert about("frontend", mail) == []


def test_a_build_that_fails_is_told_once_with_npms_output_and_cleared_when_the_source_is_mended(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail], mail: Mail, home: Path
) -> None:
    (project / "src" / "mode.txt").write_text("fail")
    checker = start("health_checker")

    eventually(lambda: len(about("frontend", mail)) == 1, within_s=40, but=mail)
    alert = about("frontend", mail)[0]
    assert alert.sender == "system:health-checker"
    assert "building it failed" in alert.subject
    assert alert.body is not None
    assert "unexpected token" in (home / alert.body).read_text()
    assert "abcdef123456" not in (home / alert.body).read_text()
    eventually(lambda: status_of(detail, "frontend")() == "failed", but=detail)

    checker.kill()
    checker.wait()
    (project / "src" / "mode.txt").unlink()
    (conf.state / "repairs.json").unlink()  # else its pause is waited out
    start("health_checker")
    eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)
    eventually(lambda: len(about("frontend", mail)) == 2, but=mail)
    assert "[CLEARED]" in about("frontend", mail)[1].subject


def loop_cycles(conf: Settings) -> int:
    status = loop.read_status(conf, "health_checker")
    return status.cycle if status else 0


def test_a_kill_of_the_checker_ends_its_builder_and_the_next_one_goes_on(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail]
) -> None:
    (project / "src" / "mode.txt").write_text("hang")
    checker = start("health_checker")
    eventually(lambda: len(building(conf)) >= 3, within_s=10, but=lambda: building(conf))

    checker.kill()
    checker.wait()

    eventually(lambda: building(conf) == [], but=lambda: building(conf))
    (project / "src" / "mode.txt").unlink()
    assert json.loads((conf.state / "repairs.json").read_text())["frontend"]["failures"] == 1, "the try is remembered"
    (conf.state / "repairs.json").unlink()
    start("health_checker")
    eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)


def building(conf: Settings) -> list[int]:
    """The builder's descendants."""
    last = record.read(conf)
    if last is None:
        return []
    table = processes.table()
    return [pid for pid, seen in table.items() if processes.environment_value(seen, npm.ATTEMPT) == last.attempt]


def test_a_hanging_build_holds_up_no_cycle_and_no_end(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail]
) -> None:
    (project / "src" / "mode.txt").write_text("hang")
    checker = start("health_checker", CMUX_HEALTH_INTERVAL="0.2")
    eventually(lambda: status_of(detail, "frontend")() == "building", within_s=10, but=detail)

    cycles = loop_cycles(conf)
    eventually(lambda: loop_cycles(conf) > cycles + 3)
    began = clock.monotonic()
    checker.send_signal(signal.SIGTERM)

    assert checker.wait(timeout=5) == 0
    assert clock.monotonic() - began < 2
    assert building(conf) == []


def test_a_dist_that_somebody_else_builds_meanwhile_is_left_to_him(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail]
) -> None:
    start("health_checker")
    eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)
    whole = conf.dist.with_name("whole")
    shutil.copytree(conf.dist, whole)

    shutil.rmtree(conf.dist)
    whole.rename(conf.dist)
    inode = conf.dist.stat().st_ino

    eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)
    assert conf.dist.stat().st_ino == inode


def test_a_build_of_the_users_own_is_waited_for(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail]
) -> None:
    start("health_checker")
    eventually(lambda: is_at_rest(detail), within_s=30, but=detail)
    before = conf.dist.stat().st_ino
    (project / "src" / "main.js").write_text("console.log('by hand')")
    (project / "src" / "mode.txt").write_text("slow")

    shutil.rmtree(conf.dist)
    with subprocess.Popen([npm.locate() or "npm", "run", "build"], cwd=project, stdout=subprocess.DEVNULL) as by_hand:
        eventually(lambda: "is building it" in evidence(detail), but=detail)
        assert by_hand.wait(20) == 0

    eventually(lambda: detail()["frontend"]["built"]["by"] == "somebody else", within_s=15, but=detail)
    assert b"by hand" in b"".join(shown(conf.dist).values())
    assert conf.dist.stat().st_ino != before
    assert of_frontend(conf).count("frontend.healed") == 1, "nothing was put in the place of what he built"
    assert not (project / exchange.STAGING).exists()


def evidence(detail: Callable[[], Detail]) -> str:
    return str(detail()["frontend"]["evidence"])


def test_another_whole_dist_is_taken_note_of_within_one_interval(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail]
) -> None:
    elsewhere = {"CMUX_PORT": "1", "CMUX_FRONTEND_URL": conf.frontend_url, "CMUX_HEALTH_INTERVAL": "60"}
    with serving(conf):
        start("health_checker", **elsewhere)
        eventually(lambda: is_at_rest(detail) and is_steady(detail), within_s=30, but=detail)
        made = conf.dist.with_name("made")
        made.mkdir()
        (made / "index.html").write_text('<script src="/app.js"></script>')
        (made / "app.js").write_text("console.log('made elsewhere')")

        conf.dist.rename(conf.dist.with_name("gone"))
        made.rename(conf.dist)

        eventually(lambda: detail()["frontend"]["built"]["by"] == "somebody else", within_s=15, but=detail)


def is_steady(detail: Callable[[], Detail]) -> bool:
    """Whether the next look of its own accord is an interval away."""
    told = detail()
    return told["api"]["believed"] == "refused" and told["frontend"]["served"] == "served byte for byte"


def test_what_is_served_otherwise_than_it_lies_is_told_and_not_rebuilt(
    start: Start, conf: Settings, project: Path, detail: Callable[[], Detail], mail: Mail
) -> None:
    elsewhere = {"CMUX_PORT": "1", "CMUX_FRONTEND_URL": conf.frontend_url, "CMUX_HEALTH_INTERVAL": "0.3"}
    start("health_checker", **elsewhere)
    eventually(lambda: conf.dist.exists() and check.look(conf.dist, conf.frontend_url).is_whole, within_s=15)
    before = shown(conf.dist)

    with serving(conf) as site:
        eventually(lambda: status_of(detail, "frontend")() == "healthy", within_s=30, but=detail)
        site.spoiled["/"] = b"<h1>an old page</h1>"
        eventually(lambda: status_of(detail, "frontend")() == "degraded", within_s=10, but=detail)
        eventually(lambda: any("not served" in message.subject for message in mail()), but=mail)

    assert shown(conf.dist) == before


# -- the API ----------------------------------------------------------------------------------------------------------

SERVER = """
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


@pytest.fixture
def api(conf: Settings, environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Something on the API's port that gives the right answer; with `marked`, a process of the suite."""
    (tmp_path / "server.py").write_text(SERVER)
    running: list[subprocess.Popen[bytes]] = []

    def starter(*, marked: bool) -> subprocess.Popen[bytes]:
        identity = suite.suite_id(conf)
        told = json.dumps({"service": "cmux", "instance": identity, "api": "healthy"})
        child = subprocess.Popen(
            [sys.executable, str(tmp_path / "server.py"), str(conf.port), told],
            env=environ | ({"CMUX_SUITE_ID": identity} if marked else {}),
        )
        running.append(child)
        eventually(lambda: processes.listeners(conf.port))
        return child

    yield starter
    for child in running:
        child.kill()
        child.wait()


def test_our_api_is_healthy_then_frozen_then_refused(start: Start, api: Api, detail: Callable[[], Detail]) -> None:
    child = api(marked=True)
    start("health_checker", CMUX_HEALTH_INTERVAL="0.5")
    eventually(lambda: status_of(detail, "api")() == "healthy", but=detail)

    child.send_signal(signal.SIGSTOP)
    eventually(lambda: status_of(detail, "api")() == "frozen", within_s=4, but=detail)

    child.kill()
    child.wait()
    eventually(lambda: status_of(detail, "api")() == "refused", within_s=4, but=detail)


def test_a_stranger_on_the_port_is_told_once_with_his_name_and_left_alone(
    start: Start, api: Api, detail: Callable[[], Detail], mail: Mail
) -> None:
    stranger = api(marked=False)
    start("health_checker", CMUX_HEALTH_INTERVAL="0.3")

    eventually(lambda: status_of(detail, "api")() == "foreign", but=detail)
    eventually(lambda: len(mail()) == 1, but=mail)

    assert f"pid {stranger.pid} " in mail()[0].subject
    assert stranger.poll() is None

    stranger.kill()
    stranger.wait()
    eventually(lambda: any("[CLEARED] api" in message.subject for message in mail()), within_s=10, but=mail)


# -- services, under a real supervisord -------------------------------------------------------------------------------


@pytest.fixture
def web(conf: Settings, environ: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    """A suite whose one program is the service `web`."""
    port = free_port()
    (conf.home / "server.py").write_text(SERVER)
    (conf.home / "conf").mkdir()
    (conf.home / "conf" / "cmux.conf").write_text(
        f"[service:web]\ncommand = python3 server.py {port} well\nport = {port}\nhealth = http://127.0.0.1:{port}/\n"
    )
    ours = in_place_of_the_daemons(settings.load(environ), tmp_path / "checkout", {})
    supervisord = run_supervisord(ours, environ=environ)
    eventually(lambda: states(ours).get("service-web") == "RUNNING", within_s=15, but=lambda: states(ours))
    yield ours
    supervisord.terminate()
    eventually(lambda: not Rpc(ours).poke() and supervisord.poll() is not None, within_s=20)


@pytest.mark.drill
def test_a_frozen_service_is_restarted_by_supervisord_and_told_once(
    start: Start, web: Settings, detail: Callable[[], Detail], mail: Mail
) -> None:
    def service() -> Detail:
        return dict(detail().get("services", {}).get("web", {}))

    start("health_checker", CMUX_HEALTH_INTERVAL="0.3")
    eventually(lambda: service().get("believed") == "healthy", within_s=10, but=detail)
    pid = pids(web)["service-web"]

    os.kill(pid, signal.SIGSTOP)

    eventually(lambda: pids(web).get("service-web", pid) != pid, within_s=30, but=service)
    eventually(lambda: service().get("believed") == "healthy", within_s=10, but=service)
    eventually(lambda: len(about("service web", mail)) == 2, but=mail)
    told = [message.subject for message in about("service web", mail)]
    assert told == [
        "[HEALTH ALERT] service web: does not answer, and is restarted",
        "[CLEARED] service web: it is in order again",
    ]
    assert "program.restarted" in events(web)


@pytest.mark.parametrize("url", ["http://example.com/", "http://10.1.2.3:80/"])
def test_a_frontend_url_of_another_machine_is_refused_with_one_line(environ: dict[str, str], url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "daemons.health_checker"],
        env=environ | {"CMUX_FRONTEND_URL": url},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 2
    assert "CMUX_FRONTEND_URL" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.drill
def test_it_costs_little_when_nothing_happens(
    start: Start,
    conf: Settings,
    project: Path,
    api: Api,
    detail: Callable[[], Detail],
) -> None:
    api(marked=True)
    checker = start("health_checker", CMUX_HEALTH_INTERVAL="0.1")
    eventually(lambda: detail().get("frontend", {}).get("healing") == "nothing", within_s=20, but=detail)

    before, cycles = cpu_s(checker.pid), loop_cycles(conf)
    eventually(lambda: loop_cycles(conf) >= cycles + 12, within_s=20)

    a_cycle_s = (cpu_s(checker.pid) - before) / (loop_cycles(conf) - cycles)
    print(f"{a_cycle_s * 1000:.1f} ms of CPU a cycle")
    assert a_cycle_s < 0.05, f"{a_cycle_s * 1000:.1f} ms a cycle, of which there is one in 10 s"


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
