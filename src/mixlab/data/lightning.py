"""The data sets of a LightningDataModule of the user's."""

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch.utils.data.dataloader import default_collate

from mixlab.data.spec import Datasets
from mixlab.errors import UserError

HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
INSTEAD = (
    "let the data sets do it, or keep the data module and mix with MixingCallback in your own "
    "Trainer (docs/own-project.md)"
)


@dataclass(frozen=True)
class LightningSource:
    """The map-style data sets behind the loaders of a LightningDataModule.

    They are served by mixlab's own loaders, which make the order a function of the seed, resume
    within an epoch and mix on the device. So the module may do nothing to batches that these
    loaders would not do: no collate function, no sampler, no hooks.

    Attributes:
        module: has `train_dataloader`, and `val_dataloader` and `test_dataloader` if there are
            such data. Each process calls its `prepare_data`, then `setup`.
    """

    module: Any

    def splits(self) -> Datasets:
        module = self.module
        if not isinstance(module, pl.LightningDataModule):
            raise UserError(
                f"data.source.module is a {type(module).__name__}, not a LightningDataModule; a "
                "data set of yours is data=torch data.source.train._target_=..."
            )
        for hook in HOOKS:
            if is_overridden(hook, module, pl.LightningDataModule):
                raise UserError(f"{self.name} has a hook {hook}, which would not run; {INSTEAD}")
        module.prepare_data()
        module.setup("fit")
        train, val = self.dataset("train"), self.dataset("val")
        if is_overridden("test_dataloader", module, pl.LightningDataModule):
            module.setup("test")
        return Datasets(train, val, self.dataset("test"))

    @property
    def name(self) -> str:
        return type(self.module).__name__

    def dataset(self, stage: str) -> Any:
        """The data set of a stage; None if the module has no such loader."""
        method = f"{stage}_dataloader"
        if stage != "train" and not is_overridden(method, self.module, pl.LightningDataModule):
            return None
        loader = getattr(self.module, method)()
        if not isinstance(loader, DataLoader):
            raise UserError(
                f"{self.name}.{method}() returned a {type(loader).__name__}; it must return one "
                "torch.utils.data.DataLoader"
            )
        if loader.collate_fn is not default_collate:
            raise UserError(
                f"{self.name}.{method}() has its own collate_fn, which would not run; {INSTEAD}"
            )
        if stage == "train":
            self.check_order(loader)
        return loader.dataset

    def check_order(self, loader: DataLoader) -> None:
        """Raise UserError if the training loader does more than shuffle."""
        known = isinstance(loader.sampler, RandomSampler | SequentialSampler)
        whole = known and len(loader.sampler) == len(loader.dataset)  # pyright: ignore
        if not whole or type(loader.batch_sampler) is not BatchSampler:
            raise UserError(
                f"{self.name}.train_dataloader() has a {type(loader.sampler).__name__} of its own, "
                "which would not run; return a DataLoader with shuffle=True"
            )
