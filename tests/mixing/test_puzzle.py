"""Puzzle Mix's searches beside the exact optimum, and what the method makes of them."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_flow
from torch import Tensor

from mixlab.mixing import Mixup, OneOf, PuzzleMix, Sequence
from mixlab.mixing.methods.puzzlemix import largest_divisor, surprise
from mixlab.mixing.puzzle import MaskEnergy, transported

ROWS = 20
PARTNERS = np.array([1, 2, 3, 0])


def energy(size: int, labels: int, smoothness: float) -> MaskEnergy:
    """That of random saliency maps with a few peaks."""
    generator = torch.Generator().manual_seed(size)

    def saliency() -> Tensor:
        maps = torch.rand(ROWS, size, size, generator=generator) ** 3
        return (maps / maps.mean((1, 2), keepdim=True))[:, None]

    z = torch.linspace(0, 1, labels).view(1, -1, 1, 1)
    prior = surprise(labels, torch.rand(ROWS, generator=generator).numpy())
    cost = z * saliency() + (1 - z) * saliency() + 0.2 * torch.from_numpy(prior)[..., None, None]
    price = smoothness * size / 16
    down, across = torch.rand(ROWS, size, size - 1, generator=generator).mT, price
    return MaskEnergy(cost, price * (1 + down), torch.full((ROWS, size, size - 1), across))


def least_of_all_masks(found: MaskEnergy) -> Tensor:
    """(ROWS,): by trying every mask."""
    _, labels, size, _ = found.cost_BLnn.shape
    masks = torch.tensor(list(product(range(labels), repeat=size**2))).view(-1, size, size)
    best = []
    for row in range(ROWS):
        cost = found.cost_BLnn[row].expand(len(masks), -1, -1, -1)
        best.append(MaskEnergy(cost, found.down[row], found.across[row]).of(masks).min())
    return torch.stack(best)


def least_by_graph_cut(found: MaskEnergy, row: int) -> float:
    """The exact optimum of two labels, to 4 digits: the smallest cut is the largest flow."""
    cost = found.cost_BLnn[row].double().numpy()
    size = cost.shape[-1]
    block = np.arange(size**2).reshape(size, size)
    source, sink = size**2, size**2 + 1
    more = (cost[1] - cost[0]).ravel()  # blocks on the side of the source have label 1
    edges = [
        (block.ravel(), np.full(size**2, sink), more.clip(0)),
        (np.full(size**2, source), block.ravel(), (-more).clip(0)),
    ]
    pairs = [(block[:-1], block[1:], found.down), (block[:, :-1], block[:, 1:], found.across)]
    for one, other, weight in pairs:
        price = weight[row].double().numpy().ravel()
        edges += [(one.ravel(), other.ravel(), price), (other.ravel(), one.ravel(), price)]
    start, end, capacity = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    whole = (1e4 * capacity).round().astype(np.int32)
    graph = coo_array((whole, (start, end)), shape=(sink + 1, sink + 1)).tocsr()
    return maximum_flow(graph, source, sink).flow_value / 1e4 + float(cost.min(0).sum())


@pytest.mark.parametrize("smoothness", [0.3, 1.2, 5.0])
@pytest.mark.parametrize(("size", "labels"), [(2, 3), (2, 4), (3, 3)])
def test_small_masks_are_nearly_the_best_of_all(size: int, labels: int, smoothness: float) -> None:
    found = energy(size, labels, smoothness)
    gap = found.of(found.least()) / least_of_all_masks(found) - 1
    assert gap.min() > -1e-5 and gap.mean() < 0.002 and gap.max() < 0.02


@pytest.mark.parametrize("smoothness", [0.3, 1.2, 5.0])
@pytest.mark.parametrize("size", [4, 8, 16])
def test_masks_are_within_percents_of_the_graph_cut(size: int, smoothness: float) -> None:
    found = energy(size, 2, smoothness)
    exact = torch.tensor([least_by_graph_cut(found, row) for row in range(ROWS)])
    gap = found.of(found.least()) / exact - 1
    assert gap.min() > -1e-3 and gap.mean() < 0.015 and gap.max() < 0.04


def test_a_sweep_never_raises_the_energy() -> None:
    found = energy(8, 3, 1.2)
    start = torch.randint(0, 3, (ROWS, 8, 8), generator=torch.Generator().manual_seed(0))
    assert (found.of(found.improved(start)) < found.of(start)).all()


@pytest.mark.parametrize("price", [0.2, 0.8])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_moves_are_permutations_near_the_best_assignment(size: int, price: float) -> None:
    generator = torch.Generator().manual_seed(size)
    saliency = torch.rand(ROWS, size**2, generator=generator) ** 3
    saliency = saliency / saliency.mean(1, keepdim=True)
    seen = (torch.rand(ROWS, size**2, generator=generator) * 3).floor() / 2
    blocks = transported(seen, saliency, price)
    place = np.arange(size**2)
    assert (blocks.sort(1).values == torch.from_numpy(place)).all()
    y, x = np.divmod(place, size)
    moved = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) * (size / (size - 1)) ** 2
    worth = seen[:, :, None].numpy() * saliency[:, None].numpy() - price * moved
    ours = [row[place, block] for row, block in zip(worth, blocks.numpy(), strict=True)]
    best = [row[linear_sum_assignment(row, maximize=True)] for row in worth]
    still = [row.diagonal() for row in worth]
    total, most, least = (np.sum(each) for each in (ours, best, still))
    assert least <= total <= most + 1e-3 and total > 0.94 * most
    assert total > least or size == 2


def test_nothing_moves_where_it_is_dear() -> None:
    blocks = transported(torch.rand(3, 16), torch.rand(3, 16), 1e6)
    assert torch.equal(blocks, torch.arange(16).expand(3, 16))


def test_the_prior_is_binomial() -> None:
    chance = np.exp(-surprise(3, np.array([0.25, 1.0])))
    np.testing.assert_allclose(chance[0], [9 / 16, 6 / 16, 1 / 16], rtol=1e-5)
    assert chance[1].argmax() == 2


@pytest.mark.parametrize(("number", "limit", "found"), [(28, 8, 7), (32, 16, 16), (1, 4, 1)])
def test_blocks_divide_the_picture(number: int, limit: int, found: int) -> None:
    assert largest_divisor(number, limit) == found


def halves(images: Tensor, targets: Tensor) -> Tensor:
    """Odd pictures are salient on the left, even ones on the right."""
    maps = torch.full((len(images), *images.shape[-2:]), 1e-3)
    for row, picture in enumerate(images):
        left = picture.mean() % 2 > 0.5
        (maps[row, :, :4] if left else maps[row, :, 4:])[:] = 1
    return maps / maps.sum((1, 2), keepdim=True)


def test_each_picture_is_seen_where_it_is_salient() -> None:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8).clone()
    method = PuzzleMix(1.0, prior=0.0, grids=[4], saliency=halves)
    blend = method(images, torch.eye(4), np.random.default_rng(0), PARTNERS)
    mixed = blend.images(images)
    for row, partner in enumerate(PARTNERS):
        left, right = (row, partner) if row % 2 else (partner, row)
        assert (mixed[row, :, :, :4] == left).all() and (mixed[row, :, :, 4:] == right).all()
    torch.testing.assert_close(blend.share, torch.full((4, 2), 0.5))


@pytest.mark.parametrize("grids", [[4], [8]])
def test_moves_bring_what_is_salient_into_view(grids: list[int]) -> None:
    """A block of each picture's brightness is its saliency, so what is seen can be summed."""
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) ** 4

    def brightness(pictures: Tensor, targets: Tensor) -> Tensor:
        maps = pictures.mean(1)
        return maps / maps.sum((1, 2), keepdim=True)

    def seen(price: float | None) -> float:
        method = PuzzleMix(1.0, smoothness=0.3, transport_cost=price, grids=grids,
                           saliency=brightness)  # fmt: skip
        blend = method(images, torch.eye(4), np.random.default_rng(3), PARTNERS)
        return float(blend.images(brightness(images, images)[:, None]).sum())

    assert seen(0.0) > 1.02 * seen(None)


def test_rows_that_a_gate_leaves_out_do_not_move() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) ** 4

    def bright(pictures: Tensor, targets: Tensor) -> Tensor:
        maps = pictures.mean(1)
        return maps / maps.sum((1, 2), keepdim=True)

    method = PuzzleMix(1.0, smoothness=0.3, transport_cost=0.0, grids=[4], saliency=bright)
    blend = method(images, torch.eye(4), np.random.default_rng(3), PARTNERS)
    assert blend.moves is not None
    assert (blend.moves != torch.arange(16)).flatten(1).any(1).all(), "all four move"
    mixed = blend.where(np.array([True, False, True, False])).images(images)
    assert torch.equal(mixed[1::2], images[1::2])
    torch.testing.assert_close(mixed[0::2], blend.images(images)[0::2])


def test_a_row_that_is_its_own_partner_stays() -> None:
    images = torch.rand(4, 3, 8, 8)
    method = PuzzleMix(1.0, transport_cost=0.0, saliency=halves)
    own = np.array([0, 0, 2, 3])
    mixed = method(images, torch.eye(4), np.random.default_rng(0), own).images(images)
    assert torch.equal(mixed[[0, 2, 3]], images[[0, 2, 3]])


@pytest.mark.parametrize("kind", [Sequence, OneOf])
def test_what_moves_is_not_mixed_again(kind: type) -> None:
    images = torch.rand(4, 3, 8, 8)
    both = [PuzzleMix(saliency=halves), Mixup(1.0)]
    with pytest.raises(ValueError, match="give PuzzleMix transport_cost=null, or OneOf per_row"):
        kind(both)(images, torch.eye(4), np.random.default_rng(0))
    both[0] = PuzzleMix(transport_cost=None, saliency=halves)
    kind(both)(images, torch.eye(4), np.random.default_rng(0)).images(images)
