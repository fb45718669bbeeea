"""What every method promises: the label tells the truth, the inputs stay, every knob acts."""

import copy
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from helpers.mixing_cases import (
    CONFIG_NAMES,
    METHODS,
    built,
    drawn,
    labeled_pictures,
    mean_pixel,
    method_node,
)
from mixlab.mixing import Address, Policy, SnapMix
from mixlab.mixing.methods.published import BothClasses

TOLERANCE = {  # in 16 bit: two roundings of numbers up to one
    torch.float32: 1e-6,
    torch.float64: 1e-6,
    torch.float16: torch.finfo(torch.float16).eps,
    torch.bfloat16: torch.finfo(torch.bfloat16).eps,
}
every_method = pytest.mark.parametrize("name", METHODS)
every_config = pytest.mark.parametrize("name", CONFIG_NAMES)
seeds = st.integers(0, 2**32 - 1)


@every_method
@settings(max_examples=40, deadline=None)
@given(
    num_rows=st.integers(1, 9),
    num_guests=st.integers(0, 4),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    dtype=st.sampled_from(list(TOLERANCE)),
    probability=st.sampled_from([0.0, 0.5, 1.0]),
    seed=seeds,
)
def test_the_label_is_the_share_of_the_pixels(
    name: str,
    num_rows: int,
    num_guests: int,
    size: tuple[int, int],
    dtype: torch.dtype,
    probability: float,
    seed: int,
) -> None:
    method = METHODS[name]
    images, targets = labeled_pictures(num_rows + num_guests, size, dtype)
    kept = images.clone(), targets.clone()
    blend = Policy(probability).draw(method, images, targets, Address(seed), num_rows=num_rows)
    mixed, labels = blend.mix(images, targets)

    assert mixed.shape == (num_rows, *images.shape[1:]) and mixed.dtype == dtype
    assert labels.shape == (num_rows, num_rows + num_guests) and labels.dtype == torch.float32
    if not isinstance(method, BothClasses | SnapMix):
        torch.testing.assert_close(labels.sum(1), torch.ones(num_rows), rtol=0, atol=1e-6)
        torch.testing.assert_close(blend.share.sum(1).expand(num_rows), torch.ones(num_rows))
    assert torch.equal(blend.source[:, 0], torch.arange(num_rows))
    assert torch.equal(images, kept[0]) and torch.equal(targets, kept[1])
    if method.label_differs is None:
        summed = 4e-6 if name == "alignmix" else 0  # its pixels are sums of hundreds
        within = max(TOLERANCE[dtype], summed)
        torch.testing.assert_close(mean_pixel(mixed), labels.double(), rtol=0, atol=within)
    else:  # erased pixels come from nobody
        assert (mean_pixel(mixed).sum(1) <= 1 + TOLERANCE[dtype]).all()


@every_method
@pytest.mark.parametrize("size", [(), (7,)], ids=["table", "signal"])
@pytest.mark.parametrize("num_guests", [0, 3])
def test_tables_and_signals_are_mixed_truly_or_refused_in_a_sentence(
    name: str, size: tuple[int, ...], num_guests: int
) -> None:
    images, targets = labeled_pictures(5 + num_guests, size)
    try:
        mixed, labels = drawn(METHODS[name], images, num_rows=5).mix(images, targets)
    except ValueError as error:
        assert " needs rows x channels x " in str(error) and str(tuple(images.shape)) in str(error)
        assert re.search("use (SignalCutMix or )?Mixup", str(error)) and "\n" not in str(error)
        assert name != "mixup"
    else:
        if METHODS[name].label_differs is None:
            torch.testing.assert_close(mean_pixel(mixed), labels.double(), rtol=0, atol=1e-6)
        assert "cut" not in name or (name == "signal_cutmix" and size)


@every_method
def test_videos_share_one_box_over_time(name: str) -> None:
    images, targets = labeled_pictures(6, (3, 8, 10))
    mixed, labels = drawn(METHODS[name], images).mix(images, targets)
    if METHODS[name].label_differs is None:
        torch.testing.assert_close(mean_pixel(mixed), labels.double(), rtol=0, atol=1e-6)


@every_method
def test_16_bit_images_keep_full_labels(name: str) -> None:
    images, targets = labeled_pictures(8, (8, 8), torch.bfloat16)
    labels = drawn(METHODS[name], images).targets(targets.bfloat16())
    assert labels.dtype == torch.float32
    torch.testing.assert_close(labels, drawn(METHODS[name], images).targets(targets))
    assert drawn(METHODS[name], images).targets(targets.double()).dtype == torch.float64


@every_method
def test_class_numbers_and_integer_images_are_refused(name: str) -> None:
    images, targets = labeled_pictures(4, (6, 6))
    blend = drawn(METHODS[name], images)
    with pytest.raises(ValueError, match=r"images must be float, got uint8; .*float\(\) / 255"):
        blend.images(images.to(torch.uint8))
    with pytest.raises(ValueError, match=r"targets must be float .*int64.*; one-hot"):
        blend.targets(targets.argmax(1))
    with pytest.raises(ValueError, match="targets must be float .*int64"):
        blend.targets(targets.long())


@every_method
def test_the_same_generator_draws_the_same_and_the_next_address_another(name: str) -> None:
    images, targets = torch.rand(16, 3, 12, 12), torch.eye(16)

    def images_at(address: Address, position: int = 0) -> torch.Tensor:
        blend = Policy().draw(METHODS[name], images, targets, address, position=position)
        return blend.images(images)

    here = images_at(Address(1, 2, 3, 4))
    assert torch.equal(here, images_at(Address(1, 2, 3, 4)))
    for other in (Address(0, 2, 3, 4), Address(1, 0, 3, 4), Address(1, 2, 0, 4), Address(1, 2, 3)):
        assert not torch.equal(here, images_at(other))
    assert not torch.equal(here, images_at(Address(1, 2, 3, 4), position=1))


@every_method
def test_partners_may_be_handed_in_or_drawn_by_the_method(name: str) -> None:
    method, (images, targets) = METHODS[name], labeled_pictures(6, (8, 8))
    blend = method(images, targets, np.random.default_rng(0))
    assert blend.num_rows == 6
    partners = np.full((2, method.num_partners), 5)
    blend = method(images, targets, np.random.default_rng(0), partners)
    assert blend.num_rows == 2
    assert set(blend.source.flatten().tolist()) <= {0, 1, 5}


def _leaves(node: object, path: str = "") -> list[str]:
    """Dotted addresses of the knobs below `node`."""
    if isinstance(node, dict):
        pairs = [(key, value) for key, value in node.items() if not key.startswith("_")]
    elif isinstance(node, list):
        pairs = [(str(number), value) for number, value in enumerate(node)]
    else:
        return [path]
    return [leaf for key, value in pairs for leaf in _leaves(value, f"{path}.{key}".strip("."))]


NODES = {name: OmegaConf.to_object(method_node(name)) for name in CONFIG_NAMES}
FOR_THE_BATCH = ("randommix", "convnext", "deit", "torchvision_references", "puzzlemix")  # a choice
OF_NETWORKS = ("saliency.of_class", "saliency.layer")  # that have these, see test_saliency.py
KNOBS = [
    (name, knob)
    for name, node in NODES.items()
    for knob in _leaves(node)
    if knob not in OF_NETWORKS
]


@pytest.mark.parametrize(("name", "knob"), KNOBS)
def test_every_knob_acts(name: str, knob: str) -> None:
    images, node = torch.rand(64, 1, 12, 12), method_node(name)
    changed: DictConfig = copy.deepcopy(node)
    value = OmegaConf.select(node, knob)
    other = not value if isinstance(value, bool) else 1 - value if value in (0, 1) else value / 4
    other = value + 1 if isinstance(value, int) and value > 1 else other
    other = 4.0 if knob.endswith("alpha") else other
    other = 1 if knob.endswith("block_size") else other  # it is at most half of the map
    other = 1 if knob.startswith("grids") else other  # 5 is no number of blocks of 12 pixels
    other = 0.0 if knob.endswith("_cost") else other
    if knob.split(".")[0] in ("scale", "sigma", "center"):  # lowest and highest
        other = 0.8 * value
    OmegaConf.update(changed, knob, other)

    def same(seed: int) -> bool:
        before, after = (drawn(built(each), images, seed=seed) for each in (node, changed))
        if knob.endswith("clipped_label"):
            return torch.equal(before.share, after.share)
        return torch.equal(before.images(images), after.images(images))

    assert not all(map(same, range(24 if name in FOR_THE_BATCH else 1)))


@every_method
def test_a_default_device_of_torch_changes_nothing(name: str) -> None:
    """As `torch.set_default_device` sets one for all that is made without a device."""
    images, targets = torch.rand(8, 3, 16, 16), torch.eye(8)

    def mixed() -> tuple[torch.Tensor, torch.Tensor]:
        blend = Policy(probability=0.5).draw(METHODS[name], images, targets, Address(0))
        return blend.mix(images, targets)

    expected = mixed()
    with torch.device("meta"):
        found = mixed()
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
