#!/bin/sh
# Print a Python that can make this project's environment: the one given, else the first on PATH that really runs.
# Exit status 2 and one line on standard error if there is none. Usage: find_python.sh [PYTHON]
set -u
wanted=${1:-}

# Prints "usable", "no-venv" or the unsuitable version; nothing for a shim that stands on PATH but runs nothing.
ask() {
    "$1" -c 'import sys
version = sys.version_info[:2]
if (3, 8) <= version <= (3, 12):
    try:
        import ensurepip, venv
        print("usable")
    except ImportError:
        print("no-venv")
else:
    print("%d.%d" % version)' 2>/dev/null
}

candidates() {
    for name in python3.11 python3.10 python3.9 python3.8 python3.12 python3; do
        printf '%s\n' "$PATH" | tr ':' '\n' | while IFS= read -r folder; do
            [ -x "$folder/$name" ] && printf '%s\n' "$folder/$name"
        done
    done
}

refuse() {
    echo "error: gluon_bof needs Python 3.8 to 3.12 with venv; MXNet 1.9.1 does not run on 3.13 and newer; $1" >&2
    exit 2
}

if [ -n "$wanted" ]; then
    case $(ask "$wanted") in
        usable) printf '%s\n' "$wanted"; exit 0 ;;
        no-venv) refuse "$wanted has no venv (on Debian or Ubuntu: apt install $(basename "$wanted")-venv)" ;;
        "") refuse "$wanted does not run" ;;
        *) refuse "$wanted is Python $(ask "$wanted")" ;;
    esac
fi

without_venv=
while IFS= read -r candidate; do
    case $(ask "$candidate") in
        usable) printf '%s\n' "$candidate"; exit 0 ;;
        no-venv) without_venv=${without_venv:-$candidate} ;;
    esac
done <<EOF
$(candidates)
EOF
[ -z "$without_venv" ] ||
    refuse "$without_venv has no venv (on Debian or Ubuntu: apt install $(basename "$without_venv")-venv)"
refuse "none is on PATH, name one with PYTHON=/path/to/python3.11"
