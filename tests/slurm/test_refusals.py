"""What SLURM itself refuses is one sentence in its own words."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = ("-m", "hydra/launcher=slurm", "trainer=cpu", "seeds=1", "logger=csv")
pytestmark = pytest.mark.slow


def test_an_unknown_partition(here: Path, slurm: Callable, command: Callable) -> None:
    said = command("train", *WORDS, "hydra.launcher.partition=nope")
    assert said.status == 2
    assert said.sentence == (
        "mixlab-train: sbatch: invalid partition specified: nope; Batch job submission failed: "
        "Invalid partition name specified"
    )


def test_slurm_does_not_answer(
    here: Path, slurm: Callable, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any run is planned."""
    lines = Path(os.environ["SLURM_CONF"]).read_text().splitlines()
    gone = ["SlurmctldPort=1" if line.startswith("SlurmctldPort=") else line for line in lines]
    (here / "slurm.conf").write_text("\n".join(gone) + "\n")
    monkeypatch.setenv("SLURM_CONF", str(here / "slurm.conf"))
    said = command("train", *WORDS)
    assert said.status == 2
    assert "SLURM does not answer (squeue: " in said.sentence
    assert "Unable to contact slurm controller" in said.sentence
    assert not (here / "logs").exists()
