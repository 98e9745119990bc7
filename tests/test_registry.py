from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import eventually
from hypothesis import given
from hypothesis import strategies as st

from daemons import clock, files
from daemons.files import LockBusy, StorageError
from daemons.registry import Draft, InvalidAgent, Outcome, Registry, Trouble, check_id, edits, registration, traces
from daemons.registry.drafts import Batch
from daemons.registry.table import Table, parse, rebase

NOW = datetime(2026, 1, 31, 18, 54, tzinfo=UTC)
spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder / "agent_registry.json"


@pytest.fixture
def told() -> list[Trouble]:
    return []


@pytest.fixture
def registry(path: Path, told: list[Trouble]) -> Registry:
    return Registry(path, told=told.append)


def on_disk(path: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(path.read_bytes())
    return found


def strays(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir() if file.name.endswith(".tmp")]


# -- ordinary life ----------------------------------------------------------------------------------------------------


def test_a_registered_agent_is_in_the_file_with_its_defaults(registry: Registry, path: Path) -> None:
    registry.register("tests", {}, NOW)

    assert on_disk(path) == {
        "tests": {"registered_at": "2026-01-31T18:54:00.000000+00:00", "type": "worker", "created_by": "system"}
    }


def test_one_agent_is_one_line_and_the_file_is_json_to_jq(registry: Registry, path: Path) -> None:
    registry.register("tests", {"note": "größer"}, NOW)
    registry.register("cmux-2:docs", {}, NOW)

    text = path.read_text(encoding="utf-8")
    assert [line.split(":")[0] for line in text.splitlines()] == ["{", '  "tests"', '  "cmux-2', "}"]
    assert "größer" in text
    keys = subprocess.run(["jq", "-r", "keys_unsorted[]", path], capture_output=True, text=True, check=True)
    assert keys.stdout.split() == ["tests", "cmux-2:docs"]


def test_registering_again_keeps_the_time_and_all_that_was_not_said(registry: Registry, path: Path) -> None:
    registry.register("tests", {"type": "lead", "mine": {"a": [1]}}, NOW)
    registry.register("tests", {"note": "hi", "registered_at": "forged"}, datetime(2027, 1, 1, tzinfo=UTC))

    assert on_disk(path)["tests"] == {
        "registered_at": "2026-01-31T18:54:00.000000+00:00",
        "type": "lead",
        "created_by": "system",
        "mine": {"a": [1]},
        "note": "hi",
    }


def test_who_registers_again_is_no_longer_missing_or_meant_to_be_stopped(registry: Registry) -> None:
    registry.register("tests", {}, NOW)
    registry.update("tests", {"missing_since": "2026", "status": "missing", "expected": "stopped"})

    entry = registry.register("tests", {}, NOW)

    assert entry.keys().isdisjoint({"missing_since", "status"})
    assert entry["expected"] == "running"


def test_unregistering_tells_whether_there_was_one(registry: Registry, path: Path) -> None:
    registry.register("tests", {}, NOW)

    assert registry.unregister("tests") is True
    assert registry.unregister("tests") is False
    assert path.read_bytes() == b"{}\n"


def test_update_sets_and_removes_fields_of_those_who_are_there(registry: Registry) -> None:
    registry.register("tests", {"note": "a"}, NOW)

    entry = registry.update("tests", {"note": None, "pid": 12})

    assert entry is not None
    assert (entry.get("note"), entry["pid"]) == (None, 12)
    assert registry.update("nobody", {"pid": 1}) is None


def test_a_change_that_changes_nothing_writes_nothing(registry: Registry, path: Path) -> None:
    registry.register("tests", {}, NOW)
    before = path.stat()

    registry.unregister("nobody")
    registry.update("tests", {"type": "worker"})

    assert path.stat() == before


def test_an_edit_that_fails_changes_nothing_and_comes_through(registry: Registry) -> None:
    def edit(agents: Draft) -> None:
        agents["new"] = {}
        raise KeyError("no")

    with pytest.raises(KeyError):
        registry.change(edit)

    assert not registry.snapshot().agents


def test_of_many_edits_one_that_fails_fails_alone(registry: Registry, path: Path) -> None:
    def fail(agents: Draft) -> None:
        agents["half"] = {}
        raise LookupError("mine")

    good, bad, other = registry.change_many([registration("a", {}, NOW), fail, registration("b", {}, NOW)])

    assert (good.error, other.error) == (None, None)
    assert isinstance(bad, Outcome)
    assert isinstance(bad.error, LookupError)
    assert list(on_disk(path)) == ["a", "b"]


def test_a_later_edit_of_a_group_sees_what_an_earlier_one_did(registry: Registry) -> None:
    added, seen, removed = registry.change_many(
        [registration("a", {"n": 1}, NOW), lambda agents: agents["a"]["n"], edits.removal("a")]
    )

    assert (added.error, seen.value, removed.value) == (None, 1, True)


def test_what_an_edit_gave_out_is_not_what_readers_share(registry: Registry) -> None:
    entry = registry.register("tests", {"list": [1]}, NOW)
    entry["list"].append(2)

    assert registry.snapshot().agents["tests"]["list"] == [1]


def test_the_first_change_makes_the_folder_private(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home" / ".cmux" / "agent_registry.json")

    registry.register("tests", {}, NOW)

    assert stat.S_IMODE(registry.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(registry.path.stat().st_mode) == 0o600


def test_an_existing_file_keeps_its_mode(registry: Registry, path: Path) -> None:
    registry.register("a", {}, NOW)
    path.chmod(0o640)

    registry.register("b", {}, NOW)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "elsewhere" / "agents.json"
    real.parent.mkdir()
    real.write_text("{}")
    path.symlink_to(real)

    Registry(path).register("tests", {}, NOW)

    assert path.is_symlink()
    assert list(on_disk(real)) == ["tests"]


def test_no_temporary_file_stays(registry: Registry, path: Path) -> None:
    for name in "abc":
        registry.register(name, {}, NOW)

    assert strays(path) == []


# -- ids and entries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["a", "cmux:worker-1", "feature/login", "user@host+1", "7", "größe", "работник", "हिंदी", "漢字", "a" * 128]
)
def test_ids_of_any_script_are_taken(value: str) -> None:
    assert check_id(value) == value


NO_IDS: list[object] = [
    "", "a" * 129, "-a", ".a", "/etc/passwd", ":a", "a..b", "../a", "a b", "a\n", "a\0", "\x1b[2J", "a\u202eb",
    "a\u200bb", "$(touch x)", "#{pid}", "a'b", 'a"b', "a;b", "a\\b", "a%b", "½", "²", "😀", "\ud800",
    1, True, None, ["a"], {"a": 1}, 1.5,
]  # fmt: skip


@pytest.mark.parametrize("value", [*NO_IDS, "register/w1"])
def test_other_ids_are_refused_and_what_is_allowed_is_said(value: object) -> None:
    with pytest.raises(InvalidAgent, match="letters and digits of any script") as refused:
        check_id(value)

    assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1}, {"a": {1: 1, "1": 2}}, "x" * 70_000])
def test_what_a_file_cannot_hold_is_refused(registry: Registry, value: object) -> None:
    with pytest.raises(InvalidAgent):
        registry.register("tests", {"field": value}, NOW)

    assert not registry.snapshot().agents


def test_an_entry_as_deep_as_is_taken_can_be_read_again(registry: Registry, path: Path) -> None:
    deep: object = 1
    refused = None
    for depth in range(1, 20):
        deep = [deep]
        try:
            registry.register("tests", {"deep": deep}, NOW)
        except InvalidAgent:
            refused = depth
            break

    assert refused == 15
    assert Registry(path).snapshot().agents["tests"]["deep"]


def test_ids_that_were_never_allowed_stay_and_can_be_removed(registry: Registry, path: Path) -> None:
    path.write_text('{"Old Name!": {"type": "worker"}}')

    registry.register("tests", {}, NOW)
    assert list(on_disk(path)) == ["Old Name!", "tests"]

    assert registry.unregister("Old Name!") is True


# -- readers ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_finds_nothing_new_pays_a_stat(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("tests", {}, NOW)
    first = registry.snapshot()
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened a file"))

    assert registry.snapshot() is first


def test_etag_and_index_change_with_the_file_and_only_then(registry: Registry, path: Path) -> None:
    other = Registry(path)
    registry.register("a", {}, NOW)
    first = registry.snapshot()
    other.register("b", {}, NOW)
    second = registry.snapshot()

    assert second.etag != first.etag
    assert second.index > first.index
    assert registry.snapshot() is second
    assert set(second.agents) == {"a", "b"}


def test_the_etag_survives_a_restart(registry: Registry, path: Path) -> None:
    registry.register("a", {}, NOW)

    assert Registry(path).snapshot().etag == registry.snapshot().etag


def test_readers_never_see_half_a_file(registry: Registry, path: Path) -> None:
    seen: list[int] = []
    done = threading.Lock()
    done.acquire()

    def read() -> None:
        while done.locked():
            seen.append(len(on_disk(path)))

    registry.register("a0", {}, NOW)
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 100):
        registry.register(f"a{number}", {"pad": "x" * 500}, NOW)
    done.release()
    reader.join()

    assert seen == sorted(seen)


def test_a_change_among_ten_thousand_renders_one_line(registry: Registry, path: Path) -> None:
    def fill(agents: Draft) -> None:
        for number in range(10_000):
            agents[f"agent-{number}"] = {"type": "worker", "number": number}

    registry.change(fill)
    before = registry.snapshot().table

    registry.update("agent-5000", {"number": -1})

    after = registry.snapshot().table
    assert sum(after.lines[name] is not line for name, line in before.lines.items()) == 1
    assert sum(after.entries[name] is not entry for name, entry in before.entries.items()) == 1
    other = parse(path.read_bytes(), before).table
    assert sum(other.entries[name] is not entry for name, entry in before.entries.items()) == 1
    assert on_disk(path)["agent-5000"]["number"] == -1


# -- many writers -----------------------------------------------------------------------------------------------------


def _register_fifty(path: Path, who: int) -> None:
    registry = Registry(path)
    for number in range(50):
        registry.register(f"w{who}-{number}", {"who": who}, NOW)


def test_registrations_of_many_processes_all_survive(path: Path) -> None:
    writers = [spawn.Process(target=_register_fifty, args=(path, who)) for who in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(on_disk(path)) == 400
    assert strays(path) == []


def test_registrations_of_many_threads_all_survive(registry: Registry, path: Path) -> None:
    def work(who: int) -> None:
        for number in range(25):
            registry.register(f"w{who}-{number}", {}, NOW)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(on_disk(path)) == 200


def test_a_shell_script_that_takes_the_lock_loses_and_undoes_nothing(registry: Registry, path: Path) -> None:
    registry.register("a0", {}, NOW)
    script = (
        'for i in $(seq 20); do flock "$0.lock" sh -c \'jq ".s$1 = {}" "$0" > "$0.mine" && mv "$0.mine" "$0"\' "$0" $i;'
        " done"
    )
    shell = subprocess.Popen(["sh", "-c", script, path])
    count = 0
    while shell.poll() is None:
        count += 1
        registry.register(f"a{count}", {}, NOW)
    registry.settle()

    names = set(on_disk(path))
    assert names == {f"a{number}" for number in range(count + 1)} | {f"s{number}" for number in range(1, 21)}


def test_a_held_lock_is_waited_for_within_bounds_and_its_holder_is_named(registry: Registry, path: Path) -> None:
    registry.register("a", {}, NOW)
    holder = subprocess.Popen(["flock", "--no-fork", f"{path}.lock", "sleep", "60"])
    eventually(lambda: str(holder.pid) in files.holder(path.with_name(f"{path.name}.lock")))

    begun = clock.monotonic()
    with pytest.raises(LockBusy, match=f"pid {holder.pid} "):
        registry.change(registration("b", {}, NOW), timeout_s=0.2)
    assert clock.monotonic() - begun < 2
    assert list(registry.snapshot().agents) == ["a"]

    holder.kill()
    holder.wait()
    registry.register("b", {}, NOW)


# -- killed writers ---------------------------------------------------------------------------------------------------

STEPS = ["replace.written", "replace.prepared", "exchange.done"]


def _die_at(path: Path, step: str) -> None:
    def killer(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    files.reached = killer
    Registry(path).register("killed", {}, NOW)


@pytest.mark.parametrize("step", STEPS)
def test_a_writer_killed_at_any_step_leaves_the_old_file_or_the_new(registry: Registry, path: Path, step: str) -> None:
    registry.register("a", {}, NOW)
    victim = spawn.Process(target=_die_at, args=(path, step))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL

    assert set(on_disk(path)) in ({"a"}, {"a", "killed"})
    Registry(path).register("b", {}, NOW)

    assert {"a", "b"} <= set(on_disk(path))
    assert strays(path) == []


def _remove_and_die_after_the_exchange(path: Path) -> None:
    files.reached = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == "exchange.done" else None
    Registry(path).unregister("a")


@pytest.mark.parametrize("then", ["another change", "a lost file"])
def test_a_change_that_readers_saw_before_its_writer_was_killed_is_not_undone(path: Path, then: str) -> None:
    Registry(path).register("a", {}, NOW)
    killed = spawn.Process(target=_remove_and_die_after_the_exchange, args=(path,))
    killed.start()
    killed.join()
    assert on_disk(path) == {}

    registry = Registry(path)
    if then == "another change":
        registry.register("b", {}, NOW)
    else:
        registry.settle()
        path.unlink()

    assert "a" not in registry.snapshot().agents


def test_an_editor_who_carries_on_what_a_killed_writer_did_is_not_stale(path: Path) -> None:
    Registry(path).register("a", {}, NOW)
    killed = spawn.Process(target=_remove_and_die_after_the_exchange, args=(path,))
    killed.start()
    killed.join()

    mv(path, jq(path, ".hand = {}"))
    Registry(path).register("b", {}, NOW)

    assert set(on_disk(path)) == {"hand", "b"}


def test_a_change_whose_writer_was_killed_before_the_exchange_never_happens(path: Path) -> None:
    Registry(path).register("a", {}, NOW)
    killed = spawn.Process(target=_remove_and_die_before_the_exchange, args=(path,))
    killed.start()
    killed.join()

    Registry(path).register("b", {}, NOW)
    path.unlink()

    assert set(Registry(path).snapshot().agents) == {"a", "b"}


def _remove_and_die_before_the_exchange(path: Path) -> None:
    files.reached = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == "registry.intended" else None
    Registry(path).unregister("a")


def _register_for_ever(path: Path, who: int, acknowledged: Path) -> None:
    registry = Registry(path)
    fd = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(10_000):
        registry.register(f"w{who}-{number % 50}", {"number": number}, NOW)
        os.write(fd, f"{number}\n".encode())


def test_no_acknowledged_change_is_lost_to_kills(path: Path, tmp_path: Path) -> None:
    for round_ in range(3):
        notes = [tmp_path / f"{round_}-{who}" for who in range(3)]
        writers = [
            spawn.Process(target=_register_for_ever, args=(path, f"{round_}.{who}", note))
            for who, note in enumerate(notes)
        ]
        for writer in writers:
            writer.start()
        eventually(lambda notes=notes: all(note.exists() and note.stat().st_size > 20 for note in notes), 20)  # type: ignore[misc]
        for writer in writers:
            writer.kill()
            writer.join()
        agents = on_disk(path)
        for who, note in enumerate(notes):
            last = int(note.read_text().split()[-1])
            assert agents[f"w{round_}.{who}-{last % 50}"]["number"] in (last, last + 50)


# -- editors that don't lock ------------------------------------------------------------------------------------------


def jq(path: Path, program: str) -> bytes:
    return subprocess.run(["jq", program, path], capture_output=True, check=True).stdout


def mv(path: Path, content: bytes) -> None:
    mine = path.with_name("mine")
    mine.write_bytes(content)
    mine.rename(path)


def test_an_edit_by_hand_is_kept_with_its_fields(registry: Registry, path: Path) -> None:
    registry.register("a", {}, NOW)
    mv(path, jq(path, '.hand = {"note": "mine"} | .a.color = "red"'))

    registry.register("b", {}, NOW)

    agents = on_disk(path)
    assert list(agents) == ["a", "hand", "b"]
    assert (agents["a"]["color"], agents["hand"]) == ("red", {"note": "mine"})


def test_an_edit_that_lands_between_our_read_and_our_write_is_merged(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("a", {"n": 1, "m": 1}, NOW)
    landed: list[bool] = []

    def land(step: str) -> None:
        if step == "replace.prepared" and not landed:
            landed.append(True)
            mv(path, jq(path, ".hand = {} | .a.n = 2 | .a.theirs = true"))

    monkeypatch.setattr(files, "reached", land)
    registry.update("a", {"m": 2, "ours": True})

    agents = on_disk(path)
    assert agents["hand"] == {}
    assert {name: agents["a"][name] for name in ("n", "m", "ours", "theirs")} == {
        "n": 2, "m": 2, "ours": True, "theirs": True
    }  # fmt: skip
    assert agents == dict(registry.snapshot().agents)
    assert strays(path) == []


@pytest.mark.parametrize("lands", ["before the merge", "after it"])
def test_an_editor_who_read_while_another_edit_was_being_merged_does_not_undo_it(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch, lands: str
) -> None:
    registry.register("a", {}, NOW)
    first = jq(path, ".first = {}")
    second: list[bytes] = []

    def editors(step: str) -> None:
        if step == "replace.prepared" and not second:
            mv(path, first)
        if step == "exchange.done" and not second:  # for an instant the file is ours alone, and an editor reads it
            second.append(jq(path, ".second = {}"))
            if lands == "before the merge":
                mv(path, second[0])

    monkeypatch.setattr(files, "reached", editors)
    registry.register("b", {}, NOW)
    if lands == "after it":
        mv(path, second[0])
    registry.settle()

    assert set(on_disk(path)) == {"a", "b", "first", "second"}


def test_a_stale_copy_that_lands_on_our_change_gets_it_again(registry: Registry, path: Path) -> None:
    registry.register("old", {"n": 1}, NOW)
    stale = jq(path, ".hand = {}")
    registry.register("new", {}, NOW)
    registry.update("old", {"n": 2})
    mv(path, stale)

    assert registry.settle() is True

    agents = on_disk(path)
    assert set(agents) == {"old", "new", "hand"}
    assert agents["old"]["n"] == 2
    assert registry.settle() is False


def test_another_process_defends_the_changes_of_one_that_has_ended(registry: Registry, path: Path) -> None:
    registry.register("old", {}, NOW)
    stale = jq(path, ".hand = {}")
    Registry(path).register("brief", {}, NOW)
    mv(path, stale)

    Registry(path).register("other", {}, NOW)

    assert set(on_disk(path)) == {"old", "hand", "brief", "other"}


def test_a_removal_by_hand_counts_once_the_change_is_old(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("a", {}, NOW)
    monkeypatch.setattr(traces, "WINDOW_S", 0.0)
    mv(path, jq(path, "del(.a)"))

    registry.register("b", {}, NOW)

    assert list(on_disk(path)) == ["b"]


def test_what_another_process_removed_under_the_lock_stays_removed(registry: Registry, path: Path) -> None:
    registry.register("a", {}, NOW)
    Registry(path).unregister("a")

    registry.register("b", {}, NOW)
    registry.settle()

    assert list(on_disk(path)) == ["b"]


def test_no_edit_is_lost_on_either_side_of_a_burst(registry: Registry, path: Path) -> None:
    registry.register("a0", {}, NOW)
    script = 'for i in $(seq 15); do jq ".hand$i = {}" "$0" > "$0.mine" && mv "$0.mine" "$0"; done'
    shell = subprocess.Popen(["sh", "-c", script, path])
    count = 0
    while shell.poll() is None:
        count += 1
        registry.register(f"a{count}", {}, NOW)
    registry.settle()

    names = set(on_disk(path))
    assert {f"a{number}" for number in range(count + 1)} - names == set()
    assert {f"hand{number}" for number in range(1, 16)} - names == set()


# -- broken files -----------------------------------------------------------------------------------------------------

BROKEN = [
    b"", b"\n", b"garbage", b"[]", b"null", b'"text"', b"12", b'{"a": 1}', b'{"a": []}', b'{"a": {"n": NaN}}',
    b'{"a": {}', b'{"a": {}}}', b"\xff\xfe{}", b'{"a": {"s": "\\ud800"}}', b"{" * 2_000, b'{"a": {}}\0\0\0',
    b"\0" * 4096,
]  # fmt: skip


@pytest.mark.parametrize("raw", BROKEN)
def test_what_is_no_registry_is_kept_aside_and_the_last_good_one_restored(
    registry: Registry, path: Path, told: list[Trouble], raw: bytes
) -> None:
    registry.register("a", {}, NOW)
    registry.register("b", {}, NOW)
    path.write_bytes(raw)

    assert list(registry.snapshot().agents) == ["a", "b"]

    assert list(on_disk(path)) == ["a", "b"]
    [trouble] = told
    assert (trouble.kind, trouble.agents) == ("quarantined", 2)
    assert Path(trouble.kept or "").read_bytes() == raw
    assert Path(trouble.kept or "").parent == path.parent / ".quarantine"
    assert registry.troubles() == [trouble]


@pytest.mark.parametrize("raw", [b"garbage", b"", b"[]"])
def test_a_process_that_knew_nothing_restores_every_last_change(path: Path, raw: bytes) -> None:
    for name in "abc":
        Registry(path).register(name, {"note": name}, NOW)
    before = on_disk(path)
    path.write_bytes(raw)

    assert Registry(path).register("d", {}, NOW)

    assert {name: entry for name, entry in on_disk(path).items() if name != "d"} == before


def test_a_removal_is_not_undone_by_a_restoration(path: Path) -> None:
    Registry(path).register("a", {}, NOW)
    Registry(path).register("b", {}, NOW)
    Registry(path).unregister("a")
    path.write_bytes(b"garbage")

    assert list(Registry(path).snapshot().agents) == ["b"]


def test_a_broken_file_is_told_once_whoever_looks(registry: Registry, path: Path, told: list[Trouble]) -> None:
    registry.register("a", {}, NOW)
    path.write_bytes(b"garbage")
    others = [Registry(path, told=told.append) for _ in range(3)]
    threads = [threading.Thread(target=other.snapshot) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry.snapshot()

    assert len(told) == 1
    assert len(registry.troubles()) == 1


def test_an_editor_that_is_halfway_through_is_waited_for(
    registry: Registry, path: Path, told: list[Trouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("a", {}, NOW)
    whole = jq(path, ".hand = {}")
    path.write_bytes(whole[:10])
    monkeypatch.setattr(clock, "pause", lambda _: path.write_bytes(whole))

    assert list(registry.snapshot().agents) == ["a", "hand"]

    assert told == []


def test_a_first_file_that_is_none_is_told_and_kept_and_work_goes_on(path: Path, told: list[Trouble]) -> None:
    path.write_bytes(b"not a registry")
    registry = Registry(path, told=told.append)

    registry.register("a", {}, NOW)

    assert list(on_disk(path)) == ["a"]
    assert [(trouble.kind, trouble.agents) for trouble in told] == [("quarantined", 0)]


def test_a_file_that_is_gone_comes_back_and_that_is_told(registry: Registry, path: Path, told: list[Trouble]) -> None:
    registry.register("a", {}, NOW)
    path.unlink()

    assert list(registry.snapshot().agents) == ["a"]

    assert list(on_disk(path)) == ["a"]
    assert [(trouble.kind, trouble.kept) for trouble in told] == [("missing", None)]


def test_the_first_start_of_all_is_no_trouble(registry: Registry, told: list[Trouble]) -> None:
    assert not registry.snapshot().agents
    assert registry.settle() is False
    assert (told, registry.path.exists()) == ([], False)


def test_of_an_id_that_stands_there_twice_both_are_kept(registry: Registry, path: Path, told: list[Trouble]) -> None:
    raw = b'{"a": {"n": 1}, "b": {}, "a": {"n": 2}}'
    path.write_bytes(raw)

    assert registry.snapshot().agents["a"] == {"n": 2}

    [trouble] = told
    assert (trouble.kind, "'a'" in trouble.reason) == ("twice", True)
    assert Path(trouble.kept or "").read_bytes() == raw
    assert on_disk(path) == {"a": {"n": 2}, "b": {}}


def test_a_byte_order_mark_and_windows_line_ends_are_fine(registry: Registry, path: Path, told: list[Trouble]) -> None:
    path.write_bytes(b'\xef\xbb\xbf{\r\n  "a": {"n": 1}\r\n}\r\n')

    assert registry.snapshot().agents == {"a": {"n": 1}}

    assert told == []


def test_numbers_true_and_one_stay_what_they_are(registry: Registry, path: Path) -> None:
    mv(path, b'{"a": {"n": 1, "t": true, "f": 1.0, "big": 123456789012345678901234567890}}')

    registry.update("a", {"n": True})

    assert '{"n": true, "t": true, "f": 1.0, "big": 123456789012345678901234567890}' in path.read_text()


def test_a_quarantined_file_can_be_brought_back(registry: Registry, path: Path, told: list[Trouble]) -> None:
    registry.register("a", {"n": 1}, NOW)
    kept = path.with_name("kept.json")
    kept.write_text('{"a": {"n": 0}, "Old One": {"n": 2}}')

    assert registry.restore(kept) == ["Old One"]

    assert {name: entry["n"] for name, entry in on_disk(path).items()} == {"a": 1, "Old One": 2}


def test_what_a_killed_merge_left_is_kept_if_it_may_be_an_editors_work(registry: Registry, path: Path) -> None:
    registry.register("a", {}, NOW)
    (path.parent / f".{path.name}.0123.tmp").write_text('{"hand": {}}')
    (path.parent / f".{path.name}.4567.tmp").write_text('{"half": {')

    Registry(path).register("b", {}, NOW)

    assert strays(path) == []
    kept = [file.read_text() for file in (path.parent / ".quarantine").glob("stray-*")]
    assert kept == ['{"hand": {}}']


# -- disks that fail --------------------------------------------------------------------------------------------------

FAILING = {
    "write": [errno.ENOSPC, errno.EIO],
    "fsync": [errno.EIO, errno.ENOSPC],
    "fdatasync": [errno.EIO, errno.ENOSPC],
    "open": [errno.EMFILE, errno.ENOSPC, errno.EROFS, errno.EACCES],
    "link": [errno.ENOSPC],
}


@pytest.mark.parametrize(
    ("call", "number", "nth"),
    [(call, number, nth) for call, numbers in FAILING.items() for number in numbers for nth in range(1, 6)],
)
def test_a_failing_disk_is_told_and_the_file_stays_and_it_works_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, nth: int
) -> None:
    registry = Registry(path)
    registry.register("a", {}, NOW)
    before = path.read_bytes()
    real: Callable[..., object] = getattr(os, call)
    calls = iter(range(1, 1000))

    def fail(*args: object, **kwargs: object) -> object:
        if next(calls) == nth:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, fail)
    try:
        registry.register("b", {}, NOW)
        expected = ["a", "b"]
    except StorageError as told:
        assert (told.errno, path.read_bytes()) == (number, before)  # noqa: PT017 - not every call is reached
        expected = ["a"]
    monkeypatch.undo()

    assert list(on_disk(path)) == expected
    assert list(registry.snapshot().agents) == expected
    registry.register("c", {}, NOW)
    assert list(on_disk(path)) == [*expected, "c"]
    assert list(Registry(path).last_good()) == [*expected, "c"]


def test_a_read_error_is_not_nothing_there(registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("a", {}, NOW)
    other = Registry(path)

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StorageError, match="too many open files"):
        other.snapshot()
    monkeypatch.undo()

    assert list(other.snapshot().agents) == ["a"]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB and 40 inodes."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=40,mode=700", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs root to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_and_frees_up_needs_no_restart(tiny: Path) -> None:
    Registry(tiny / "agent_registry.json").register("a", {"pad": "x" * 30_000}, NOW)
    for _ in range(5):
        registry = Registry(tiny / "agent_registry.json")  # in a burst it would have a spare to write to
        (tiny / "filler").write_bytes(b"x" * (os.statvfs(tiny).f_bavail * os.statvfs(tiny).f_frsize))

        with pytest.raises(StorageError, match="disk is full"):
            registry.register("b", {}, NOW)
        assert list(registry.snapshot().agents) == ["a"]

        (tiny / "filler").unlink()
        assert registry.register("b", {}, NOW)
        assert registry.unregister("b")


# -- the pieces -------------------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
fields = st.dictionaries(st.sampled_from(["n", "m"]), st.integers(0, 2) | st.booleans(), max_size=2)
tables = st.dictionaries(names, fields, max_size=3)


def table_of(agents: dict[str, dict[str, object]]) -> Table:
    return parse(json.dumps(agents).encode(), Table()).table


@given(tables, tables, tables)
def test_a_merge_loses_neither_side(
    base: dict[str, dict[str, object]], ours: dict[str, dict[str, object]], theirs: dict[str, dict[str, object]]
) -> None:
    batch = Batch(table_of(base))

    def edit(agents: Draft) -> None:
        for name in set(base) - set(ours):
            del agents[name]
        agents.update(ours)

    batch.apply(edit)
    there = table_of(theirs)
    merged = there.with_changes(rebase(batch.changes, batch.table, there)).entries

    for name in {"a", "b", "c"}:
        before, mine, other = base.get(name), ours.get(name), theirs.get(name)
        if json.dumps(mine) == json.dumps(before):
            assert merged.get(name) == other
        elif mine is None or other is None:
            assert merged.get(name) == mine
        else:
            for field, value in mine.items():
                if json.dumps((before or {}).get(field)) != json.dumps(value):
                    assert json.dumps(merged[name][field]) == json.dumps(value)


@given(tables, tables)
def test_reading_by_lines_and_reading_whole_agree(
    known: dict[str, dict[str, object]], agents: dict[str, dict[str, object]]
) -> None:
    raw = table_of(agents).body()

    assert parse(raw, table_of(known)).table == table_of(agents)


@pytest.mark.parametrize(
    "raw",
    [
        b'{\n  "a": {},\n  "a": {"n": 1}\n}\n',
        b'{\n  "a": {}, "b": {}\n}\n',
        b'{\n  "a": {"x": 1},\n  "b": {"y": [1,\n2]}\n}\n',
    ],
)
def test_what_only_looks_like_our_notation_is_read_whole(raw: bytes) -> None:
    assert parse(raw, Table()).table.entries == json.loads(raw)


def test_a_draft_is_a_dict_of_copies() -> None:
    table = table_of({"a": {"n": 1}, "b": {"n": 2}})
    draft = Draft(Batch(table))

    draft["a"]["n"] = 5
    draft["c"] = {}
    del draft["b"]

    assert (list(draft), len(draft), "b" in draft, draft.get("b")) == (["a", "c"], 2, False, None)
    assert table.entries["a"] == {"n": 1}
    with pytest.raises(KeyError):
        del draft["b"]
    with pytest.raises(InvalidAgent):
        draft["x y"] = {}
    with pytest.raises(InvalidAgent):
        draft["d"] = SimpleNamespace()  # type: ignore[assignment]


def test_the_notes_of_recent_changes_stay_small(
    registry: Registry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_TRIM_BYTES", 4_000)
    monkeypatch.setattr(traces, "WINDOW_S", 0.0)
    for number in range(40):
        registry._recent._trim_at = 0.0
        registry.register("a", {"number": number, "pad": "x" * 300}, NOW)

    assert (path.parent / ".registry-recent.jsonl").stat().st_size < 8_000


NFC, NFD = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"  # one word to whoever reads it


def test_two_spellings_of_one_id_are_one_agent(registry: Registry) -> None:
    registry.register(NFD, {"n": 1}, NOW)
    registry.register(NFC, {"n": 2}, NOW)

    assert {agent_id: entry["n"] for agent_id, entry in registry.snapshot().agents.items()} == {NFC: 2}
    assert registry.update(NFD, {"n": 3})
    assert registry.unregister(NFD)
    assert not registry.snapshot().agents


@pytest.mark.parametrize("asked", [NFC, NFD])
def test_an_old_entry_keeps_its_spelling_and_answers_to_both(registry: Registry, path: Path, asked: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({NFD: {"registered_at": clock.stamp(NOW), "n": 1}}))

    registry.register(asked, {"n": 2}, NOW)

    assert {agent_id: entry["n"] for agent_id, entry in registry.snapshot().agents.items()} == {NFD: 2}
    assert registry.unregister(asked)


def test_where_both_spellings_are_registered_each_is_meant_exactly(registry: Registry, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({NFD: {"n": 1}, NFC: {"n": 2}}))

    assert registry.unregister(NFD)
    assert list(registry.snapshot().agents) == [NFC]
