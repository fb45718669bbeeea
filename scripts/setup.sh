#!/usr/bin/env bash
# Make .venv with mixlab in it, once: with uv where it is installed, else python3 -m venv and pip.
#   bash scripts/setup.sh          what training needs
#   bash scripts/setup.sh dev      the tests' tools too
#   LOCKED=1 bash scripts/setup.sh       the versions and files of requirements.lock (LOCKED=cuda too)
#   LOCKED=cpu bash scripts/setup.sh     the same with PyTorch for CPUs alone (needs uv)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=".[${1:-train}]"
stamp=".venv/.mixlab-${1:-train}"
locked=${LOCKED:-}
wanted="$(cksum <pyproject.toml) $what${locked:+ $locked $(cksum <requirements.lock)}"
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
if [[ -n $locked ]] && ! [[ $locked =~ ^(1|cuda|cpu)$ ]]; then
  echo "setup: LOCKED is 1, cuda or cpu, got $locked" >&2
  exit 2
fi
if [[ $locked == cpu ]] && ! command -v uv >/dev/null; then
  echo "setup: LOCKED=cpu needs uv, which knows where PyTorch's CPU builds are: pip install uv" >&2
  exit 2
fi
echo "setup: installing mixlab into .venv (PyTorch is large: this takes a few minutes, once)"
if command -v uv >/dev/null; then
  [[ -x .venv/bin/python ]] || uv venv --quiet --python "$python" .venv
  install=(uv pip install --quiet --python .venv/bin/python)
else
  [[ -x .venv/bin/python ]] || "$python" -m venv .venv
  install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
fi
if [[ -z $locked ]]; then
  "${install[@]}" -e "$what"
else
  lock=requirements.lock
  if [[ $locked == cpu ]]; then # torch's CPU builds have other hashes, and need no CUDA libraries
    pins=$(sed -nE 's/^((torch|torchvision)==[^ ;]+).*/\1/p' "$lock")
    # shellcheck disable=SC2086 # two words
    "${install[@]}" --torch-backend=cpu $pins
    lock=$(mktemp)
    trap 'rm -f "$lock"' EXIT
    awk '/^[^ #]/ {cuda = /^(torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*)==/} !cuda' \
      requirements.lock >"$lock"
  fi
  "${install[@]}" --require-hashes --no-deps -r "$lock"
  "${install[@]}" --no-deps --no-build-isolation -e .
fi
echo "$wanted" >"$stamp"
