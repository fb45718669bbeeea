"""Loss and accuracy of a stage, and accuracy by class, exact over unequal batches and ranks."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

BATCHES_TOGETHER = 16  # batches counted at once: alone, each would find its code out of the caches


@dataclass
class RunningMetrics:
    """Sums over the rows seen, kept on the device; batches wait until several can be counted.

    They are added one after the other, so that the sums do not depend on how many waited.
    """

    rows: int = 0
    loss: Tensor | float = 0.0  # summed over the rows
    correct: Tensor | float = 0
    waiting: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list, repr=False)

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Count a batch: its mean loss, logits (B, C, ...), and targets (B, ...) or (B, C, ...).

        The dots are the pixels of a segmentation, which are too many to wait.
        """
        self.waiting.append((loss.detach(), logits.detach(), targets))
        if len(self.waiting) == BATCHES_TOGETHER or logits.ndim > 2:
            self.settle()

    def settle(self) -> None:
        """Count the batches that wait."""
        for loss, logits, targets in self.waiting:
            classes = targets.argmax(1) if targets.ndim == logits.ndim else targets
            right = logits.argmax(1) == classes
            right = right if right.ndim == 1 else right.float().flatten(1).mean(1)
            self.correct = self.correct + right.sum()
            self.loss = self.loss + loss * len(logits)
            self.rows += len(logits)
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
        return cls(int(rows), loss, correct)


@dataclass
class ClassMetrics:
    """Rows and right answers of each class, kept on the device."""

    counts: Tensor | None = None  # (2, C) int64

    def add(self, predicted: Tensor, targets: Tensor, num_classes: int) -> None:
        """Count a batch of int64 classes (B, ...), as predicted and as they are."""
        predicted, targets = predicted.flatten(), targets.flatten()
        right = targets[predicted == targets]
        counts = [torch.bincount(rows, minlength=num_classes) for rows in (targets, right)]
        self.counts = torch.stack(counts) + (0 if self.counts is None else self.counts)

    def accuracy(self, total: Callable[[Tensor], Tensor]) -> list[float | None]:
        """Of each class, over all ranks, `total` being the sum; None where it has no rows."""
        if self.counts is None:
            return []
        rows, right = total(self.counts).tolist()
        return [part / whole if whole else None for part, whole in zip(right, rows, strict=True)]
