"""Every method there is, found through its config, and pictures whose pixels are their label."""

from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mixlab.mixing import (
    Address,
    Blend,
    CutMix,
    Cutout,
    Method,
    Mixup,
    MixupMany,
    OneOf,
    Policy,
    Sequence,
)

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
    assert set(found) <= {"defaults", "_target_", "method"}, "the rest is shared"
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 20


def built(node: DictConfig) -> Method:
    """The method that Hydra builds of its node."""
    return hydra.utils.instantiate(node, _convert_="object")


CONFIG_NAMES = [
    path.stem for path in sorted(CONFIGS.glob("[!_]*.yaml")) if method_node(path.stem)._target_
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
    "cutmix or cutout, then cutmix": Sequence([OneOf([CutMix(1.0), Cutout(0.5)]), CutMix(1.0)]),
}


def labelled_pictures(
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
