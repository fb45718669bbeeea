"""What happens beside the plain training loop.

Those that only our own runs use are not named here, so that Lightning is all that these need.
"""

from mixlab.errors import train_extra

with train_extra("mixlab.callbacks"):
    from mixlab.callbacks.activation_mixing import ActivationMixingCallback
    from mixlab.callbacks.attention_mixing import AttentionMixingCallback
    from mixlab.callbacks.divergence import Diverged, StopOnDivergence
    from mixlab.callbacks.ema import EMA
    from mixlab.callbacks.external_batch import TupleBatches
    from mixlab.callbacks.hidden_mixing import HiddenMixingCallback
    from mixlab.callbacks.last_checkpoint import LastCheckpoint
    from mixlab.callbacks.learned_mixing import LearnedMixingCallback
    from mixlab.callbacks.mixing import MixingCallback
    from mixlab.callbacks.seeding import Seeding
    from mixlab.callbacks.step_loss import STEP_LOSS, StepLoss
    from mixlab.callbacks.stopping import GracefulStop, Interrupted

__all__ = [
    "ActivationMixingCallback", "AttentionMixingCallback", "Diverged", "EMA", "GracefulStop",
    "HiddenMixingCallback", "Interrupted", "LastCheckpoint", "LearnedMixingCallback",
    "MixingCallback", "STEP_LOSS", "Seeding", "StepLoss", "StopOnDivergence", "TupleBatches",
]  # fmt: skip
