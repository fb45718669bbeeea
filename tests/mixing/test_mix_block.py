"""The mix block: masks in [0, 1] by the attention of its formula, and their mean made a share."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mixlab.mixing.mix_block import MixBlock, with_mean


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def some_masks(kind: str, rows: int = 7, size: tuple[int, int] = (9, 12)) -> Tensor:
    noise = torch.rand(rows, 1, *size, generator=seeded(0))
    return {"noise": noise, "hard": noise.round(), "black": 0 * noise, "white": 0 * noise + 1}[kind]


@pytest.mark.parametrize("kind", ["noise", "hard", "black", "white"])
@given(shares=st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7))
def test_the_mean_becomes_the_share_within_bounds(kind: str, shares: list[float]) -> None:
    mask, share = some_masks(kind), torch.tensor(shares)
    fitted = with_mean(mask, share)
    assert fitted.min() >= 0 and fitted.max() <= 1
    torch.testing.assert_close(fitted.double().mean((1, 2, 3)).float(), share, rtol=0, atol=1e-6)
    order = mask.flatten(1).argsort(1)
    steps = fitted.flatten(1).take_along_dim(order, 1).diff(dim=1)
    assert (steps >= -1e-6).all(), "in the same order"


def test_a_share_of_one_or_none_is_one_of_the_images() -> None:
    for kind in ("noise", "hard", "black", "white"):
        fitted = with_mean(some_masks(kind, rows=2), torch.tensor([1.0, 0.0]))
        assert (fitted[0] == 1).all() and (fitted[1] == 0).all()


@pytest.mark.parametrize("kind", ["noise", "black", "white"])
def test_slopes_are_finite(kind: str) -> None:
    mask = some_masks(kind).requires_grad_()
    with_mean(mask, torch.linspace(0, 1, 7)).square().sum().backward()
    assert mask.grad is not None and mask.grad.isfinite().all()


def test_a_mask_is_the_formula_place_by_place() -> None:
    """Written out again, with loops."""
    block = MixBlock(3, seeded(1))
    torch.nn.init.normal_(block.query_bias, generator=seeded(2))
    torch.nn.init.normal_(block.value_bias, generator=seeded(3))
    own, other = (torch.randn(2, 3, 2, 2, generator=seeded(n)) for n in (4, 5))
    share = torch.tensor([0.3, 0.9])
    mask = block(own, other, share, (4, 4)).detach()
    for row in range(2):
        first = [[*own[row, :, y, x].tolist(), share[row].item()] for y in (0, 1) for x in (0, 1)]
        second = [[*other[row, :, y, x].tolist(), 1 - share[row].item()]
                  for y in (0, 1) for x in (0, 1)]  # fmt: skip

        def seen(weights: Tensor, bias: Tensor, point: list[float]) -> list[float]:
            pairs = zip(weights.tolist(), bias.flatten().tolist(), strict=True)
            return [sum(w * p for w, p in zip(line, point, strict=True)) + b for line, b in pairs]

        query = [seen(block.query, block.query_bias, point) for point in first]
        key = [seen(block.query, block.query_bias, point) for point in second]
        value = [seen(block.value, block.value_bias, point)[0] for point in first]
        for place in range(4):
            likeness = [
                math.exp(sum(a * b for a, b in zip(each, key[place], strict=True)))
                for each in query
            ]
            logit = sum(w * v for w, v in zip(likeness, value, strict=True)) / sum(likeness)
            y, x = divmod(place, 2)
            block_of_mask = mask[row, 0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            expected = torch.full((2, 2), 1 / (1 + math.exp(-logit)))
            torch.testing.assert_close(block_of_mask, expected)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 20)])
def test_images_may_have_any_size_and_rows_do_not_meet(size: tuple[int, int]) -> None:
    block = MixBlock(4, seeded(0))
    own, other = (torch.randn(6, 4, 3, 5, generator=seeded(n)) for n in (1, 2))
    share = torch.linspace(0, 1, 6)
    mask = block(own, other, share, size)
    assert mask.shape == (6, 1, *size) and 0 <= mask.min() and mask.max() <= 1
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    again = block(own[order], other[order], share[order], size)
    torch.testing.assert_close(again, mask[order])
    for changed in ((own + 1, other, share), (own, other + 1, share), (own, other, share / 2)):
        assert not torch.allclose(block(*changed, size), mask), "all three matter"


def test_initial_weights_come_from_the_generator_alone() -> None:
    state = torch.get_rng_state()
    one, same, another = (MixBlock(63, seeded(n)).query for n in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same) and not torch.equal(one, another)
    assert one.detach().std() == pytest.approx(1 / 8, rel=0.05)


def test_a_mask_has_32_bits_also_where_autocast_has_16() -> None:
    block, maps = MixBlock(4, seeded(0)), torch.rand(2, 3, 4, 5, 5, generator=seeded(1))
    given = (*maps, torch.tensor([0.2, 0.5, 0.7]), (10, 10))
    expected = block(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = block(*given)
        mean = with_mean(found, given[2]).mean((1, 2, 3))
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    torch.testing.assert_close(mean, given[2], rtol=0, atol=1e-6)
