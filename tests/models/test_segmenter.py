"""The segmenter: the loss of mixed masks, exact overlap, and networks that fit their data."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.small_runs import composed, small
from mixlab.data.spec import ImageSpec
from mixlab.mixing import Blend, CutMix, Mixup
from mixlab.models.losses import LOSSES
from mixlab.models.metrics import RunningMetrics, build_metrics
from mixlab.models.networks import Segmentation
from mixlab.training.supervise import train

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
    tally = RunningMetrics()
    tally.add(torch.tensor(0.0), LOGITS, CLASSES)
    tally.add(torch.tensor(0.0), LOGITS[:2], PLANES[:2])
    right = LOGITS.argmax(1) == CLASSES
    expected = (right.float().sum() + right[:2].float().sum()) / (6 * 36)
    means = tally.means(lambda sums: sums, torch.device("cpu"))
    torch.testing.assert_close(means["accuracy"], expected)


@pytest.mark.parametrize(
    ("spec", "kwargs"),
    [
        (SPEC, {"name": "resnet10t", "out_indices": [0, 1, 2]}),
        (ImageSpec(1, 34, 50, ("ground", "leaf")), {"name": "mobilenetv3_small_050", "width": 16}),
    ],
)
def test_each_pixel_of_any_image_gets_logits_from_every_level(spec, kwargs):
    network = Segmentation(spec, **kwargs)
    logits = network(torch.rand(2, spec.channels, spec.height, spec.width))
    assert logits.shape == (2, spec.num_classes, spec.height, spec.width)
    logits.square().mean().backward()
    assert all(float(each.weight.grad.abs().sum()) > 0 for each in network.laterals)  # pyright: ignore


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"name": "resnet10"}, "no model 'resnet10'; did you mean resnet"),
        ({"name": "resnet10t", "out_indices": [9]}, "resnet10t gives no such features"),
        ({"name": "resnet10t", "depht": 3}, "resnet10t gives no such features .*depht"),
    ],
)
def test_networks_that_cannot_be(kwargs, said):
    with pytest.raises(ValueError, match=said):
        Segmentation(SPEC, **kwargs)


def test_overlap_is_the_mean_over_the_classes_of_intersection_over_union():
    (iou,) = build_metrics(composed("data=shapes", "model=segmentation").metrics, 3)
    assert iou.torchmetric is not None
    assert (iou.name, iou.unit, iou.higher_is_better) == ("iou", "%", True)
    for rows in (slice(0, 3), slice(3, 4)):  # over the whole set, not batch by batch
        iou.torchmetric.update(LOGITS[rows], CLASSES[rows])
    found = LOGITS.argmax(1)
    each = [
        ((found == k) & (CLASSES == k)).sum() / ((found == k) | (CLASSES == k)).sum()
        for k in range(3)
    ]
    torch.testing.assert_close(iou.torchmetric.compute(), torch.stack(each).mean())


@pytest.mark.slow
@pytest.mark.parametrize("mixing", ["none", "cutmix"])
def test_shapes_are_learned_with_and_without_mixing(tmp_path, mixing):
    words = ("data=shapes", "data.image_size=null", "model=segmentation", "callbacks=segmentation")
    length = ("trainer.limit_train_batches=1.0", "trainer.max_epochs=6")
    results = train(small(tmp_path, *words, *length, f"mixing={mixing}"))
    assert results["best"]["test/iou"] > 0.55, "background alone has 0.2"
