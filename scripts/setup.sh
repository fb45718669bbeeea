#!/usr/bin/env bash
# Make .venv with mixlab in it, once: with uv where it is installed, else python3 -m venv and pip.
#   bash scripts/setup.sh          what training needs
#   bash scripts/setup.sh dev      the tests' tools too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=".[${1:-train}]"
stamp=".venv/.mixlab-${1:-train}"
wanted="$(cksum <pyproject.toml) $what"
if [[ -x .venv/bin/mixlab-train && $(cat "$stamp" 2>/dev/null) == "$wanted" ]]; then
  exit 0
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  if ! command -v uv >/dev/null; then
    echo "setup: mixlab needs Python 3.11 or later; name one, as in PYTHON=python3.12 $0" >&2
    exit 2
  fi
  python=3.11 # uv brings one
fi
echo "setup: installing mixlab into .venv (PyTorch is large: this takes a few minutes, once)"
if command -v uv >/dev/null; then
  [[ -x .venv/bin/python ]] || uv venv --quiet --python "$python" .venv
  uv pip install --quiet --python .venv/bin/python -e "$what"
else
  [[ -x .venv/bin/python ]] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e "$what"
fi
echo "$wanted" >"$stamp"
