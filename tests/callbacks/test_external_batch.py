"""Mixing with data that are not ours: in place, where `training_step` sees it, or an error."""

import copy
import pickle
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from helpers.small_runs import Plain, trainer
from mixlab.callbacks import MixingCallback, TupleBatches
from mixlab.callbacks.external_batch import HOOK, NamedList, read_pair, with_list
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, MixedBatch
from mixlab.mixing.methods import CutMix, Mixup

ROWS = 24
IMAGES = torch.rand(ROWS, 1, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(ROWS) % 10


class Stream(IterableDataset):
    """The same rows, one after the other, and nobody knows how many."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(IMAGES, LABELS, strict=True)


class Named(NamedTuple):
    """A batch whose labels come first."""

    label: Tensor
    image: Tensor


COLLATED = {
    "list": lambda images, labels: [images, labels],
    "tuple": lambda images, labels: (images, labels),
    "named": lambda images, labels: Named(labels, images),
    "dict": lambda images, labels: {"image": images, "label": labels},
    "own dict": lambda images, labels: {"gt": labels, "photo": images, "x": "a file"},
}


def loader(kind: str, labels: Tensor = LABELS, size: int = 8) -> DataLoader:
    def collate(rows: list[Any]) -> Any:
        return COLLATED[kind](*(torch.stack(column) for column in zip(*rows, strict=True)))

    return DataLoader(TensorDataset(IMAGES, labels), batch_size=size, collate_fn=collate)


class Reading(Plain):
    """Reads any of these batches, and keeps what it read."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if isinstance(batch, dict):
            pair = batch.get("image", batch.get("photo")), batch.get("label", batch.get("gt"))
        else:
            pair = (batch.image, batch.label) if hasattr(batch, "image") else batch
        return super().training_step(pair, batch_idx)


class OfTuples(TupleBatches, Reading):
    pass


def fit(
    folder: Path, kind: str, callback: MixingCallback, module: Plain | None = None, **options: Any
) -> Plain:
    module = module or Reading()
    trainer(folder, callback, **options).fit(module, loader(kind))
    return module


@pytest.mark.parametrize("kind", COLLATED)
def test_training_step_sees_the_mixture(tmp_path: Path, kind: str) -> None:
    keys: Any = ("photo", "gt") if kind == "own dict" else None
    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10, keys=keys)
    module = fit(tmp_path, kind, callback, OfTuples())
    assert len(module.given) == 6 and callback.seen is not None
    x, y = module.given[-1]
    assert torch.equal(x, callback.seen.after.images) and not torch.equal(x, IMAGES[16:])
    assert y.shape == (8, 10) and torch.allclose(y.sum(1), torch.ones(8))
    assert (y.max(1).values < 1).any()


def targets(folder: Path, **options: Any) -> list[Tensor]:
    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10, **options)
    return [y for _, y in fit(folder, "list", callback).given]


def same(one: list[Tensor], other: list[Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(one, other, strict=True)]


def test_draws_follow_seed_epoch_and_batch(tmp_path: Path) -> None:
    first, again, other = (targets(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert all(same(first, again)) and not any(same(first, other))
    assert not torch.equal(first[0], first[3]), "two epochs"


def test_the_seed_is_lightnings_else_torchs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`seed_everything` sets both, but a model or data set may draw or seed after it."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    torch.manual_seed(7)
    assert all(same(targets(tmp_path), targets(tmp_path, seed=5)))
    assert all(same(targets(tmp_path, seed=0), targets(tmp_path, seed=0)))
    assert not any(same(targets(tmp_path, seed=0), targets(tmp_path)))
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert all(same(targets(tmp_path), targets(tmp_path, seed=7)))
    torch.seed()
    assert not any(same(targets(tmp_path), targets(tmp_path, seed=7)))


def test_a_resumed_training_draws_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    whole = targets(tmp_path)
    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    first = trainer(tmp_path, callback, max_epochs=1)
    first.fit(Reading(), loader("list"))
    first.save_checkpoint(tmp_path / "half.ckpt")
    module = Reading()
    second = trainer(tmp_path, MixingCallback(Mixup(alpha=1.0), num_classes=10))
    second.fit(module, loader("list"), ckpt_path=str(tmp_path / "half.ckpt"))
    assert all(same(whole[3:], [y for _, y in module.given]))


@pytest.mark.parametrize("name", ["tuple", "Named"])
def test_a_tuple_that_nothing_made_a_list(name: str) -> None:
    line = r"`class Net\(TupleBatches, LightningModule\)`"
    batch = Named(LABELS, IMAGES) if name == "Named" else (IMAGES, LABELS)
    with pytest.raises(TypeError, match=f"cannot write into a {name} batch, .*make .* {line}, or"):
        MixingCallback(Mixup(alpha=1.0), num_classes=10).mix_in_place(batch, Address(0))


class Wrapped(Reading):
    """Has the hook itself, and is copied and pickled in training as some callbacks do."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch._replace(image=batch.image + 1) if isinstance(batch, Named) else batch

    def on_train_epoch_start(self) -> None:
        other = copy.deepcopy(self)
        assert other.on_after_batch_transfer.args[0].__self__ is other  # pyright: ignore
        assert pickle.loads(pickle.dumps(self)).on_after_batch_transfer.func is with_list


@pytest.mark.parametrize("kind", ["tuple", "named"])
@pytest.mark.parametrize(
    ("module", "with_data"),  # of other pairs Lightning warns, since it calls one hook of two
    [
        (Reading, "none"),
        (Wrapped, "none"),
        (OfTuples, "none"),
        (Reading, "plain"),
        (Reading, "hook"),
    ],
)
def test_a_tuple_needs_nothing_but_the_callback(
    tmp_path: Path, kind: str, module: type[Plain], with_data: str
) -> None:
    """Whoever has the hook; the base class beside it changes nothing; nothing stays behind."""
    calls: list[int] = []

    class Data(pl.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return loader(kind)

    class WithHook(Data):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            calls.append(1)
            return batch

    class Two(MixingCallback):
        pass

    net, data = module(), {"plain": Data, "hook": WithHook}.get(with_data, lambda: None)()
    callbacks = [kind(Mixup(alpha=1.0), num_classes=10, seed=0) for kind in (MixingCallback, Two)]
    run = trainer(tmp_path, *callbacks)
    run.fit(net, data or loader(kind))
    assert len(net.given) == 6 and all((y.max(1).values < 1).any() for _, y in net.given)
    assert len(calls) == (6 if with_data == "hook" else 0)
    for each in (net, data):
        assert each is None or HOOK not in vars(each)


def test_a_failed_training_leaves_no_hook_behind(tmp_path: Path) -> None:
    class Failing(Reading):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            assert type(batch) is list
            raise RuntimeError("stop here")

    module = Failing()
    with pytest.raises(RuntimeError, match="stop here"):
        fit(tmp_path, "tuple", MixingCallback(Mixup(alpha=1.0), num_classes=10), module)
    assert HOOK not in vars(module)


def test_tuples_of_a_data_module_that_has_the_hook_itself(tmp_path: Path) -> None:
    class Brighter(pl.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return loader("tuple")

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch[0] + 1, batch[1]

    class OfPairs(TupleBatches, Brighter):
        pass

    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    module = Reading()
    trainer(tmp_path, callback).fit(module, OfPairs())
    assert len(module.given) == 6 and min(x.min() for x, _ in module.given) >= 1
    assert all((y.max(1).values < 1).any() for _, y in module.given)
    module = Reading()
    trainer(tmp_path, callback).fit(module, Brighter())
    assert len(module.given) == 6 and min(x.min() for x, _ in module.given) >= 1


@pytest.mark.parametrize("base", [OfTuples, Reading])
def test_only_training_batches_become_lists(tmp_path: Path, base: Any) -> None:
    seen: list[Any] = []

    class Validating(base):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            seen.append(batch)

    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    run = trainer(tmp_path, callback)
    run.fit(Validating(), loader("named"), loader("named"))
    assert {type(batch) for batch in seen} == {Named}
    assert torch.equal(torch.cat([batch.image for batch in seen[-3:]]), IMAGES)


def test_a_named_list_says_what_it_lacks() -> None:
    batch = NamedList.of(Named(LABELS, IMAGES))
    batch[0] = IMAGES
    assert batch.label is IMAGES and copy.copy(batch) == batch
    with pytest.raises(AttributeError, match="the batch has label, image, and no weight"):
        _ = batch.weight


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
    with pytest.raises(ValueError, match="class numbers needs num_classes; give it, as in num_cl"):
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
    with pytest.raises(
        ValueError, match=r"no images and labels in a batch .*keys=\('(photo|image)', '"
    ):
        read_pair(batch, 10)


@pytest.mark.parametrize("batch", [{"image": IMAGES, "label": LABELS}, [IMAGES, LABELS]])
def test_keys_that_are_not_there(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"no keys=\('image', 'gt'\) in a batch with .*; name"):
        read_pair(batch, 10, ("image", "gt"))


@pytest.mark.parametrize(
    "knob", [{"keys": "image"}, {"keys": ("image",)}, {"num_classes": "10"}, {"seed": -1}]
)
def test_knobs_that_cannot_be(knob: Any) -> None:
    (name,) = knob
    with pytest.raises(ValueError, match=f"{name} must be a.*, got {re.escape(repr(knob[name]))}"):
        MixingCallback(Mixup(alpha=1.0), **knob)


def test_positions_in_a_list() -> None:
    batch = [LABELS, "a note", IMAGES]
    MixingCallback(Mixup(alpha=1.0), num_classes=10, keys=(2, 0)).mix_in_place(batch, Address(0))
    assert batch[0].shape == (ROWS, 10) and batch[1] == "a note" and batch[2].shape == IMAGES.shape


@pytest.mark.parametrize("batch", [[list(IMAGES), LABELS], [IMAGES, ["cat"] * ROWS]])
def test_what_is_not_stacked(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"mixes tensors .* got (list and|Tensor and list).*stack"):
        read_pair(batch, 10)


def test_multi_hot_labels_are_weighed_like_the_images() -> None:
    """Row r is all r, and has class c if bit c of r is set."""
    rows = torch.arange(16)
    labels = (rows[:, None] >> torch.arange(4) & 1).float()
    batch = [rows.float().view(16, 1, 1, 1).expand(16, 1, 4, 4), labels]
    MixingCallback(Mixup(alpha=1.0)).mix_in_place(batch, Address(0))
    decoded = batch[1] @ (2.0 ** torch.arange(4))
    torch.testing.assert_close(batch[0].mean((1, 2, 3)), decoded)
    assert ((batch[1] > 0) & (batch[1] < 1)).any()


def test_batches_of_one_row_are_told_once(tmp_path: Path) -> None:
    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        module = Reading()
        trainer(tmp_path, callback).fit(module, loader("list", size=1))
    about_rows = [str(each.message) for each in told if "one row" in str(each.message)]
    assert about_rows == ["a batch of one row has no partner to mix with; use larger batches"]
    assert len(module.given) == 2 * ROWS and all(y.max() == 1 for _, y in module.given)


@pytest.mark.parametrize("batch", [IMAGES, [IMAGES], None])
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


def test_it_works_in_the_trainer_of_the_other_package(tmp_path: Path) -> None:
    """`lightning.pytorch` has classes of its own, of the same shape."""
    lightning = pytest.importorskip("lightning.pytorch")

    given: list[Tensor] = []

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            given.append(batch[1])
            return self.network(batch[1][:, :1]).mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    callback = MixingCallback(Mixup(alpha=1.0), num_classes=10)
    off: Any = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    run = lightning.Trainer(accelerator="cpu", max_epochs=2, callbacks=[callback], **off)
    run.fit(Net(), loader("tuple"))
    assert len(given) == 6 and all((y.max(1).values < 1).any() for y in given)


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


def test_labels_before_images_are_a_sentence() -> None:
    with pytest.raises(UserError, match=r"images \(24,\) and .* first, set keys=\(1, 0\)"):
        read_pair([LABELS, IMAGES], 10)
    assert read_pair([LABELS, IMAGES], 10, (1, 0))[0] is IMAGES
