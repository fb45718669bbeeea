"""Every augmentation that a config names keeps the same few promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mixlab.config.build import build
from mixlab.data import ImageSpec
from mixlab.data.augmentation import KINDS, Augmentation, FlipCrop, Grayscale, OneOf, Sequence
from mixlab.data.augmentation.augmentation import Occasional

CONFIGS = Path(__file__).parents[2] / "configs" / "augmentation"


def node(name: str) -> dict[str, Any]:
    """What configs/augmentation/<name>.yaml says."""
    found: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml"))
    return found


def built(name: str, **knobs: Any) -> Augmentation:
    """The augmentation of a config, some knobs changed, as it serves data that allow all."""
    return build({**node(name), **knobs}).allowed(KINDS, "data")


NAMES = [path.stem for path in sorted(CONFIGS.glob("*.yaml")) if node(path.stem)["_target_"]]
ALL = {name: built(name) for name in NAMES}
BATCHED = [name for name in NAMES if not ALL[name].per_image]
NOISE = {"_target_": "mixlab.data.augmentation.Noise", "std": [0.1, 0.2]}

# For each knob of any config another value, with which other images come out.
OTHER: dict[str, Any] = {
    "flip": False, "crop_padding": 2, "probability": 0.7, "degrees": 90, "fill": "gray",
    "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.4, "sigma": [3, 4],
    "kernel_size": 3, "std": [0.2, 0.3], "side_fraction": 0.3, "area": [0.4, 0.5],
    "aspect": [1, 1], "cell": [0.2, 0.25], "ratio": [0.6, 0.7], "turn": 0.0, "operations": 1,
    "magnitude": 9, "magnitude_std": 0, "rate": 1, "pool": ["Invert"], "policy": "svhn",
    "levels": 5, "severity": 9, "width": 1, "depth": 7, "alpha": 0.2, "all_operations": False,
    "augmentations": [NOISE, NOISE], "weights": [1, 0], "cells": [3], "hidden": 0.2,
}  # fmt: skip


def noise(channels: int = 3, side: int = 16, *, rows: int = 24) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (rows, channels, side, side + 4), np.uint8))


def serves(augmentation: Augmentation, channels: int, side: int) -> bool:
    """Whether it takes such images, or says in a sentence that it does not."""
    try:
        augmentation.check_spec(ImageSpec(channels, side, side, ("a", "b")), "skin")
    except ValueError as error:
        assert "skin" in str(error) and str(channels) in str(error)
        return False
    return True


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 8), (4, 9), (1, 28), (3, 33)])
@pytest.mark.parametrize("name", NAMES)
def test_images_stay_what_they_are(name: str, channels: int, side: int) -> None:
    images = noise(channels, side, rows=3)
    before = images.clone()
    if serves(ALL[name], channels, side):
        after = ALL[name](images, np.random.default_rng(1))
        assert (after.shape, after.dtype) == (images.shape, torch.uint8)
        assert torch.equal(images, before)


def test_which_images_are_served() -> None:
    gray = {name for name in NAMES if serves(ALL[name], 1, 8)}
    assert set(NAMES) - gray == {"grayscale", "one_of"}  # nothing to take away there
    four = {name for name in NAMES if serves(ALL[name], 4, 8)}
    assert four == {*BATCHED} - {"grayscale", "one_of"}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_is_a_function_of_rng_alone(name: str) -> None:
    images = noise(rows=12)
    first = ALL[name](images, np.random.default_rng(1))
    torch.rand(3), np.random.rand(3)  # a past of the global generators
    assert torch.equal(first, built(name)(images, np.random.default_rng(1)))
    assert not torch.equal(first, ALL[name](images, np.random.default_rng(2)))
    assert not torch.equal(first, images)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_draws_of_its_own(name: str) -> None:
    images = noise(rows=1).expand(24, -1, -1, -1)
    after = ALL[name](images, np.random.default_rng(1))
    assert len({bytes(image.numpy().tobytes()) for image in after}) > 1


@pytest.mark.parametrize(
    ("name", "knob"),
    [(name, knob) for name in NAMES for knob in node(name) if knob not in ("_target_", "force")],
)
def test_every_knob_acts(name: str, knob: str) -> None:
    images = noise(rows=12)
    assert OTHER[knob] != node(name)[knob]
    one, other = ALL[name], built(name, **{knob: OTHER[knob]})
    assert not torch.equal(
        one(images, np.random.default_rng(1)), other(images, np.random.default_rng(1))
    )


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(ALL[name], Occasional)])
def test_the_probability_is_the_share_of_images_changed(name: str) -> None:
    images = noise(side=8, rows=8)
    never = built(name, probability=0)
    assert torch.equal(never(images, np.random.default_rng(1)), images)
    if name in BATCHED:
        images, knobs = noise(side=8, rows=2000), {"std": [0.2, 0.2], "ratio": [1, 1]}
        some = {knob: value for knob, value in knobs.items() if knob in node(name)}
        after = built(name, probability=0.3, **some)(images, np.random.default_rng(1))
        changed = (after != images).flatten(1).any(1).float().mean()
        assert 0.26 < changed < 0.34


@pytest.mark.parametrize("name", BATCHED)
def test_batched_ones_leave_the_global_generators_alone(name: str) -> None:
    torch.manual_seed(1), np.random.seed(1)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(1), np.random.seed(1)
    ALL[name](noise(), np.random.default_rng(1))
    assert (torch.rand(1), np.random.rand()) == expected


@pytest.mark.parametrize("name", BATCHED)
def test_batched_ones_do_the_same_to_floats(name: str) -> None:
    images = noise()
    expected = ALL[name](images, np.random.default_rng(1)) / 255
    after = ALL[name](images / 255, np.random.default_rng(1))
    torch.testing.assert_close(after, expected, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize("name", NAMES)
def test_what_may_change_a_label_is_refused_unless_forced(name: str) -> None:
    wanted = ALL[name].kinds
    assert wanted and set(wanted) <= set(KINDS)
    raw: Augmentation = build(node(name))
    for kind in raw.kinds:  # none of `standard`, which asks first
        others = [other for other in KINDS if other != kind]
        with pytest.raises(ValueError, match=f"{kind}.* of skin.*augmentation.force=true") as error:
            raw.allowed(others, "skin")
        assert "\n" not in str(error.value)
    forced: Augmentation = build({**node(name), "force": True})
    assert forced.allowed([], "skin").kinds == raw.kinds


def test_one_of_chooses_by_weight_for_each_image() -> None:
    black = torch.zeros(3000, 3, 8, 8, dtype=torch.uint8)
    white, gray = (
        {"probability": 1.0, "ratio": [1, 1], "fill": fill} for fill in ("noise", "gray")
    )
    mask = {"_target_": "mixlab.data.augmentation.GridMask"}
    one = built("one_of", augmentations=[mask | white, mask | gray], weights=[3, 1])
    after = one(black, np.random.default_rng(0))
    assert 0.22 < (after == 128).flatten(1).all(1).float().mean() < 0.28


def test_one_of_settles_what_is_automatic() -> None:
    mixed = OneOf([FlipCrop("auto", "auto"), Grayscale()])
    flip_crop = mixed.allowed(["crop", "color"], "digits").augmentations[0]
    assert flip_crop == FlipCrop(False, 4)
    assert not mixed.per_image and OneOf([ALL["noise"], ALL["rotation"]]).per_image


def test_a_sequence_does_one_after_another() -> None:
    images, rng = noise(), np.random.default_rng(1)
    expected = ALL["cutout"](ALL["flip_crop"](images, rng), rng)
    both = Sequence([ALL["flip_crop"], ALL["cutout"]])
    assert torch.equal(both(images, np.random.default_rng(1)), expected)


BAD = {
    "rotation": {"degrees": [-1, 181, "15", None], "fill": ["noise", 0]},
    "color_jitter": {"brightness": [-0.1, 1.5], "contrast": ["x"], "saturation": [2], "hue": [1]},
    "blur": {"sigma": [0.5, [0, 1], [2, 1], [1]], "kernel_size": [4, 1, 5.0, True]},
    "noise": {"std": [0.1, [-0.1, 0.1], [0.2, 0.1], ["a", "b"], None], "probability": [2, "1"]},
    "grayscale": {"probability": [-1, None, float("nan")], "force": ["yes", None]},
    "cutout": {"side_fraction": [1.1, -0.1, True], "fill": ["white", None]},
    "random_erasing": {"area": [[0, 2]], "aspect": [[0, 1]], "fill": ["grey"]},
    "gridmask": {"cell": [[0, 0.5]], "ratio": [[0.5, 0.2]], "turn": [0.6]},
    "hide_and_seek": {"cells": [[], [0], [2.5], 4, None, ["4"]], "hidden": [1.1, None]},
    "randaugment": {
        "operations": [0, 2.5, 21], "magnitude": [-1, 11], "magnitude_std": [-1], "rate": [1.1],
        "pool": [[], "Invert", ["Posterize"], None], "fill": ["noise"],
    },
    "autoaugment": {"policy": ["cifar", None], "fill": ["white"]},
    "trivialaugment": {"levels": [1, "31"]},
    "augmix": {
        "severity": [0, 11], "width": [0], "depth": [0, -1], "alpha": [0],
        "all_operations": ["no"],
    },
    "one_of": {
        "augmentations": [[], None, [1]], "weights": [[1], [0, 0], [-1, 2], "ab", [1, None]],
    },
    "sequence": {"augmentations": ["noise", {}]},
    "flip_crop": {"flip": ["yes", None], "crop_padding": [-1, 1.5, "4", None, True]},
}  # fmt: skip


def test_every_knob_is_checked() -> None:
    shared = {"_target_", "force", "probability", "fill"}  # of base classes
    assert {*BAD, "standard"} == {*NAMES}
    assert all(set(node(name)) <= {*BAD[name], *shared} for name in BAD)


@pytest.mark.parametrize("name", BAD)
def test_values_that_make_no_sense(name: str) -> None:
    for knob, values in BAD[name].items():
        for value in values:
            with pytest.raises(ValueError, match=f"augmentation.{knob} ") as error:
                build({**node(name), knob: value})
            assert "\n" not in str(error.value) and ", got " in str(error.value)
