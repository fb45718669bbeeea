"""What happens beside the plain training loop."""

from mixlab.callbacks.divergence import Diverged, StopOnDivergence
from mixlab.callbacks.ema import EMA
from mixlab.callbacks.epoch_lines import EpochLines
from mixlab.callbacks.last_checkpoint import LastCheckpoint
from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.previews import Previews
from mixlab.callbacks.run_record import Heartbeat, RunRecord
from mixlab.callbacks.seeding import Seeding
from mixlab.callbacks.step_loss import STEP_LOSS, StepLoss
from mixlab.callbacks.stopping import GracefulStop, Interrupted

__all__ = [
    "Diverged", "EMA", "EpochLines", "GracefulStop", "Heartbeat", "Interrupted", "LastCheckpoint",
    "MixingCallback", "Previews", "RunRecord", "STEP_LOSS", "Seeding", "StepLoss",
    "StopOnDivergence",
]  # fmt: skip
