"""What a finished training leaves: figures and weights of two checkpoints, never confused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.small_runs import checkpoint, composed, small
from mixlab.evaluate import evaluate
from mixlab.runs import run_folder
from mixlab.training.supervise import train


def test_best_and_last_are_two_models_with_figures_and_weights_of_their_own(tmp_path: Path) -> None:
    worst = ("callbacks.best.monitor=val/loss", "callbacks.best.mode=max")  # of the first epoch
    cfg = small(tmp_path, *worst, "trainer.max_epochs=3")
    results = train(cfg)
    folder = run_folder(cfg)
    assert [checkpoint(cfg, when)["global_step"] for when in ("best", "last")] == [4, 12]
    assert results["best"]["epoch"] == 0 and results["last"]["epoch"] == 2
    assert results["best"]["test/loss"] > 1.01 * results["last"]["test/loss"]
    again = evaluate(composed(f"run={folder}", "threads=1", config="evaluate"))
    for when in ("best", "last"):
        assert again[when]["test/loss"] == pytest.approx(results[when]["test/loss"], abs=0)
        state = checkpoint(cfg, when)["state_dict"]
        exported = load_file(folder / "checkpoints" / f"{when}.safetensors")
        assert exported.keys() == state.keys()
        assert all(torch.equal(exported[name], state[name]) for name in state)
