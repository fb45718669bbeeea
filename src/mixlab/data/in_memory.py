"""A data set in memory: one tensor of images or other rows, one of labels."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mixlab.data.sampler import Key
from mixlab.errors import UserError
from mixlab.mixing import Batch

GATHER = 2**20  # bytes of images copied at once; at least one batch
RESIZE_ROWS = 4096  # resized at a time, so that the float copies stay small


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """Images, or rows of any other shape, and labels of one split.

    A map-style data set (`dataset[row]` is an image and its label), from which `ImageDataModule`
    takes whole batches instead.

    Attributes:
        images: uint8 (N, C, H, W), contiguous; or float32 (N, ...): rows of a table (N, F),
            signals (N, C, L), point clouds (N, 3, P), embeddings (N, D) or (N, T, D).
        targets: int64 (N,), each in [0, number of classes); or (N, C) of several labels an image,
            each 0 or 1; or uint8 (N, H, W) segmentation masks, the class of each pixel.
        class_names: one for each class, or empty.
        source: a few words on where it comes from, for error messages.
    """

    images: Tensor
    targets: Tensor
    class_names: tuple[str, ...] = ()
    source: str = "the data"
    feature_axis: int = 0  # of a row, where its channels or features lie: see `DataSpec`
    original: "ArrayDataset | None" = field(default=None, repr=False)  # before it was resized
    is_cloud: bool = False  # whether the last axis of a row lists points, in no order

    def __post_init__(self) -> None:
        images, targets = self.images, self.targets
        tensors = isinstance(images, Tensor) and isinstance(targets, Tensor)
        is_float = tensors and images.dtype == torch.float32 and images.ndim > 1
        if not tensors or not (images.ndim == 4 or is_float) or len(images) != len(targets):
            got = [f"{type(each).__name__} {tuple(each.shape)}" for each in (images, targets)]
            raise UserError(
                f"{self.source}: images must be a tensor (N, C, H, W), or other rows "
                f"float32 (N, ...), and labels a tensor (N,), got {got[0]} and {got[1]}"
            )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Tensor, int | Tensor]:
        target = self.targets[row]
        return self.images[row], int(target) if target.ndim == 0 else target

    @property
    def has_masks(self) -> bool:
        """Whether each pixel has a class, instead of each image."""
        return self.targets.ndim == 3

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, or none."""
        return self.targets.ndim == 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image, or the shape of another row."""
        return tuple(self.images.shape[1:])

    def batches(self, keys: Iterable[Key]) -> Iterator[Batch]:
        """The batches of `keys`."""
        keys = iter(keys)
        for first in keys:
            num_bytes = len(first[1]) * self.images[0].numel() * self.images.itemsize
            yield from self._gathered([first, *islice(keys, GATHER // num_bytes)])

    def _gathered(self, keys: list[Key]) -> Iterator[Batch]:
        """Several batches copied at once; one by one, between training steps, takes far longer."""
        index = torch.from_numpy(np.concatenate([rows for _, rows in keys]))
        sizes = [len(rows) for _, rows in keys]
        columns = (index, self.images.index_select(0, index), self.targets.index_select(0, index))
        pieces = (column.split(sizes) for column in columns)
        for (address, _), rows, images, targets in zip(keys, *pieces, strict=True):
            yield Batch(images, targets, address, rows)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of images and labels before any resizing."""
        if self.original is not None:
            return self.original.fingerprint
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        digest.update(self.images.numpy().data)
        digest.update(self.targets.numpy().data)
        return digest.hexdigest()

    def resized(self, size: int) -> "ArrayDataset":
        """The same with images of `size` x `size` pixels (bilinear, antialiased when shrinking)."""
        if self.images.shape[-2:] == (size, size) or len(self) == 0:
            return self
        images = torch.cat([resize(rows, size) for rows in self.images.split(RESIZE_ROWS)])
        targets = self.targets
        if targets.ndim == 3:
            targets = F.interpolate(targets[:, None], (size, size), mode="nearest-exact")[:, 0]
        return replace(self, images=images, targets=targets, original=self)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize (N, C, H, W) images to `size` x `size`, keeping their dtype."""
    if images.shape[-2:] == (size, size):
        return images
    resized = F.interpolate(
        images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True
    )
    if images.dtype.is_floating_point:
        return resized.to(images.dtype)
    return resized.round_().clamp_(0, 255).to(images.dtype)


def from_numpy(
    images: np.ndarray, targets: np.ndarray, *, class_names: tuple[str, ...] = (), source: str = ""
) -> ArrayDataset:
    """From uint8 (N, H, W) or (N, H, W, C) images and integer (N,) or (N, classes) labels."""
    if images.ndim == 3:
        images = images[..., None]
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    labels = torch.from_numpy(np.ascontiguousarray(targets, dtype=np.int64))
    return ArrayDataset(torch.from_numpy(channels_first), labels, class_names, source)
