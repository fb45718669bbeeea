#!/usr/bin/env bash
# Does mixing help a small network on scikit-learn's digits, with right labels and with 40 % wrong
# ones? Sets itself up, trains none, mixup and CutMix on both with 5 seeds each, and compares them.
# No download of data, no account, no GPU.
# Arguments go to mixlab-train, as in: bash scripts/quickstart.sh trainer.max_epochs=3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
.venv/bin/mixlab-train -m experiment=quickstart mixing=none,mixup,cutmix \
  mixing.method.alpha=1 data.label_noise=0,0.4 seeds=5 "$@"
.venv/bin/mixlab-compare logs/sweeps/quickstart
