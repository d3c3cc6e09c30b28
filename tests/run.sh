#!/usr/bin/env bash
# Install softloc with its test tools into .venv and run all tests: the README's second command.
# Files of tests run side by side, as many as there are cores; arguments go to pytest (-n 0: one after the other).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --upgrade pip
.venv/bin/python -m pip install --quiet -c constraints.txt --group test -e .
# Threads of one library that wait for each other while other tests compute take many times as long.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec .venv/bin/python -m pytest -n auto --dist loadfile "$@"
