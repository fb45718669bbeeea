"""Mixing with data that are not ours: in place, where `training_step` sees it, or an error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from helpers.small_runs import Plain, trainer
from mixlab.callbacks import MixingCallback
from mixlab.callbacks.external_batch import read_pair
from mixlab.mixing import Address, Batch, MixedBatch
from mixlab.mixing.methods import CutMix, Mixup

ROWS = 24
IMAGES = torch.rand(ROWS, 1, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(ROWS) % 10


class Pairs(Dataset):
    """Rows as dictionaries."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"image": IMAGES[row], "label": int(LABELS[row])}


class Stream(IterableDataset):
    """The same rows, one after the other, and nobody knows how many."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(IMAGES, LABELS, strict=True)


def tuples(rows: list[Any]) -> tuple[Tensor, Tensor]:
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


def loader(kind: str) -> DataLoader:
    options: dict[str, Any] = {"batch_size": 8}
    if kind == "dict":
        return DataLoader(Pairs(), **options)
    if kind == "tuple":
        options["collate_fn"] = tuples
    return DataLoader(TensorDataset(IMAGES, LABELS), **options)


def fit(folder: Path, kind: str, callback: MixingCallback) -> Plain:
    torch.manual_seed(0)
    module = Plain()
    trainer(folder, callback).fit(module, loader(kind))
    return module


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_training_step_sees_the_mixture(tmp_path: Path, kind: str) -> None:
    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    module = fit(tmp_path, kind, callback)
    assert len(module.given) == 6 and callback.seen is not None
    x, y = module.given[-1]
    assert torch.equal(x, callback.seen.after.images) and not torch.equal(x, IMAGES[16:])
    assert y.shape == (8, 10) and torch.allclose(y.sum(1), torch.ones(8))
    assert (y.max(1).values < 1).any()


def test_draws_follow_seed_epoch_and_batch(tmp_path: Path) -> None:
    def targets(seed: int) -> list[Tensor]:
        callback = MixingCallback(Mixup(alpha=1.0), num_classes=10, seed=seed)
        return [y for _, y in fit(tmp_path, "list", callback).given]

    first, again, other = targets(0), targets(0), targets(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not torch.equal(first[0], first[3]), "two epochs"


def test_a_tuple_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"tuple batch; let the loader yield a list \[images, targ"):
        fit(tmp_path, "tuple", MixingCallback(Mixup(alpha=1.0), num_classes=10))


@pytest.mark.parametrize("length", [{}, {"max_epochs": -1, "max_steps": 6}])
def test_a_loader_without_a_length_is_mixed(tmp_path: Path, length: dict[str, int]) -> None:
    module, callback = Plain(), MixingCallback(Mixup(alpha=1.0), num_classes=10)
    trainer(tmp_path, callback, **length).fit(module, DataLoader(Stream(), batch_size=8))
    assert len(module.given) == 6
    assert all((y.max(1).values < 1).any() for _, y in module.given)


@pytest.mark.parametrize("schedule", ["linear", "cosine", {"off_after": 0.5}])
def test_a_schedule_needs_the_length_of_an_epoch(tmp_path: Path, schedule: Any) -> None:
    callback = MixingCallback(Mixup(alpha=1.0), schedule=schedule, num_classes=10)
    stream = DataLoader(Stream(), batch_size=8)
    with pytest.raises(ValueError, match="no length; set trainer.limit_train_batches to a number"):
        trainer(tmp_path, callback).fit(Plain(), stream)
    trainer(tmp_path, callback, limit_train_batches=3).fit(Plain(), stream)
    assert (callback.epochs, callback.batches) == (2, 3)


def test_validation_batches_are_left_alone(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Validating(Plain):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            seen.append(batch[0].clone())

    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    trainer(tmp_path, callback).fit(Validating(), loader("list"), loader("list"))
    assert torch.equal(torch.cat(seen[-3:]), IMAGES)


def test_integer_targets_need_the_number_of_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs num_classes to mix integer targets"):
        fit(tmp_path, "list", MixingCallback(Mixup(alpha=1.0)))


def test_dense_targets_do_not() -> None:
    targets = torch.eye(3)
    assert read_pair([IMAGES[:3], targets], None)[1] is targets


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_targets_have_at_least_32_bits(dtype: torch.dtype) -> None:
    _, targets = read_pair([IMAGES[:3].to(dtype), LABELS[:3]], 10)
    assert targets.dtype == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize("batch", [{"photo": IMAGES, "label": LABELS}, {"image": IMAGES, "q": 1}])
def test_unknown_keys_are_named(batch: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="finds none of the keys .* in a batch with .*; rename"):
        read_pair(batch, 10)


@pytest.mark.parametrize("batch", [(IMAGES, LABELS), IMAGES, [IMAGES], None])
def test_other_kinds_of_batch_are_refused(batch: Any) -> None:
    with pytest.raises(TypeError, match="use mixlab.data.ImageDataModule"):
        read_pair(batch, 10)


def test_a_method_that_needs_height_and_width_refuses_a_table() -> None:
    batch = [torch.rand(8, 5), torch.eye(8)]
    callback = MixingCallback(CutMix(alpha=1.0))
    with pytest.raises(ValueError, match=r"CutMix needs .* got \(8, 5\); use Mixup"):
        callback.mix_in_place(batch, Address(0, 0, 0, 0))
    MixingCallback(Mixup(alpha=1.0)).mix_in_place(batch, Address(0, 0, 0, 0))


def test_bytes_are_refused() -> None:
    batch = [(IMAGES * 255).to(torch.uint8), torch.eye(ROWS)]
    with pytest.raises(ValueError, match=r"images must be float, got uint8"):
        MixingCallback(Mixup(alpha=1.0)).mix_in_place(batch, Address(0, 0, 0, 0))


def test_a_batch_of_ours_that_no_data_module_has_seen_is_mixed_too() -> None:
    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    batch = Batch(IMAGES.clone(), LABELS, Address(3, 0, 1, 2), torch.arange(ROWS))
    callback.mix_in_place(batch, Address(0, 0, 0, 0))
    assert callback.seen is not None and callback.seen.after.address == (3, 0, 1, 2)
    assert batch.targets.shape == (ROWS, 10) and not torch.equal(batch.images, IMAGES)


class Noting(MixingCallback):
    """Keeps each batch that it mixes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: list[MixedBatch] = []

    def mix(self, batch: Batch) -> MixedBatch:
        self.kept.append(super().mix(batch))
        return self.kept[-1]


@pytest.mark.parametrize("address", [None, Address(3, 0, 1, 2)])
def test_each_callback_mixes_each_batch_of_another_loader_once(
    tmp_path: Path, address: Address | None
) -> None:
    """Also where all batches say that they stand at one address, and in the second epoch."""
    batches = [Batch(IMAGES[start:][:8], LABELS[start:][:8], address) for start in (0, 8, 16)]
    callbacks = [Noting(Mixup(alpha=1.0), num_classes=10) for _ in range(2)]
    module = Plain()
    trainer(tmp_path, *callbacks).fit(module, DataLoader(batches, batch_size=None))  # pyright: ignore
    assert torch.equal(torch.cat([batch.images for batch in batches]), IMAGES), "left as they were"
    first, second = (callback.kept for callback in callbacks)
    for number, (x, y) in enumerate(module.given):
        assert torch.equal(first[number].before.images, batches[number % 3].images)
        assert torch.equal(second[number].before.images, first[number].after.images)
        assert torch.equal(x, second[number].after.images)
        assert torch.equal(y, second[number].after.targets)
    assert len(first) == len(second) == len(module.given) == 6
