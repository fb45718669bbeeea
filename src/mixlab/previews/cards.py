"""What each mixing configuration makes of the same two rows, as a small picture for its card."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from mixlab.callbacks import HiddenMixingCallback
from mixlab.callbacks.dry_forward import layer_outputs
from mixlab.callbacks.layers import LAST_STAGE, chosen_layers, layer_of
from mixlab.callbacks.learned_mixing import map_layer
from mixlab.config.build import build
from mixlab.data import Clouds
from mixlab.mixing import Blend, bind
from mixlab.mixing.mask_learner import MaskLearner
from mixlab.mixing.methods import AutoMix, OneOf, PointMixup
from mixlab.pictures.card import CARD_SIDE, MixedRow, card, own_weight
from mixlab.previews.untrained import untrained

KEPT_OF_ROW = (0.52, 0.72)  # of the first row, wanted in a picture so that both are seen
TRAINING_STEPS = 30  # of the short training
MASK_STEPS = 100  # of the training of learned masks
COPIES = (0, 1) * 4  # a batch of both rows
DRAWS = 40  # tried at most, with the seeds 0, 1, ...
PARTNERS = np.array([[1, 1, 0], [0, 0, 1]])  # of both rows, as many columns as a method takes
CROPS = {"temple": ("china.jpg", 0), "flower": ("flower.jpg", 94)}  # file, first column of a square
CLOUD_NAMES = {0: "sphere", 3: "cone"}  # rows of the generated clouds
DOTS = 128  # points of a cloud


def card_of(node: DictConfig, network: nn.Module) -> Image.Image:
    """The picture of a node `mixing`; `network` is for methods that look at one or mix in it."""
    method: Any = build(node.method, allow=())
    if isinstance(method, PointMixup):
        return of_clouds(method)
    images = photographs()
    if node.get("_target_", "").endswith(f".{HiddenMixingCallback.__name__}"):
        return of_features(method, images, network)
    targets = torch.eye(2)
    if isinstance(method, AutoMix):
        method = with_learned_masks(method, network, images)
    parts = method.methods if isinstance(method, OneOf) else [method]
    blends = [drawn(bind(part, network), images, targets) for part in parts]
    outcomes = [
        outcome_of(part, blend, images, targets, alone=len(parts) == 1)
        for part, blend in zip(parts, blends, strict=True)
    ]
    is_weighed_later = hasattr(method, "callback") and method.label_differs
    return card(images, outcomes, list(CROPS), "by the area" if is_weighed_later else "")


def photographs() -> Tensor:
    """(2, 3, H, W) in [0, 1]: squares of the two photographs that scikit-learn has."""
    from sklearn.datasets import load_sample_image

    found = []
    for file, left in CROPS.values():
        photograph = Image.fromarray(load_sample_image(file))
        square = photograph.crop((left, 0, left + photograph.height, photograph.height))
        found.append(np.asarray(square.resize((CARD_SIDE, CARD_SIDE), Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255


def briefly_trained(cfg: DictConfig) -> nn.Module:
    """The network of `cfg.model` after a few steps on shifted, noisy copies of the photographs.

    A function of `cfg.seed`, on the same machine with the same number of threads.
    """
    images = photographs()
    network, labels = untrained(cfg, images, range(2)), torch.tensor(COPIES)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        for _ in range(TRAINING_STEPS):
            optimizer.zero_grad()
            F.cross_entropy(network(noisy_copies(images)), labels).backward()
            optimizer.step()
    return network


def with_learned_masks(method: AutoMix, network: nn.Module, images: Tensor) -> AutoMix:
    """The method after a short training of its mix block on copies of the images."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    learner = MaskLearner(network, map_layer(network, None), images, generator)
    method = bind(method, learner.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(MASK_STEPS):
            rows, targets = noisy_copies(images), torch.eye(2)[list(COPIES)]
            own = rng.beta(method.alpha, method.alpha, len(rows))
            learner.learn(method, rows, targets, rng.permutation(len(rows)), own, rows=len(rows))
    return method


def noisy_copies(images: Tensor) -> Tensor:
    """Shifted copies of the images, with noise, in the order of `COPIES`."""
    shifts = torch.randint(-CARD_SIDE // 4, CARD_SIDE // 4, (len(COPIES), 2)).tolist()
    rows = [images[k].roll(by, (1, 2)) for k, by in zip(COPIES, shifts, strict=True)]
    return torch.stack(rows) + 0.1 * torch.randn(len(rows), *images.shape[1:])


def drawn(method: Any, rows: Tensor, targets: Tensor) -> Blend:
    """The first draw in which the first row keeps what is wanted of itself; else the nearest."""
    partners = PARTNERS[:, : max(1, method.num_partners)]
    blends = []
    for seed in range(DRAWS):
        blends.append(method(rows, targets, np.random.default_rng(seed), partners))
        if not too_far(blends[-1]):
            break
    return min(blends, key=too_far)


def too_far(blend: Blend) -> float:
    """By how much the first row keeps more or less of itself than wanted."""
    kept = float(blend.own_content[0])
    return max(KEPT_OF_ROW[0] - kept, kept - KEPT_OF_ROW[1], 0.0)


def outcome_of(
    method: Any, blend: Blend, rows: Tensor, targets: Tensor, alone: bool = True
) -> MixedRow:
    """The first row of a blend of rows (2, C, H, W), with its mask if it stands alone."""
    images, labels = blend.mix(rows, targets)
    mask = own_weight(blend, rows.shape[1:]) if alone else None
    return MixedRow(images[0], labels[0], mask, "mixed" if alone else type(method).__name__)


def of_features(method: Any, images: Tensor, network: nn.Module) -> Image.Image:
    """Of the features of the network's last stage, the mean over their channels."""
    (name,) = chosen_layers([LAST_STAGE], network)
    features = layer_outputs(network, {name: layer_of(network, name)}, images)[name]
    targets = torch.eye(2)
    outcome = outcome_of(method, drawn(method, features, targets), features, targets)
    seen = torch.stack([*features, outcome.image]).mean(1, keepdim=True)
    low, high = seen.aminmax()
    *both, mixed = (seen - low) / (high - low)
    return card(torch.stack(both), [outcome._replace(image=mixed)], list(CROPS))


def of_clouds(method: PointMixup) -> Image.Image:
    """Two generated clouds, seen from the side."""
    train = Clouds(points=DOTS, noise=0.02).splits().train
    rows = torch.stack([torch.as_tensor(train[row][0]) for row in CLOUD_NAMES]).float()
    targets = torch.eye(2)
    outcome = outcome_of(method, drawn(method, rows, targets), rows, targets)
    both = torch.stack([dots(each) for each in rows])
    return card(both, [outcome._replace(image=dots(outcome.image))], list(CLOUD_NAMES.values()))


def dots(cloud: Tensor) -> Tensor:
    """(1, H, W) in [0, 1]: the points (3, N) as dark squares, first axis right, last up."""
    page = torch.ones(1, CARD_SIDE, CARD_SIDE)
    place = ((cloud / 3.2 + 0.5) * (CARD_SIDE - 2)).long().clamp(0, CARD_SIDE - 2)
    for column, row in zip(place[0].tolist(), place[2].tolist(), strict=True):
        page[:, CARD_SIDE - 2 - row : CARD_SIDE - row, column : column + 2] = 0.1
    return page
