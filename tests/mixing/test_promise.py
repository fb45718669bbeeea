"""A method whose masks or labels do not add up is refused at its first batch, in a sentence."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.mixing_cases import METHODS, labeled_pictures, mean_pixel
from mixlab.errors import UserError
from mixlab.mixing import Address, Blend, Boxes, Policy
from mixlab.mixing.promise import check_promise
from mixlab.mixing.tiles import Tiles


@dataclass(frozen=True)
class Half:
    """Half of each picture, and a label of the user's."""

    own: float = 0.5
    other: float = 0.5
    share: tuple[float, float] | None = None
    label_differs: str | None = None
    num_partners = 1

    def __call__(self, images, targets, rng, partners=None) -> Blend:
        mask = torch.tensor([self.own, self.other])[None, :, None, None, None].expand(1, 2, 1, 4, 4)
        share = None if self.share is None else torch.tensor([self.share])
        return Blend.pair(np.roll(np.arange(len(images)), 1), mask, share)


def drawn(method: object) -> Blend:
    images, targets = torch.rand(6, 3, 12, 12), torch.eye(6)
    return Policy(1.0).draw(method, images, targets, Address(0, 0, 0, 0))  # pyright: ignore


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_ours_keeps_it(name: str) -> None:
    check_promise(METHODS[name], drawn(METHODS[name]))


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (Half(0.9, 0.9, (0.5, 0.5)), "masks from 0.9 that sum to 1.8 at a pixel"),
        (Half(1.2, -0.2, (0.5, 0.5)), "masks from -0.2"),
        (Half(share=(0.9, 0.2)), "the shares 0.9, 0.2; they must"),
        (Half(share=(0.9, 0.1)), "shares 0.9, 0.1, but its masks average to 0.5, 0.5"),
    ],
)
def test_a_lie_is_a_sentence(method: Half, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^Half .*{sentence}"):
        check_promise(method, Policy(1.0).draw(  # pyright: ignore
            method, torch.rand(6, 3, 4, 4), torch.eye(6), Address(0, 0, 0, 0)  # pyright: ignore
        ))  # fmt: skip


@pytest.mark.parametrize(
    "method",
    [Half(), Half(share=(0.9, 0.1), label_differs="on purpose"), Half(0.4, 0.4, (0.5, 0.5))],
)
def test_what_adds_up_or_says_why_not_passes(method: Half) -> None:
    blend = method(torch.rand(6, 3, 4, 4), torch.eye(6), np.random.default_rng(0))
    check_promise(method, blend)


def planes_and_label(blend: Blend) -> tuple[torch.Tensor, torch.Tensor]:
    """What is seen of each row, and what its label says."""
    images, targets = labeled_pictures(6, (12, 12))
    mixed, labels = blend.mix(images, targets)
    return mean_pixel(mixed), labels.double()


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].label_differs])
def test_shares_of_the_wrong_sources_are_refused_whatever_the_mask(name: str) -> None:
    """Tensors, boxes, tiles and composed masks, with and without views."""
    blend = drawn(METHODS[name])
    shares = blend.share.roll(1, dims=1)
    if torch.allclose(shares, blend.share, atol=1e-2):
        return  # as of a thumbnail of itself
    with pytest.raises(UserError, match="labels row .* but its masks average to"):
        check_promise(METHODS[name], replace(blend, share=shares))


@pytest.mark.parametrize("name", ["cutout", "cutout of the batch", "cutmix then cutout"])
def test_where_content_is_erased_no_more_is_seen_than_the_label_says(name: str) -> None:
    blend = drawn(METHODS[name])
    seen, label = planes_and_label(blend)
    assert (seen <= label + 1e-6).all() and (seen.sum(1) < 0.99).any()
    check_promise(Half(), blend)  # which says nothing in label_differs
    if blend.num_sources > 1:
        with pytest.raises(UserError, match="but its masks average to"):
            check_promise(Half(), replace(blend, share=blend.share.roll(1, dims=1)))


def test_boxes_and_tiles_are_not_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes a thousand times as long."""
    for kind in (Boxes, Tiles):
        monkeypatch.setattr(kind, "paint", lambda *_: pytest.fail("painted"))
    for name in ("cutmix", "cutout", "resizemix", "ricap", "mosaic"):
        check_promise(METHODS[name], drawn(METHODS[name]))


def test_a_training_stops_before_its_first_step(here: Path, command: Callable) -> None:
    (here / "mylab.py").write_text(
        "import numpy as np, torch\n"
        "from mixlab.mixing import Blend\n"
        "class Bad:\n"
        "    num_partners, label_differs = 1, None\n"
        "    def __call__(self, images, targets, rng, partners=None):\n"
        "        mask = torch.full((1, 2), 0.9)\n"
        "        partners = np.arange(len(images))[::-1].copy()\n"
        "        return Blend.pair(partners, mask, torch.full((1, 2), 0.5))\n"
    )
    said = command(
        "train", "data=digits", "mixing.method={_target_:mylab.Bad}", "allow=[mylab]",
        "logger=none", "trainer=cpu", "trainer.max_epochs=1",
        "trainer.limit_train_batches=1", "threads=1",
    )  # fmt: skip
    assert said.status == 2 and "Bad has masks from 0.9 that sum to 1.8" in said.err


def test_one_row_of_shares_is_compared_with_the_masks_of_all() -> None:
    rows = torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    blend = Blend.pair(np.array([1, 0]), rows, torch.tensor([[0.5, 0.5]]))
    with pytest.raises(UserError, match="labels row 1 with shares 0.5, 0.5, .* average to 0.2"):
        check_promise(Half(), blend)
