"""Every method there is, found through its config, and pictures whose pixels are their label."""

from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from helpers.any_network import AnyNetwork, first_columns
from mixlab.mixing import (
    Address,
    Blend,
    CutMix,
    Cutout,
    CutThumbnail,
    FMix,
    GridMix,
    Method,
    MixedConcat,
    Mixup,
    MixupMany,
    Mosaic,
    OneOf,
    Policy,
    Random2x2,
    ResizeMix,
    Ricap,
    Sequence,
    SmoothMix,
    bind,
)
from mixlab.mixing.methods import AlignMix
from mixlab.mixing.saliency import InputGradient

GRADIENT = f"{InputGradient.__module__.rpartition('.')[0]}.InputGradient"
CONFIGS = Path(__file__).parents[2] / "configs" / "mixing"


def method_node(name: str) -> DictConfig:
    """The `method` node of configs/mixing/<name>.yaml."""
    node = OmegaConf.load(CONFIGS / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    return node.method


def check_mixing_config(file: Path) -> None:
    """What every file of configs/mixing has: the shared knobs, and a first line about it."""
    found = OmegaConf.load(file)
    assert found.defaults == ["_base", "_self_"] and "method" in found
    own = {"layers", "layer", "attention"}  # of the callbacks that reach into the network
    own |= {"momentum", "learning_rate", "mask_weight", "mask_margin"}  # and of learned masks
    shared = {"defaults", "_target_", "method", "partners"}
    assert set(found) <= {*shared, *own}, "the rest is shared"
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


def built(node: DictConfig) -> Method:
    """The method that Hydra builds of its node, bound to a network that knows no classes."""
    saliency = node.get("saliency") or {}
    options: dict = {"loss": first_columns} if saliency.get("_target_") == GRADIENT else {}
    options |= {"of_class": False} if "of_class" in saliency else {}
    given = {"saliency": {**saliency, **options}} if options else {}
    return bind(hydra.utils.instantiate(node, _convert_="object", **given), AnyNetwork())


NOT_OF_PICTURES = {"point_mixup"}  # tests/mixing/test_any_data.py
CONFIG_NAMES = [
    path.stem
    for path in sorted(CONFIGS.glob("[!_]*.yaml"))
    if method_node(path.stem)._target_ and path.stem not in NOT_OF_PICTURES
]
METHODS: dict[str, Method] = {name: built(method_node(name)) for name in CONFIG_NAMES} | {
    "mixup of the batch": Mixup(1.0, per_row=False),
    "mixup of four, of the batch": MixupMany(1.0, sources=4, per_row=False),
    "cutmix of the batch": CutMix(1.0, per_row=False),
    "cutout of the batch": Cutout(0.5, per_row=False),
    "one of the batch": OneOf([Mixup(0.5), CutMix(1.0)], weights=[1, 2], per_row=False),
    "mixup then cutmix": Sequence([Mixup(0.5), CutMix(1.0)]),
    "cutmix thrice": Sequence([CutMix(1.0), CutMix(0.5), CutMix(1.0, per_row=False)]),
    "cutmix then cutout": Sequence([CutMix(1.0), Cutout(0.6)]),
    "one of one and four sources": OneOf(
        [Cutout(0.5), CutMix(1.0), Sequence([CutMix(1.0), Mixup(0.2)])], weights=[1, 1, 2]
    ),
    "mixup of three, then of two": Sequence([MixupMany(0.5), Mixup(0.2)]),
    "fmix with a soft edge, of the batch": FMix(0.7, max_soft=0.2, per_row=False),
    "gridmix of the batch": GridMix(1.0, per_row=False),
    "smoothmix of the batch": SmoothMix(per_row=False),
    "resizemix of the batch": ResizeMix(per_row=False),
    "ricap of the batch": Ricap(0.7, per_row=False),
    "mixed concat of the batch": MixedConcat(1.0, per_row=False),
    "random 2x2 with empty quarters": Random2x2(1.0, (0, 1)),
    "mosaic of the batch": Mosaic(per_row=False),
    "cutthumbnail of itself": CutThumbnail(0.5, of_itself=True),
    "one of boxes, masks and views": OneOf([CutMix(1.0), FMix(1.0), ResizeMix(), Ricap(0.5)]),
    "ricap, then mixup": Sequence([Ricap(0.5), Mixup(0.5)]),
    "mosaic, then cutmix": Sequence([Mosaic(), CutMix(1.0)]),
    "cutmix or cutout, then cutmix": Sequence([OneOf([CutMix(1.0), Cutout(0.5)]), CutMix(1.0)]),
}

# Those whose blends are no more than their masks.
MASKED = [name for name, method in METHODS.items() if not isinstance(method, AlignMix)]


def labeled_pictures(
    num_rows: int, size: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Rows (R, R, *size) that are their one-hot target in every pixel, each a class of its own."""
    targets = torch.eye(num_rows)
    pictures = targets.to(dtype).view(num_rows, num_rows, *[1] * len(size))
    return pictures.expand(num_rows, num_rows, *size).clone(), targets


def mean_pixel(images: Tensor) -> Tensor:
    """(B, C) mean over all pixels, in float64."""
    return images.reshape(*images.shape[:2], -1).double().mean(2)


def drawn(method: Method, images: Tensor, num_rows: int | None = None, seed: int = 0) -> Blend:
    """A blend of `method` at a made-up address."""
    targets = torch.eye(images.shape[0])
    return Policy().draw(method, images, targets, Address(seed), num_rows=num_rows)
