"""Any map-style data set of (image, label) pairs, read one by one.

Transforms of libraries draw from the global generators of torch, numpy and Python. Before each
image these are seeded with the run's seed, the epoch and the row, so the draws depend neither on
the number of workers nor on the number of ranks.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Subset

from mixlab.data.augmentation import Augmentation
from mixlab.data.global_rng import private_generators, set_generators
from mixlab.data.in_memory import resize
from mixlab.data.sampler import Key, Shuffled, permuted
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Purpose, stream, torch_seed

FINGERPRINT_IMAGES = 64  # evenly spaced; reading all would take as long as an epoch
NO_SHARE = 50  # a float above is of 0 to 255, not of [0, 1], even if it was standardized
EVALUATION = Address(0, 0, 0, 0)  # the same draws in every run


class BadItem(UserError):
    """A data set gave an image or label that cannot be used."""


@dataclass(frozen=True, eq=False)
class ItemDataset:
    """A user's data set, read in batches.

    Attributes:
        dataset: `dataset[row]` is a pair of an image (PIL; or an array or tensor, channels first;
            or an array with channels last; uint8, or float in [0, 1]) and its class, a number; or
            0 or 1 for each class, if it may have several; or its segmentation mask, a uint8 (H, W)
            tensor of the class of each pixel.
        image_size: side in pixels to resize to; None leaves the images, which must have one size.
        num_classes: labels must be below it; None if it is not known yet.
        several: whether an image may have several classes; None takes that from its label.
        augmentation: of each image, after resizing; None for evaluation.
        keys: of image and label in items that are dicts, as Hugging Face's data sets give them.
    """

    dataset: Any
    image_size: int | None = None
    num_classes: int | None = None
    several: bool | None = None
    augmentation: Augmentation | None = None
    keys: tuple[str | None, str | None] = (None, None)

    def __post_init__(self) -> None:
        if not hasattr(self.dataset, "__getitem__") or not hasattr(self.dataset, "__len__"):
            raise UserError(
                f"{self.source} is not a map-style data set; it needs __len__ and __getitem__"
            )
        if len(self) == 0:
            raise UserError(f"{self.source} is empty; a data set needs at least one row")

    @property
    def source(self) -> str:
        return type(self.dataset).__name__

    def __len__(self) -> int:
        return len(self.dataset)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of the first image."""
        with private_generators():
            image, _ = self.item(0, EVALUATION)
        if image.is_floating_point() and image.max() > NO_SHARE:
            raise BadItem(
                f"float images of {self.source} reach {image.max():g}; divide them by 255, or give "
                "uint8"
            )
        return tuple(image.shape)

    @property
    def transform(self) -> Any:
        """What the data set does to each image, as torchvision names it; None if unknown."""
        return getattr(self.dataset, "transform", None)

    @cached_property
    def first_label(self) -> Tensor:
        with private_generators():
            return self.item(0, EVALUATION)[1]

    @property
    def has_masks(self) -> bool:
        """Whether each pixel has a class, instead of each image; taken from the first row."""
        return self.first_label.ndim == 2

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, or none; taken from the first row."""
        return self.first_label.ndim == 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """As torchvision names them, in `classes`, or Hugging Face, in `features`; or empty.

        A part of a data set (`random_split`) has those of the whole.
        """
        whole = self.dataset
        while isinstance(whole, Subset):
            whole = whole.dataset
        feature = (getattr(whole, "features", None) or {}).get(self.keys[1])
        names = getattr(whole, "classes", None) or getattr(feature, "names", None)
        return tuple(str(name) for name in names or ())

    @cached_property
    def targets(self) -> Tensor | None:
        """int64 (N,) labels, if `targets`, `labels` or a column has them, else None."""
        known = [getattr(self.dataset, name, None) for name in ("targets", "labels")]
        if self.keys[1] in (getattr(self.dataset, "column_names", None) or ()):
            known.append(self.dataset[self.keys[1]])
        for found in known:
            if found is not None:
                labels = np.asarray(found).reshape(-1)
                if labels.dtype.kind in "iu" and len(labels) == len(self):
                    return torch.from_numpy(labels.astype(np.int64))
        return None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the number of rows, the known labels and some of the images."""
        digest = hashlib.sha256(repr((len(self), self.class_names)).encode())
        digest.update(str(getattr(self.dataset, "digest", "")).encode())  # one that knows its own
        if self.targets is not None:
            digest.update(self.targets.numpy().data)
        rows = np.linspace(0, len(self) - 1, min(len(self), FINGERPRINT_IMAGES)).astype(np.int64)
        with private_generators():
            for row in rows.tolist():
                image, label = self.item(row, EVALUATION)
                digest.update(image.contiguous().numpy().data)
                digest.update(label.contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def shuffled(self) -> Shuffled:
        """How the data set wants its rows shuffled."""
        return getattr(self.dataset, "shuffled", permuted)

    def for_training(self) -> "ItemDataset":
        """The same with what the data set does to training images alone."""
        found = getattr(self.dataset, "for_training", None)
        return self if found is None else replace(self, dataset=found())

    def item(self, row: int, address: Address) -> tuple[Tensor, Tensor]:
        """One image (C, H, W) and its class (), labels (classes,) or mask (H, W).

        Sets the global generators.
        """
        place = address._replace(rank=0, batch=row)
        set_generators(torch_seed(place, Purpose.TRANSFORM))
        pair = self.dataset[row]
        if isinstance(pair, Mapping):
            if not {*self.keys} <= {*pair}:
                raise BadItem(
                    f"row {row} of {self.source} is a dict; it must be a pair of an image and its "
                    "label, or data.image_key and data.label_key must name two of its entries "
                    f"({', '.join(map(str, pair))})"
                )
            pair = tuple(pair[key] for key in self.keys)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise BadItem(
                f"row {row} of {self.source} is a {type(pair).__name__}; it must be a pair of an "
                "image and its label"
            )
        image, label = self.to_tensor(pair[0]), self.to_target(pair[1], row)
        if label.ndim == 2:
            label = self.fitting(label, image, row)
        return self.augmented(self.resized(image), label, place)

    def fitting(self, mask: Tensor, image: Tensor, row: int) -> Tensor:
        """A mask (H, W) resized like its image (C, H, W), which must have the same size before."""
        if mask.shape != image.shape[1:]:
            own, size = (" x ".join(map(str, each)) for each in (mask.shape, image.shape[1:]))
            raise BadItem(
                f"row {row} of {self.source} has a mask of {own} pixels, but its image has {size}; "
                "masks must be as large as their images"
            )
        if self.image_size is None:
            return mask
        size = (self.image_size, self.image_size)
        return F.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0]

    def resized(self, image: Tensor) -> Tensor:
        """The image (C, H, W) resized to `image_size`."""
        return image if self.image_size is None else resize(image[None], self.image_size)[0]

    def augmented(self, image: Tensor, label: Tensor, place: Address) -> tuple[Tensor, Tensor]:
        """Image (C, H, W) and label, augmented for `place`, whose `batch` is the row."""
        if self.augmentation is None:
            return image, label
        if image.dtype != torch.uint8:
            raise BadItem(
                f"images of {self.source} are {image.dtype}, but {type(self.augmentation).__name__}"
                " needs uint8; let the data set give PIL images or uint8 tensors"
            )
        rng = stream(place, Purpose.TRANSFORM)
        if label.ndim < 2:
            return self.augmentation(image[None], rng)[0], label
        images, masks = self.augmentation.with_masks(image[None], label[None], rng)
        return images[0], masks[0]

    def __getitem__(self, key: Key) -> Batch:
        """The batch of a key."""
        address, rows = key
        with private_generators():
            items = [self.item(row, address or EVALUATION) for row in rows.tolist()]
        images, labels = zip(*items, strict=True)
        return Batch(self.stack(images), torch.stack(labels), address, torch.from_numpy(rows))

    def batches(self, keys: Iterable[Key]) -> Iterator[Batch]:
        """The batches of `keys`, read in this process."""
        return map(self.__getitem__, keys)

    def to_tensor(self, image: Any) -> Tensor:
        """A (C, H, W) tensor, uint8 or floating point."""
        if not isinstance(image, Tensor):
            image = torch.from_numpy(channels_first(np.asarray(image)))
        elif image.ndim == 3 and image.shape[2] <= 4 < image.shape[0]:
            raise BadItem(
                f"an image of {self.source} is a tensor of shape {tuple(image.shape)}, channels "
                "last; give image.permute(2, 0, 1)"
            )
        if image.ndim != 3 or not (image.dtype == torch.uint8 or image.dtype.is_floating_point):
            raise BadItem(
                f"an image of {self.source} is {image.dtype} of shape {tuple(image.shape)}; it "
                "must be uint8, or float in [0, 1], as channels x height x width"
            )
        return image

    def to_target(self, label: Any, row: int) -> Tensor:
        """int64 () class, float32 (classes,) labels, or uint8 (H, W) segmentation mask."""
        if isinstance(label, Tensor) and label.ndim == 2:
            return label
        shape = np.shape(label) if isinstance(label, Tensor | np.ndarray | list | tuple) else ()
        several = self.several if self.several is not None else len(shape) == 1 and shape[0] > 1
        return self.to_labels(label, row) if several else torch.tensor(self.to_label(label, row))

    def to_labels(self, labels: Any, row: int) -> Tensor:
        """float32 (classes,), 1 for each class that the image has."""
        try:
            found = torch.as_tensor(np.asarray(labels, dtype=np.float32))
        except (TypeError, ValueError):
            found = torch.full((1,), -1.0)
        count = self.num_classes or len(found)
        if found.shape != (count,) or not bool(((found == 0) | (found == 1)).all()):
            raise BadItem(
                f"row {row} of {self.source} has labels {labels!r}; they must be {count} numbers, "
                "0 or 1 for each class"
            )
        return found

    def to_label(self, label: Any, row: int) -> int:
        try:
            number = int(label) if int(label) == label else -1
        except (TypeError, ValueError, RuntimeError):
            number = -1
        if number < 0 or (self.num_classes is not None and number >= self.num_classes):
            classes = "" if self.num_classes is None else f" below {self.num_classes}"
            raise BadItem(
                f"row {row} of {self.source} has label {label!r}; a label must be one whole "
                f"number{classes}, counted from 0"
            )
        return number

    def stack(self, images: Sequence[Tensor]) -> Tensor:
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) > 1:
            raise BadItem(
                f"images of {self.source} differ in shape, {shapes[0]} and {shapes[1]}; set "
                "data.image_size"
            )
        return torch.stack(list(images))


def channels_first(array: np.ndarray) -> np.ndarray:
    """A writable (C, H, W) copy of an (H, W), (H, W, C) or (C, H, W) array."""
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[2] <= 4 < array.shape[0]:
        array = array.transpose(2, 0, 1)
    return np.array(array, order="C")
