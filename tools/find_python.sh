#!/bin/sh
# Print a Python that is new enough and can make virtual environments; say what is missing if there is none.
#
#   find_python.sh           the first on the path
#   find_python.sh 3.13      that one (or "python3.13", or a path): on the path, or where pyenv or uv keep theirs
#
# A name on the path proves nothing (pyenv has shims for what is not chosen), so each is tried.
old=""
bare=""

fits() { # does it run, is it new enough, can it make environments?
    command -v "$1" >/dev/null 2>&1 || return 1
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || {
        "$1" -c '' >/dev/null 2>&1 && old="$old $1"
        return 1
    }
    "$1" -c 'import venv, ensurepip' >/dev/null 2>&1 && return 0
    [ -n "$bare" ] || bare=$("$1" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    return 1
}

kept() { # the paths under which version managers keep this version, one a line
    for place in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1" "${XDG_DATA_HOME:-$HOME/.local/share}/uv/python/cpython-$1"; do
        for path in "$place".*/bin/"python$1"; do
            [ -x "$path" ] && printf '%s\n' "$path"
        done
    done
}

if [ $# -gt 0 ]; then
    wanted=$1
    case $wanted in [0-9]*.[0-9]*) wanted=python$wanted ;; esac
    fits "$wanted" && { printf '%s\n' "$wanted"; exit 0; }
    case $wanted in
        python[0-9]*.[0-9]*)
            IFS='
'
            for path in $(kept "${wanted#python}"); do
                fits "$path" && { printf '%s\n' "$path"; exit 0; }
            done
            ;;
    esac
    if [ -n "$bare" ]; then
        echo "set-up: $bare can't make virtual environments. On Debian and Ubuntu: apt-get install $bare-venv" >&2
    elif [ -n "$old" ]; then
        echo "set-up: too old:$old; Dovetail needs Python 3.11 or newer" >&2
    else
        echo "set-up: there is no $1 on the path, nor with pyenv or uv" >&2
    fi
    exit 1
fi

for name in python3 python3.14 python3.13 python3.12 python3.11; do
    fits "$name" && { printf '%s\n' "$name"; exit 0; }
done
if [ -n "$bare" ]; then
    echo "set-up: $bare is here, but not the part of it that makes virtual environments." >&2
    echo "set-up: on Debian and Ubuntu: apt-get install $bare-venv" >&2
else
    [ -z "$old" ] || echo "set-up: too old:$old" >&2
    echo "set-up: Dovetail needs Python 3.11 or newer. On Debian and Ubuntu: apt-get install python3 python3-venv" >&2
fi
exit 1
