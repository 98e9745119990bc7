"""What runs: one line a process, read from /proc; who descends from whom; who carries the suite's marker.

One look costs 3 ms at 200 processes (psutil: 7) and holds numbers only. What a process was started with, its user and
its environment are read when asked for, because two thousand of them would cost more than the look itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from daemons import text

MARKER = "CMUX_SUITE_ID"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD
_COMMAND_LIMIT = 300
_CATCH_UPS = 2
_MOST_AT_ONCE = 64
# init and kthreadd: whoever signals these has made a mistake somewhere else.
UNTOUCHABLE = frozenset({0, 1, 2})


class Process(NamedTuple):
    """A process as one look saw it. A tuple, because one look makes thousands.

    *started* counts clock ticks since boot; *terminal* is 0 without a controlling one; *state* is the kernel's letter.
    """

    pid: int
    ppid: int
    pgid: int
    sid: int
    state: str
    name: str
    started: int
    terminal: int
    threads: int
    kernel: bool

    @property
    def ended(self) -> bool:
        """Only its exit code is left (zombie). A leader thread that has left the others behind runs on."""
        return self.state in "ZX" and self.threads <= 1

    @property
    def age_s(self) -> float:
        """Seconds since it was forked, to a hundredth."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / TICKS_PER_S

    @property
    def uid(self) -> int | None:
        """Its real user, read now; None once it is gone."""
        return _uid(self.pid)

    @property
    def command(self) -> str:
        """What it was started with, read now: one line, safe to show, secrets masked; `[name]` where there is none."""
        return shown_command(command_line(self.pid), self.name)


Table = Mapping[int, Process]


def table(pids: Iterable[int] | None = None) -> dict[int, Process]:
    """Every process there is now, or those of *pids* and all above them. Gone ones are left out, never an error.

    Also those that were forked while it looked: one that forks on and leaves is else in no look of a busy machine.
    """
    if pids is None:
        return _everybody()
    seen_by_pid: dict[int, Process] = {}
    for pid in pids:
        above = pid
        while above and above not in seen_by_pid and (process := read(above)):
            seen_by_pid[above] = process
            above = process.ppid
    return seen_by_pid


def _everybody() -> dict[int, Process]:
    newest = newest_pid()
    found = {seen.pid: seen for pid in all_pids() if (seen := read(pid))}
    for _ in range(_CATCH_UPS):
        before, newest = newest, newest_pid()
        # Numbers go round; whoever has one that is lower now is seen by the next look.
        since = range(max(before + 1, newest - _MOST_AT_ONCE), newest + 1)
        found |= {pid: seen for pid in since if not _is_thread(pid) and (seen := read(pid))}
        if not since:
            break
    return found


def newest_pid() -> int:
    """The number that was given last, to a process or a thread."""
    return int(contents("/proc/loadavg").split()[4])


def _is_thread(number: int) -> bool:
    # /proc/NUMBER opens for threads too, though it lists none of them.
    status = contents(f"/proc/{number}/status", 4096)
    begin = status.find(b"\nTgid:\t")
    return begin >= 0 and int(status[begin + 7 :].split(None, 1)[0]) != number


def all_pids() -> list[int]:
    """The pids of all processes, lowest first."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read(pid: int) -> Process | None:
    """The process *pid* as it is now, or None when there is none."""
    raw = contents(f"/proc/{pid}/stat", 2048)
    # The name stands in brackets, unescaped: it may hold brackets, spaces and newlines itself.
    opened, closed = raw.find(b"("), raw.rfind(b")")
    if closed < 0:
        return None
    fields = raw[closed + 2 :].split()
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        state=fields[0].decode(),
        name=text.decode(raw[opened + 1 : closed]),
        started=int(fields[19]),
        terminal=int(fields[4]),
        threads=int(fields[17]),
        kernel=bool(int(fields[6]) & _KERNEL_THREAD),
    )


def contents(path: str, limit_bytes: int = 1 << 22) -> bytes:
    """The bytes of a file in /proc; empty when it is gone or not for us to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return _all(fd, limit_bytes)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _all(fd: int, limit_bytes: int) -> bytes:
    # To the end: many files of /proc come in pieces of a page, whatever was asked for.
    whole = b""
    while piece := os.read(fd, min(limit_bytes - len(whole), 1 << 16)):
        whole += piece
    return whole


# -- who descends from whom -------------------------------------------------------------------------------------------


def is_tmux_server(process: Process) -> bool:
    """Whether *process* is a tmux server: the end of what can be ours, whoever started it.

    Under it hang all of its user's windows. The name alone would let any program hide behind it.
    """
    if process.name != "tmux: server":
        return False
    try:
        return "tmux" in os.path.basename(os.readlink(f"/proc/{process.pid}/exe"))
    except OSError:
        return True


def tree(roots: Iterable[int], looked: Table, *, wall: Callable[[Process], bool] = is_tmux_server) -> set[int]:
    """The pids of *roots* that *looked* holds and of all their descendants in it.

    Stops at a process that *wall* answers for: neither it nor anything below it is in the answer, not even as a root.
    """
    children: dict[int, list[int]] = {}
    for process in looked.values():
        children.setdefault(process.ppid, []).append(process.pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid in looked]
    while todo:
        pid = todo.pop()
        if pid in found or pid in UNTOUCHABLE or wall(looked[pid]):
            continue
        found.add(pid)
        todo += children.get(pid, ())
    return found


def ancestors(pid: int, looked: Table) -> list[int]:
    """The pids above *pid*, its parent first, as far as *looked* knows them."""
    above: list[int] = []
    process = looked.get(pid)
    while process and process.ppid in looked and process.ppid not in above:
        above.append(process.ppid)
        process = looked[process.ppid]
    return above


def own_line(looked: Table) -> frozenset[int]:
    """This process and all above it: those that end themselves by ending these."""
    return frozenset({os.getpid(), *ancestors(os.getpid(), looked)})


# -- the marker -------------------------------------------------------------------------------------------------------


def marker(process: Process) -> str | None:
    """The suite id that *process* was started with, or None: none, not for us to read, or overwritten.

    The environment is what it was at exec: a program that renames itself (setproctitle) may have written over it.
    """
    return environment_value(process, MARKER)


def environment_value(process: Process, name: str) -> str | None:
    """What *process* was started with as environment variable *name*, or None."""
    raw = b"\0" + _environ(process)
    wanted = b"\0" + name.encode() + b"="
    begin = raw.find(wanted)
    if begin < 0:
        return None
    return text.decode(raw[begin + len(wanted) :].partition(b"\0")[0])


def _environ(process: Process) -> bytes:
    if process.kernel:
        return b""
    if process.state != "Z":
        return contents(f"/proc/{process.pid}/environ")
    # The leader thread has left and its own files are empty; the threads that run on still show theirs.
    return next((found for task in tasks(process) if (found := contents(f"{task}/environ"))), b"")


def tasks(process: Process) -> Iterator[str]:
    try:
        tids = os.listdir(f"/proc/{process.pid}/task")
    except OSError:
        return
    for tid in tids:
        yield f"/proc/{process.pid}/task/{tid}"


def marked(suite_id: str, looked: Table, *, spare: Collection[int] | None = None) -> set[int]:
    """The pids in *looked* whose environment carries *suite_id*: every descendant that kept it, wherever it went.

    Left out: tmux servers; what runs under a tmux server that itself carries a marker (it hands it to every window of
    its user's, so there it proves nothing); and *spare*, by default this process and all above it.
    """
    spared = own_line(looked) if spare is None else spare
    carriers = {pid for pid, process in looked.items() if marker(process) == suite_id}
    carriers -= UNTOUCHABLE
    return {pid for pid in carriers if pid not in spared and not _lent_by_tmux(pid, suite_id, looked)}


def _lent_by_tmux(pid: int, suite_id: str, looked: Table) -> bool:
    if is_tmux_server(looked[pid]):
        return True
    server = next((looked[above] for above in ancestors(pid, looked) if is_tmux_server(looked[above])), None)
    return server is not None and marker(server) == suite_id


def working_folder(pid: int) -> Path | None:
    """Where *pid* works now; None when it is gone, or not ours to know."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


# -- for people -------------------------------------------------------------------------------------------------------


def describe(pid: int) -> str:
    """`pid 12 (root) node server.js`, for a message; `pid 12 (gone)` when it is."""
    process = read(pid)
    if process is None:
        return f"pid {pid} (gone)"
    return f"pid {pid} ({user_name(process.uid)}) {process.command}"


def user_name(uid: int | None) -> str:
    """The login name of *uid*, or `uid 1000` where it has none."""
    import pwd  # asks LDAP and the like on some machines: only for messages

    if uid is None:
        return "user unknown"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _uid(pid: int) -> int | None:
    # Not the owner of /proc/PID: that is root for a program that may not be dumped.
    status = contents(f"/proc/{pid}/status")
    begin = status.find(b"\nUid:\t")
    return int(status[begin + 6 :].split(None, 1)[0]) if begin >= 0 else None


def command_line(pid: int) -> bytes:
    """What *pid* was started with, read now, a NUL behind each word. It may hold secrets: see `shown_command`."""
    return contents(f"/proc/{pid}/cmdline", 8192)


def shown_command(line: bytes, name: str) -> str:
    """A command *line* as `Process.command` shows it; *name* is the process's, for one that has none."""
    words = text.decode(line.rstrip(b"\0").replace(b"\0", b" "))
    if not words:
        return f"[{text.safe(name, one_line=True)}]"
    shown = text.mask(text.safe(words, one_line=True))
    return shown if len(shown) <= _COMMAND_LIMIT else shown[:_COMMAND_LIMIT] + "…"
