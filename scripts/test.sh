#!/usr/bin/env bash
# Set up with the tests' tools and run the tests. Arguments go to pytest, as in:
#   bash scripts/test.sh tests/mixing -k cutmix
#   bash scripts/test.sh -m slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh dev
# The quick tests on two cores; a file's tests share what they have trained.
[[ $# -gt 0 ]] || set -- --numprocesses 2 --dist loadfile
exec .venv/bin/python -m pytest "$@"
