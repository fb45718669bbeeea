"""MixCollate: mixing in a DataLoader's collate function, `DataLoader(..., collate_fn=...)`.

In a training loop, `mixlab.mixing.Mixer` on the device is faster and is told where it is; this is
for code that leaves only the loader to change.
"""

from collections.abc import Callable, MutableMapping
from copy import copy
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from mixlab.checks import BATCH_KEYS, NUM_CLASSES, check_fields
from mixlab.errors import UserError
from mixlab.mixing import Method, Policy, soft_labels
from mixlab.mixing.binding import needs_network
from mixlab.mixing.counter import CallCounter
from mixlab.mixing.methods.method import check_callback
from mixlab.mixing.mixer import warn_of_one_row
from mixlab.mixing.partners import ACROSS_RANKS

USUAL_PAIRS = (("image", "label"), ("images", "labels"), ("pixel_values", "labels"))


class MixCollate:
    """Collates rows, then mixes images and labels of the batch.

    Batches are numbered by counting, see `CallCounter`. Call `set_epoch(epoch)` before each epoch:
    draws are then a function of seed, rank, epoch and batch, and do not depend on the number of
    workers. Two limits: with `in_order=False` a batch may go to another worker than its turn, and
    with `persistent_workers=True` the workers go on with an epoch that is broken off while the next
    one is numbered. In both, draws are as random as ever, but those of other runs differ.

    Args:
        method, policy: as of `Mixer`; nothing in them changes over the training, or looks at the
            network being trained.
        num_classes: C, for labels that are class numbers.
        keys: of images and labels in a collated batch; by default 0 and 1 of a tuple or list, and
            `image` and `label`, `images` and `labels` or `pixel_values` and `labels` of a dict.
        collate: from rows to a batch, before mixing; torch's by default.
        seed, rank: see `CallCounter`: by default torch's seed and the rank of torch.distributed.

    Raises:
        UserError: an argument is out of its range, or the method or the policy cannot work here.
    """

    def __init__(
        self,
        method: Method,
        policy: Policy | None = None,
        num_classes: int | None = None,
        *,
        keys: tuple[str | int, str | int] | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
        seed: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.method, self.policy = method, policy or Policy()
        self.num_classes, self.keys, self.collate = num_classes, keys, collate
        check_fields(self, num_classes=NUM_CLASSES, keys=BATCH_KEYS)
        check_callback(method, self)
        self.policy.check(method)
        check_needs_rows_alone(method, self.policy)
        self.counter = CallCounter(seed, rank)

    def set_epoch(self, epoch: int) -> None:
        """Say that an epoch begins, before the loader is iterated; workers see it too."""
        self.counter.set_epoch(epoch)

    def __call__(self, rows: list[Any]) -> Any:
        """The batch of `rows` with mixed images (B, ...) and float targets (B, C)."""
        batch = self.collate(rows)
        first, second = self.keys or usual_keys(batch)
        images, labels = entry(batch, first), entry(batch, second)
        targets = soft_labels(labels, self.num_classes, images.dtype)
        address = self.counter.next_address()
        blend = self.policy.draw(self.method, images, targets, address)
        warn_of_one_row(blend)
        images, targets = blend.mix(images, targets)
        return with_entries(batch, {first: images, second: targets})


def check_needs_rows_alone(method: Method, policy: Policy) -> None:
    """Raise UserError where a draw needs what a collate function does not know."""
    if policy.over_time or policy.partners == ACROSS_RANKS:
        raise UserError(
            "a collate function knows neither the progress of the training nor other ranks; leave "
            "out schedule and alpha_schedule and use another partner rule, or "
            "mixlab.callbacks.MixingCallback"
        )
    if needs_network(method):
        raise UserError(
            f"{type(method).__name__} looks at the network being trained, which a collate function "
            "does not have; use mixlab.callbacks.MixingCallback or Mixer(method, network=net, ...)"
        )


def usual_keys(batch: Any) -> tuple[str | int, str | int]:
    """Where images and labels are in a batch of a usual form.

    Raises:
        UserError: it has another form.
    """
    names = getattr(batch, "_fields", batch if isinstance(batch, MutableMapping) else None)
    if names is None and isinstance(batch, tuple | list) and len(batch) >= 2:
        return 0, 1
    for pair in USUAL_PAIRS:
        if names is not None and all(key in names for key in pair):
            return pair
    found = type(batch).__name__ + (f" of {', '.join(map(str, names))}" if names else "")
    raise UserError(
        f"MixCollate finds no images and labels in a {found}; name the two, as in "
        "MixCollate(method, keys=('photo', 'gt'))"
    )


def entry(batch: Any, key: str | int) -> Tensor:
    """A tensor of a batch by key, position or field.

    Raises:
        UserError: it is not there, or not a tensor.
    """
    try:
        is_field = isinstance(key, str) and hasattr(batch, "_fields")
        value = getattr(batch, key) if is_field else batch[key]  # pyright: ignore
    except (KeyError, IndexError, AttributeError, TypeError):
        kind = type(batch).__name__
        raise UserError(f"there is no {key!r} in the {kind} of a batch; correct keys") from None
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise UserError(f"entry {key!r} of a batch is a {kind}; stack it to a tensor in collate")
    return value


def with_entries(batch: Any, entries: dict[Any, Tensor]) -> Any:
    """A batch of the same kind with other tensors at some places."""
    if isinstance(batch, MutableMapping):
        made = copy(batch)
        made.update(entries)
        return made
    values, names = list(batch), getattr(batch, "_fields", ())
    for key, value in entries.items():
        values[names.index(key) if key in names else key] = value
    return type(batch)(*values) if hasattr(batch, "_fields") else type(batch)(values)
