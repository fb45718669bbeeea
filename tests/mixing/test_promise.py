"""A method whose masks or labels do not add up is refused at its first batch, in a sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.mixing_cases import METHODS
from mixlab.errors import UserError
from mixlab.mixing import Address, Blend, Policy
from mixlab.mixing.promise import check_promise


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
