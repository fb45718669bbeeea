"""Votes over the views of each test image, beside what the image alone would have been called."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from mixlab.data import ImageDataModule
from mixlab.evaluation.tta import Views
from mixlab.mixing import Batch
from mixlab.models.metrics import ClassMetrics


def elect(probabilities: Iterable[Tensor], vote: str) -> Tensor:
    """int64 (B,): the classes that the views of each image vote for.

    Args:
        probabilities: (B, C) of each view.
        vote: `mean`, the class of the largest mean probability; or `majority`, the class that most
            views find most probable, of several the one with the largest mean probability.
    """
    views = torch.stack(list(probabilities))
    mean = views.mean(0)
    if vote == "mean":
        return mean.argmax(1)
    votes = F.one_hot(views.argmax(2), views.shape[2]).sum(0)
    return mean.masked_fill(votes < votes.amax(1, keepdim=True), -1).argmax(1)


@dataclass
class VoteResult:
    """What came of the vote over a whole test set.

    Attributes:
        voted: rows and right answers of each class.
        gained, lost: images that only the vote, and only the image alone, got right.
    """

    voted: ClassMetrics = field(default_factory=ClassMetrics)
    gained: int = 0
    lost: int = 0

    def count(self, alone: Tensor, voted: Tensor, targets: Tensor, num_classes: int) -> None:
        """Count a batch of int64 classes (B,)."""
        self.voted.add(voted, targets, num_classes)
        self.gained += int(((voted == targets) & (alone != targets)).sum())
        self.lost += int(((voted != targets) & (alone == targets)).sum())

    @property
    def accuracy(self) -> float:
        """Share of the images that the vote gets right."""
        assert self.voted.counts is not None
        rows, right = self.voted.counts.sum(1).tolist()
        return right / rows


class Voting(pl.LightningModule):
    """Test a classifier by the vote of several views; one process, batches of `data`.

    Its `ballot` is what came of it. Views are taken of the images as they are in the data set, then
    normalised; each is one pass of the whole batch through the network.
    """

    def __init__(self, model: pl.LightningModule, data: ImageDataModule, views: Views) -> None:
        super().__init__()
        self.model, self.views, self.ballot = model, views, VoteResult()
        self.data = data

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        return self.data.transfer_batch_to_device(batch, device, dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        assert batch.index is not None
        convert = self.trainer.precision_plugin.convert_input
        logits = [
            self.model(convert(self.data.prepare.floated(view))).float()
            for view in self.views.of(batch.images, batch.index)
        ]
        alone = voted = logits[0].argmax(1)
        if len(logits) > 1:  # or rounding would make ties
            voted = elect([each.softmax(1) for each in logits], self.views.vote)
        self.ballot.count(alone, voted, batch.targets, logits[0].shape[1])
