"""Dropout without a past: torch's generators are set from the address before each batch."""

from typing import Any

import pytorch_lightning as pl
import torch

from mixlab.mixing import Address, Batch, Purpose, torch_seed


class Seeding(pl.Callback):
    """Set torch's generators (CPU and this rank's GPU) from (seed, rank, epoch, batch).

    So ranks draw different numbers, nothing random is saved, and a resumed run goes on as if it
    had never stopped.

    Args:
        seed: The run's seed, for batches that carry no address.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        address = batch.address if isinstance(batch, Batch) else None
        if address is None:
            address = Address(self.seed, trainer.global_rank, trainer.current_epoch, batch_idx)
        seed = torch_seed(address, Purpose.DROPOUT)
        # Not torch.manual_seed: it takes a hundred times as long on a CUDA build.
        torch.default_generator.manual_seed(seed)
        device = pl_module.device
        if device.type == "cuda":
            torch.cuda.default_generators[device.index or 0].manual_seed(seed)
