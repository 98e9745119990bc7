"""`cmux COMMAND …`: find the command, run it, turn what it raises into one line and an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import replace

from daemons import __version__, files, settings
from daemons.cli import command
from daemons.cli.command import DONE, FAILED, OTHER_NAMES, USAGE, Refused
from daemons.cli.screen import Screen
from daemons.settings import Settings, SettingsError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. The exit code, as README.md lists them."""
    words = list(sys.argv[1:] if argv is None else argv)
    screen = Screen(as_json="--json" in words)
    try:
        return _run(words, screen)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as done:  # argparse ends so after --help
        return DONE if done.code is None else int(done.code)
    except Refused as refused:
        return _fail(screen, str(refused), refused.code)
    except SettingsError as wrong:
        return _fail(screen, str(wrong), USAGE)
    except (files.LockBusy, OSError) as failed:
        return _fail(screen, str(failed), FAILED)


def _run(words: list[str], screen: Screen) -> int:
    name, rest = _command_of(words)
    if name == "--version":
        screen.say(f"cmux-suite {__version__}")
        screen.answer({"version": __version__})
        return DONE
    options = command.parse(name, rest)
    if name == "help":
        from daemons.cli import help

        return help.show(options, screen)
    conf = settings.load()
    return command.load(name).run(options, conf if name in ASK_FOR_THEMSELVES else as_started(conf), screen)


# start, stop and restart compare what runs with what is wanted; the others need neither port nor tmux server.
ASK_FOR_THEMSELVES = ("start", "stop", "restart", "paths", "logs")


def as_started(conf: Settings) -> Settings:
    """*conf* with what the suite that runs was started with: `CMUX_PORT=8100 cmux start`, then just `cmux status`."""
    from daemons import suite  # 20 ms that not every command needs

    record = suite.running(conf)
    if record is None:
        return conf
    started = replace(conf, host=record.host, port=record.port, session=record.session, tmux_socket=record.tmux_socket)
    if conf.frontend_url == conf.api_url:
        started = replace(started, frontend_url=started.api_url)
    return started


def _command_of(words: list[str]) -> tuple[str, list[str]]:
    """The command's name, and the words that are its own. No word, and `--help`, are `help`."""
    before = [word for word in words[:1] if word in ("-h", "--help")]
    if not words or before or words == ["--json"]:
        return "help", [word for word in words if word == "--json"]
    first = next((index for index, word in enumerate(words) if word != "--json"), 0)
    name = words[first]
    return OTHER_NAMES.get(name, name), words[:first] + words[first + 1 :]


def _fail(screen: Screen, line: str, code: int) -> int:
    screen.answer({"error": line, "code": code}, ok=False)
    screen.note(f"cmux: {line}")
    return code


if __name__ == "__main__":
    code = main()
    # Python looks through all there is three times before it ends: 8 ms, and nothing of it is left for anybody.
    gc.freeze()
    sys.exit(code)
