"""Tests of daemons.processes: real processes, planted in the shapes that stops have met."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest

from daemons import clock, processes
from daemons.processes import cgroups, handles, sockets
from tests.conftest import eventually, free_port
from tests.plants import Plants, alive

SUITE = "11111111-2222-3333-4444-555555555555"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def plants(tmp_path: Path) -> Iterator[Plants]:
    planted = Plants(tmp_path)
    yield planted
    planted.end()


def end(pids: list[int], **options: object) -> dict[int, processes.Ended]:
    held = [handle for pid in pids if (handle := processes.Handle.open(pid))]
    settings = {"grace_s": 5.0, "deadline_s": clock.monotonic() + 10} | options
    return {ended.pid: ended for ended in processes.end(held, **settings)}


# -- the table --------------------------------------------------------------------------------------------------------


def test_a_process_is_read_whatever_it_calls_itself(plants: Plants) -> None:
    pid = plants.python("open('/proc/self/comm', 'w').write('a) R (b\\n c'); say('named'); forever()")
    plants.pid("named")

    seen = processes.read(pid)

    assert seen
    assert (seen.name, seen.ppid, seen.kernel, seen.ended) == ("a) R (b\n c", os.getpid(), False, False)
    assert 0 <= seen.age_s < 30


def test_the_table_holds_what_runs_and_no_gap_above_what_was_asked_for() -> None:
    whole = processes.table()
    line = processes.table([os.getpid()])

    assert whole[os.getpid()].ppid == os.getppid()
    assert set(line) == {os.getpid(), *processes.ancestors(os.getpid(), whole)}


def test_a_command_line_is_one_safe_line_without_secrets(plants: Plants) -> None:
    pid = plants.python("say('up'); forever()", "--token=abcdef123456", "\x1b[2J\nnext")
    plants.pid("up")

    shown = processes.describe(pid)

    assert shown.startswith(f"pid {pid} (")
    assert "abcdef123456" not in shown
    assert "\x1b" not in shown
    assert "\n" not in shown


def test_what_is_gone_is_described_as_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()

    assert processes.describe(child.pid) == f"pid {child.pid} (gone)"
    assert processes.read(child.pid) is None
    assert processes.identify(child.pid) is None


def test_a_zombie_has_ended_but_a_process_whose_first_thread_left_has_not(plants: Plants) -> None:
    plants.python("say('zombie', fork(lambda: None)); forever()")
    half = plants.python(
        "import ctypes; threading.Thread(target=forever).start(); say('half'); ctypes.CDLL(None).syscall(60, 0)",
        env={"CMUX_SUITE_ID": SUITE},
    )
    zombie = plants.pid("zombie")
    plants.pid("half")
    eventually(lambda: {pid: processes.table()[pid].state for pid in (zombie, half)} == {zombie: "Z", half: "Z"})

    assert processes.table()[zombie].ended
    assert not processes.table()[half].ended
    assert half in processes.marked(SUITE, processes.table())


def test_a_tree_is_all_below_its_roots(plants: Plants) -> None:
    root = plants.python("fork(lambda: (fork(lambda: (say('leaf'), forever())), forever())); forever()")
    leaf = plants.pid("leaf")
    looked = processes.table()

    assert processes.tree([root], looked) == {root, looked[leaf].ppid, leaf}
    assert processes.tree([root], looked, wall=lambda process: process.pid == leaf) == {root, looked[leaf].ppid}
    assert processes.tree([1], looked) == set()


# -- the marker -------------------------------------------------------------------------------------------------------


def test_the_marker_finds_descendants_wherever_they_went(plants: Plants) -> None:
    plants.python(
        "fork(lambda: (say('setsid'), forever()), detach=True)\n"
        "fork(lambda: (say('double'), forever()), detach=True, orphan=True)\n",
        env={"CMUX_SUITE_ID": SUITE},
    )
    wanted = {plants.pid("setsid"), plants.pid("double")}

    found = processes.marked(SUITE, processes.table())

    assert wanted <= found
    assert os.getpid() not in found


def test_the_marker_is_not_the_word_in_a_command_line_nor_another_suites(plants: Plants) -> None:
    plants.python("say('word'); forever()", f"CMUX_SUITE_ID={SUITE}")
    plants.python("say('other'); forever()", env={"CMUX_SUITE_ID": SUITE + "0"})
    plants.python("say('inside'); forever()", env={"X": f"CMUX_SUITE_ID={SUITE}", "XCMUX_SUITE_ID": SUITE})
    strangers = {plants.pid("word"), plants.pid("other"), plants.pid("inside")}

    assert not strangers & processes.marked(SUITE, processes.table())


def test_a_tmux_server_is_a_wall_and_the_marker_that_it_lends_proves_nothing(environ: dict[str, str]) -> None:
    tmux = ["tmux", "-L", environ["CMUX_TMUX_SOCKET"], "-f", "/dev/null"]
    run = {"check": True, "capture_output": True, "text": True, "timeout": 10}
    subprocess.run([*tmux, "new-session", "-d", "sleep 1000"], env=environ | {"CMUX_SUITE_ID": SUITE}, **run)
    server = int(subprocess.run([*tmux, "display-message", "-p", "#{pid}"], **run).stdout)
    pane = int(subprocess.run([*tmux, "list-panes", "-a", "-F", "#{pane_pid}"], **run).stdout)
    looked = processes.table()

    assert processes.is_tmux_server(looked[server])
    assert {processes.marker(looked[pid]) for pid in (server, pane)} == {SUITE}
    assert not {server, pane} & processes.marked(SUITE, looked)
    assert processes.tree([server], looked) == set()
    assert pane in processes.tree([pane], looked)


def test_a_name_alone_makes_no_tmux_server(plants: Plants) -> None:
    pid = plants.python("open('/proc/self/comm', 'w').write('tmux: server'); say('up'); forever()")
    plants.pid("up")

    assert not processes.is_tmux_server(processes.table()[pid])


# -- identity and handles ---------------------------------------------------------------------------------------------


def test_an_identity_survives_writing_down(plants: Plants) -> None:
    identity = processes.identify(plants.python("forever()"))

    assert identity
    assert processes.Identity.from_json(identity.to_json()) == identity
    assert processes.is_alive(identity)


@pytest.mark.parametrize("fields", [None, [], {}, {"pid": "1"}, {"pid": 1, "started": 2}])
def test_what_is_no_identity_is_refused(fields: object) -> None:
    with pytest.raises(ValueError, match="no identity"):
        processes.Identity.from_json(fields)


def test_an_identity_means_no_later_process_of_the_same_pid(plants: Plants) -> None:
    identity = processes.identify(plants.python("forever()"))
    assert identity

    others = [
        dataclasses.replace(identity, boot="another boot"),
        dataclasses.replace(identity, started=identity.started - 1),
        # Reused within one clock tick: the start is equal, the handle's inode is not.
        dataclasses.replace(identity, handle=(identity.handle or 0) + 1),
    ]

    alive_by_mistake = [other for other in others if processes.is_alive(other)]
    assert alive_by_mistake == ([] if identity.handle is not None else [others[2]])


def test_one_that_ended_is_not_alive_though_nobody_took_its_exit_code(plants: Plants) -> None:
    pid = plants.python("forever()")
    identity = processes.identify(pid)
    held = processes.Handle.open(pid)
    assert identity
    assert held

    held.signal(Signals.SIGKILL)

    assert processes.wait_any([held], 5) == [held]
    assert alive(pid) is False
    assert not processes.is_alive(identity)
    plants.reap()
    assert held.signal(Signals.SIGTERM) is False
    held.close()


def test_a_handle_opens_only_on_what_still_fits(plants: Plants) -> None:
    pid = plants.python("forever()")

    assert processes.Handle.open(pid, lambda process: process.ppid == 1) is None
    held = processes.Handle.open(pid, lambda process: process.ppid == os.getpid())

    assert held
    held.close()


def test_evidence_is_read_again_once_all_are_held(plants: Plants) -> None:
    first, second = plants.python("forever()"), plants.python("forever()")
    counted_before_the_second_look = [first, second]

    held = processes.hold_all(counted_before_the_second_look, lambda looked: {first} & set(looked))

    assert [handle.pid for handle in held] == [first]
    held[0].close()


def test_waiting_ends_with_the_first_end(plants: Plants) -> None:
    pids = [plants.python("forever()"), plants.python("forever()")]
    held = [handle for pid in pids if (handle := processes.Handle.open(pid))]
    held[1].signal(Signals.SIGKILL)

    began = clock.monotonic()
    ended = processes.wait_any(held, 5)

    assert [handle.pid for handle in ended] == [pids[1]]
    assert clock.monotonic() - began < 2
    assert processes.wait_any(held[:1], 0.01) == []
    for handle in held:
        handle.close()


def test_without_pidfds_all_works_by_start_time(plants: Plants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "_pidfd", lambda _: None)
    pid = plants.python("forever()")
    identity = processes.identify(pid)
    assert identity
    assert identity.handle is None

    ended = end([pid])

    assert ended[pid].gone
    assert not processes.is_alive(identity)


# -- who listens ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["netlink", "proc"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to ask: the second for where netlink may not be used."""
    if request.param == "proc":

        def refused(*_: object, **__: object) -> list[bytes]:
            raise PermissionError(1, "no netlink here")

        monkeypatch.setattr(sockets, "_ask", refused)
    return str(request.param)


def test_every_listener_of_a_port_is_named_and_its_clients_are_not(source: str) -> None:
    four, six = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET6)
    port = four.getsockname()[1]
    with four, six:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::1", port))
        six.listen()
        with socket.create_connection(("127.0.0.1", port)):
            found = processes.listeners(port)

        inodes = {os.fstat(made.fileno()).st_ino for made in (four, six)}

    assert {(each.family, each.address, each.port) for each in found} == {
        ("ipv4", "127.0.0.1", port),
        ("ipv6", "::1", port),
    }
    assert {each.inode for each in found} == inodes
    assert {each.uid for each in found} == {os.getuid()}
    assert all(each.listening for each in found)
    assert processes.listeners(port) == ()


def test_a_port_that_is_bound_and_not_listened_on_is_occupied_too() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        found = processes.occupants(bound.getsockname()[1])
        assert processes.listeners(bound.getsockname()[1]) == ()

    if not found:
        pytest.skip("this kernel does not tell (Linux before 6.8)")
    assert [each.listening for each in found] == [False]


def test_all_that_share_a_socket_are_its_holders(plants: Plants) -> None:
    port = free_port()
    plants.python(
        "made = listen(int(sys.argv[2])); fork(lambda: (say('worker'), forever())); say('leader'); forever()", port
    )
    sharing = {plants.pid("leader"), plants.pid("worker")}

    inode = processes.listeners(port)[0].inode

    assert set(processes.holders([inode])[inode]) == sharing
    assert processes.holders([inode], [plants.pid("worker")])[inode] == (plants.pid("worker"),)
    assert processes.holders([inode], [os.getpid()])[inode] == ()
    assert processes.holders([]) == {}


def test_two_sockets_on_one_port_are_two_listeners(plants: Plants) -> None:
    port = free_port()
    for name in ("one", "two"):
        plants.python("made = listen(int(sys.argv[2]), reuse=True); say(sys.argv[3]); forever()", port, name)
    pids = {plants.pid("one"), plants.pid("two")}

    found = processes.listeners(port)

    assert len(found) == 2
    assert {pid for who in processes.holders([each.inode for each in found]).values() for pid in who} == pids


def test_a_unix_socket_is_known_by_its_file_and_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(str(path))
        first.listen()
        assert [each.inode for each in processes.unix_listeners(path)] == [os.fstat(first.fileno()).st_ino]

        path.rename(tmp_path / "old.sock")
        second.bind(str(path))
        second.listen()

        assert [each.inode for each in processes.unix_listeners(path)] == [os.fstat(second.fileno()).st_ino]
    assert processes.unix_listeners(tmp_path / "none.sock") == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_port_can_be_bound_unless_someone_has_it(host: str) -> None:
    port = free_port()
    assert processes.can_bind(host, port)

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        taken.bind((host, port))
        assert not processes.can_bind(host, port)


def test_a_connection_that_lingers_does_not_hold_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()

    assert processes.can_bind("127.0.0.1", port)


# -- who is at the other end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_owner_of_a_clients_end_is_known(source: str, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server, socket.socket(family) as client:
        client.connect(server.getsockname())
        accepted, remote = server.accept()
        with accepted:
            assert processes.peer_uid(accepted.getsockname()[:2], remote[:2]) == os.getuid()
            assert processes.peer_uid(accepted.getsockname()[:2], (remote[0], 1)) is None


@pytest.mark.parametrize("how", ["closed", "reset", "half"])
def test_a_client_that_has_closed_its_end_is_nobody_and_not_root(source: str, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, remote = server.accept()
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "half":
            client.shutdown(socket.SHUT_WR)
            accepted.close()  # its end is in time-wait, which the kernel shows as root's
        client.close()

        assert processes.peer_uid(server.getsockname(), remote) is None
        accepted.close()


@as_root
def test_another_users_client_is_that_users(plants: Plants, source: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # Made as nobody, connected as root: a socket is its maker's, and connecting loads a codec.
        client = "os.seteuid(65534); c = socket.socket(); os.seteuid(0); c.connect(('127.0.0.1', int(sys.argv[2])))"
        plants.python(f"{client}; forever()", port)
        accepted, remote = server.accept()
        with accepted:
            assert processes.peer_uid(accepted.getsockname(), remote) == 65534


def test_an_ipv4_client_of_an_ipv6_socket_is_known_too(source: str) -> None:
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with both as server, socket.socket() as client:
        client.connect(("127.0.0.1", server.getsockname()[1]))
        accepted, remote = server.accept()
        with accepted:
            assert remote[0].startswith("::ffff:")
            assert processes.peer_uid(accepted.getsockname()[:2], remote[:2]) == os.getuid()


# -- ending -----------------------------------------------------------------------------------------------------------


def test_a_cooperative_process_ends_by_sigterm_and_its_end_is_seen_at_once(plants: Plants) -> None:
    pid = plants.python("say('up'); forever()")
    plants.pid("up")

    ended = end([pid])[pid]

    assert (ended.signals, ended.left) == (("SIGTERM", "SIGCONT"), "")
    assert ended.after_s is not None
    assert ended.after_s < 0.2
    assert not alive(pid)


def test_a_stopped_process_hears_sigterm_and_cleans_up(plants: Plants, tmp_path: Path) -> None:
    pid = plants.python("signal.signal(signal.SIGTERM, lambda *_: (say('cleaned'), os._exit(0))); say('up'); forever()")
    plants.pid("up")
    os.kill(pid, signal.SIGSTOP)

    ended = end([pid])[pid]

    assert "SIGKILL" not in ended.signals
    assert plants.pid("cleaned") == pid


def test_one_that_ignores_sigterm_is_killed_after_the_grace(plants: Plants) -> None:
    pid = plants.python("ignore(signal.SIGTERM); say('up'); forever()")
    plants.pid("up")

    ended = end([pid], grace_s=0.4)[pid]

    assert ended.signals[-1] == "SIGKILL"
    assert ended.after_s is not None
    assert 0.4 <= ended.after_s < 1.0


def test_a_worker_that_its_leader_left_behind_is_not_waited_for_as_long(plants: Plants) -> None:
    leader = plants.python("fork(lambda: (ignore(signal.SIGTERM), say('worker'), forever()))\nsay('up')\nforever()")
    worker, _ = plants.pid("worker"), plants.pid("up")

    ended = end([leader, worker], grace_s=5)

    assert ended[worker].signals[-1] == "SIGKILL"
    assert ended[worker].after_s is not None
    assert ended[worker].after_s < 1.5


def test_a_server_at_work_behind_a_shell_that_died_gets_its_time(plants: Plants) -> None:
    server = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.6), say('drained'), os._exit(0)))"
    shell = plants.python(f"fork(lambda: ({server}, say('server'), forever()))\nsay('up')\nforever()")
    pid, _ = plants.pid("server"), plants.pid("up")

    ended = end([shell, pid], grace_s=5)

    assert "SIGKILL" not in ended[pid].signals
    assert plants.pid("drained") == pid


def test_a_newborn_that_lost_its_sigterm_before_exec_is_told_again(plants: Plants) -> None:
    # A fork still has its parent's handlers: the signal is taken, and the program that it executes never hears of it.
    pid = plants.python(
        "signal.signal(signal.SIGTERM, lambda *_: None); say('up'); time.sleep(0.25)\n"
        "os.execv('/bin/sleep', ['sleep', '1000'])"
    )
    plants.pid("up")

    ended = end([pid])[pid]

    assert ended.signals == ("SIGTERM", "SIGCONT")
    assert ended.after_s is not None
    assert 0.2 < ended.after_s < 2


def test_a_young_program_that_is_at_work_on_its_sigterm_is_not_told_again(plants: Plants) -> None:
    pid = plants.python(
        "signal.signal(signal.SIGTERM, lambda *_: say('term')); say('up')\n"
        "end = time.monotonic() + 1.0\n"
        "while time.monotonic() < end: time.sleep(0.05)"
    )
    plants.pid("up")

    end([pid])

    assert plants.pids("term") == [pid]


def test_a_zombie_that_nobody_reaps_is_ended_and_not_waited_for(plants: Plants) -> None:
    plants.python("say('child', fork(lambda: forever())); forever()")
    child = plants.pid("child")

    began = clock.monotonic()
    ended = end([child])[child]

    assert ended.gone
    assert clock.monotonic() - began < 1


def test_what_may_not_be_signalled_is_said_at_once() -> None:
    program = (
        "import os, sys, time; from daemons import clock, processes\n"
        "began = clock.monotonic()\n"
        "ended, = processes.end([processes.Handle.open(os.getppid())], grace_s=5, deadline_s=began + 10)\n"
        "print(ended.gone, ended.left, clock.monotonic() - began < 1)"
    )
    if os.geteuid() != 0:
        pytest.skip("needs root")
    # As nobody, who may neither signal the test nor read its code from root's folders: so the code is loaded before.
    loaded = "import daemons.processes, daemons.processes.ending, pwd, os; os.setuid(65534)\n" + program
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=20)

    assert done.stdout.startswith("False not permitted: it belongs to root"), done.stderr
    assert done.stdout.endswith("True\n")


def test_what_cannot_be_killed_is_left_at_the_deadline_and_said(
    plants: Plants, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = plants.python("forever()")
    monkeypatch.setattr(handles.Handle, "signal", lambda *_: True)

    began = clock.monotonic()
    ended = end([pid], grace_s=0.1, deadline_s=began + 0.5)[pid]

    assert (ended.gone, ended.left) == (False, "still running")
    assert 0.5 <= clock.monotonic() - began < 1


def test_a_short_deadline_still_leaves_time_to_kill(plants: Plants) -> None:
    pid = plants.python("ignore(signal.SIGTERM); say('up'); forever()")
    plants.pid("up")

    ended = end([pid], grace_s=60, deadline_s=clock.monotonic() + 1.5)[pid]

    assert ended.gone
    assert ended.signals[-1] == "SIGKILL"


# -- trees ------------------------------------------------------------------------------------------------------------


def end_tree(*roots: int, **options: object) -> dict[int, processes.Ended]:
    settings = {"grace_s": 1.0, "deadline_s": clock.monotonic() + 8} | options
    return {ended.pid: ended for ended in processes.end_tree(roots, **settings)}


def test_a_tree_ends_with_its_root(plants: Plants) -> None:
    root = plants.python(
        "fork(lambda: (say('a'), forever())); fork(lambda: (say('b'), forever()), detach=True); forever()"
    )
    children = {plants.pid("a"), plants.pid("b")}

    ended = end_tree(root)

    assert set(ended) == {root, *children}
    assert all(each.gone for each in ended.values())


def test_a_respawner_brings_nothing_back(plants: Plants) -> None:
    root = plants.python(
        "ignore(signal.SIGTERM)\n"
        "def child(): signal.signal(signal.SIGTERM, signal.SIG_DFL); say('child'); forever()\n"
        "while True:\n"
        "    fork(child); os.wait()"
    )
    plants.pid("child")

    ended = end_tree(root, grace_s=0.5)

    assert all(each.gone for each in ended.values())
    assert [pid for pid in plants.pids("child") if alive(pid)] == []
    assert not alive(root)


def test_orphans_of_a_roots_session_are_found_after_the_root_has_gone(plants: Plants) -> None:
    root = plants.python(
        "fork(lambda: (ignore(signal.SIGTERM), say('orphan'), forever()), orphan=True); say('root'); forever()",
        start_new_session=True,
    )
    orphan, _ = plants.pid("orphan"), plants.pid("root")
    assert processes.table()[orphan].ppid != root

    ended = end_tree(root)

    assert {root, orphan} <= set(ended)
    assert not alive(orphan)


def test_nobody_ends_itself_or_what_it_runs_under() -> None:
    program = (
        "import os; from daemons import clock, processes\n"
        "ended = processes.end_tree([os.getppid(), os.getpid()], grace_s=1, deadline_s=clock.monotonic() + 3)\n"
        "print(len(ended))"
    )
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1"; echo alive', sys.executable, program], capture_output=True, text=True, timeout=20
    )

    assert done.stdout.split() == ["0", "alive"], done.stderr


# -- apart ------------------------------------------------------------------------------------------------------------


def test_a_subreaper_adopts_what_loses_its_parent(plants: Plants) -> None:
    reaper = plants.python(
        "from daemons import processes; processes.become_subreaper()\n"
        "fork(lambda: (say('orphan'), forever()), detach=True, orphan=True); say('up'); forever()",
        env={**os.environ},
    )
    orphan, _ = plants.pid("orphan"), plants.pid("up")

    assert processes.table()[orphan].ppid == reaper


def test_what_is_started_apart_is_nobodys_child_and_keeps_its_own_orphans(plants: Plants, tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    report = tmp_path / "plants.report"
    program.write_text(
        "import os, time\n"
        f"def say(name): open({str(report)!r}, 'a').write(f'{{name}} {{os.getpid()}}\\n')\n"
        "say('apart')\n"
        "if os.fork() == 0:\n"
        "    if os.fork(): os._exit(0)\n"
        "    say('orphan')\n"
        "time.sleep(1000)\n"
    )
    plants.python(
        "from daemons import processes; processes.become_subreaper()\n"
        "processes.start_apart([sys.executable, sys.argv[2]], {'PATH': os.defpath}); say('reaper'); forever()",
        program,
        env={**os.environ},
    )
    server, orphan = plants.pid("apart"), plants.pid("orphan")
    looked = processes.table()

    assert looked[server].sid == server
    eventually(lambda: processes.table()[orphan].ppid == server)


@as_root
def test_a_cgroup_holds_what_no_other_evidence_finds(plants: Plants) -> None:
    if cgroups.outside() is None and cgroups._own() is None:
        pytest.skip("no cgroup v2 here")
    plants.python(
        "from daemons import processes; folder = processes.enter_cgroup(sys.argv[2])\n"
        "open(sys.argv[3], 'w').write(str(folder))\n"
        "def away(): os.setsid(); say('away'); os.execve('/bin/sleep', ['sleep', '1000'], {})\n"
        "fork(away, orphan=True); say('up'); forever()",
        SUITE,
        plants.report.with_name("folder"),
        env={**os.environ},
    )
    members = {plants.pid("away"), plants.pid("up")}
    folder = Path(plants.report.with_name("folder").read_text())
    if str(folder) == "None":
        pytest.skip("no cgroup can be made here")

    assert processes.cgroup_pids(folder) == members
    end(sorted(members))
    plants.reap()
    eventually(lambda: (processes.remove_cgroup(folder), not folder.exists())[1])
    assert processes.cgroup_pids(folder) == set()


def test_usage_adds_up_and_skips_what_is_gone(plants: Plants) -> None:
    pid = plants.python("say('up'); forever()")
    plants.pid("up")

    used = processes.usage([pid, os.getpid(), 2**22 - 1])

    assert used.processes == 2
    assert used.rss_bytes > 5_000_000
    assert used.cpu_s > 0
    assert used.files >= 6


def test_importing_it_is_cheap() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, daemons.processes; print('psutil' in sys.modules, 'asyncio' in sys.modules)",
        ],
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == ["False", "False"], done.stderr


def test_one_look_at_a_port_is_far_below_a_millisecond() -> None:
    port = free_port()
    processes.listeners(port)

    took = []
    for _ in range(20):
        began = time.perf_counter()
        processes.listeners(port)
        took.append(time.perf_counter() - began)

    assert sorted(took)[10] < 0.005  # 0.1 ms on a quiet machine; CI's may be busy
