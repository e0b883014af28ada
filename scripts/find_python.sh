#!/bin/sh
# Prints the path of a Python 3.12 that runs, or says what was looked for.
# Candidates are run, not just found: a version manager's shim may be there and resolve to nothing.

tried=""

usable() {
    tried="$tried
  $1"
    "$1" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1
}

# The interpreter itself, by one name: never the environment that may be active, which is made from it.
answer() {
    "$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'
    exit 0
}

if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" && answer "$PYTHON"
    echo "PYTHON=$PYTHON is not a Python 3.12 that runs; unset it or give another one." >&2
    exit 1
fi

# A sourced ROS 2 Jazzy belongs to the system's Python, whatever comes first on PATH.
if [ "${ROS_DISTRO:-}" = jazzy ]; then
    system=$(command -pv python3.12)
    [ -n "$system" ] && usable "$system" && "$system" -c 'import rclpy' 2>/dev/null && answer "$system"
fi

for name in python3.12 python3 python; do
    path=$(command -v "$name") && usable "$path" && answer "$path"
done

if command -v pyenv >/dev/null 2>&1; then
    for version in $(pyenv versions --bare 2>/dev/null | grep '^3\.12\.'); do
        path="$(pyenv prefix "$version" 2>/dev/null)/bin/python"
        usable "$path" && answer "$path"
    done
fi

if command -v uv >/dev/null 2>&1; then
    path=$(uv python find 3.12 2>/dev/null) && usable "$path" && answer "$path"
fi

cat >&2 <<EOF
SALUS needs Python 3.12 (the Python of ROS 2 Jazzy) and found none that runs.
Looked for python3.12, python3 and python on PATH, pyenv's 3.12 versions, and 'uv python find 3.12'.
Tried:${tried:- nothing}
Install it (Ubuntu 24.04: apt install python3.12-venv python3.12-dev; elsewhere: pyenv install 3.12
or uv python install 3.12), or name one: make PYTHON=/path/to/python3.12
EOF
exit 1
