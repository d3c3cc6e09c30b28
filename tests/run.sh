#!/usr/bin/env bash
# Install softloc with its test tools into .venv and run all tests: the README's second command.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --upgrade pip
.venv/bin/python -m pip install --quiet -c constraints.txt --group test -e .
exec .venv/bin/python -m pytest "$@"
