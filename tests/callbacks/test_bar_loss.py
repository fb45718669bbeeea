"""The progress bar has a loss within the first epoch; no record has it."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar

from helpers.small_runs import checkpoint, differences, small, train_with
from mixlab.callbacks import bar_loss
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.training import build

TQDM = f"{TQDMProgressBar.__module__}.{TQDMProgressBar.__name__}"


class Shown(pl.Callback):
    """Notes what the progress bar shows when each batch begins."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, Any]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(trainer.progress_bar_callback, ProgressBar)
        self.metrics.append(dict(trainer.progress_bar_callback.get_metrics(trainer, pl_module)))


def test_each_step_shows_its_loss_and_records_have_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_loss, "EVERY_SECONDS", 0.0)
    words = "trainer.log_every_n_steps=1", "+callbacks.bar._target_=" + TQDM
    with_bar = small(tmp_path / "bar", *words, "trainer.enable_progress_bar=true")
    without = small(tmp_path / "none", words[0], "trainer.enable_progress_bar=false")
    shown = Shown()
    train_with(with_bar, shown)
    train_with(without)
    losses = [metrics.get("loss") for metrics in shown.metrics]
    rows = (run_folder(with_bar) / "metrics.csv").read_text()
    assert losses[0] is None and all(f",{loss}" in rows for loss in losses[1:])
    assert rows == (run_folder(without) / "metrics.csv").read_text()
    assert not list(differences(*(checkpoint(each)["state_dict"] for each in (with_bar, without))))
    assert "loss" not in read_json(run_folder(with_bar) / "run.json")["results"]["last"]


def test_it_reads_the_loss_only_now_and_then_and_only_for_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_loss, "EVERY_SECONDS", 3600.0)
    shown = Shown()
    bar = "+callbacks.bar._target_=" + TQDM
    train_with(small(tmp_path, bar, "trainer.enable_progress_bar=true"), shown)
    assert len({metrics["loss"] for metrics in shown.metrics[1:]}) == 1
    cfg = small(tmp_path / "none", "trainer.enable_progress_bar=false")
    cfg.paths.run_dir = str(tmp_path)
    built = build.Experiment.build(cfg).trainer
    assert not any(isinstance(each, bar_loss.BarLoss) for each in built.callbacks)  # pyright: ignore
