"""Mixing in a collate function: the same draws with and without workers."""

from collections import UserDict
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mixlab.collate import MixCollate
from mixlab.mixing import Address, AttentiveMix, CutMix, Mixup, OneOf, Policy, bind
from mixlab.mixing.methods import TokenMix, TransMix

ROWS = [(torch.full((1, 6, 8), float(row)), row % 5) for row in range(20)]
METHOD = Mixup(alpha=1.0)


class Pair(NamedTuple):
    label: Any
    image: Any


def batches(collate: MixCollate, workers: int = 0, **options: Any) -> list[tuple[Tensor, Tensor]]:
    loader = DataLoader(ROWS, batch_size=4, num_workers=workers, collate_fn=collate, **options)  # pyright: ignore
    found = []
    for epoch in (0, 1, 7):
        collate.set_epoch(epoch)
        found += list(loader)
    return found


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_change_nothing(persistent: bool) -> None:
    def made() -> MixCollate:
        return MixCollate(METHOD, num_classes=5, seed=3)

    alone = batches(made())
    shared = batches(made(), 2, persistent_workers=persistent, timeout=60)
    assert len(alone) == len(shared) == 15
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert len({tuple(targets.flatten().tolist()) for _, targets in alone}) == 15


def test_it_is_the_policys_draw_at_the_address_of_the_batch() -> None:
    policy = Policy(0.5, partners="derangement")
    collate = MixCollate(CutMix(1.0), policy, num_classes=5, seed=3, rank=1)
    images, targets = batches(collate)[7]  # the third of epoch 1
    rows = torch.stack([image for image, _ in ROWS[8:12]])
    one_hot = torch.eye(5)[[label for _, label in ROWS[8:12]]]
    blend = policy.draw(CutMix(1.0), rows, one_hot, Address(3, 1, 1, 2))
    expected = blend.mix(rows, one_hot)
    assert torch.equal(images, expected[0]) and torch.equal(targets, expected[1])


FORMS: dict[str, tuple[Callable, Callable, Any]] = {
    "pair": (lambda x, y: (x, y), lambda b: (b[0], b[1]), None),
    "triple": (lambda x, y: (y, "id", x), lambda b: (b[2], b[0]), (2, 0)),
    "from the end": (lambda x, y: (x, "id", y), lambda b: (b[0], b[2]), (0, -1)),
    "dict": (lambda x, y: {"image": x, "label": y, "id": 7}, lambda b: (b["image"], b["label"]),
             None),
    "own dict": (lambda x, y: {"a": x, "b": y}, lambda b: (b["a"], b["b"]), ("a", "b")),
    "named": (lambda x, y: Pair(y, x), lambda b: (b.image, b.label), None),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_batch(form: str) -> None:
    make, read, keys = FORMS[form]
    rows = [make(image, label) for image, label in ROWS[:4]]
    batch = MixCollate(METHOD, num_classes=5, keys=keys, seed=0)(rows)
    images, targets = read(batch)
    expected = MixCollate(METHOD, num_classes=5, seed=0)(ROWS[:4])
    assert torch.equal(images, expected[0]) and torch.equal(targets, expected[1])
    assert targets.shape == (4, 5) and (targets.max(1).values < 1).any()
    assert form != "named" or type(batch) is Pair
    assert form != "dict" or batch["id"].tolist() == [7] * 4


def test_a_mapping_of_another_library_keeps_its_kind() -> None:
    class Encoding(UserDict):
        """As Hugging Face's, which can be sent to a device."""

    def collate(rows: list) -> Encoding:
        return Encoding(image=torch.stack([x for x, _ in rows]), label=torch.arange(4))

    given = collate(ROWS[:4])
    batch = MixCollate(METHOD, num_classes=5, collate=lambda _: given, seed=0)(ROWS[:4])
    assert type(batch) is Encoding and batch["label"].shape == (4, 5)
    assert torch.equal(given["label"], torch.arange(4)), "the batch that was given stays"


def test_a_collate_function_of_the_users() -> None:
    def collate(rows: list) -> tuple[Tensor, Tensor]:
        return torch.stack([image for image, _ in rows]) + 100, torch.eye(5)[[y for _, y in rows]]

    images, targets = MixCollate(METHOD, collate=collate, seed=0)(ROWS[:4])
    assert images.min() >= 100 and targets.shape == (4, 5)


@pytest.mark.parametrize(
    ("rows", "keys", "sentence"),
    [
        ([{"photo": torch.ones(2)}], None, "no images and labels in a dict of photo; name the two"),
        ([torch.ones(2)], None, "no images and labels in a Tensor; name the two"),
        ([{"photo": torch.ones(2)}], ("photo", "gt"), "there is no 'gt' in the dict of a batch"),
        ([("a", 1)], None, "entry 0 of a batch is a tuple; stack it"),
    ],
)
def test_batches_that_cannot_be(rows: list, keys: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MixCollate(METHOD, num_classes=5, keys=keys, seed=0)(rows)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(schedule="linear"),
        Policy(alpha_schedule={"linear": [0.1, 1.0]}),
        Policy(partners="across_ranks"),
    ],
)
def test_policies_that_need_more(policy: Policy) -> None:
    with pytest.raises(ValueError, match="knows neither the progress .* and use another partner"):
        MixCollate(METHOD, policy, seed=0)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (TransMix(1.0), "TransMix needs the network at hand in each training step"),
        (OneOf([Mixup(1.0), TokenMix(1.0)]), "TokenMix needs the network at hand"),
        (AttentiveMix(), r"AttentiveMix looks at the network .*; use .* or Mixer\(method, network"),
        (CutMix, r"give CutMix\(...\), an object"),
    ],
)
def test_methods_that_need_more(method: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MixCollate(method, num_classes=5, seed=0)


def test_a_network_of_its_own_is_enough() -> None:
    method = bind(AttentiveMix(num_cells=2, grid=2), nn.Sequential(nn.Identity()))
    images, _ = MixCollate(method, num_classes=5, seed=0)(ROWS[:4])
    assert images.shape == (4, 1, 6, 8)
