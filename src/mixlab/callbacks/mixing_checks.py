"""What data and trainer must have for a way of mixing, checked when training begins."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from mixlab.errors import UserError
from mixlab.mixing import Method, Policy
from mixlab.mixing.methods.method import picture_size
from mixlab.mixing.partners import CONFUSABLE


def check_fits_targets(
    policy: Policy, is_ablated: bool, *, several: bool = False, masks: bool = False
) -> None:
    """Raise UserError if targets are not what an ablation or a probability of classes needs."""
    what = "masks" if masks else "several labels an image" if several else None
    if what and policy.class_probability is not None:
        raise UserError(
            f"mixing.class_probability needs one class an image, and these data have {what}; use "
            "mixing.probability"
        )
    if masks and is_ablated:
        raise UserError(
            "mixing.mix=inputs and labels are for labels of images, not for masks; use mix=both"
        )


def check_has_pictures(method: Method, data: Any, world_size: int) -> None:
    """Raise UserError if the rows of an `ImageDataModule` have no height and width."""
    rows = -(-data.batch_size // world_size)
    picture_size(torch.empty(()).expand(rows, *data.spec.shape), type(method).__name__)


def check_network_rule(rule: str, trainer: pl.Trainer, data: Any) -> None:
    """Raise UserError where a rule that asks the network cannot."""
    check_whole(trainer, f"mixing.partners={rule}")
    missing = without_validation(trainer, data) if rule == CONFUSABLE else None
    if missing is not None:
        raise UserError(
            "mixing.partners=confusable counts what is confused in validation, and there is none; "
            f"{missing}, or use other_class"
        )


def without_validation(trainer: pl.Trainer, data: Any) -> str | None:
    """What to do to have a validation; None where there is one."""
    if not getattr(data, "has_validation", True):
        return "set data.val_size=0.1"
    if not trainer.limit_val_batches:
        return "leave out trainer.limit_val_batches=0"
    if not trainer.enable_validation:
        return "give fit a validation loader and the model a validation_step"
    return None


def check_whole(trainer: pl.Trainer, what: str) -> None:
    """Raise UserError where no process has the whole network, at which `what` looks."""
    strategy = trainer.strategy
    if isinstance(strategy, ModelParallelStrategy | FSDPStrategy | DeepSpeedStrategy):
        raise UserError(
            f"{what} looks at the network, of which {type(strategy).__name__} leaves each process "
            "a part; use trainer=ddp"
        )
