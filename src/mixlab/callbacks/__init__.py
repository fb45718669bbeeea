"""What happens beside the plain training loop."""

from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.previews import Previews
from mixlab.callbacks.record import RunRecord
from mixlab.callbacks.seeding import Seeding
from mixlab.callbacks.stopping import GracefulStop, Interrupted

__all__ = ["GracefulStop", "Interrupted", "MixingCallback", "Previews", "RunRecord", "Seeding"]
