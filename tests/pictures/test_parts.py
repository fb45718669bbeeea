"""What a mixture is made of adds up to it, whatever the method."""

import numpy as np
import pytest
import torch

from mixlab.mixing import Mixup, MixupMany, PointMixup, Sequence, SignalCutMix
from mixlab.mixing.blend import Blend
from mixlab.pictures.parts import INKS, added, inks_of, on_paper, parts_of, scaled, unmixed

TARGETS = torch.eye(6)
METHODS = {
    "mixup": (Mixup(1.0), (6, 5)),
    "of a batch": (Mixup(1.0, per_row=False), (6, 2, 7)),
    "many": (MixupMany(1.0, 3), (6, 5)),
    "span": (SignalCutMix(1.0), (6, 2, 20)),
    "matched": (PointMixup(1.0), (6, 3, 8)),
    "sequence": (Sequence([SignalCutMix(1.0), Mixup(1.0)]), (6, 2, 20)),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_parts_add_up_to_the_mixture(name: str) -> None:
    method, shape = METHODS[name]
    rows = torch.randn(shape)
    blend = method(rows, TARGETS, np.random.default_rng(0))
    mixed = blend.images(rows)
    parts = parts_of(blend, rows, mixed[:4])
    assert len(parts) == 4
    for row, made in enumerate(parts):
        assert sum(float(part.weight.mean()) for part in made) == pytest.approx(1)
        total = torch.stack([part.seen * part.weight for part in made]).sum(0)
        torch.testing.assert_close(total, mixed[row])
        own = sum(float(part.weight.mean()) for part in made if part.ink == 0)
        assert own == pytest.approx(float(blend.own_share[row]), abs=1e-5)


def test_rows_that_the_blend_did_not_make_are_all_of_themselves() -> None:
    """As where a network mixes their features."""
    rows = torch.randn(6, 5)
    blend = Mixup(1.0)(rows, TARGETS, np.random.default_rng(0))
    for (part,), row in zip(parts_of(blend, rows, rows), rows, strict=True):
        assert torch.equal(part.seen, row) and (part.weight == 1).all() and part.ink == 0


def test_half_precision_is_no_other_mixture() -> None:
    rows = torch.randn(6, 50)
    blend = Mixup(1.0)(rows, TARGETS, np.random.default_rng(0))
    assert len(parts_of(blend, rows, blend.images(rows).bfloat16())[0]) == 2


def test_a_matched_partner_lies_in_the_order_of_the_row() -> None:
    cloud = torch.randn(3, 8)
    order = torch.randperm(8)
    rows = torch.stack([cloud, cloud[:, order]])
    partners = np.array([[1], [0]])
    blend = PointMixup(1.0)(rows, torch.eye(2), np.random.default_rng(0), partners)
    own, partner = parts_of(blend, rows, blend.images(rows))[0]
    assert torch.equal(own.seen, cloud) and torch.equal(partner.seen, cloud)
    assert isinstance(blend, Blend) and torch.equal(blend.view(rows, 1, slice(1, 2))[0], rows[1])


def test_a_row_has_one_color_through_all_columns() -> None:
    assert inks_of([3, 7, 3, 1]) == [0, 1, 0, 2]
    assert inks_of([3, 3]) == [0, 0]
    assert inks_of(list(range(9))) == [0, 1, 2, *[len(INKS) - 1] * 6]


def test_colors_are_mixed_like_the_rows() -> None:
    white, own, partner = (on_paper(torch.tensor(w), [0, 1]).tolist() for w in
                           ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0]))  # fmt: skip
    assert white == [255, 255, 255]
    assert own == (INKS[0] * 255).round().tolist() and partner == (INKS[1] * 255).round().tolist()
    both = on_paper(torch.tensor([0.25, 0.75]), [0, 1])
    expected = 0.25 * torch.tensor(own) + 0.75 * torch.tensor(partner)
    assert (both - expected).abs().max() <= 1


def test_what_is_scaled_adds_up_too() -> None:
    rows = torch.randn(6, 5)
    blend = Mixup(1.0)(rows, TARGETS, np.random.default_rng(0))
    mixed, ends = blend.images(rows), (rows[:, :3].amin(0), rows[:, :3].amax(0))
    for made, row in zip(parts_of(blend, rows, mixed), mixed, strict=True):
        torch.testing.assert_close(added(made, slice(3), ends).sum(0), scaled(row[:3], *ends))
    never = torch.full((4,), 7.0)
    assert scaled(never, never, never).tolist() == [0] * 4
    (part,) = unmixed(rows[:1], [2])[0]
    assert part.ink == 2 and torch.equal(part.seen, rows[0])
