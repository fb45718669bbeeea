"""Images with several labels: each class is told by itself, from the data to the figures."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics.classification import MultilabelAveragePrecision

from mixlab.errors import UserError
from mixlab.models import MultiLabelClassifier
from mixlab.models.metrics import Metric

LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 1.0, -2.0], [1.0, 1.0, -1.0], [-1.0, 2.0, -1.0]])


class Known(nn.Module):
    """Gives the logits of a batch back."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def model(**more: Any) -> MultiLabelClassifier:
    made = MultiLabelClassifier(
        Known(), partial(torch.optim.SGD, lr=1.0), loss="binary_cross_entropy", **more
    )
    logged: dict[str, float] = {}
    made.log_dict = lambda values, **_: logged.update({k: float(v) for k, v in values.items()})
    made.logged = logged
    strategy = SimpleNamespace(reduce=lambda values, reduce_op: values)
    made.trainer = SimpleNamespace(strategy=strategy)  # pyright: ignore
    return made


def test_accuracy_is_the_share_of_right_answers_over_images_and_classes() -> None:
    tested = model(metrics=[Metric("map", MultilabelAveragePrecision(3))])
    images = LOGITS.reshape(4, 3, 1, 1)
    for number, rows in enumerate(([0, 1, 2], [3])):  # batches of unequal size
        tested.test_step((images[rows], LABELS[rows]), number)
    tested.on_test_epoch_end()
    right = (LOGITS > 0) == LABELS.bool()
    assert tested.logged["test/accuracy"] == pytest.approx(right.float().mean().item())
    assert tested.class_accuracy == right.float().mean(0).tolist()
    loss = nn.functional.binary_cross_entropy_with_logits(LOGITS, LABELS)
    assert tested.logged["test/loss"] == pytest.approx(loss.item())
    expected = MultilabelAveragePrecision(3)(LOGITS.sigmoid(), LABELS.long())
    assert tested.logged["test/map"] == pytest.approx(expected.item())


def test_a_mixed_label_counts_from_a_half() -> None:
    trained = model()
    mixed = torch.tensor([[0.5, 0.4, 0.0]])
    trained.training_step((torch.tensor([[1.0, 1.0, -1.0]]).reshape(1, 3, 1, 1), mixed), 0)
    trained.report("train")
    assert trained.logged["train/accuracy"] == pytest.approx(2 / 3)


def test_what_is_for_one_class_is_refused() -> None:
    with pytest.raises(UserError, match="use model.loss=binary_cross_entropy"):
        MultiLabelClassifier(Known(), partial(torch.optim.SGD, lr=1.0))
