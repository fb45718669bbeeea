"""The segmenter: the loss of mixed masks, exact overlap, and networks that fit their data."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_jaccard_index

from mixlab.data.spec import ImageSpec
from mixlab.mixing import Blend, CutMix, Mixup
from mixlab.models.losses import LOSSES
from mixlab.models.networks import Segmentation
from mixlab.models.tally import Tally

SPEC = ImageSpec(3, 64, 64, ("background", "disc", "square"))
CLASSES = torch.randint(3, (4, 6, 6), generator=torch.Generator().manual_seed(0))
PLANES = F.one_hot(CLASSES, 3).movedim(3, 1).float()
LOGITS = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
def test_class_maps_are_one_hot_planes(loss):
    torch.testing.assert_close(loss(LOGITS, CLASSES, 0.0), loss(LOGITS, PLANES, 0.0))


def test_the_loss_of_a_soft_mask_is_the_mixture_of_losses():
    images = torch.rand(4, 3, 6, 6)
    blend = Mixup(1.0)(images, torch.eye(4), np.random.default_rng(0))
    _, mixed = blend.mix(images, PLANES)
    each = torch.stack(
        [F.cross_entropy(LOGITS, CLASSES[blend.source[:, k]], reduction="none") for k in (0, 1)],
        dim=1,
    ).mean((2, 3))
    expected = (each * blend.share).sum(1).mean()
    torch.testing.assert_close(LOSSES["cross_entropy"](LOGITS, mixed, 0.0), expected)


def test_a_box_takes_its_masks_along():
    images = PLANES.clone()  # pictures that show their own mask
    blend: Blend = CutMix(1.0)(images, torch.eye(4), np.random.default_rng(0))
    mixed, masks = blend.mix(images, PLANES)
    assert torch.equal(mixed, masks) and not torch.equal(masks, PLANES)


def test_accuracy_is_over_pixels():
    tally = Tally()
    tally.add(torch.tensor(0.0), LOGITS, CLASSES)
    tally.add(torch.tensor(0.0), LOGITS[:2], PLANES[:2])
    right = LOGITS.argmax(1) == CLASSES
    expected = (right.float().sum() + right[:2].float().sum()) / (6 * 36)
    means = tally.means(lambda sums: sums, torch.device("cpu"))
    torch.testing.assert_close(means["accuracy"], expected)


def test_a_network_of_torchvisions_gives_a_class_to_each_pixel():
    network = Segmentation(SPEC, name="lraspp_mobilenet_v3_large")
    assert isinstance(network, nn.Module)
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize(
    ("spec", "name", "said"),
    [
        (SPEC, "lrasp_mobilenet", "no segmentation network 'lrasp_mobilenet'; try lraspp_mob"),
        (ImageSpec(1, 64, 64, ("a", "b")), "fcn_resnet50", "got 1 channels"),
    ],
)
def test_networks_that_cannot_be(spec, name, said):
    with pytest.raises(ValueError, match=said):
        Segmentation(spec, name=name)


def test_overlap_by_torchmetrics_is_intersection_over_union():
    predicted = torch.tensor([[[0, 0], [1, 1]]])
    true = torch.tensor([[[0, 1], [1, 1]]])
    found = multiclass_jaccard_index(predicted, true, num_classes=2)
    torch.testing.assert_close(found, torch.tensor((1 / 2 + 2 / 3) / 2))
