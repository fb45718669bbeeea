"""The callback that decides what is mixed, beside our data module and a module of anybody's."""

import math
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from helpers.small_runs import Plain, small, trainer
from mixlab.callbacks import MixingCallback
from mixlab.callbacks.mixing import length_in_epochs
from mixlab.mixing import Address, Batch, Guests, MixedBatch
from mixlab.mixing.methods import CutMix, Mixup
from mixlab.training.build import build_data

SHORT: Any = {"limit_train_batches": 3, "limit_val_batches": 1}


@pytest.fixture
def data(tmp_path: Path) -> pl.LightningDataModule:
    return build_data(small(tmp_path))


def batch_at(epoch: int = 0, number: int = 0, rank: int = 0, rows: int = 8) -> Batch:
    images = torch.rand(rows, 1, 6, 6, generator=torch.Generator().manual_seed(number))
    targets = torch.eye(10)[torch.arange(rows) % 10]
    return Batch(images, targets, Address(0, rank, epoch, number), torch.arange(rows))


def test_a_new_batch_comes_out_and_nothing_else_changes() -> None:
    batch = batch_at()
    images, targets = batch.images.clone(), batch.targets.clone()
    mixed = MixingCallback(Mixup(alpha=1.0)).mix(batch).after
    assert torch.equal(batch.images, images) and torch.equal(batch.targets, targets)
    assert mixed.images.shape == images.shape and not torch.equal(mixed.images, images)
    assert mixed.address == batch.address and mixed.index is batch.index


@pytest.mark.parametrize("strength", [None, 0.1])
def test_the_first_batch_is_not_kept(strength: float | None) -> None:
    callback = MixingCallback(CutMix(1.0), strength=strength)
    first = batch_at()
    callback.mix(first)
    callback.mix(batch_at(number=1))
    images = weakref.ref(first.images)
    del first
    assert images() is None


def test_draws_are_a_function_of_the_address() -> None:
    addresses: list[dict[str, int]] = [{}, {"number": 1}, {"epoch": 1}, {"rank": 1}]
    one, other = (MixingCallback(CutMix(alpha=1.0)) for _ in range(2))
    forwards = [one.mix(batch_at(**address)).after.targets for address in addresses]
    backwards = [other.mix(batch_at(**address)).after.targets for address in reversed(addresses)]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert len({tuple(targets.flatten().tolist()) for targets in forwards}) == len(addresses)


def test_a_batch_without_address_is_refused() -> None:
    batch = batch_at()
    batch.address = None
    with pytest.raises(ValueError, match="only a training batch is mixed"):
        MixingCallback(Mixup(alpha=1.0)).mix(batch)


def test_guests_feed_the_batch_and_leave() -> None:
    batch = batch_at()
    batch.guests = Guests(torch.full((4, 1, 6, 6), 9.0), torch.eye(10)[[9] * 4])
    mixed = MixingCallback(Mixup(alpha=1.0), partners="dataset").mix(batch).after
    assert mixed.images.shape == batch.images.shape and mixed.guests is None
    assert (mixed.targets[:, 9] > 0).all() and (mixed.images.amax((1, 2, 3)) > 1).any()


def test_a_guest_brings_its_own_label() -> None:
    """Guest g is all g + 2 and of class g + 2; the batch is all 1 and of class 1."""
    values = torch.arange(2.0, 6.0)
    guests = Guests(values.view(4, 1, 1, 1).expand(4, 1, 6, 6), torch.eye(10)[values.long()])
    batch = Batch(torch.ones(4, 1, 6, 6), torch.eye(10)[[1] * 4], Address(0, 0, 0, 0))
    batch.guests = guests
    after = MixingCallback(Mixup(alpha=1.0), partners="dataset").mix(batch).after
    torch.testing.assert_close(after.images.mean((1, 2, 3)), after.targets @ torch.arange(10.0))
    assert (after.targets[:, 2:6].diagonal() > 0).all(), "guest g feeds row g"


def test_the_gate_looks_at_the_rows_numbers_in_the_data_set() -> None:
    batch = batch_at()
    batch.index = torch.tensor([0, 3, 5, 6, 7, 9, 10, 12])
    blend = MixingCallback(Mixup(alpha=1.0), gate={"every": 3}, partners="derangement").mix(batch)
    mixed = blend.blend.mixed_rows
    assert mixed.tolist() == [False, True, False, True, False, True, False, True]


def test_rows_before_a_cut_are_counted_by_one_rank() -> None:
    counted = torch.tensor([8.0, 6.0, 4.0], dtype=torch.float64)
    for rank, rows in ((0, 8), (1, 0)):
        one_of_two: Any = SimpleNamespace(is_global_zero=rank == 0, world_size=1)
        callback = MixingCallback(Mixup(alpha=1.0))
        callback.on_load_checkpoint(one_of_two, Any, {"mixing": counted})
        assert callback.totals(one_of_two, Any)[0] == rows


def test_anybodys_module_gets_images_and_dense_targets(
    tmp_path: Path, data: pl.LightningDataModule
) -> None:
    module, callback = Plain(), MixingCallback(Mixup(alpha=1.0))
    trainer(tmp_path, callback, **SHORT).fit(module, data)
    assert len(module.given) == 6
    assert all(x.shape == (64, 1, 16, 16) and y.shape == (64, 10) for x, y in module.given)
    assert all(y.dtype == torch.float32 for _, y in module.given)
    assert callback.seen is not None
    x, y = module.given[-1]
    assert torch.equal(x, callback.seen.after.images) and torch.equal(
        y, callback.seen.after.targets
    )
    assert not torch.equal(x, callback.seen.before.images)


def test_without_a_callback_the_same_module_gets_the_same_types(
    tmp_path: Path, data: pl.LightningDataModule
) -> None:
    module = Plain()
    trainer(tmp_path, **SHORT).fit(module, data)
    assert {(x.shape, y.shape, y.dtype) for x, y in module.given} == {
        ((64, 1, 16, 16), (64, 10), torch.float32)
    }


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true"])
def test_anybodys_module_at_another_precision(
    tmp_path: Path, data: pl.LightningDataModule, precision: Any
) -> None:
    module, callback = Plain(), MixingCallback(CutMix(alpha=1.0))
    trainer(tmp_path, callback, precision=precision, **SHORT).fit(module, data)
    expected = {"bf16-true": torch.bfloat16, "64-true": torch.float64}.get(precision, torch.float32)
    assert {x.dtype for x, _ in module.given} == {expected}
    assert all(torch.allclose(y.sum(1), torch.ones(64)) for _, y in module.given)


def test_an_example_input_array_passes_through(
    tmp_path: Path, data: pl.LightningDataModule
) -> None:
    """Lightning hands it to the data module as a bare tensor while it says that it trains."""
    seen: list[Tensor] = []

    class Exemplary(Plain):
        example_input_array = torch.rand(2, 1, 16, 16)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    module = Exemplary()
    callback = MixingCallback(Mixup(alpha=1.0))
    trainer(tmp_path, callback, enable_model_summary=True, **SHORT).fit(module, data)
    assert torch.equal(seen[0], module.example_input_array)


def test_several_callbacks_draw_and_log_apart(tmp_path: Path, data: pl.LightningDataModule) -> None:
    one, two = (MixingCallback(Mixup(alpha=1.0)) for _ in range(2))
    run = trainer(tmp_path, one, two, **SHORT)
    run.fit(Plain(), data)
    assert one.seen is not None and two.seen is not None
    assert torch.equal(one.seen.after.images, two.seen.before.images)
    assert not torch.equal(one.seen.blend.share, two.seen.blend.share)
    assert {"mixing/own_share", "mixing1/own_share"} <= set(run.callback_metrics)


def test_what_was_drawn_is_logged(tmp_path: Path, data: pl.LightningDataModule) -> None:
    shares: list[Tensor] = []

    class Noting(MixingCallback):
        def mix(self, batch: Batch) -> MixedBatch:
            mixed = super().mix(batch)
            shares.append(mixed.blend.own_share)
            return mixed

    callback = Noting(Mixup(alpha=1.0), probability=0.5, schedule="linear")
    run = trainer(tmp_path, callback, **SHORT)
    run.fit(Plain(), data)
    last = torch.cat(shares[3:])  # the second of two epochs of three batches
    assert run.callback_metrics["mixing/own_share"] == pytest.approx(last.mean().item())
    assert run.callback_metrics["mixing/mixed_rows"] == (last < 1).float().mean()
    progress = (1 + 2 / 3) / 2
    assert run.callback_metrics["mixing/probability"] == pytest.approx(
        callback.policy.rate(progress)
    )


def test_progress_comes_from_the_address() -> None:
    callback = MixingCallback(Mixup(alpha=1.0))
    assert callback.progress(Address(0, 0, 5, 0)) == 0, "a training without end never progresses"
    callback.set_length(epochs=4, batches=10)
    places = [Address(0, 0, epoch, batch) for epoch, batch in ((0, 0), (1, 0), (3, 5), (9, 0))]
    assert [callback.progress(place) for place in places] == [0, 0.25, 0.875, 1]


@pytest.mark.parametrize("schedule", ["linear", "cosine", {"off_after": 0.5}])
def test_a_schedule_needs_an_end(schedule: Any) -> None:
    callback = MixingCallback(Mixup(alpha=1.0), schedule=schedule)
    with pytest.raises(ValueError, match="set trainer.max_epochs or trainer.max_steps"):
        callback.set_length(math.inf, 10)


def test_mixing_can_end_before_the_training(tmp_path: Path, data: pl.LightningDataModule) -> None:
    module = Plain()
    callback = MixingCallback(Mixup(alpha=1.0), schedule={"off_after": 0.5})
    trainer(tmp_path, callback, **SHORT).fit(module, data)
    largest = [y.max(1).values.min() for _, y in module.given]
    assert max(largest[:3]) < 1 and min(largest[3:]) == 1


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"max_epochs": 3}, 3),
        ({"max_epochs": -1}, math.inf),
        ({"max_epochs": -1, "max_steps": 30}, 3),
        ({"max_epochs": 2, "max_steps": 30}, 2),
        ({"max_epochs": -1, "max_steps": 30, "accumulate_grad_batches": 2}, 6),
        ({"max_epochs": -1, "max_steps": 30, "accumulate_grad_batches": 4}, 10),  # 4, 4 and 2
    ],
)
def test_length_of_a_training(tmp_path: Path, options: dict[str, int], epochs: float) -> None:
    run = trainer(tmp_path, **options)
    run.fit_loop.max_batches = 10
    assert length_in_epochs(run) == epochs
