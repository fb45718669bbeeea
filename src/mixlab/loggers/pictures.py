"""Pictures to the dashboards that take them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger


def log_picture(loggers: Iterable[Any], name: str, picture: Any, step: int = 0) -> None:
    """Give a PIL picture to W&B and TensorBoard, under `pictures/`; other loggers take none."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"pictures/{name}", [picture])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"pictures/{name}", pixels_of(picture), step)


def pixels_of(picture: Any) -> np.ndarray:
    """A picture as uint8 (3, H, W)."""
    return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
