"""What happens beside the plain training loop."""

from mixlab.callbacks.divergence import Diverged, StopOnDivergence
from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.previews import Previews
from mixlab.callbacks.record import RunRecord
from mixlab.callbacks.seeding import Seeding
from mixlab.callbacks.stopping import GracefulStop, Interrupted

__all__ = [
    "Diverged", "GracefulStop", "Interrupted", "MixingCallback", "Previews", "RunRecord", "Seeding",
    "StopOnDivergence",
]  # fmt: skip
