#!/usr/bin/env bash
# Set up with the tests' tools and run the tests. Arguments go to pytest, as in:
#   bash scripts/test.sh tests/mixing -k cutmix
#   bash scripts/test.sh -m slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh dev
# The quick tests on two cores, each with its half; who is done first helps the other.
[[ $# -gt 0 ]] || set -- --numprocesses 2 --dist worksteal
exec .venv/bin/python -m pytest "$@"
