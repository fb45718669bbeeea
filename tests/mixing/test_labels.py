"""Labels before mixing, and mixed targets for metrics that want class numbers or a pair."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from mixlab.mixing import Address, CutMix, MixupMany, Policy
from mixlab.mixing.labels import hard_labels, label_pair, soft_labels

LABELS = torch.arange(12) % 5


def mixed_targets(seed: int = 0, method: object = None) -> Tensor:
    images, targets = torch.rand(12, 1, 8, 8), torch.eye(5)[LABELS]
    blend = Policy().draw(method or CutMix(alpha=1.0), images, targets, Address(seed))  # pyright: ignore
    return blend.targets(targets)


@pytest.mark.parametrize("shape", [(12,), (3, 2, 2)])
@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.int32])
def test_class_numbers_become_shares_and_come_back(
    shape: tuple[int, ...], kind: torch.dtype
) -> None:
    labels = LABELS.view(shape).to(kind)
    shares = soft_labels(labels, 5, torch.float32)
    assert shares.shape == (shape[0], 5, *shape[1:]) and shares.is_floating_point()
    assert torch.equal(shares.sum(1), torch.ones(shape))
    assert torch.equal(hard_labels(shares), labels.long())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_shares_have_at_least_32_bits(dtype: torch.dtype) -> None:
    assert soft_labels(LABELS, 5, dtype).dtype == torch.promote_types(dtype, torch.float32)


def test_floats_are_returned_as_they_are() -> None:
    targets = mixed_targets()
    assert soft_labels(targets, None, torch.float16) is targets


def test_class_numbers_are_hard_already() -> None:
    assert hard_labels(LABELS) is LABELS


@pytest.mark.parametrize(("wrong", "row"), [(5, 0), (255, 7), (-1, 11), (-100, 3)])
def test_a_label_that_is_no_class_is_named(wrong: int, row: int) -> None:
    labels = LABELS.clone()
    labels[row] = wrong
    sentence = f"labels must be from 0 to 4 with num_classes=5, got {wrong} in row {row} of the"
    with pytest.raises(ValueError, match=f"{sentence} batch; count the classes from 0, set num_"):
        soft_labels(labels, 5, torch.float32)


def test_the_number_of_classes_is_needed() -> None:
    with pytest.raises(ValueError, match="needs num_classes; give it, as in num_classes=10"):
        soft_labels(LABELS, None, torch.float32)


@pytest.mark.parametrize("labels", [LABELS[:, None], torch.eye(5).bool(), torch.tensor(3)])
def test_whole_numbers_of_another_shape(labels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"must be \(B,\), got .*labels\[:, 0\].*labels.float\(\)"):
        soft_labels(labels, 5, torch.float32)


@given(st.integers(0, 10**6))
def test_the_pair_has_the_loss_of_the_targets(seed: int) -> None:
    targets, logits = mixed_targets(seed), torch.randn(12, 5)
    y_a, y_b, share = label_pair(targets)
    first, second = (cross_entropy(logits, y, reduction="none") for y in (y_a, y_b))
    loss = share * first + (1 - share) * second
    torch.testing.assert_close(loss, cross_entropy(logits, targets, reduction="none"))
    assert torch.equal(y_a, hard_labels(targets)) and (share >= 0.5).all()


@pytest.mark.parametrize("targets", [mixed_targets(0, MixupMany(alpha=1.0, sources=4)),
                                     torch.tensor([[1.0, 1.0, 0.0]]),
                                     torch.tensor([[0.4, 0.3, 0.3]])])  # fmt: skip
def test_there_is_no_pair_of_more_than_two(targets: Tensor) -> None:
    with pytest.raises(ValueError, match="rows of two classes whose shares sum to 1, got .*; use"):
        label_pair(targets)
