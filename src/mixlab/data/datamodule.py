"""The data of one experiment: loaders, and the way of a batch to the model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch.utils.data import Dataset

from mixlab.checks import whole
from mixlab.data.augmentation import Augmentation
from mixlab.data.augmentation.augmentation import check_kinds, check_serves_masks
from mixlab.data.in_memory import ArrayDataset
from mixlab.data.label_noise import LabelNoise, with_wrong_labels
from mixlab.data.loader import EvalLoader, Fetch, TrainLoader
from mixlab.data.map_style import ItemDataset
from mixlab.data.preprocess import Normalize, Preprocess
from mixlab.data.sampled import sampled_rows
from mixlab.data.sampler import EvalBatchSampler, TrainBatchSampler, permuted
from mixlab.data.spec import Datasets, DataSpec, ImageSpec, Source
from mixlab.data.splits import Split, Splits
from mixlab.data.workers import Workers
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, BatchMixer
from mixlab.mixing.sample import Sample


class ImageDataModule(pl.LightningDataModule):
    """Images, or rows of any other shape, and their classes, from memory or through workers.

    Data sets in memory (`ArrayDataset`: `Digits`, `Npz`, ...) are served from there. Any other
    map-style data set of (image, label) pairs, and training images with a transform that takes one
    image, are read row by row, by `num_workers` processes.

    Args:
        source: gives the training, validation and test sets (`Source`), or is a training set.
        name, path: of the data, for messages.
        seed: of the run; decides order and augmentation, never the validation split.
        batch_size: training rows in a batch, over all processes together.
        eval_batch_size: the same for validation and test, at most.
        use_val: False ignores the validation set of the source.
        val_size: training rows that validate if there is no such set: a fraction in (0, 1), a
            number of rows, or 0 for no validation set.
        val_split: which rows these are: `stratified`, `first` or `last`.
        fraction: in (0, 1], of the remaining training rows to use, the same share of each class.
        label_noise: in [0, 1), the share of those that get a wrong label (`LabelNoise`).
        noise_kind, noise_seed: which wrong label, and for which rows; the seed also chooses the
            rows of `fraction`.
        shuffle: whether the order changes from epoch to epoch.
        image_size: side in pixels to resize all images to; None leaves them.
        normalize: `{mean: [...], std: [...]}`, one for each channel, of images in [0, 1], or for
            each feature of other rows; or `train`: those of the training rows in memory.
        num_workers: processes that read and change images one by one.
        class_names: names of the classes, if the data do not have them.
        image_key, label_key: of the items of data sets that give dicts.
        label_preserving: which kinds of augmentation (`KINDS`) keep the labels.
        augmentation: of training images, before they are mixed.
        guests: where the training loader takes as many rows again from, as partners for the batch:
            `second_pass`, `dataset` (see `TrainBatchSampler`), or None.
    """

    def __init__(
        self,
        source: Source | Dataset | Sequence[Any],
        *,
        name: str = "data",
        path: str | None = None,
        seed: int = 0,
        batch_size: int = 64,
        eval_batch_size: int = 512,
        use_val: bool = True,
        val_size: float = 0.1,
        val_split: str = "stratified",
        fraction: float = 1.0,
        label_noise: float = 0.0,
        noise_kind: str = "symmetric",
        noise_seed: int = 0,
        shuffle: bool = True,
        image_size: int | None = None,
        normalize: Mapping[str, Sequence[float]] | str | None = None,
        num_workers: int = 0,
        class_names: Sequence[str] | None = None,
        image_key: str | None = None,
        label_key: str | None = None,
        label_preserving: Sequence[str] = (),
        augmentation: Augmentation | None = None,
        guests: str | None = None,
    ) -> None:
        super().__init__()
        for key, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            whole(1).check(f"data.{key}", value)
        self.name, self.path, self.seed, self.shuffle = name, path, seed, shuffle
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.guests = num_workers, guests
        self.workers: list[Workers] = []
        splits = getattr(source, "splits", None)  # EMNIST has a tuple of this name
        found: Any = splits() if callable(splits) else Datasets(source)
        if not isinstance(found, Datasets):
            made = f"{type(source).__name__}.splits() returned {type(found).__name__}"
            raise UserError(f"{made}; it must return mixlab.data.Datasets(train, val, test)")
        self.parts = Splits.of(
            found.train,
            found.val if use_val else None,
            found.test,
            image_size=image_size,
            class_names=class_names,
            val_size=val_size,
            val_split=val_split,
            keys=(image_key, label_key),
        )
        self.parts = self.parts.with_fewer(fraction, noise_seed)
        self.spec: DataSpec = self.parts.spec
        self.noise = LabelNoise(label_noise, noise_kind, noise_seed)
        if label_noise and (self.has_masks or self.multi_label):
            what = "masks" if self.has_masks else "several labels"
            raise UserError(f"data.label_noise is for one class an image, not for {what}")
        check_kinds(label_preserving)
        if augmentation:
            augmentation.check_spec(images_only(self.spec, name, "augmentation"), name)
        self.augmentation = augmentation and augmentation.allowed(label_preserving, name)
        if self.augmentation and self.has_masks:
            check_serves_masks(self.augmentation)
        self.prepare = Preprocess(self.spec.num_classes, self.augmentation, None)
        self.normalize(normalize)

    def normalize(self, scale: Mapping[str, Sequence[float]] | str | None) -> None:
        """Set the normalization of all rows, see the argument `normalize`."""
        axis = self.spec.feature_axis
        if scale == "train":
            found = Normalize.from_rows(self.training_rows, axis)
        else:
            found = Normalize.of(cast(Any, scale), self.spec.channels, axis)
        self.prepare = replace(self.prepare, normalize=found)

    @property
    def training_rows(self) -> torch.Tensor:
        """(N, ...): what there is to learn from, without the validation rows."""
        part = self.parts.train
        if not isinstance(part.data, ArrayDataset):
            raise UserError(
                f"data.normalize=train needs data in memory, and {self.name} is read row by row; "
                "give data.normalize={mean: [..], std: [..]}"
            )
        return part.data.images[torch.from_numpy(part.rows)]

    @cached_property
    def label_shift(self) -> torch.Tensor:
        """int64 (N,): added to the label of each row of the training data, 0 if it is right."""
        train = self.parts.train
        return self.noise.shift(train.rows, len(train.data), self.spec.num_classes)

    def wrong_labels(self, batch: Batch) -> dict[int, tuple[int, int]]:
        """Given and true class of the rows of a batch before mixing that `label_noise` changed.

        The keys count the batch's rows, then its guests'.
        """
        if not self.noise.share:
            return {}
        parts = [part for part in (batch, batch.guests) if part is not None]
        given = torch.cat([part.targets for part in parts]).argmax(1).cpu()
        index = torch.cat([part.index.cpu() for part in parts])  # pyright: ignore
        shift = self.label_shift[index]
        true = (given - shift) % self.spec.num_classes
        return {
            row: (int(given[row]), int(true[row])) for row in shift.nonzero().flatten().tolist()
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training, validation and test data."""
        return self.parts.fingerprint()

    def record(self) -> dict[str, Any]:
        """What to record about the data in a run."""
        return {
            "sha256": self.fingerprint,
            **{f"{name}_rows": len(part) for name, part in self.parts.named().items()},
            "val_split": self.parts.note,
            **({"wrong_labels": int(self.label_shift.count_nonzero())} if self.noise.share else {}),
            **self.parts.facts(),
        }

    @property
    def has_masks(self) -> bool:
        """Whether each pixel has a class, instead of each image."""
        return self.parts.train.data.has_masks

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, or none."""
        return self.parts.train.data.multi_label

    @property
    def has_validation(self) -> bool:
        return len(self.parts.val) > 0

    @property
    def has_test(self) -> bool:
        return len(self.parts.test) > 0

    @property
    def place(self) -> dict[str, int]:
        """Rank and number of processes."""
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def train_dataloader(self) -> TrainLoader:
        fetch = self.with_label_noise(self.fetch(self.augmented_part()))
        return TrainLoader(self.train_plan(), fetch)

    def with_label_noise(self, fetch: Fetch) -> Fetch:
        if not self.noise.share:
            return fetch
        return with_wrong_labels(fetch, self.label_shift, self.spec.num_classes)

    def sampled_rows(self, world_size: int) -> Sample:
        """Some rows of the training as they come to be mixed."""
        return sampled_rows(self, world_size)

    def train_plan(self) -> TrainBatchSampler:
        """Which rows are in which training batch."""
        overfit = self.trainer is not None and self.trainer.overfit_batches > 0  # pyright: ignore
        return TrainBatchSampler(
            self.parts.train.rows,
            self.batch_size,
            seed=self.seed,
            shuffle=self.shuffle and not overfit,
            guests=self.guests,
            shuffled=getattr(self.parts.train.data, "shuffled", permuted),
            **self.place,
        )

    def augmented_part(self) -> Split:
        """The training part, read image by image if the augmentation needs that."""
        part = self.parts.train
        if isinstance(part.data, ItemDataset):
            part = replace(part, data=part.data.for_training())
        if self.augmentation is None or not self.augmentation.per_image:
            return part
        items = ItemDataset(part.data) if isinstance(part.data, ArrayDataset) else part.data
        return replace(part, data=replace(items, augmentation=self.augmentation))

    def val_dataloader(self) -> EvalLoader | list[EvalLoader]:
        return self.eval_loader(self.parts.val)

    def test_dataloader(self) -> EvalLoader | list[EvalLoader]:
        return self.eval_loader(self.parts.test)

    def predict_dataloader(self) -> EvalLoader | list[EvalLoader]:
        return self.test_dataloader()

    def eval_loader(self, part: Split) -> EvalLoader | list[EvalLoader]:
        """The loader of a part; Lightning takes an empty list for none."""
        if len(part) == 0:
            return []
        plan = EvalBatchSampler(part.rows, self.eval_batch_size, **self.place)
        return EvalLoader(plan, self.fetch(part))

    def fetch(self, part: Split) -> Fetch:
        """Turns the keys of a plan into batches, in this process or in workers of its own."""
        if isinstance(part.data, ArrayDataset) or self.num_workers == 0:
            return part.data.batches
        self.workers.append(Workers(part.data, self.num_workers))
        return self.workers[-1].batches

    def teardown(self, stage: str) -> None:
        """End the workers."""
        for workers in self.workers:
            workers.close()
        self.workers = []

    def on_exception(self, exception: BaseException) -> None:
        self.teardown("exception")

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move images and targets; `index` stays on the CPU, where the draws are made.

        Lightning would rebuild the dataclass field by field, even on the CPU.
        """
        if not isinstance(batch, Batch):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        for rows in (batch, batch.guests):
            if rows is not None:
                rows.images, rows.targets = sent(rows.images, device), sent(rows.targets, device)
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Convert to float and normalize; also augment and mix a training batch.

        Lightning calls this in every stage, and for `example_input_array` with a bare tensor.
        Anything but a `Batch` is returned unchanged, and only one with an address is mixed.
        """
        if not isinstance(batch, Batch):
            return batch
        if batch.address is None:
            batch.images = self.prepare.floated(batch.images)
            several = batch.targets.ndim == 2  # labels of each image
            batch.targets = batch.targets.float() if several else batch.targets.long()
        else:
            batch = self.mixed(self.mixable(batch))
        if self.trainer is not None:  # Lightning converted before, when images were uint8
            batch.images = self.trainer.precision_plugin.convert_input(batch.images)
        return batch

    def mixable(self, batch: Batch) -> Batch:
        """A training batch from the loader as its callbacks get it."""
        return self.prepare(batch, cast(Address, batch.address))

    def mixed(self, batch: Batch) -> Batch:
        """A training batch after all of the trainer's mixing callbacks, in order."""
        for callback in getattr(self.trainer, "callbacks", ()):
            if getattr(callback, "mixes_batches", False):  # isinstance of a protocol costs far more
                batch = cast(BatchMixer, callback).mix(batch).after
        return batch


def images_only(spec: DataSpec, name: str, key: str) -> ImageSpec:
    """The spec of images; raises UserError for rows that are none, with `key=none` as remedy."""
    if not isinstance(spec, ImageSpec):
        raise UserError(
            f"{key} is for images, and {name} has rows of shape {spec.shape}; use {key}=none"
        )
    return spec


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on `device`; from page-locked memory, so that a GPU is not waited for."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
