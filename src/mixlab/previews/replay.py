"""Rebuild any training batch of a run from its address, bit-identical on the same device."""

from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from mixlab.callbacks import HiddenMixingCallback, MixingCallback
from mixlab.callbacks.mixing import length_in_epochs, mixing_callbacks
from mixlab.config.build import build, plain
from mixlab.data import ImageDataModule
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Blend, MixedBatch
from mixlab.mixing.binding import needs_network
from mixlab.mixing.partners import ACROSS_RANKS
from mixlab.previews.notes import notes_of_run
from mixlab.runs.atomic import read_json
from mixlab.runs.provenance import BATCHES, check_code, check_same_data, versions
from mixlab.runs.records import read_config
from mixlab.runs.status import Status
from mixlab.training.build import build_callbacks, build_data, set_up_process
from mixlab.training.model import build_model

ONE_PROCESS = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "profiler": None,
    "deterministic": False, "detect_anomaly": False, "enable_progress_bar": False,
}  # fmt: skip


@dataclass(frozen=True)
class Replay:
    """A batch as it was trained on: `seen` once for each mixing callback, in their order.

    Attributes:
        notes: what may keep it from being bit-identical.
        left_out: what its picture does not show.
    """

    data: ImageDataModule
    cfg: DictConfig
    address: Address
    batch: Batch
    seen: list[MixedBatch]
    processes: int
    notes: list[str]
    left_out: list[str]


def replay(cfg: DictConfig) -> Replay:
    """Rebuild batch `cfg.batch` of epoch `cfg.epoch` of process `cfg.rank` of the run `cfg.run`.

    Raises:
        ValueError: the run has no such batch, or the data or the code that makes batches changed.
    """
    folder = Path(cfg.run)
    run_cfg = read_config(folder, cfg)
    record = read_json(folder / "run.json")
    check_code(record, cfg.allow, BATCHES)
    run_cfg.data.num_workers = 0  # their number changes nothing but the time
    set_up_process(run_cfg)
    data = build_data(run_cfg)
    check_same_data(record, data)
    trainer = bare_trainer(run_cfg, data)
    check_replayable(trainer)
    address = Address(run_cfg.seed, cfg.rank, cfg.epoch, cfg.batch)
    processes = (record.get("devices") or 1) * run_cfg.trainer.num_nodes
    check_address(address, processes, trainer, record)
    all_ranks(data, trainer, address, processes)
    attach_network(run_cfg, data, trainer)
    for callback in mixing_callbacks(trainer):
        callback.learn(data, processes)
    after = data.on_after_batch_transfer(batch_from(data, address, processes), 0)
    seen = [callback.seen for callback in mixing_callbacks(trainer) if callback.seen is not None]
    seen = seen or [MixedBatch(after, after, Blend.identity(len(after.images)))]
    unseen = [note for each in mixing_callbacks(trainer) for note in notes_of_run(each, address)]
    return Replay(data, run_cfg, address, after, seen, processes, notes(record), unseen)


def attach_network(cfg: DictConfig, data: ImageDataModule, trainer: pl.Trainer) -> None:
    """Build the run's network where features are mixed: their shapes decide what is drawn."""
    hidden = [each for each in mixing_callbacks(trainer) if isinstance(each, HiddenMixingCallback)]
    if hidden:
        model = build_model(cfg, data)
        for callback in hidden:
            callback.attach(model)


def notes(record: dict[str, Any]) -> list[str]:
    """What may keep a replayed batch from being bit-identical."""
    device, before, now = record.get("accelerator"), record.get("versions", {}), versions()
    found = []
    if device not in (None, "cpu"):
        found.append(f"it was mixed on {device}, here on cpu")
    for package in ("numpy", "torch", "torchvision"):
        if package in before and before[package] != now.get(package):
            found.append(f"it was made by {package} {before[package]}, here {now.get(package)}")
    return found


def bare_trainer(cfg: DictConfig, data: ImageDataModule) -> pl.Trainer:
    """A trainer with the run's length, precision and mixing, in one process; it does not train."""
    allow = cfg.get("allow", ())
    mixing = [build(cfg.mixing, allow=allow)] if cfg.get("mixing") else []
    callbacks = [*build_callbacks(cfg, data), *mixing]
    trainer = build(
        {**plain(cfg.trainer), **ONE_PROCESS},
        callbacks=[each for each in callbacks if isinstance(each, MixingCallback)],
        logger=False,
        enable_checkpointing=False,
        allow=allow,
    )
    data.trainer = trainer
    trainer.fit_loop.max_batches = batches_an_epoch(trainer, data)
    for position, callback in enumerate(mixing_callbacks(trainer)):
        callback.position = position
        callback.set_length(length_in_epochs(trainer), trainer.fit_loop.max_batches)
    return trainer


def batches_an_epoch(trainer: pl.Trainer, data: ImageDataModule) -> int:
    """Training batches of an epoch, as `trainer.limit_train_batches` leaves them."""
    limit, whole = trainer.limit_train_batches, len(data.train_dataloader())
    return min(limit, whole) if isinstance(limit, int) else int(whole * limit)


def check_replayable(trainer: pl.Trainer) -> None:
    """Raise UserError for a method that looked at weights which no run keeps."""
    for callback in mixing_callbacks(trainer):
        if needs_network(callback.method):
            raise UserError(
                f"{type(callback.method).__name__} mixed this run as the network was at each step, "
                "and those weights are not kept; the run's figures folder has what it made of a "
                "batch, and mixlab-preview mixing=... shows the method"
            )


def check_address(
    address: Address, processes: int, trainer: pl.Trainer, record: dict[str, Any]
) -> None:
    """Raise ValueError if the run has no such batch."""
    batches, length = int(trainer.num_training_batches), length_in_epochs(trainer)
    epochs = record.get("epochs") if record.get("status") == Status.FINISHED else None
    epochs = length if epochs is None else min(epochs, length)
    for name, number, end, what in (
        ("rank", address.rank, processes, "processes"),
        ("batch", address.batch, batches, "batches of an epoch"),
        ("epoch", address.epoch + address.batch / batches, epochs, "epochs"),
    ):
        if number < 0 or number >= end:
            given = getattr(address, name)
            raise UserError(f"{name}={given} is beyond the run's {end:g} {what}; they count from 0")


def batch_from(data: ImageDataModule, address: Address, processes: int = 1) -> Batch:
    """The rows at an address as the loader yields them."""
    loader = data.train_dataloader()
    loader.plan = replace(loader.plan, rank=address.rank, world_size=processes)
    loader.load_state_dict({"epoch": address.epoch, "position": address.batch})
    return next(iter(loader))


def all_ranks(data: ImageDataModule, trainer: pl.Trainer, address: Address, processes: int) -> None:
    """Let `partners=across_ranks` find the batches of the other processes, made here again.

    Raises:
        UserError: the run has several mixing callbacks, the second of which mixes mixed rows.
    """
    callbacks = mixing_callbacks(trainer)
    across = [each for each in callbacks if each.policy.partners == ACROSS_RANKS]
    if processes > 1 and across and len(callbacks) > 1:
        raise UserError(
            "a batch of several mixing callbacks with partners=across_ranks cannot be mixed again "
            "in one process; preview a run with one of them"
        )

    def made_again(batch: Batch) -> list[Batch]:
        places = [address._replace(rank=rank) for rank in range(processes)]
        return [
            batch if place == address else data.prepare(batch_from(data, place, processes), place)
            for place in places
        ]

    for callback in across:
        callback.gather = made_again


def unaugmented(data: ImageDataModule, address: Address, processes: int = 1) -> Batch:
    """The rows at an address, neither augmented nor mixed."""
    bare = copy(data)
    bare.augmentation = None
    bare.prepare = replace(data.prepare, augmentation=None)
    return bare.prepare(batch_from(bare, address, processes), address)
