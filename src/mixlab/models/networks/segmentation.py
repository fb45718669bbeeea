"""Networks of torchvision that say the class of each pixel."""

import difflib

from torch import Tensor, nn

from mixlab.data.spec import ImageSpec


class Segmentation(nn.Module):
    """A segmentation network of torchvision, from scratch: (B, 3, H, W) to (B, classes, H, W).

    Args:
        spec: of the data.
        name: as torchvision knows it: `lraspp_mobilenet_v3_large`, `fcn_resnet50`, ...
        kwargs: of the network's function in `torchvision.models.segmentation`.

    Raises:
        ValueError: for an unknown name, or images without three channels.
    """

    def __init__(self, spec: ImageSpec, *, name: str, **kwargs: object) -> None:
        from torchvision.models import get_model, list_models, segmentation

        super().__init__()
        names = list_models(module=segmentation)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
            raise ValueError(f"torchvision has no segmentation network {name!r}; try {near}")
        if spec.channels != 3:
            remedy = "use images of three channels"
            raise ValueError(f"{name} takes colour images, got {spec.channels} channels; {remedy}")
        kwargs = {"weights": None, "weights_backbone": None, **kwargs}
        self.model = get_model(name, num_classes=spec.num_classes, **kwargs)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each pixel."""
        return self.model(images)["out"]
