# shellcheck shell=sh
# Sourced by the scripts beside it, with $root set: `environment FILE` leaves a .venv that holds what conf/FILE pins.
# Ready is decided here, without starting Python: .venv keeps a copy of the file it was made from.

# shellcheck disable=SC2154 # root is set by who sources this
environment() {
    # Compared by the shell itself: a minimal image has no `cmp`.
    if [ -x "$root/.venv/bin/python" ] && [ -f "$root/.venv/made-from/$1" ] &&
        [ "$(cat "$root/conf/$1")" = "$(cat "$root/.venv/made-from/$1")" ]; then
        return 0
    fi
    python=$(modern_python) || say_what_to_install
    "$python" "$root/scripts/environment.py" "$1"
}

modern_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

say_what_to_install() {
    if command -v apt-get >/dev/null; then how="apt-get install python3 python3-venv"
    elif command -v dnf >/dev/null; then how="dnf install python3.12"
    elif command -v apk >/dev/null; then how="apk add python3 py3-pip"
    elif command -v pacman >/dev/null; then how="pacman -S python python-pip"
    elif command -v brew >/dev/null; then how="brew install python@3.12"
    else how="your system's package manager, or uv: uv python install 3.12"
    fi
    found=$(python3 --version 2>/dev/null || echo "no python3")
    echo "cmux: needs Python 3.11 or newer, found $found; install it with: $how" >&2
    exit 5
}
