"""What a stop has met: shapes of processes of ours that are hard to end, and of innocents that are easy to hit.

Each is planted for real, and judged from outside: whoever said a name that begins with `ours` must be gone, whoever
said one that begins with `innocent` must live, the port must be free, the exit code and the time as told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WAIT = "say('ours-program'); forever()"
SERVE = "made = listen(int(sys.argv[2])); say('ours-server'); forever()"

# What setproctitle does to the marker: it writes the title over the environment.
FORGET = """
def forget_environment():
    import ctypes
    fields = open('/proc/self/stat').read().rpartition(')')[2].split()
    begin, end = int(fields[47]), int(fields[48])
    ctypes.memset(begin, 0, end - begin)
"""


DRAIN = """
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(time.monotonic()))
say('ours')
while not asked or time.monotonic() < asked[0] + 0.5:
    time.sleep(0.01)
say('drained')
"""


@dataclass(frozen=True)
class Shape:
    """One shape. *programs* run under the suite's supervisord, *beside* elsewhere, with no marker.

    *drained* counts those who must have had time to
    finish. *names* must have been said before the stop begins. *kill* names what
    dies of SIGKILL, and *freeze* of SIGSTOP, just before.
    """

    name: str
    programs: Mapping[str, str] = field(default_factory=lambda: {"program": WAIT})
    beside: str = ""
    names: tuple[str, ...] = ("ours-program",)
    kill: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    exit_code: int = 0
    within_s: float = 1.0
    force: bool = False
    says: str = ""
    drained: int = 0


def program(body: str) -> dict[str, str]:
    return {"program": body}


def ours(body: str, *names: str, **options: object) -> dict[str, object]:
    return {"programs": program(body), "names": names or ("ours",), **options}


SHAPES: tuple[Shape, ...] = (
    Shape("a plain program"),
    Shape(
        "a server with four workers",
        **ours(
            "made = listen(int(sys.argv[2]))\n"
            "for _ in range(4): fork(lambda: (say('ours'), forever()))\n"
            "say('ours'); forever()"
        ),
    ),
    Shape("a child in a session of its own", **ours("fork(lambda: (say('ours'), forever()), detach=True); forever()")),
    Shape("a double fork", **ours("fork(lambda: (say('ours'), forever()), detach=True, orphan=True); forever()")),
    Shape(
        "a double fork without environment",
        **ours(
            "def away(): say('ours'); os.execve('/bin/sleep', ['sleep', '1000'], {})\n"
            "fork(away, detach=True, orphan=True); forever()"
        ),
    ),
    Shape(
        "a double fork that wrote over its environment",
        **ours(
            FORGET + "def away(): forget_environment(); say('ours'); forever()\n"
            "fork(away, detach=True, orphan=True); forever()"
        ),
    ),
    Shape(
        "a server that wrote over its environment",
        **ours(FORGET + "made = listen(int(sys.argv[2])); forget_environment(); say('ours'); forever()"),
    ),
    Shape("a stopped program", **ours("say('ours'); os.kill(os.getpid(), signal.SIGSTOP); forever()")),
    Shape(
        "a stopped orphan",
        **ours(
            "def stopped(): say('ours'); os.kill(os.getpid(), signal.SIGSTOP); forever()\n"
            "fork(stopped, detach=True, orphan=True); forever()"
        ),
    ),
    Shape("deaf to SIGTERM", **ours("ignore(signal.SIGTERM); say('ours'); forever()"), within_s=2.0),
    Shape(
        "deaf to all that can be ignored",
        **ours("ignore(signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT); say('ours'); forever()"),
        within_s=2.0,
    ),
    Shape(
        "SIGTERM blocked",
        **ours("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); say('ours'); forever()"),
        within_s=2.0,
    ),
    Shape(
        "workers whose leader left before",
        **ours(
            "def leader():\n"
            "    for _ in range(3): fork(lambda: (say('ours'), forever()), detach=True)\n"
            "fork(leader); os.wait(); forever()"
        ),
    ),
    Shape(
        "a deaf worker that its leader leaves behind",
        **ours(
            "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
            "fork(lambda: (ignore(signal.SIGTERM), say('ours'), forever()), detach=True)\n"
            "say('ours-leader'); forever()",
            "ours",
            "ours-leader",
        ),
        within_s=1.7,
    ),
    Shape(
        "a zombie that a stranger does not reap",
        **ours("say('ours-program'); forever()", "ours-zombie", "ours-program", "innocent-parent"),
        beside=(
            "os.environ['CMUX_SUITE_ID'] = sys.argv[3]\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
            "say('ours-zombie', child.pid); say('innocent-parent'); forever()"
        ),
    ),
    Shape(
        "a respawner",
        **ours(
            "ignore(signal.SIGTERM)\n"
            "def child(): signal.signal(signal.SIGTERM, signal.SIG_DFL); say('ours'); forever()\n"
            "while True: fork(child); os.wait()"
        ),
        within_s=2.0,
    ),
    Shape(
        "two guards of each other",
        **ours(
            "def guard(other):\n"
            "    ignore(signal.SIGTERM); say('ours')\n"
            "    while True:\n"
            "        time.sleep(0.01)\n"
            "        try: os.kill(other, 0)\n"
            "        except OSError: fork(lambda: guard(os.getpid()), detach=True)\n"
            "me = os.getpid(); fork(lambda: guard(me), detach=True); guard(me)"
        ),
        within_s=2.5,
    ),
    Shape(
        "forks on and leaves, 50 times a second",
        **ours(
            "def chain():\n"
            "    while True:\n"
            "        time.sleep(0.02)\n"
            "        if os.fork(): os._exit(0)\n"
            "        beat()\n"
            "fork(chain, detach=True, orphan=True); say('ours'); forever()"
        ),
        within_s=2.5,
    ),
    Shape(
        "forks on and leaves, deaf",
        **ours(
            "def chain():\n"
            "    ignore(signal.SIGTERM)\n"
            "    while True:\n"
            "        time.sleep(0.02)\n"
            "        if os.fork(): os._exit(0)\n"
            "        beat()\n"
            "fork(chain, detach=True, orphan=True); say('ours'); forever()"
        ),
        within_s=2.5,
    ),
    Shape(
        "forks on and leaves as fast as it can, deaf",
        **ours(
            "def chain():\n"
            "    ignore(signal.SIGTERM)\n"
            "    while True:\n"
            "        if os.fork(): os._exit(0)\n"
            "        beat()\n"
            "fork(chain, detach=True, orphan=True); say('ours'); forever()"
        ),
        within_s=4,
    ),
    Shape(
        "two servers on one port (SO_REUSEPORT)",
        programs={
            "one": "made = listen(int(sys.argv[2]), reuse=True); say('ours-one'); forever()",
            "two": "made = listen(int(sys.argv[2]), reuse=True); say('ours-two'); forever()",
        },
        names=("ours-one", "ours-two"),
    ),
    Shape("IPv6 only", **ours("made = listen(int(sys.argv[2]), host='::1'); say('ours'); forever()")),
    Shape(
        "IPv4 and IPv6, by two processes",
        **ours(
            "fork(lambda: (listen(int(sys.argv[2]), host='::1'), say('ours-six'), forever()), detach=True)\n"
            "made = listen(int(sys.argv[2])); say('ours-four'); forever()",
            "ours-six",
            "ours-four",
        ),
    ),
    Shape("bound but not listening", **ours("made = listen(int(sys.argv[2]), backlog=None); say('ours'); forever()")),
    Shape(
        "a socket that an orphan inherited",
        **ours(
            "made = listen(int(sys.argv[2]))\n"
            "def away(): say('ours'); os.execve('/bin/sleep', ['sleep', '1000'], {})\n"
            "fork(away, detach=True, orphan=True); say('ours'); forever()"
        ),
    ),
    Shape(
        "a unix socket",
        **ours(
            "made = socket.socket(socket.AF_UNIX); made.bind(sys.argv[1] + '.sock'); made.listen()\n"
            "say('ours'); forever()"
        ),
    ),
    Shape(
        "its first thread has left",
        **ours(
            "import ctypes\nthreading.Thread(target=forever).start(); say('ours'); ctypes.CDLL(None).syscall(60, 0)"
        ),
    ),
    Shape(
        "sixty workers",
        **ours(
            "for _ in range(60): fork(lambda: (say('ours'), forever()))\nsay('ours-leader'); forever()",
            "ours",
            "ours-leader",
        ),
        within_s=1.5,
    ),
    Shape(
        "programs that start new ones all the time",
        **ours(
            "def spawn():\n"
            "    while True:\n"
            "        subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True); time.sleep(0.005)\n"
            "threading.Thread(target=spawn, daemon=True).start(); say('ours'); forever()"
        ),
        within_s=1.5,
    ),
    Shape(
        "executes itself on SIGTERM",
        **ours(
            "signal.signal(signal.SIGTERM, lambda *_: os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]]))\n"
            "say('ours'); forever()"
        ),
        within_s=2.5,
    ),
    Shape("drains for half a second", **ours(DRAIN), drained=1, within_s=1.2),
    Shape(
        "four programs that drain at once",
        dict.fromkeys(("one", "two", "three", "four"), DRAIN),
        names=("ours",) * 4,
        drained=4,
        within_s=1.2,
    ),
    Shape(
        "a shell pipeline",
        **ours("subprocess.Popen(['sh', '-c', 'sleep 1000 | cat; true']); time.sleep(0.2); say('ours'); forever()"),
    ),
    Shape("a program of another user", **ours("say('ours'); os.setuid(65534); forever()")),
    Shape(
        "a process in a pid namespace",
        **ours(
            "subprocess.Popen(['unshare', '-pf', sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
            "say('ours'); forever()"
        ),
        within_s=2.0,
    ),
    Shape(
        "programs that live on after supervisord's kill -9",
        **ours("fork(lambda: (say('ours'), forever()), detach=True); say('ours'); forever()"),
        kill=("supervisord",),
    ),
    Shape(
        "orphans without marker after supervisord's kill -9",
        **ours(
            FORGET + "fork(lambda: (forget_environment(), say('ours'), forever()), orphan=True); say('ours'); forever()"
        ),
        kill=("supervisord",),
    ),
    Shape("a stopped supervisord", freeze=("supervisord",), within_s=1.0),
    Shape(
        "the client of the port",
        **ours(SERVE, "ours-server", "innocent-client"),
        beside=(
            "time.sleep(0.1)\n"
            "while True:\n"
            "    try: held = socket.create_connection(('127.0.0.1', int(sys.argv[2]))); break\n"
            "    except OSError: time.sleep(0.05)\n"
            "say('innocent-client'); forever()"
        ),
    ),
    Shape(
        "a stranger on the port",
        names=("ours-program", "innocent-stranger"),
        beside=("made = listen(int(sys.argv[2])); say('innocent-stranger'); forever()"),
        exit_code=1,
        says="left alone",
    ),
    Shape(
        "a stranger on the port, IPv6",
        names=("ours-program", "innocent-stranger"),
        beside=("made = listen(int(sys.argv[2]), host='::1'); say('innocent-stranger'); forever()"),
        exit_code=1,
        says="left alone",
    ),
    Shape(
        "a stranger bound to the port",
        names=("ours-program", "innocent-stranger"),
        beside=("made = listen(int(sys.argv[2]), backlog=None); say('innocent-stranger'); forever()"),
        exit_code=1,
        says="left alone",
    ),
    Shape(
        "a stranger on the port, with --force",
        names=("ours-program", "ours-forced"),
        beside=("made = listen(int(sys.argv[2])); say('ours-forced'); forever()"),
        force=True,
    ),
    Shape(
        "look-alike command lines",
        names=("ours-program", "innocent-alike"),
        beside=(
            "for words in (['-m', 'daemons.api'], ['supervisord', '-n'], ['CMUX_SUITE_ID=' + sys.argv[3]]):\n"
            "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)', *words])\n"
            "    say('innocent-alike', child.pid)\n"
            "forever()"
        ),
    ),
    Shape(
        "the marker of another suite",
        names=("ours-program", "innocent-other"),
        beside=(
            "env = os.environ | {'CMUX_SUITE_ID': sys.argv[3][:-1] + 'x', 'CMUX_SUITE': sys.argv[3]}\n"
            "say('innocent-other', subprocess.Popen(['/bin/sleep', '1000'], env=env).pid); forever()"
        ),
    ),
    Shape(
        "another home's suite, started out of a program of ours",
        **ours(
            "home = sys.argv[1] + '.home'; os.makedirs(home + '/.cmux')\n"
            "open(home + '/.cmux/suite_id', 'w').write('11111111-2222-3333-4444-555555555555 0 ' + home)\n"
            "env = os.environ | {'CMUX_SUITE_ID': '11111111-2222-3333-4444-555555555555', 'CMUX_HOME': home}\n"
            "def other(): say('innocent-suite'); os.execve('/bin/sleep', ['sleep', '1000'], env)\n"
            "fork(other, detach=True, orphan=True); say('ours'); forever()",
            "ours",
            "innocent-suite",
        ),
    ),
    Shape(
        "a neighbour in the same folder with the same parent",
        names=("ours-program", "innocent-neighbour"),
        beside=("os.chdir(os.path.dirname(sys.argv[1])); say('innocent-neighbour'); forever()"),
    ),
)
