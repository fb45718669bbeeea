"""What a model has to know of the data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSpec:
    """Shape of one image, as (channels, height, width) in pixels, and the names of the classes."""

    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)
