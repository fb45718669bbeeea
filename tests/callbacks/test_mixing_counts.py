"""What is counted does not depend on when, and old checkpoints go on."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from mixlab.callbacks.mixing_counts import COUNTED_TOGETHER, MixingCounts
from mixlab.mixing import Blend, CutMix, Cutout, Mixup, Mosaic, PartnerMask, ResizeMix
from mixlab.mixing.methods.ablations import ablated

IMAGES, TARGETS = torch.rand(4, 3, 8, 8), torch.eye(4)


def blends(number: int) -> list[Blend]:
    rng = np.random.default_rng(0)
    methods = (Mixup(1.0), CutMix(1.0), Cutout(0.5))
    return [methods[n % 3](IMAGES, TARGETS, rng) for n in range(number)]


@pytest.mark.parametrize("number", [1, COUNTED_TOGETHER - 1, COUNTED_TOGETHER, 70])
def test_sums_do_not_depend_on_when_they_are_asked_for(number: int) -> None:
    once, often = MixingCounts(), MixingCounts()
    for blend in blends(number):
        once.add(blend, label_differs=False)
        often.add(blend, label_differs=False)
        often.total()
    torch.testing.assert_close(once.total(), often.total(), rtol=1e-12, atol=0)
    rows, own, mixed, content = once.total().tolist()
    assert rows == 4 * number and 0 < content < rows and mixed <= rows
    assert own == pytest.approx(sum(b.own_share.double().sum().item() for b in blends(number)))


@pytest.mark.parametrize("method", [CutMix(1.0), ResizeMix(), Mosaic()])
def test_what_only_inputs_lose_is_counted_for_boxes_and_for_tiles(method: Any) -> None:
    partners = (np.arange(4)[:, None] + [1, 2, 3]) % 4
    whole, inputs = (
        each(IMAGES, TARGETS, np.random.default_rng(1), partners)
        for each in (method, ablated(method, "inputs"))
    )
    counts = MixingCounts()
    counts.add(inputs, label_differs=True)
    rows, own, mixed, content = counts.total().tolist()
    assert own == rows == 4 and mixed == whole.mixed_rows.sum() > 0
    assert content == pytest.approx(whole.own_share.double().sum().item()) and content < rows


def test_three_counts_of_an_older_checkpoint_are_gone_on_with() -> None:
    counts = MixingCounts()
    counts.restore(torch.tensor([8.0, 6.0, 3.0], dtype=torch.float64))
    counts.add(blends(1)[0], label_differs=False)
    rows, own, mixed, content = counts.total().tolist()
    assert rows == 12 and own > 6 and mixed >= 3 and math.isnan(content)


def test_own_shares_that_come_later() -> None:
    counts = MixingCounts()
    counts.add_own(0.1)
    assert counts.total().tolist() == [0, 0.1, 0, 0]
    counts.restore()
    assert counts.total().tolist() == [0, 0, 0, 0]


def test_a_learned_mask_keeps_no_graph() -> None:
    mask = torch.rand(4, 8, 8, requires_grad=True)
    counts = MixingCounts()
    counts.add(Blend.pair(np.arange(4)[::-1].copy(), PartnerMask(mask)), label_differs=False)
    assert not counts.total().requires_grad
