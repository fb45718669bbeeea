"""What a model says to each row of a set: by the image alone, and by the vote of several views."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from mixlab.data import ImageDataModule
from mixlab.evaluation.tta import Views
from mixlab.mixing import Batch
from mixlab.models.losses import probabilities
from mixlab.models.metrics import ClassMetrics, Metric, confusion_matrix


@dataclass(frozen=True)
class Answers:
    """The answer to each row, on the CPU.

    Attributes:
        rows: int64 (N,), row numbers in the data set.
        targets, predicted: int64 (N,) classes.
        scores: float32 (N, C), the probability of each class.
    """

    rows: Tensor
    targets: Tensor
    predicted: Tensor
    scores: Tensor

    @property
    def right(self) -> Tensor:
        """bool (N,)."""
        return self.predicted == self.targets

    def gains_on(self, other: "Answers") -> int:
        """Rows that these answers get right and the other ones do not."""
        return int((self.right & ~other.right).sum())

    @property
    def confusion(self) -> Tensor:
        """int64 (C, C): rows by their true class, then by the predicted one."""
        return confusion_matrix(self.predicted, self.targets, self.scores.shape[1])

    def class_accuracy(self) -> list[float | None]:
        """Of each class; None where it has no rows."""
        by_class = ClassMetrics()
        by_class.add(self.predicted, self.targets, self.scores.shape[1])
        return by_class.accuracy(lambda counts: counts)

    def figures(self, metrics: Iterable[Metric]) -> dict[str, float]:
        """Accuracy, and those of the metrics that are computed from the scores, by name."""
        found = {"accuracy": int(self.right.sum()) / len(self.rows)}
        for metric in metrics:
            if metric.torchmetric is not None:
                counts = metric.torchmetric.clone().cpu()
                counts.reset()
                counts.update(self.scores, self.targets)
                found[metric.name] = float(counts.compute())
        return found


def vote_shares(views: Iterable[Tensor], vote: str) -> Tensor:
    """What the views of each image make of it, float (B, C); each row sums to one.

    Args:
        views: probabilities (B, C) of each view.
        vote: `mean` for their mean probability, or `majority` for the share of the views that
            choose a class, the mean counting as one more view: it decides between classes of
            equally many.
    """
    each = torch.stack(list(views))
    mean = each.mean(0)
    if vote == "mean":
        return mean
    votes = F.one_hot(each.argmax(2), each.shape[2]).sum(0)
    return (votes + mean) / (len(each) + 1)


class Voting(pl.LightningModule):
    """Test a classifier by the vote of several views, in one process.

    Views are made of the images as they are in the data set, then normalized. Each view is one
    pass of the whole batch through the network. Without `views` the image answers alone.
    """

    def __init__(
        self, model: pl.LightningModule, data: ImageDataModule, views: Views | None
    ) -> None:
        super().__init__()
        self.model, self.data, self.views = model, data, views
        self.batches: list[tuple[Tensor, ...]] = []

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        return self.data.transfer_batch_to_device(batch, device, dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        assert batch.index is not None
        convert = self.trainer.precision_plugin.convert_input
        views = self.views.of(batch.images, batch.index) if self.views else [batch.images]
        logits = [self.model(convert(self.data.prepare.floated(view))).float() for view in views]
        loss: Any = getattr(self.model, "loss", None)  # a module of the user's may have none
        scores = [probabilities(each, loss) for each in logits]
        alone, voted = scores[0], scores[0]
        chosen = elected = logits[0].argmax(1)
        if self.views and len(scores) > 1:  # one view has no vote: rounding could make ties
            voted = vote_shares(scores, self.views.vote)
            elected = voted.argmax(1)
        columns = (batch.index, batch.targets.long(), chosen, alone, elected, voted)
        self.batches.append(tuple(column.cpu() for column in columns))

    @property
    def answers(self) -> tuple[Answers, Answers]:
        """By the images alone, and by the vote."""
        rows, targets, chosen, alone, elected, voted = map(
            torch.cat, zip(*self.batches, strict=True)
        )
        return Answers(rows, targets, chosen, alone), Answers(rows, targets, elected, voted)
