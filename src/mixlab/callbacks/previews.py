"""Pictures of what the network is shown: a mixed batch at epochs 0 and 1 and the last."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from mixlab.callbacks.mixing import mixing_callbacks
from mixlab.data import DataSpec, ImageDataModule
from mixlab.loggers.pictures import log_picture
from mixlab.mixing import MixedBatch


class Previews(pl.Callback):
    """Draw the first batch of epochs 0, 1 and the last, before and after mixing, with its labels.

    Its first rows, or where few of them are mixed, rows chosen to include mixed ones.

    Args:
        folder: Where `mixed-epoch-<n>.png` goes; W&B and TensorBoard get it too.
        class_names: Names for the captions.
    """

    def __init__(self, folder: Path, class_names: tuple[str, ...] | None = None) -> None:
        self.folder = folder
        self.class_names = class_names

    @rank_zero_only
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if batch_idx != 0 or trainer.current_epoch not in (0, 1, (trainer.max_epochs or 0) - 1):
            return
        wrong_labels: dict[int, tuple[int, int]] | None = None
        data = getattr(trainer, "datamodule", None)
        for callback in mixing_callbacks(trainer):
            if callback.seen is not None:
                if wrong_labels is None and isinstance(data, ImageDataModule):
                    wrong_labels = data.wrong_labels(callback.seen.before)
                name = f"mixed{callback.position or ''}"
                spec = data.spec if isinstance(data, ImageDataModule) else None
                self.draw(trainer, callback.seen, name, wrong_labels, spec)

    def draw(
        self,
        trainer: pl.Trainer,
        seen: MixedBatch,
        name: str,
        wrong_labels: dict[int, tuple[int, int]] | None = None,
        spec: DataSpec | None = None,
    ) -> None:
        """One picture, to the folder and to the loggers that take pictures."""
        from mixlab.pictures import mixed_batch
        from mixlab.pictures.looks import look_of

        look = look_of(spec) if spec else None
        if look is None and seen.before.images.ndim != 4:
            return  # nobody knows what these rows are
        names = self.class_names
        picture = mixed_batch(*seen, names, wrong_labels=wrong_labels, look=look)
        self.folder.mkdir(parents=True, exist_ok=True)
        picture.save(self.folder / f"{name}-epoch-{trainer.current_epoch}.png")
        log_picture(trainer.loggers, name, picture, trainer.global_step)
