"""Pictures of what mixing and augmentation do: tiles with captions that say the label."""

from mixlab.pictures.batch import mixed_batch
from mixlab.pictures.captions import describe_label

__all__ = ["describe_label", "mixed_batch"]
