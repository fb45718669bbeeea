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
from mixlab.mixing.methods.puzzlemix import _enlarged, border_colors, largest_divisor, surprise
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
    """The exact optimum, to 4 digits: the smallest cut is the largest flow.

    Node k of a block is on the side of the source where its label is above k (Ishikawa 2003). Of
    labels i, j of neighbors that all pairs of their nodes count M * (i + j) - 2 * i * j, which
    lacks i * i - M * i and the same of j, own costs, to be the square of the difference.
    """
    cost = found.cost_BLnn[row].double().numpy()
    most, size = len(cost) - 1, cost.shape[-1]
    node = np.arange(most * size**2).reshape(most, size, size)
    source, sink = node.size, node.size + 1
    down, across = (each[row].double().numpy() / most**2 for each in (found.down, found.across))
    around = np.zeros((size, size))
    edges = [(node[1:], node[:-1], np.full(node[1:].shape, 1e5))]  # no label above 1 but not 0
    for axis, weight in ((1, down), (2, across)):
        one, other = np.delete(node, -1, axis), np.delete(node, 0, axis)
        for i, j in product(range(most), repeat=2):
            edges += [(one[i], other[j], weight), (other[j], one[i], weight)]
        pad = [(0, int(axis == 1)), (0, int(axis == 2))]
        around += np.pad(weight, pad) + np.pad(weight, [each[::-1] for each in pad])
    label = np.arange(most + 1)[:, None, None]
    cost = cost + (label**2 - most * label) * around
    more = np.diff(cost, axis=0)
    edges += [(node, np.full(node.shape, sink), more.clip(0))]
    edges += [(np.full(node.shape, source), node, (-more).clip(0))]
    start, end, price = (
        np.concatenate([each.ravel() for each in p]) for p in zip(*edges, strict=True)
    )
    whole = (1e4 * price).round().astype(np.int32)
    graph = coo_array((whole, (start, end)), shape=(sink + 1, sink + 1)).tocsr()
    flow = maximum_flow(graph, source, sink).flow_value / 1e4
    return float(flow + cost[0].sum() + more.clip(max=0).sum())


@pytest.mark.parametrize("smoothness", [0.3, 1.2, 5.0])
@pytest.mark.parametrize(("size", "labels"), [(2, 3), (2, 4), (3, 3)])
def test_small_masks_are_nearly_the_best_of_all(size: int, labels: int, smoothness: float) -> None:
    found = energy(size, labels, smoothness)
    gap = found.of(found.least()) / least_of_all_masks(found) - 1
    assert gap.min() > -1e-5 and gap.mean() < 0.002 and gap.max() < 0.02


@pytest.mark.parametrize(("size", "labels"), [(2, 2), (2, 3), (2, 4), (3, 3)])
def test_the_graph_cut_is_the_best_of_all(size: int, labels: int) -> None:
    found = energy(size, labels, 1.2)
    exact = torch.tensor([least_by_graph_cut(found, row) for row in range(ROWS)])
    torch.testing.assert_close(exact, least_of_all_masks(found), rtol=0, atol=5e-3)


@pytest.mark.parametrize("smoothness", [0.3, 1.2, 5.0])
@pytest.mark.parametrize("size", [4, 8, 16])
@pytest.mark.parametrize("labels", [2, 3])
def test_masks_are_within_percents_of_the_graph_cut(
    size: int, smoothness: float, labels: int
) -> None:
    found = energy(size, labels, smoothness)
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


def pictures(rows: int = 4, size: tuple[int, int] = (8, 16)) -> Tensor:
    """(rows, 3, *size) in [0, 1], whole range used in each channel."""
    images = torch.rand(rows, 3, *size, generator=torch.Generator().manual_seed(0))
    images[0, :, 0, 0], images[1, :, 0, 0] = 0, 1
    return images


def found_energy(images: Tensor, blocks: int, contrast: float, labels: int = 2) -> MaskEnergy:
    """Of rows and `PARTNERS` that are salient nowhere in particular."""
    colors = border_colors(images, blocks)
    maps = torch.ones(len(images), blocks, blocks)
    method = PuzzleMix(1.0, labels, contrast=contrast, prior=0.0, saliency=halves)
    return method.energy([maps, maps], [colors, colors[PARTNERS]], np.full(len(images), 0.5))


def jump_by_hand(images: Tensor, mask: Tensor, blocks: int, cell: tuple[int, int]) -> Tensor:
    """(B,): differences of color across the borders of a mask's blocks, cell by cell."""
    height, width = images.shape[2:]
    high, wide = height // blocks, width // blocks
    shown = (images, images[PARTNERS])

    def colors(top: int, left: int) -> Tensor:
        """(B, C): of the cell there."""
        pictures = shown[int(mask[top // high, left // wide])]
        return pictures[..., top : top + cell[0], left : left + cell[1]].mean((2, 3))

    total = torch.zeros(len(images))
    for y in range(high, height, high):
        for x in range(0, width, cell[1]):
            total += (colors(y - cell[0], x) - colors(y, x)).abs().mean(1) * cell[1] / wide
    for x in range(wide, width, wide):
        for y in range(0, height, cell[0]):
            total += (colors(y, x - cell[1]) - colors(y, x)).abs().mean(1) * cell[0] / high
    return total


@pytest.mark.parametrize(("size", "cell"), [((8, 16), (4, 4)), ((4, 16), (2, 4))])
def test_contrast_is_the_price_of_jumps_in_color(
    size: tuple[int, int], cell: tuple[int, int]
) -> None:
    """Of two masks, that costs more where colors jump more: by beta * gamma a jump."""
    images, price = pictures(size=size), 1.2 * 2 / 16
    plain, priced = (found_energy(images, 2, contrast) for contrast in (0.0, 0.5))
    none = torch.zeros(4, 2, 2, dtype=torch.long)

    def added(mask: Tensor) -> Tensor:
        return priced.of(mask.expand(4, 2, 2)) - plain.of(mask.expand(4, 2, 2))

    for each in product(range(2), repeat=4):
        mask = torch.tensor(each).view(2, 2)
        jumps = [jump_by_hand(images, shown, 2, cell) for shown in (mask, none[0])]
        expected = price * 0.5 * (jumps[0] - jumps[1])
        torch.testing.assert_close(added(mask) - added(none[0]), expected, rtol=1e-4, atol=1e-5)


def test_the_price_of_a_border_is_the_authors() -> None:
    """beta * (1 + gamma * (p10 + p01 - p11 - p00) / 2), with p_ab across one border."""
    images = torch.zeros(4, 3, 8, 8)
    images[0, 0, :, 4:], images[1, 0] = 0.5, 1  # a row with an edge, and an even partner
    found = found_energy(images, 2, 0.5)
    across = (0.5 + 1 - 0 - 0.5) / 2
    down = torch.tensor([[(1 + 1 - 0 - 0) / 2, (0.5 + 0.5 - 0 - 0) / 2]])
    price, channels = 1.2 * 2 / 16, 3  # two of which are black in both
    torch.testing.assert_close(found.down[0], price * (1 + 0.5 * down / channels))
    expected = torch.full((2, 1), price * (1 + 0.5 * across / channels))
    torch.testing.assert_close(found.across[0], expected)


@pytest.mark.parametrize("labels", [2, 3])
def test_the_normalization_of_pictures_changes_nothing(labels: int) -> None:
    images = pictures(size=(16, 32))
    mean, std = torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.2, 0.3, 0.05])
    normal = (images - mean[:, None, None]) / std[:, None, None]
    first, second = (found_energy(each, 4, 0.5, labels) for each in (images, normal))
    for part in ("cost_BLnn", "down", "across"):
        torch.testing.assert_close(getattr(first, part), getattr(second, part))


def test_one_colour_everywhere_is_no_division_by_zero() -> None:
    found = found_energy(torch.full((4, 3, 8, 8), 0.3), 4, 0.5)
    assert torch.equal(found.down, torch.full((4, 3, 4), 1.2 * 4 / 16))


def test_a_mask_keeps_its_shape_in_pictures_of_any_shape() -> None:
    mask = torch.rand(2, 4, 4)
    expected = torch.nn.functional.interpolate(mask[:, None], (8, 20))[:, 0]
    assert torch.equal(_enlarged(mask, 8, 20), expected)


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

    def brightness(images: Tensor, targets: Tensor) -> Tensor:
        maps = images.mean(1)
        return maps / maps.sum((1, 2), keepdim=True)

    def seen(price: float | None) -> float:
        method = PuzzleMix(1.0, smoothness=0.3, transport_cost=price, grids=grids,
                           saliency=brightness)  # fmt: skip
        blend = method(images, torch.eye(4), np.random.default_rng(3), PARTNERS)
        return float(blend.images(brightness(images, images)[:, None]).sum())

    assert seen(0.0) > 1.02 * seen(None)


def test_rows_that_a_gate_leaves_out_do_not_move() -> None:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) ** 4

    def bright(images: Tensor, targets: Tensor) -> Tensor:
        maps = images.mean(1)
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
