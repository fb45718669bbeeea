"""What a run's first lines say of mixing that does less than its settings say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.small_runs import composed
from mixlab.callbacks import HiddenMixingCallback, MixingCallback
from mixlab.mixing import CutMix, Mixup, OneOf
from mixlab.mixing.methods import GridMix, PatchMix, PuzzleMix, TokenMix
from mixlab.mixing.methods.published import BothClasses
from mixlab.training.banner import facts
from mixlab.training.build import Experiment
from mixlab.training.mixing_cautions import mixing_cautions, single_cells

WHOLE = "so each is kept, replaced or blended as a whole; "


def said(method: Any, *size: int) -> str:
    return "; ".join(single_cells(method, *size))


@pytest.mark.parametrize(
    ("method", "size", "words"),
    [
        (PatchMix(1.0, patch_size=16), (16, 12), "16 x 12 pixels (patch_size=16)"),
        (GridMix(1.0, cells=1), (28, 28), "28 x 28 pixels (cells=1)"),
        (TokenMix(1.0, grid=1), (28, 28), "28 x 28 pixels (grid=1)"),
        (PuzzleMix(1.0), (31, 31), "31 x 31 pixels (grids=[2, 4, 8, 16])"),
        (PuzzleMix(1.0), (32, 27), "32 x 27 pixels (grids=[2, 4, 8, 16])"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "alpha") else None,
)
def test_a_picture_in_one_piece(method: Any, size: tuple[int, int], words: str) -> None:
    name = type(method).__name__
    assert said(method, *size).startswith(f"{name} has one cell for {words}, {WHOLE}")


@pytest.mark.parametrize(
    ("method", "size"),
    [
        (PatchMix(1.0, patch_size=16), (28, 28)),
        (PatchMix(1.0, patch_size=16), (16, 17)),
        (GridMix(1.0, cells=20), (16, 16)),
        (TokenMix(1.0, grid=14), (16, 16)),
        (TokenMix(1.0, grid=14), (8, 24)),
    ],
)
def test_cells_that_differ_in_size_are_harmless(method: Any, size: tuple[int, int]) -> None:
    """Nothing is said, since labels are the pixels to the last of them."""
    assert not said(method, *size)
    targets = torch.eye(32)
    images = targets[:, :, None, None].expand(32, 32, *size)  # each pixel is its label
    blend = method(images, targets, np.random.default_rng(0))
    mixed, labels = blend.mix(images, targets)
    torch.testing.assert_close(mixed.mean((2, 3)), labels)
    assert ((blend.own_share > 0) & (blend.own_share < 1)).any()


def test_a_method_within_others_is_found() -> None:
    coarse = PatchMix(1.0, patch_size=32)
    assert "PatchMix" in said(OneOf([CutMix(1.0), coarse]), 32, 32)
    assert "PatchMix" in said(BothClasses(coarse), 32, 32)
    assert not said(PuzzleMix(1.0), 28, 28) and not said(CutMix(1.0), 1, 1)


def test_features_and_rows_have_another_size() -> None:
    hidden = HiddenMixingCallback(PatchMix(1.0, patch_size=32), layers=["input"])
    assert not [*mixing_cautions([hidden], (3, 16, 16), 1)]
    assert not [*mixing_cautions([MixingCallback(Mixup(1.0))], (13,), 1)]


@pytest.mark.parametrize(("partners", "processes"), [("permutation", 1), ("across_ranks", 2)])
def test_nothing_is_said_of_partners_that_do_what_they_say(partners: str, processes: int) -> None:
    callback = MixingCallback(Mixup(1.0), partners=partners)
    assert not [*mixing_cautions([callback], (3, 16, 16), processes)]


def test_a_run_begins_with_them(tmp_path: Path) -> None:
    cfg = composed(
        "data=digits", "model=cnn", "trainer=cpu", "logger=csv", "mixing=patchmix",
        "mixing.method.patch_size=32", "mixing.mix=inputs", "mixing.partners=across_ranks",
        f"paths.run_dir={tmp_path}",
    )  # fmt: skip
    caution = dict(facts(cfg, Experiment.build(cfg)))["caution"]
    partners, cells = caution.split("; PatchMix has ")
    assert partners.startswith(
        "mixing.partners=across_ranks draws permutations of the batch in one"
    )
    assert cells.startswith("one cell for 32 x 32 pixels (patch_size=32), ")
