"""A training that was cut off and goes on ends, bit for bit, as one that was not."""

from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from helpers.batches import Noisy, module
from mixlab.callbacks import MixingCallback, Seeding
from mixlab.data import FlipCrop, ImageDataModule, ImageSpec
from mixlab.data.augmentation import Blur
from mixlab.mixing import Mixup
from mixlab.models import ImageClassifier
from mixlab.models.networks import CNN

BATCHES = 5  # an epoch


def build_data(kind: str) -> ImageDataModule:
    if kind == "image by image":
        blur = {"augmentation": Blur(), "label_preserving": ["blur"]}
        return module(60, batch_size=11, val_size=10, seed=3, **blur)
    if kind == "memory":
        crop = {"augmentation": FlipCrop(False, 2), "label_preserving": ["crop"]}
        return module(60, batch_size=11, val_size=10, seed=3, **crop)
    return ImageDataModule(Noisy(), batch_size=4, val_size=4, seed=3, num_workers=int(kind))


class StopAt(Callback):
    """Write a checkpoint after a step, and stop there."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.step % BATCHES and trainer.global_step == self.step:
            self.stop(trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.global_step == self.step:
            self.stop(trainer)

    def stop(self, trainer) -> None:
        trainer.save_checkpoint(self.path)
        raise InterruptedError


class Metrics(Callback):
    """What callbacks read at the end of each epoch."""

    def __init__(self) -> None:
        self.epochs: dict[int, dict[str, float]] = {}

    def on_train_epoch_end(self, trainer, pl_module):
        names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
        found = {name: trainer.callback_metrics[name].item() for name in names}
        self.epochs[trainer.current_epoch] = found


def train(kind: str, *callbacks: Callback, resume: Path | None = None):
    """Weights after three epochs, and the metrics of each epoch seen."""
    torch.manual_seed(0)
    data, metrics = build_data(kind), Metrics()
    spec: ImageSpec = data.spec
    scheduler = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=3)
    model = ImageClassifier(CNN(spec, dropout=0.3), partial(torch.optim.Adam, lr=0.01), scheduler)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[Seeding(3), MixingCallback(Mixup(alpha=0.4)), metrics, *callbacks],
    )
    torch.manual_seed(99)  # whatever was drawn before must not matter
    trainer.fit(model, data, ckpt_path=resume, weights_only=True if resume else None)
    weights = torch.cat([value.flatten() for value in model.state_dict().values()])
    return weights, metrics.epochs


@pytest.mark.parametrize("kind", ["memory", "image by image", "0", "2"])
def test_a_resumed_run_equals_one_that_never_stopped(kind, tmp_path):
    expected, epochs = train(kind)
    assert epochs.keys() == {0, 1, 2}
    for step in (2, BATCHES, BATCHES + 4):
        path = tmp_path / f"{step}.ckpt"
        with pytest.raises(InterruptedError):
            train(kind, StopAt(step, path))
        weights, metrics = train(kind, resume=path)
        assert torch.equal(weights, expected), f"stopped after step {step}"
        assert metrics == {epoch: epochs[epoch] for epoch in metrics} and 2 in metrics


def test_workers_do_not_change_the_training():
    assert torch.equal(train("0")[0], train("2")[0])
