#!/bin/sh
# Print the first Python on the path that is new enough and can make virtual environments; say what is missing if none.
old=""
bare=""
for name in python3 python3.13 python3.12 python3.11; do
    command -v "$name" >/dev/null 2>&1 || continue
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { old="$old $name"; continue; }
    "$name" -c 'import venv, ensurepip' >/dev/null 2>&1 && { printf '%s\n' "$name"; exit 0; }
    [ -n "$bare" ] || bare=$("$name" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
done
if [ -n "$bare" ]; then
    echo "set-up: $bare is here, but not the part of it that makes virtual environments." >&2
    echo "set-up: on Debian and Ubuntu: apt-get install $bare-venv" >&2
else
    [ -z "$old" ] || echo "set-up: too old:$old" >&2
    echo "set-up: Dovetail needs Python 3.11 or newer. On Debian and Ubuntu: apt-get install python3 python3-venv" >&2
fi
exit 1
