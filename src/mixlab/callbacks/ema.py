"""An exponential moving average of the weights, by Lightning, that has forgotten where it began."""

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from mixlab.checks import BELOW_1


class EMA(WeightAveraging):
    """Validation, test and checkpoints get the average; after n updates it decays by
    min(decay, (1 + n) / (10 + n)), or a short training would end near its initial weights.

    The warm-up is the one of TensorFlow's `ExponentialMovingAverage` and of timm.

    Args:
        decay: in [0, 1); what is kept of the average at each step in the long run.
    """

    def __init__(self, decay: float = 0.999) -> None:
        BELOW_1.check("callbacks.ema.decay", decay)

        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            updates = updates if isinstance(updates, Tensor) else averaged.new_tensor(updates)
            kept = ((1 + updates) / (10 + updates)).clamp(max=decay)  # no GPU is waited for
            return kept * averaged + (1 - kept) * current

        super().__init__(avg_fn=average)
