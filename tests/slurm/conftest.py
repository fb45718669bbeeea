"""A real SLURM with two nodes on this machine, started for these tests and ended after them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm_local.sh"
PATH = f"{os.environ['PATH']}:/usr/sbin"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Calls a command of SLURM, as `slurm("scancel", "12")`, and returns what it prints."""
    if missing := [x for x in ("slurmctld", "munged", "sbatch") if not shutil.which(x, path=PATH)]:
        pytest.skip(f"{', '.join(missing)} not installed: scripts/slurm_local.sh says how")
    folder = tmp_path_factory.mktemp("slurm")
    up = subprocess.run(["bash", SCRIPT, "up", folder], capture_output=True, text=True)
    assert up.returncode == 0, up.stderr
    with pytest.MonkeyPatch.context() as patch:
        for word in up.stdout.splitlines()[-1].split()[1:]:
            patch.setenv(*word.split("="))
        try:
            yield call
        finally:
            subprocess.run(["bash", SCRIPT, "down", folder], check=True)


def call(*words: str) -> str:
    """What a command prints; slurmd may be where only root's PATH leads."""
    program = shutil.which(words[0], path=PATH) or words[0]
    return subprocess.run([program, *words[1:]], capture_output=True, text=True, check=True).stdout
