"""What happens beside the plain training loop."""

from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.previews import Previews
from mixlab.callbacks.record import RunRecord
from mixlab.callbacks.seeding import Seeding

__all__ = ["MixingCallback", "Previews", "RunRecord", "Seeding"]
