"""`cmux hook`: have Claude Code, Codex, a shell or any program register, beat, read its mail and unregister."""

from __future__ import annotations

import argparse
import json
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from daemons import files, settings
from daemons.cli.command import DONE, USAGE, Refused, subcommands
from daemons.cli.screen import Screen, shown
from daemons.settings import Settings

EXAMPLES: Sequence[tuple[str, str]] = (
    ("cmux hook install claude", "in this folder's .claude/settings.local.json"),
    ("cmux hook install codex", "in ~/.codex/config.toml, or that of CODEX_HOME"),
    ("cmux hook install shell --file ~/.bashrc", "every interactive bash or zsh of a tmux window is an agent"),
    ("cmux hook remove claude", "take the lines out again"),
    ("cmux hook program worker-a -- make watch", "show the command that runs any program as an agent"),
)
HOOK = "cmux-hook"
_BEGIN, _END = "# >>> cmux hook >>>", "# <<< cmux hook <<<"

# What Claude Code calls its hooks, and what each means here.
_CLAUDE: Mapping[str, Sequence[str]] = {
    "SessionStart": ("start", "mail"),
    "UserPromptSubmit": ("beat", "mail"),
    "PostToolUse": ("beat",),
    "Notification": ("waiting",),
    "Stop": ("idle",),
    "SessionEnd": ("stop",),
}
_WITHIN_S = 5

# CMUX_HOOK_SHELL, which is not exported, is the shell that registered: a subshell has it too, and is not that agent.
# CMUX_HOOK_PID tells the hook whom it speaks for: what calls it is a shell, and it passes over those.
_SHELL = """if [ -n "$TMUX" ] && [ -z "$CMUX_HOOK_SHELL" ]; then
    CMUX_HOOK_SHELL=$$
    cmux_hook() {
        [ "$CMUX_HOOK_SHELL" = $$ ] || return
        CMUX_HOOK_PID=$$ %(hook)s "$1" %(home)s "${CMUX_AGENT_ID:-shell-$CMUX_HOOK_SHELL}"
    }
    cmux_hook start
    if [ -n "$ZSH_VERSION" ]; then
        cmux_hook_prompt() { cmux_hook idle; cmux_hook mail; }
        cmux_hook_end() { cmux_hook stop; }
        precmd_functions+=(cmux_hook_prompt)
        zshexit_functions+=(cmux_hook_end)
    else
        PROMPT_COMMAND="cmux_hook idle; cmux_hook mail${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
        trap 'cmux_hook stop' EXIT
    fi
fi"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = subcommands(parser)
    for name, summary in (("install", "write the lines that call the hook"), ("remove", "take them out again")):
        each = add(name, summary)
        each.add_argument("program", choices=("claude", "codex", "shell"), help="whose hooks")
        each.add_argument("--agent", metavar="ID", help="the agent's id; default: CMUX_AGENT_ID, or the folder's name")
        each.add_argument("--file", type=Path, metavar="FILE", help="another file than the usual one")
        each.add_argument("-n", "--dry-run", action="store_true", help="show what the file would hold, change nothing")
    program = add("program", "show the command that runs any program as an agent")
    program.add_argument("id", metavar="ID", help="the agent's id")
    program.add_argument("words", nargs="+", metavar="WORD", help="the program and its arguments, behind --")


def run(options: argparse.Namespace, conf: Settings, screen: Screen) -> int:
    if options.what is None:
        raise Refused("say install, remove or program; see: cmux hook --help", USAGE)
    if options.what == "program":
        line = shlex.join([str(_hook(conf)), "run", str(conf.home), options.id, *options.words])
        screen.say(line)
        screen.answer({"command": line})
        return DONE
    path = (options.file or _usual_file(options.program)).expanduser().absolute()
    before = _read(path)
    edited = _EDITORS[options.program](path, before, conf, options.agent, options.what == "install")
    if options.dry_run:
        screen.say(edited.rstrip("\n"))
    elif edited != before:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path.resolve(), edited.encode())
    done = (
        "would hold this" if options.dry_run else ("holds the hook" if options.what == "install" else "is without it")
    )
    screen.say(f"{screen.sign('ok')} {shown(path)} {done}")
    screen.answer({"file": str(path), "changed": edited != before, "dry_run": options.dry_run})
    return DONE


def _hook(conf: Settings) -> Path:
    hook = conf.code / "scripts" / HOOK
    if not hook.is_file():
        raise Refused(f"{hook} is missing: hooks need a checkout, not an installed package")
    return hook


def _usual_file(program: str) -> Path:
    environ = settings.child_environment()
    return {
        "claude": Path(".claude/settings.local.json"),
        "codex": Path(environ.get("CODEX_HOME") or "~/.codex") / "config.toml",
        "shell": Path("~/.zshrc" if environ.get("SHELL", "").endswith("zsh") else "~/.bashrc"),
    }[program]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as wrong:
        raise Refused(f"{path} cannot be read: {wrong}; nothing was changed") from None


# -- what stands in whose file ----------------------------------------------------------------------------------------


def _claude(path: Path, before: str, conf: Settings, agent: str | None, is_wanted: bool) -> str:
    """All that others wrote stays; ours are known by the name of the program that they call."""
    try:
        told = json.loads(before or "{}")
        hooks = told.setdefault("hooks", {})
        for event in [*hooks]:
            hooks[event] = [kept for group in hooks[event] if (kept := _without_ours(group))]
            if not hooks[event]:
                del hooks[event]
    except (ValueError, TypeError, AttributeError, KeyError) as wrong:
        raise Refused(f"{path} is not as Claude Code writes it ({wrong}); nothing was changed") from None
    for event, calls in _CLAUDE.items() if is_wanted else ():
        commands = [{"type": "command", "command": _line(conf, call, agent), "timeout": _WITHIN_S} for call in calls]
        hooks.setdefault(event, []).append({"hooks": commands})
    if not hooks:
        del told["hooks"]
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n" if told else ""


def _without_ours(group: dict[str, Any]) -> dict[str, Any] | None:
    hooks = [each for each in group["hooks"] if f"/scripts/{HOOK} " not in str(each.get("command"))]
    return {**group, "hooks": hooks} if hooks else None


def _codex(path: Path, before: str, conf: Settings, _agent: str | None, is_wanted: bool) -> str:
    """One `notify` line, before the first table: TOML knows no other place for it."""
    rest = _without_block(before)
    try:
        if is_wanted and "notify" in tomllib.loads(rest):
            raise Refused(f"{path} has a notify of its own, and Codex knows only one; nothing was changed")
        if not is_wanted:
            return rest
        notify = json.dumps([str(_hook(conf)), "turn", str(conf.home)], ensure_ascii=False)
        edited = f"{_BEGIN}\nnotify = {notify}\n{_END}\n{rest}"
        tomllib.loads(edited)
    except tomllib.TOMLDecodeError as wrong:
        raise Refused(f"{path} is no TOML ({wrong}); nothing was changed") from None
    return edited


def _shell(_path: Path, before: str, conf: Settings, _agent: str | None, is_wanted: bool) -> str:
    rest = _without_block(before)
    if not is_wanted:
        return rest
    lines = _SHELL % {"hook": shlex.quote(str(_hook(conf))), "home": shlex.quote(str(conf.home))}
    gap = "" if not rest or rest.endswith("\n") else "\n"
    return f"{rest}{gap}{_BEGIN}\n{lines}\n{_END}\n"


def _without_block(text: str) -> str:
    head, begin, tail = text.partition(f"{_BEGIN}\n")
    _, end, rest = tail.partition(f"{_END}\n")
    return head + rest if begin and end else text


def _line(conf: Settings, event: str, agent: str | None) -> str:
    return shlex.join([str(_hook(conf)), event, str(conf.home), *([agent] if agent else [])])


_EDITORS: Mapping[str, Callable[[Path, str, Settings, str | None, bool], str]] = {
    "claude": _claude,
    "codex": _codex,
    "shell": _shell,
}
