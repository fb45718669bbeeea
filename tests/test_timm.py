"""`mixlab.timm.Mixup` beside `timm.data.Mixup`: one contract, one distribution."""

import itertools
import pickle
import random
import warnings
from typing import Any

import numpy as np
import pytest
import timm.data.mixup as theirs
import torch
from scipy import stats
from torch import Tensor

from mixlab.mixing import Address, Blend, Boxes
from mixlab.timm import Mixup, centered_boxes, placed_boxes

MODES = ["batch", "pair", "elem"]
SIZE = (6, 10)


def pictures(rows: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Each row is its own class in every pixel, so that a mean pixel is a label."""
    return torch.eye(rows, dtype=dtype).view(rows, rows, 1, 1).expand(-1, -1, *SIZE).clone()


def own_means(fn: Any, rows: int, calls: int) -> np.ndarray:
    """What each row keeps of itself in its pixels and in its label: (calls * rows, 2)."""
    found = []
    for _ in range(calls):
        x, y = fn(pictures(rows), torch.arange(rows))
        found.append(torch.stack([x.mean((2, 3)).diagonal(), y.diagonal()], 1))
    return torch.cat(found).double().numpy()


KNOBS = {
    "mixup": {"mixup_alpha": 0.8},
    "cutmix": {"mixup_alpha": 0.0, "cutmix_alpha": 1.0},
    "both": {"mixup_alpha": 0.3, "cutmix_alpha": 2.0, "prob": 0.7, "switch_prob": 0.3},
    "minmax": {"mixup_alpha": 0.0, "cutmix_minmax": (0.25, 0.8)},
    "as drawn": {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "correct_lam": False},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_shares_are_distributed_as_timms(knobs: dict[str, Any], mode: str) -> None:
    """Of the pixels and of the label: the mean, the variance, the whole distribution."""
    rows, calls = (2, 400) if mode != "elem" else (8, 100)
    options = {**knobs, "mode": mode, "label_smoothing": 0.0, "num_classes": rows}
    mine = own_means(Mixup(**options, seed=1), rows, calls)
    state = np.random.get_state()
    np.random.seed(2)
    other = own_means(theirs.Mixup(**options), rows, calls)
    np.random.set_state(state)
    # Rows of a batch and of a pair share their draw.
    mine, other = (each if mode == "elem" else each[::2] for each in (mine, other))
    for own, expected in zip(mine.T, other.T, strict=True):
        error = np.sqrt((own.var() + expected.var()) / len(own))
        assert abs(own.mean() - expected.mean()) < 4 * error
        assert own.var() == pytest.approx(expected.var(), rel=0.3)
        assert stats.ks_2samp(own.round(5), expected.round(5)).pvalue > 0.001


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
def test_the_label_tells_what_is_in_the_pixels(knobs: dict[str, Any], mode: str) -> None:
    fn = Mixup(**knobs, mode=mode, label_smoothing=0.0, num_classes=6, seed=0)
    for _ in range(20):
        x, y = fn(pictures(6), torch.arange(6))
        torch.testing.assert_close(y.sum(1), torch.ones(6))
        if fn.correct_lam:
            torch.testing.assert_close(x.mean((2, 3)), y)
        partners = {(row, column) for row, column in y.nonzero().tolist()}
        assert partners <= {(i, j) for i in range(6) for j in (i, 5 - i)}


@pytest.mark.parametrize("mode", MODES)
def test_which_rows_share_a_draw(mode: str) -> None:
    fn = Mixup(1.0, mode=mode, label_smoothing=0.0, num_classes=6, seed=0)
    own = fn(pictures(6), torch.arange(6))[1].diagonal()
    classes = {"batch": 1, "pair": 3, "elem": 6}
    assert len(set(own.tolist())) == classes[mode]
    assert mode == "elem" or torch.equal(own, own.flip(0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("multi_label", [False, True])
def test_labels_are_smoothed_as_timms_at_the_same_draw(
    smoothing: float, mode: str, multi_label: bool
) -> None:
    fn = Mixup(0.4, 1.0, mode=mode, label_smoothing=smoothing, num_classes=9, seed=5,
               multi_label=multi_label)  # fmt: skip
    target = (torch.rand(8, 9) < 0.4).float() if multi_label else torch.randint(0, 9, (8,))
    images = torch.rand(8, 3, *SIZE)
    share = fn.draw(images, Address(5, 0, 0, 0)).share[:, :1]
    expected = theirs.mixup_target(target, 9, share, smoothing, multi_label)
    torch.testing.assert_close(fn(images, target)[1], expected)
    fn.mixup_enabled = False
    expected = theirs.mixup_target(target, 9, 1.0, smoothing, multi_label)
    torch.testing.assert_close(fn(images, target)[1], expected)


def test_classes_that_two_rows_share_stay_whole() -> None:
    """timm's own test of dense labels: a class in both rows has the weight 1 after mixing."""
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    for mode, knobs in itertools.product(MODES, KNOBS.values()):
        options: dict[str, Any] = {**knobs, "mode": mode, "num_classes": 3}
        fn = Mixup(**options, label_smoothing=0.0, multi_label=True, seed=0)
        _, y = fn(torch.rand(2, 3, *SIZE), target)
        torch.testing.assert_close(y[:, 2], torch.ones(2))
        torch.testing.assert_close(y, target * y[0, 0] + target.flip(0) * (1 - y[0, 0])
                                   if mode != "elem" else y)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_new_tensors_of_the_same_dtype(dtype: torch.dtype) -> None:
    x, target = pictures(4, dtype), torch.arange(4)
    before = x.clone()
    for fn in (Mixup(1.0, 1.0, mode="elem", num_classes=4, seed=0), Mixup(num_classes=4, seed=0)):
        mixed, soft = fn(x, target)
        assert torch.equal(x, before) and mixed.dtype == dtype and not torch.equal(mixed, x)
        assert soft.dtype == torch.promote_types(dtype, torch.float32)
        assert soft.sum(1).allclose(torch.ones(4, dtype=soft.dtype))
        fn.mixup_enabled = False
        mixed, _ = fn(x, target)
        assert torch.equal(mixed, x) and mixed.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("mode", MODES)
def test_the_middle_of_an_odd_batch_stays(mode: str) -> None:
    fn = Mixup(1.0, 1.0, mode=mode, label_smoothing=0.0, num_classes=5, seed=0)
    x, y = fn(pictures(5), torch.arange(5))
    torch.testing.assert_close(x[2], pictures(5)[2])
    assert y[2, 2] == 1 and (y.diagonal()[[0, 1, 3, 4]] < 1).any()


def test_signals_and_tables_are_mixed_but_not_cut() -> None:
    x, y = Mixup(num_classes=4, label_smoothing=0.0, seed=0)(torch.eye(4), torch.arange(4))
    torch.testing.assert_close(x, y)
    with pytest.raises(ValueError, match=r"CutMix needs .* got \(4, 4\)"):
        Mixup(0.0, 1.0, num_classes=4, seed=0)(torch.eye(4), torch.arange(4))


def targets(fn: Mixup, calls: int = 3) -> list[Tensor]:
    return [fn(torch.rand(6, 1, 8, 8), torch.arange(6))[1] for _ in range(calls)]


def test_draws_follow_seed_epoch_and_call() -> None:
    def made(**where: int) -> Mixup:
        return Mixup(num_classes=6, mode="elem", **where)  # pyright: ignore

    first, second = targets(made(seed=0)), made(seed=0)
    assert all(map(torch.equal, first, targets(second)))
    assert not torch.equal(first[0], first[1]), "the count of calls is state"
    second.set_epoch(0)
    assert all(map(torch.equal, first, targets(second)))
    second.set_epoch(1)
    assert not any(map(torch.equal, first, targets(second)))
    assert not any(map(torch.equal, first, targets(made(seed=1))))
    assert not any(map(torch.equal, first, targets(made(seed=0, rank=1))))
    torch.manual_seed(0)
    assert all(map(torch.equal, first, targets(made())))
    assert all(map(torch.equal, targets(pickle.loads(pickle.dumps(second))), targets(second)))


def test_no_global_generator_is_used() -> None:
    fn = Mixup(0.5, 1.0, mode="elem", num_classes=6, seed=0)
    images = torch.rand(6, 1, 8, 8)
    states = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()  # pyright: ignore
    fn(images, torch.arange(6))
    assert (np.random.get_state()[1] == states[0]).all()  # pyright: ignore
    assert torch.equal(torch.get_rng_state(), states[1]) and random.getstate() == states[2]


@pytest.mark.parametrize("odd_side", [True, False])
def test_a_centered_box_keeps_an_odd_side(odd_side: bool) -> None:
    """At an own share of 1 - (side / 10)**2 on 10 x 10 pixels, unless the border clips it."""
    side = 5 if odd_side else 4
    own = np.full(200, 1 - (side / 10 + 1e-6) ** 2)
    edges = centered_boxes(own, np.array([10, 10]), np.random.default_rng(0))
    sides = edges[:, 1::2] - edges[:, ::2]
    assert sides.max() == side and sides.min() < side and edges.min() == 0 and edges.max() == 10


def test_a_placed_box_lies_inside() -> None:
    rng = np.random.default_rng(0)
    edges = placed_boxes((0.25, 0.75), 2000, np.array([8, 20]), rng)
    sides = edges[:, 1::2] - edges[:, ::2]
    assert sides.min(0).tolist() == [2, 5] and sides.max(0).tolist() == [5, 14]
    assert edges.min() == 0 and edges.max(0).tolist()[1::2] == [8, 20]
    same = placed_boxes((0.5, 0.5), 5, np.array([8, 20]), rng)
    assert (same[:, 1::2] - same[:, ::2]).tolist() == [[4, 10]] * 5


def test_boxes_are_not_painted() -> None:
    blend = Mixup(0.5, 1.0, mode="elem", num_classes=6).draw(torch.rand(6, 1, 8, 8), Address(0))
    assert isinstance(blend, Blend) and isinstance(blend.mask, Boxes)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_a_batch_without_rows_stays_one(mode: str) -> None:
    x, y = Mixup(1.0, 1.0, mode=mode, num_classes=3, seed=0)(pictures(4)[:0], torch.zeros(0).long())
    assert x.shape == (0, *pictures(4).shape[1:]) and y.shape == (0, 3)


def test_a_batch_of_one_row_is_told() -> None:
    with pytest.warns(UserWarning, match="a batch of one row has no partner"):
        x, _ = Mixup(num_classes=3, seed=0)(pictures(1), torch.tensor([2]))
    assert torch.equal(x, pictures(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Mixup(num_classes=3, seed=0)(pictures(2), torch.tensor([2, 1]))


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"mixup_alpha": 0.0}, "mixup_alpha and cutmix_alpha are 0, so nothing is mixed; set one"),
        ({"mixup_alpha": -1.0}, "mixup_alpha must be a number from 0, got -1.0; 0 turns it off"),
        ({"cutmix_minmax": (0.8, 0.2)}, r"cutmix_minmax must be \[lowest, highest\]"),
        ({"mode": "row"}, "mode must be one of batch, pair, elem, got 'row'"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be a number in \[0, 1\)"),
        ({"prob": 1.5}, r"prob must be a number in \[0, 1\], got 1.5"),
        ({"seed": -1}, "seed must be an integer from 0"),
    ],
)
def test_knobs_that_cannot_be(knobs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Mixup(**knobs)


@pytest.mark.parametrize(
    ("target", "knobs", "sentence"),
    [
        (torch.arange(4), {"num_classes": 3}, "labels must be from 0 to 2"),
        (torch.eye(4), {"num_classes": 3}, r"\(B,\) or \(B, num_classes\) with num_classes=3, got"),
        (torch.arange(4), {"num_classes": 4, "multi_label": True}, r"must be \(B, num_classes\) w"),
    ],
)
def test_targets_that_cannot_be(target: Tensor, knobs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Mixup(**knobs, seed=0)(pictures(4), target)
    with pytest.raises(ValueError, match="images must be float, got uint8"):
        Mixup(num_classes=4, seed=0)(pictures(4).byte(), torch.arange(4))
