#!/usr/bin/env bash
# Write requirements.lock: one version and the hashes of each package that mixlab[dev] needs, for
# Python 3.11 and later. What is in the lock stays, unless it is asked for.
#   bash scripts/lock.sh                 after a change of pyproject.toml
#   bash scripts/lock.sh -P wandb        a newer wandb too
#   bash scripts/lock.sh --upgrade       everything as new as possible
# It needs uv (pip install uv). Addresses of indexes stay out of the file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# What builds mixlab itself is locked too, or a locked install would fetch it unchecked.
build=$(sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml)
uv pip compile --quiet pyproject.toml --extra dev - --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "bash scripts/lock.sh" -o requirements.lock "$@" <<<"$build"
