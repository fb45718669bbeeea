import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mixlab.errors import UserError
from mixlab.models.losses import (
    LOSSES,
    OwnLoss,
    binary_cross_entropy,
    cross_entropy,
    probabilities,
    widened,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5]])


def test_cross_entropy_is_linear_in_the_label():
    expected = -(SOFT * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(cross_entropy(LOGITS, SOFT), expected)
    per_class = [F.cross_entropy(LOGITS[:1], torch.tensor([label])) for label in range(3)]
    by_hand = 0.7 * per_class[0] + 0.3 * per_class[1]
    torch.testing.assert_close(cross_entropy(LOGITS[:1], SOFT[:1]), by_hand)


def test_binary_cross_entropy_is_the_mean_over_batch_and_classes():
    share = LOGITS.sigmoid()
    each = -(SOFT * share.log() + (1 - SOFT) * (1 - share).log())
    torch.testing.assert_close(binary_cross_entropy(LOGITS, SOFT), each.mean())


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
def test_class_numbers_are_one_hot_labels(loss):
    numbers = torch.tensor([2, 1])
    one_hot = F.one_hot(numbers, 3).float()
    torch.testing.assert_close(loss(LOGITS, numbers), loss(LOGITS, one_hot))
    torch.testing.assert_close(loss(LOGITS, numbers, 0.1), loss(LOGITS, one_hot, 0.1))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
def test_smoothing_spreads_a_share_over_all_classes(loss):
    torch.testing.assert_close(loss(LOGITS, SOFT, 0.3), loss(LOGITS, 0.7 * SOFT + 0.3 / 3, 0.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_losses_are_at_least_32_bits_wide(dtype):
    wide, soft = widened(LOGITS.to(dtype), SOFT)
    assert wide.dtype == soft.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert cross_entropy(wide, soft).dtype == wide.dtype
    assert widened(LOGITS.to(dtype), torch.tensor([1, 2]))[1].dtype == torch.int64


def test_sure_and_wrong_is_finite_for_both():
    sure, wrong = torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]])
    assert cross_entropy(sure, wrong).item() == pytest.approx(400)
    assert math.isfinite(binary_cross_entropy(sure, wrong).item())


def test_binary_cross_entropy_is_that_of_the_published_recipe():
    """Its tutorial takes sigmoids in the network and adds 1e-6 inside both logarithms."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(128, 10, generator=generator)
    targets = torch.rand(128, 10, generator=generator)
    share = logits.sigmoid()
    theirs = -(targets * (share + 1e-6).log() + (1 - targets) * (1 - share + 1e-6).log()).mean()
    torch.testing.assert_close(binary_cross_entropy(logits, targets), theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("loss", "name"),
    [(nn.NLLLoss(), " NLLLoss"), (nn.MultiMarginLoss(), " MultiMarginLoss"), (F.nll_loss, "")],
)
def test_a_loss_on_class_numbers_is_a_sentence(loss, name):
    sentence = f"^model.loss{name} wants class numbers; .*: use torch.nn.CrossEntropyLoss or one"
    for targets in (SOFT, torch.tensor([2, 1])):
        with pytest.raises(UserError, match=sentence):
            OwnLoss(loss)(LOGITS, targets)


def test_a_loss_on_class_numbers_of_pixels_is_a_sentence():
    with pytest.raises(UserError, match="NLLLoss wants class numbers"):
        OwnLoss(nn.NLLLoss())(torch.rand(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4)))


def test_what_else_a_loss_raises_is_its_own_error():
    def always(logits, targets):
        raise RuntimeError("my own")

    def of_many(logits, targets):  # as where memory is short
        if len(logits) > 2:
            raise RuntimeError("my own")
        return F.cross_entropy(logits, targets)

    for loss in (always, of_many):
        with pytest.raises(RuntimeError, match="^my own$"):
            OwnLoss(loss)(torch.rand(4, 3), torch.rand(4, 3))
    torch.testing.assert_close(OwnLoss(of_many)(LOGITS, SOFT), cross_entropy(LOGITS, SOFT))


WEIGHED = partial(F.binary_cross_entropy_with_logits, pos_weight=torch.ones(3))


@pytest.mark.parametrize("own", [F.binary_cross_entropy_with_logits, WEIGHED])
def test_functions_of_torchs_are_binary_as_its_module_is(own: Any) -> None:
    loss = OwnLoss(own)
    torch.testing.assert_close(probabilities(LOGITS, loss), LOGITS.sigmoid())
    twice = torch.full((2, 3), 2.0)
    torch.testing.assert_close(loss(LOGITS, twice), nn.BCEWithLogitsLoss()(LOGITS, twice / 2))


def test_a_function_without_a_signature_to_read_is_called_all_the_same() -> None:
    own = partial(torch.kl_div, reduction=1)  # its number for the mean
    loss = OwnLoss(own)(LOGITS.log_softmax(1), SOFT)
    torch.testing.assert_close(loss, (SOFT.xlogy(SOFT) - SOFT * LOGITS.log_softmax(1)).mean())


@pytest.mark.parametrize("loss", [binary_cross_entropy, OwnLoss(nn.BCEWithLogitsLoss())])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_target_above_1_cannot_be_overshot(loss: Any, smoothing: float) -> None:
    """SnapMix's reach 1.5 and more; without a bound the loss falls below any number."""
    above = torch.tensor([[1.5, 0.2, 0.0], [0.0, 1.01, 2.0]])
    torch.testing.assert_close(
        loss(LOGITS, above, smoothing), loss(LOGITS, above.clamp(max=1), smoothing)
    )
    assert loss(100 * torch.ones(2, 3), above, smoothing) > 0


def test_other_losses_see_targets_above_1() -> None:
    above = torch.tensor([[1.5, 0.2, 0.0], [0.0, 1.01, 2.0]])
    expected = -(above * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(cross_entropy(LOGITS, above), expected)
    squares = OwnLoss(nn.MSELoss())(LOGITS, above)
    torch.testing.assert_close(squares, (LOGITS - above).square().mean())
