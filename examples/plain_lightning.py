"""Mixing in a Lightning project: one callback, and a network that takes shares as labels."""

from typing import NamedTuple

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import multiclass_accuracy

from mixlab.callbacks import MixingCallback
from mixlab.mixing import CutMix, hard_labels


class Digit(NamedTuple):
    image: Tensor  # float (B, 1, 8, 8) in a batch
    label: Tensor  # class numbers (B,); in a mixed batch the share of each class (B, 10)


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        features = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()
        self.network = nn.Sequential(*features, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))

    def training_step(self, batch: Digit, batch_idx: int) -> Tensor:
        logits, labels = self.network(batch.image), hard_labels(batch.label)
        self.log("accuracy", multiclass_accuracy(logits, labels, 10, "micro"))
        return nn.functional.cross_entropy(logits, batch.label)

    test_step = training_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main(epochs: int = 10, seed: int = 0) -> float:
    """Train on scikit-learn's digits; returns the accuracy on the last 360 of them."""
    pl.seed_everything(seed)  # seeds the callback too
    images, labels = map(torch.tensor, load_digits(return_X_y=True))
    images = images.float().view(-1, 1, 8, 8) / 16
    digits = [Digit(*pair) for pair in zip(images, labels, strict=True)]
    mixing = MixingCallback(CutMix(alpha=1.0), probability=0.5, num_classes=10)
    nothing_kept = {"logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=epochs, callbacks=[mixing], accelerator="cpu", **nothing_kept)
    trainer.fit(net := Net(), DataLoader(digits[:-360], batch_size=64, shuffle=True))
    return trainer.test(net, DataLoader(digits[-360:], batch_size=360))[0]["accuracy"]


if __name__ == "__main__":
    print(f"test accuracy {main():.3f}")
