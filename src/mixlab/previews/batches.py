"""The images a picture is made of: from a data configuration, a run, or picture files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from torch import Tensor

from mixlab.callbacks import HiddenMixingCallback, MixingCallback
from mixlab.callbacks.layers import INPUT
from mixlab.config.build import build
from mixlab.config.checks import compose_plain
from mixlab.config.keys import config_dir
from mixlab.data import ImageDataModule, ImageSpec
from mixlab.data.preprocess import one_hot
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, MixedBatch, Purpose, stream
from mixlab.pictures.looks import Look, look_of
from mixlab.previews.files import names_of, read_pictures
from mixlab.previews.notes import check_has_picture
from mixlab.previews.replay import Replay, batch_from, replay
from mixlab.previews.untrained import with_untrained
from mixlab.training.build import build_data


@dataclass(frozen=True)
class Rows:
    """One batch, augmented but not mixed, and how to show it.

    Attributes:
        batch: float images (B, C, H, W), or other rows (B, ...), targets (B, num_classes), and an
            address.
        class_names: of the targets' columns.
        what: the batch in words.
        scale: `mean` and `std` of the normalization of images, or the `look` of other rows; empty
            where there is neither.
        data: the data module it comes from, None for picture files.
        replayed: the run it comes from, if any.
    """

    batch: Batch
    class_names: Sequence[str] | None
    what: str
    scale: dict[str, Any]
    data: ImageDataModule | None = None
    replayed: Replay | None = None

    @property
    def wrong_labels(self) -> dict[int, tuple[int, int]]:
        """See `ImageDataModule.wrong_labels`."""
        return self.data.wrong_labels(self.batch) if self.data else {}

    @property
    def look(self) -> Look | None:
        """How the rows are drawn if they are no images."""
        return self.scale.get("look")

    @property
    def address(self) -> Address:
        assert self.batch.address is not None
        return self.batch.address


def rows_from(cfg: DictConfig) -> Rows:
    """The rows that `images`, `run` or else `data` names."""
    if cfg.images is not None:
        return rows_of_files(cfg)
    if cfg.run is not None:
        replayed = replay(cfg)
        rows = rows_of_data(replayed.data, replayed.seen[0].before, words_of(cfg, replayed))
        return replace(rows, replayed=replayed)
    data = build_data(cfg)
    what = f"batch {cfg.batch} of epoch {cfg.epoch} of {data.name}"
    return rows_of_data(data, batch_of(cfg, data), what)


def rows_of_data(data: ImageDataModule, batch: Batch, what: str) -> Rows:
    return Rows(batch, data.spec.class_names, what, scale_of(data), data)


def scale_of(data: ImageDataModule) -> dict[str, Any]:
    """How rows are drawn, see `Rows.scale`; raises UserError for rows that no picture shows."""
    if isinstance(data.spec, ImageSpec):
        normal = data.prepare.normalize
        return {"mean": normal.mean, "std": normal.std} if normal else {}
    look = look_of(data.spec)
    if look is None:
        raise UserError(
            f"{data.name} has {data.spec.words}, and only images and rows of one or two axes have "
            "a picture; mixing/own_share and mixing/mixed_rows in a run's metrics.csv say how much "
            "is mixed"
        )
    return {"look": look}


def batch_of(cfg: DictConfig, data: ImageDataModule) -> Batch:
    """A training batch of a configuration, augmented, not mixed.

    Raises:
        ValueError: the epoch has no such batch.
    """
    number = len(data.train_dataloader())
    if not 0 <= cfg.batch < number:
        raise UserError(f"batch={cfg.batch} is beyond the epoch's {number} batches")
    address = Address(cfg.seed, 0, cfg.epoch, cfg.batch)
    return data.on_after_batch_transfer(batch_from(data, address), 0)


def batch_at(cfg: DictConfig, data: ImageDataModule) -> MixedBatch:
    """One training batch before and after mixing, and the blend between."""
    return mixed(cfg, batch_of(cfg, data))


def mixed(cfg: DictConfig, batch: Batch) -> MixedBatch:
    """A batch before and after mixing with `cfg.mixing`."""
    if not cfg.get("mixing"):
        raise UserError("mixing=none leaves a batch as it is; name a method, as in mixing=mixup")
    callback = build(cfg.mixing, allow=cfg.get("allow", ()))
    if isinstance(callback, HiddenMixingCallback):
        check_has_picture(callback)
        callback.names = [INPUT]
    images, targets = batch
    callback.bound = with_untrained(callback.method, cfg, images, range(targets.shape[1]))
    check_each_takes(callback.bound, batch)
    return callback.mix(batch)


def check_each_takes(method: Any, batch: Batch) -> None:
    """Raise ValueError if one of the methods that a method chooses from cannot mix the rows.

    The draw for this picture may choose another one. Images are mixed by all.
    """
    if batch.images.ndim < 4:
        images, targets = batch
        for each in getattr(method, "methods", ()):
            each(images, targets, stream(Address(0), Purpose.PREVIEW))


def words_of(cfg: DictConfig, replayed: Replay) -> str:
    """A replayed batch in words, with what may keep it from being bit-identical."""
    what = f"batch {cfg.batch} of epoch {cfg.epoch} of {cfg.run}"
    if cfg.rank > 0:
        what += f", process {cfg.rank}"
    if replayed.notes:
        what += f" (perhaps not bit-identical: {'; '.join(replayed.notes)})"
    return what


def rows_of_files(cfg: DictConfig) -> Rows:
    """Picture files, each of the class in `labels`, by default each of its own class.

    Raises:
        ValueError: a file cannot be read, or there are not as many labels as pictures.
    """
    files = many(cfg.images)
    labels = many(cfg.labels) if cfg.labels is not None else names_of(files)
    if len(labels) != len(files):
        raise UserError(
            f"labels names {len(labels)} and images {len(files)}; give each picture a label"
        )
    names = list(dict.fromkeys(labels))
    images = read_pictures(files)
    targets = one_hot(torch.tensor([names.index(label) for label in labels]), len(names))
    address = Address(cfg.seed, 0, cfg.epoch, cfg.batch)
    batch = Batch(images, targets, address, torch.arange(len(files)))
    height, width = images.shape[-2:]
    words = "a picture" if len(files) == 1 else f"{len(files)} pictures"
    return Rows(batch, names, f"{words} of {height} x {width} pixels", {})


def many(value: Any) -> list[str]:
    """One or several words of the command line as a list; raises ValueError for an empty one."""
    words = [value] if isinstance(value, str | int | float) else value
    if not words:
        raise UserError("images=[] names no picture; give files, as in images=[a.jpg,b.jpg]")
    return [str(word) for word in words]


def first_two(cfg: DictConfig, rows: Rows) -> tuple[Tensor, Tensor]:
    """Images and targets of the first two rows.

    Raises:
        ValueError: there are fewer, or more than two picture files were given.
    """
    images, targets = rows.batch
    if len(images) < 2 or (cfg.images is not None and len(images) > 2):
        raise UserError(
            f"show={cfg.show} takes two pictures, got {len(images)}; give images=[a.jpg,b.jpg]"
        )
    return images[:2], targets[:2]


def shipped_methods(cfg: DictConfig) -> dict[str, Any]:
    """The methods of the files in `mixing/`, by file name, without those that mix nothing."""
    return {name: callback.method for name, callback in shipped_callbacks(cfg).items()}


def shipped_callbacks(cfg: DictConfig) -> dict[str, MixingCallback]:
    """The callbacks of the same files, by file name."""
    nodes = shipped_configs("preview").items()
    return {name: build(node.mixing, allow=cfg.allow) for name, node in nodes}


def shipped_configs(config_name: str, *words: str) -> dict[str, DictConfig]:
    """A configuration with each file of `mixing/` in turn, by file name, as above.

    `words` are those of a command line, such as `model=cnn`.
    """
    if GlobalHydra.instance().is_initialized():
        return with_each_mixing(config_name, words)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return with_each_mixing(config_name, words)


def with_each_mixing(config_name: str, words: tuple[str, ...]) -> dict[str, DictConfig]:
    """The same, of the files that Hydra finds."""
    loader = GlobalHydra.instance().config_loader()
    names = [name for name in loader.get_group_options("mixing") if name[:1] != "_"]
    found = {name: compose_plain(loader, config_name, (f"mixing={name}", *words)) for name in names}
    return {name: cfg for name, cfg in found.items() if cfg.mixing.method.get("_target_")}
