"""What is measured: loss and accuracy of each stage, and what the group `metrics` adds to them.

Loss, accuracy and accuracy by class are exact over unequal batches and ranks. They are summed here
because that takes a seventh of the time of torchmetrics in each step of a training.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torch.nn import functional as F

from mixlab.config.allowlist import locate
from mixlab.config.build import build
from mixlab.errors import UserError

MOST_CONFUSED = 1000  # classes whose confusion is counted in each test: 8 MB for so many
BATCHES_TOGETHER = 16  # batches counted at once: alone, each would find its code out of the caches


@dataclass(frozen=True)
class Metric:
    """A figure that is logged as `<stage>/<name>`.

    Attributes:
        torchmetric: takes probabilities (B, C) and int64 classes (B,) of validation and test; of a
            segmentation, logits (B, C, H, W) and classes (B, H, W). None for what `RunningMetrics`
            has.
        unit: `%` for a share in [0, 1] that is printed in percent, else what follows the number.
        higher_is_better: None where nobody says.
    """

    name: str
    torchmetric: torchmetrics.Metric | None = None
    unit: str = ""
    higher_is_better: bool | None = None


BUILT_IN = (
    Metric("accuracy", unit="%", higher_is_better=True),
    Metric("loss", higher_is_better=False),
)


class NegativeLogLikelihood(torchmetrics.Metric):
    """Mean of -log p(true class) in nats; a proper score of probabilities, unlike any other loss.

    Scores of rows (B, C) that do not sum to one, such as sigmoids, are divided by their sum.
    A probability of zero counts as the smallest normal number, 87 nats.
    """

    higher_is_better = False
    is_differentiable = True
    full_state_update = False
    nats: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, targets: Tensor) -> None:
        if scores.ndim > 2:  # pixels have logits
            logs = scores.log_softmax(1)
        else:
            shares = scores / scores.sum(1, keepdim=True)
            logs = shares.clamp_min(torch.finfo(shares.dtype).tiny).log()
        self.nats += F.nll_loss(logs, targets, reduction="sum")
        self.rows += targets.numel()

    def compute(self) -> Tensor:
        return self.nats / self.rows


def build_metrics(
    nodes: Mapping[str, Any] | None, num_classes: int, allow: Iterable[str] = ()
) -> tuple[Metric, ...]:
    """The metrics of a configuration; one that takes the number of classes is told it.

    Args:
        nodes: by name, each a `_target_` with its arguments, and `unit` and `higher_is_better`
            where its class does not say it.
    """
    made = []
    for name, given in (nodes or {}).items():
        if given and not isinstance(given, Mapping):
            raise UserError(
                f"metrics.{name} must be a node; write +metrics.{name}._target_={given}"
            )
        node: dict[str, Any] = dict(given or {"_target_": None})
        unit, higher = node.pop("unit", ""), node.pop("higher_is_better", None)
        if node["_target_"] is None:
            continue
        if name in [metric.name for metric in BUILT_IN]:
            raise UserError(f"metrics.{name}: every model has {name} already; use another name")
        takes = inspect.signature(locate(node["_target_"], allow)).parameters
        for key in ("num_classes", "num_labels"):
            if key in takes:
                node.setdefault(key, num_classes)
        metric = build(node, allow=allow)
        if not isinstance(metric, torchmetrics.Metric):
            raise UserError(f"metrics.{name}: {node['_target_']} is not a torchmetrics.Metric")
        higher = metric.higher_is_better if higher is None else higher
        made.append(Metric(name, metric, str(unit), higher))
    return tuple(made)


def single_numbers(values: dict[str, Any]) -> dict[str, Any]:
    """What metrics have computed, as it is.

    Raises:
        UserError: one of them is not a single number.
    """
    for name, value in values.items():
        if not isinstance(value, int | float | Tensor) or torch.as_tensor(value).numel() != 1:
            raise UserError(f"metrics.{name} is not one number; let it average over the classes")
    return values


def recorded_metrics(model: Any) -> dict[str, dict[str, Any]]:
    """What `run.json` says of a model's metrics: a comparison then needs neither class nor torch.

    A user's own module may have no such list, or another.
    """
    metrics = getattr(model, "metrics", ())
    return {
        metric.name: {"unit": metric.unit, "higher_is_better": metric.higher_is_better}
        for metric in (metrics if isinstance(metrics, tuple) else ())
        if isinstance(metric, Metric)
    }


@dataclass
class RunningMetrics:
    """Sums over the rows seen, kept on the device; batches wait until several can be counted.

    They are added one after the other, so that the sums do not depend on how many waited.
    """

    rows: int = 0
    loss: Tensor | float = 0.0  # summed over the rows
    correct: Tensor | float = 0
    begun: bool = False  # whether there was a batch, even if none of its rows counts
    waiting: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list, repr=False)

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Count a batch: its mean loss, logits (B, C, ...), and targets (B, ...) or (B, C, ...).

        The dots are the pixels of a segmentation, which are too many to wait.
        """
        self.waiting.append((loss.detach(), logits.detach(), targets))
        if len(self.waiting) == BATCHES_TOGETHER or logits.ndim > 2:
            self.settle()

    def add_right(self, loss: Tensor, right: Tensor) -> None:
        """Count a batch: its mean loss, and which share (B,) of each row is right."""
        self.correct = self.correct + right.sum()
        self.loss = self.loss + loss.detach() * len(right)
        self.rows += len(right)

    def settle(self) -> None:
        """Count the batches that wait."""
        for loss, logits, targets in self.waiting:
            classes = targets.argmax(1) if targets.ndim == logits.ndim else targets
            right = logits.argmax(1) == classes
            right = right if right.ndim == 1 else right.float().flatten(1).mean(1)
            self.add_right(loss, right)
        self.waiting = []

    def means(self, total: Callable[[Tensor], Tensor], device: torch.device) -> dict[str, Tensor]:
        """`loss` and `accuracy` over all ranks, `total` being the sum over them.

        Accuracy is the share of rows (of pixels) whose largest logit is at the largest target.
        """
        loss, correct, rows = total(self.sums().float().to(device))
        return {"loss": loss / rows, "accuracy": correct / rows}

    def sums(self) -> Tensor:
        """(3,) float64 on the CPU: loss, correct, rows; `Tally.of` makes a tally of it again."""
        self.settle()
        values = (float(self.loss), float(self.correct), self.rows)
        return torch.tensor(values, dtype=torch.float64)

    @classmethod
    def of(cls, sums: Tensor) -> "RunningMetrics":
        loss, correct, rows = sums.tolist()
        return cls(int(rows), loss, correct, begun=True)


def confusion_matrix(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """int64 (C, C): rows by true class and, along the columns, by predicted class.

    Args:
        predicted, targets: int64 (N,) classes.
    """
    cells = torch.bincount(targets * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


@dataclass
class ClassMetrics:
    """Rows and right answers of each class, kept on the device.

    Attributes:
        counts: (2, C) int64: rows and right answers.
        confusion: see `confusion_matrix`; None where an image has several labels, or there are more
            than `MOST_CONFUSED` classes.
    """

    counts: Tensor | None = None
    confusion: Tensor | None = None

    def add(self, predicted: Tensor, targets: Tensor, num_classes: int) -> None:
        """Count a batch of int64 classes (B, ...), as predicted and as they are."""
        predicted, targets = predicted.flatten(), targets.flatten()
        if num_classes <= MOST_CONFUSED:
            found = confusion_matrix(predicted, targets, num_classes)
            self.confusion = found + (0 if self.confusion is None else self.confusion)
            self.counts = torch.stack([self.confusion.sum(1), self.confusion.diagonal()])
            return
        right = targets[predicted == targets]
        counts = [torch.bincount(rows, minlength=num_classes) for rows in (targets, right)]
        self.counts = torch.stack(counts) + (0 if self.counts is None else self.counts)

    def add_each(self, right: Tensor) -> None:
        """Count a batch in which each row has an answer for each class, right or not (B, C)."""
        counts = torch.stack([torch.full_like(right, True).sum(0), right.sum(0)])
        self.counts = counts + (0 if self.counts is None else self.counts)

    def accuracy(self, total: Callable[[Tensor], Tensor]) -> list[float | None]:
        """Of each class, over all ranks, `total` being the sum; None where it has no rows."""
        if self.counts is None:
            return []
        rows, right = total(self.counts).tolist()
        return [part / whole if whole else None for part, whole in zip(right, rows, strict=True)]
