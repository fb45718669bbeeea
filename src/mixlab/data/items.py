"""Any map-style data set of (image, label) pairs, read one by one, in worker processes if wanted.

Transforms of libraries draw from the global generators of torch, numpy and Python. Before each
image they are set from the run's seed, the epoch and the row, so neither the number of workers nor
the number of ranks changes what is drawn.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mixlab.data.arrays import resize
from mixlab.data.plan import Key
from mixlab.mixing import Address, Batch, Purpose, torch_seed

FINGERPRINT_IMAGES = 64  # looked at, evenly spaced: reading all would take as long as an epoch


class ItemDataset:
    """A user's data set as the batches of a plan.

    Args:
        dataset: `dataset[row]` is a pair of an image (PIL; an array or tensor (C, H, W), or an
            array (H, W[, C]); uint8, or float in [0, 1]) and a whole number, its class.
        image_size: side in pixels to resize to; None leaves the images, which must be of one size.
        num_workers: processes that read it; 0 reads in this one.
    """

    def __init__(
        self, dataset: Any, *, image_size: int | None = None, num_workers: int = 0
    ) -> None:
        check_map_style(dataset)
        self.dataset = dataset
        self.image_size = image_size
        self.num_workers = num_workers
        self.source = type(dataset).__name__

    def __len__(self) -> int:
        return len(self.dataset)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of the first image."""
        with private_generators():
            return tuple(self.item(0, Address(0, 0, 0, 0))[0].shape)

    @property
    def class_names(self) -> tuple[str, ...]:
        """As torchvision's data sets name them, in `classes`; empty where there is none."""
        return tuple(str(name) for name in getattr(self.dataset, "classes", None) or ())

    @cached_property
    def targets(self) -> Tensor | None:
        """int64 (N,) labels, if the data set has them in `targets` or `labels`, else None."""
        for name in ("targets", "labels"):
            if (labels := getattr(self.dataset, name, None)) is not None:
                labels = np.asarray(labels).reshape(-1)
                if labels.dtype.kind in "iu" and len(labels) == len(self):
                    return torch.from_numpy(labels.astype(np.int64))
        return None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the number of rows, the known labels and some of the images."""
        digest = hashlib.sha256(repr((len(self), self.class_names)).encode())
        if self.targets is not None:
            digest.update(self.targets.numpy())
        rows = np.linspace(0, len(self) - 1, min(len(self), FINGERPRINT_IMAGES)).astype(np.int64)
        with private_generators():
            for row in rows.tolist():
                image, label = self.item(row, Address(0, 0, 0, 0))
                digest.update(image.contiguous().numpy())
                digest.update(str(label).encode())
        return digest.hexdigest()

    def item(self, row: int, address: Address) -> tuple[Tensor, int]:
        """One image (C, H, W) and its label; sets the global generators."""
        set_generators(torch_seed(address._replace(rank=0, batch=row), Purpose.TRANSFORM))
        image, label = self.dataset[row]
        return to_tensor(image, self.image_size), to_label(label, row, self.source)

    def batch(self, key: Key) -> Batch:
        """One batch; evaluation, which has no address, draws the same every time."""
        address, rows = key
        where = address or Address(0, 0, 0, 0)
        with private_generators():
            images, labels = zip(*(self.item(row, where) for row in rows.tolist()), strict=True)
        return Batch(
            stack(images, self.source), torch.tensor(labels), address, torch.from_numpy(rows)
        )

    def batches(self, keys: Iterable[Key]) -> Iterator[Batch]:
        """The batches that a plan names."""
        if self.num_workers == 0:
            return map(self.batch, keys)
        self._keys.keys = keys
        return iter(self._loader)

    @cached_property
    def _keys(self) -> "KeySampler":
        return KeySampler()

    @cached_property
    def _loader(self) -> DataLoader:
        """Its workers live as long as this object, and are told everything by the keys."""
        return DataLoader(
            BatchReader(self),
            batch_size=None,
            sampler=self._keys,
            collate_fn=unchanged,
            num_workers=self.num_workers,
            persistent_workers=True,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # or each epoch would draw from the global one
        )


class KeySampler:
    """Hands the keys of the current epoch to the workers."""

    keys: Iterable[Key] = ()

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)


class BatchReader(Dataset):
    """What a worker holds: a key goes in, a batch comes out."""

    def __init__(self, data: ItemDataset) -> None:
        self.read = ItemDataset(data.dataset, image_size=data.image_size).batch

    def __getitem__(self, key: Key) -> Batch:
        return self.read(key)


def unchanged(batch: Batch) -> Batch:
    return batch


def check_map_style(dataset: Any) -> None:
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise ValueError(
            f"{type(dataset).__name__} is no map-style data set; it needs __len__ and __getitem__"
        )
    if len(dataset) == 0:
        raise ValueError(f"{type(dataset).__name__} is empty; a data set needs at least one row")


def set_generators(seed: int) -> None:
    """Set the global generators of torch (CPU), numpy and Python."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def private_generators() -> Iterator[None]:
    """Leave the global generators as they were."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def to_tensor(image: Any, size: int | None) -> Tensor:
    """A (C, H, W) tensor, uint8 or floating point."""
    if not isinstance(image, Tensor):
        array = np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        last = array.ndim == 3 and array.shape[2] <= 4 < array.shape[0]
        image = torch.from_numpy(np.array(array.transpose(2, 0, 1) if last else array))
    if image.ndim != 3 or not (image.dtype == torch.uint8 or image.dtype.is_floating_point):
        raise ValueError(
            f"an image is {image.dtype} of shape {tuple(image.shape)}; it must be uint8 or float, "
            "as channels x height x width"
        )
    return image if size is None else resize(image[None], size)[0]


def to_label(label: Any, row: int, source: str) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ValueError(
            f"row {row} of {source} has label {label!r}; a label is one whole number >= 0"
        )
    return number


def stack(images: Sequence[Tensor], source: str) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(
            f"images of {source} differ in shape ({', '.join(map(str, sorted(shapes)))}); "
            "set data.image_size"
        )
    return torch.stack(list(images))
