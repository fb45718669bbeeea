"""Every method, partner rule, gate and augmentation on a fake GPU: where results land, and waits.

A row of the table is written only after its assertions. The number of operations is compared at 8
and at 64 rows: no loop over rows.
"""

from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gpu.conftest import Covered
from helpers.fake_gpu import CUDA, FakeGpu, on_gpu
from helpers.mixing_cases import METHODS
from mixlab.data.augmentation import Augmentation
from mixlab.mixing import Address, Blend, CutMix, Method, Mixup, PartnerMask, Policy, compose
from mixlab.mixing.masks import Mask, painted
from mixlab.mixing.methods.ablations import ablated
from mixlab.mixing.network_partners import bind_rule
from mixlab.mixing.partners import _PARTNER_RULES, BY_METHOD, NETWORK_RULES

READS = {"copy to the CPU": 1}
# What has to know values that are on the GPU: labels, pixels, or masks painted for three cuts, or
# for a cut after a choice of cuts or after tiles. A method that looks at the picture reads once
# what it decided.
TWICE = {"copy to the CPU": 2}
WAITING_METHODS = {
    "attentivemix": READS,
    "guidedmixup": READS,
    "puzzlemix": READS,
    "saliencymix": READS,
    "snapmix": READS,
    "mixup_both_classes": READS,
    "cutmix thrice": READS,
    "cutmix or cutout, then cutmix": TWICE,
    "mosaic, then cutmix": READS,
}
WITHOUT_MASKS = {"mixup_both_classes", "alignmix"}  # one class a row; features that move
WAITING_RULES = {
    "same_class": READS,
    "other_class": READS,
    "nearest": READS,
    "farthest": READS,
    "by_method": TWICE,  # the distances of GuidedMixup's maps, and its shares
}
CONFIGS = Path(__file__).parents[2] / "configs" / "augmentation"


def batch_on(gpu: FakeGpu, rows: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    images = gpu.put(torch.rand(rows, 3, 16, 12).to(dtype))
    return images, gpu.put(torch.eye(5)[torch.arange(rows) % 5])


def mixed(method: Method, images: Tensor, targets: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    policy = Policy(**options.pop("policy", {}))
    return policy.draw(method, images, targets, Address(0), **options).mix(images, targets)


@pytest.mark.parametrize("name", METHODS)
def test_a_method(name: str, gpu: FakeGpu, covered: Covered) -> None:
    waits, operations = WAITING_METHODS.get(name, {}), set()
    for rows in (8, 64):
        images, targets = batch_on(gpu, rows)
        after, labels = mixed(METHODS[name], images, targets)
        assert on_gpu(after) and on_gpu(labels)
        assert after.shape == images.shape and labels.shape == targets.shape
        assert after.dtype == labels.dtype == torch.float32
        assert gpu.waits == waits and not gpu.doubles
        operations.add(gpu.operations)
    copies = gpu.copies
    assert len(operations) == 1 or METHODS[name].__dict__.get("per_row") is False

    images, targets = batch_on(gpu, 8, torch.bfloat16)
    images = images.to(memory_format=torch.channels_last)
    after, labels = mixed(METHODS[name], images, targets)
    assert after.dtype == torch.bfloat16 and labels.dtype == torch.float32
    assert after.is_contiguous(memory_format=torch.channels_last)
    checked = "float32, bfloat16 channels-last"
    if name not in WITHOUT_MASKS:
        planes = gpu.put(torch.rand(8, 5, 16, 12).softmax(1))
        after, labels = mixed(METHODS[name], images, planes)
        assert on_gpu(labels) and labels.shape == planes.shape
        checked += ", masks"
    covered("method", name, checked, max(operations), copies, *[said(waits)])


@pytest.mark.filterwarnings("ignore:partners=")  # what is read from the fake GPU is class 0
@pytest.mark.parametrize("rule", _PARTNER_RULES)
def test_a_partner_rule(rule: str, gpu: FakeGpu, covered: Covered) -> None:
    waits = WAITING_RULES.get(rule, {})
    method = METHODS["guidedmixup"] if rule == BY_METHOD else Mixup(1.0)
    images, targets = batch_on(gpu, 16)  # half of them guests
    after, labels = mixed(method, images, targets, policy={"partners": rule}, num_rows=8)
    assert on_gpu(after) and on_gpu(labels) and len(after) == len(labels) == 8
    assert gpu.waits == waits
    covered("partners", rule, "float32", gpu.operations, gpu.copies, said(waits))


@pytest.mark.filterwarnings("ignore:partners=")
@pytest.mark.parametrize("rule", NETWORK_RULES)
def test_a_rule_that_asks_the_network(rule: str, gpu: FakeGpu, covered: Covered) -> None:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(576, 8), nn.BatchNorm1d(8), nn.Linear(8, 5))
    network, counts = layers.to(CUDA), np.ones((5, 5), dtype=np.int64)
    images, targets = batch_on(gpu, 16)  # half of them guests
    bound = {"partners": bind_rule(rule, network, counts)}
    after, labels = mixed(Mixup(1.0), images, targets, policy=bound, num_rows=8)
    assert on_gpu(after) and on_gpu(labels) and len(after) == len(labels) == 8
    assert gpu.waits == READS and network.training
    covered("partners", rule, "float32", gpu.operations, gpu.copies, said(READS))


@pytest.mark.parametrize(
    "knobs",
    [
        {"probability": 0.5},
        {"probability": 0.5, "gate": "batch"},
        {"gate": {"every": 2}},
        {"schedule": "cosine"},
        {"schedule": {"off_after": 0.9}},
        {"class_probability": {1: 0.5}},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [Mixup(1.0), CutMix(1.0), METHODS["sequence"]], ids=repr)
def test_a_gate_and_a_schedule(method: Method, knobs: dict, gpu: FakeGpu, covered: Covered) -> None:
    images, targets = batch_on(gpu, 8)
    index = torch.arange(8)
    after, labels = mixed(method, images, targets, policy=knobs, index=index, progress=0.5)
    waits = READS if "class_probability" in knobs else {}
    assert on_gpu(after) and on_gpu(labels) and gpu.waits == waits
    words = ", ".join(f"{key}={value}" for key, value in knobs.items())
    covered("gate", words, "mixup, CutMix, sequence", gpu.operations, gpu.copies, said(waits))


@pytest.mark.parametrize("mix", ["inputs", "labels"])
def test_an_ablation(mix: str, gpu: FakeGpu, covered: Covered) -> None:
    for method in (Mixup(1.0), CutMix(1.0), METHODS["sequence"]):
        images, targets = batch_on(gpu, 8)
        after, labels = mixed(ablated(method, mix), images, targets)
        assert on_gpu(after) and on_gpu(labels) and not gpu.waits
    covered("mix", mix, "mixup, CutMix, sequence", gpu.operations, gpu.copies, "none")


def test_an_alpha_over_time(gpu: FakeGpu, covered: Covered) -> None:
    knobs = {"alpha_schedule": {"linear": [0.1, 1.0]}}
    for method in (Mixup(1.0), CutMix(1.0)):
        images, targets = batch_on(gpu, 8)
        after, labels = mixed(method, images, targets, policy=knobs, progress=0.5)
        assert on_gpu(after) and on_gpu(labels) and not gpu.waits
    covered("alpha_schedule", "linear", "mixup, CutMix", gpu.operations, gpu.copies, "none")


def augmentations() -> dict[str, Augmentation]:
    """Those of the configs, with everything allowed."""
    nodes: dict[str, Any] = {
        path.stem: OmegaConf.load(path) for path in sorted(CONFIGS.glob("[!_]*.yaml"))
    }
    options: dict = {"_convert_": "object"}
    made = {
        name: hydra.utils.instantiate(node, **options)
        for name, node in nodes.items()
        if node.get("_target_")
    }
    kinds = ("flip", "crop", "rotate", "color", "blur", "noise", "erase")
    return {name: each.allowed(kinds, "pictures") for name, each in made.items()}


AUGMENTATIONS = augmentations()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation(name: str, gpu: FakeGpu, covered: Covered) -> None:
    augmentation, operations = AUGMENTATIONS[name], {}
    if augmentation.per_image:
        return covered("augmentation", name, "in the loader, on the CPU", 0, 0, "none")
    for rows, dtype in ((8, torch.uint8), (64, torch.uint8), (8, torch.float32)):
        most = 0
        for seed in range(4):  # few rows may all be left alone, or all have the same lot
            images = gpu.put(torch.rand(rows, 3, 16, 16).mul(200).to(dtype))
            after = augmentation(images, np.random.default_rng(seed))
            assert on_gpu(after) and after.dtype == dtype and after.shape == images.shape
            assert not gpu.waits
            most = max(most, gpu.operations)
        operations[rows, dtype] = most
    assert operations[8, torch.uint8] == operations[64, torch.uint8]
    covered("augmentation", name, "uint8, float32", most, gpu.copies, "none")


def said(waits: dict[str, int]) -> str:
    return ", ".join(f"{what}: {times}" for what, times in waits.items()) or "none"


@pytest.mark.parametrize("kind", ["values", "of the partner", "composed"])
def test_a_mask_that_comes_to_the_cpu_is_waited_for(kind: str, gpu: FakeGpu) -> None:
    """Or it could be read before it is there: a copy without waiting is awaited by nobody."""
    there = gpu.put(torch.rand(4, 6, 6))
    mask: Mask = torch.stack([1 - there, there], 1) if kind == "values" else PartnerMask(there)
    if kind == "composed":
        partners, share = np.array([1, 0, 3, 2]), torch.full((4, 2), 0.5)
        mask = compose(*[Blend.pair(partners, each, share) for each in (mask, mask)], CUDA).mask
    gpu.forget()
    assert not on_gpu(painted(mask, "cpu"))
    assert gpu.waits["copy to the CPU"] > 0 and not gpu.sent
