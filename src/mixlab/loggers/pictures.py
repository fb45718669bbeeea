"""Send pictures to the loggers that accept them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger


def log_picture(loggers: Iterable[Any], name: str, picture: Any, step: int = 0) -> None:
    """Log a PIL picture to W&B and TensorBoard under `pictures/`; skip other loggers."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"pictures/{name}", [picture])
        elif isinstance(logger, TensorBoardLogger):
            pixels = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)  # uint8 (3, H, W)
            logger.experiment.add_image(f"pictures/{name}", pixels, step)
