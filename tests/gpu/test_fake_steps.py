"""Whole training steps on a fake GPU: all on the device, and the CPU waits for nothing.

The loop is Lightning's with our data module, model and callbacks. What a step may do:

- The first one reads the masks of its blend: `check_promise` looks once whether the method keeps
  its promise.
- Each sends its loss to the CPU. `StopOnDivergence` awaits it when the backward pass is queued,
  so the GPU has work meanwhile.
- Every `log_every_n_steps`-th reads its loss, to log it.
- A method that looks at the network reads once what it decided.
- With averaged weights (`callbacks=ema`) torch reads its counter of averages twice.
"""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gpu.conftest import Covered
from helpers.fake_gpu import FakeEvent, FakeGpu
from helpers.fake_gpu_runs import trained
from helpers.small_runs import small
from mixlab.callbacks import mixing, mixing_counts
from mixlab.data import ArrayDataset, Datasets, ImageDataModule
from mixlab.models import MultiLabelClassifier, metrics

LOSS_SENT = {"copy to the CPU": 1}
SHARES_READ = {"copy to the CPU": 1}
COUNTER_READ = {"value read (_local_scalar_dense)": 2}
LOSS_LOGGED = {"value read (_local_scalar_dense)": 1}
FEW = (
    "trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer.limit_val_batches=1",
    "callbacks.best=null", "callbacks.last=null",
)  # fmt: skip
VIT = (
    "model=timm", "model.name=vit_tiny_patch16_224",
    "model.network.kwargs={patch_size: 4, depth: 2, embed_dim: 48, num_heads: 3}",
)  # fmt: skip
CASES = {
    "classifier, CutMix of three, flip and crop, normalized": (
        "mixing=cutmix_three", "augmentation=flip_crop", "augmentation.force=true",
        "data.normalize={mean: [0.5], std: [0.2]}",
    ),
    "classifier, mixup with guests, bf16-true": (
        "mixing=mixup", "mixing.partners=second_pass", "trainer.precision=bf16-true",
        "data.batch_size=300",
    ),
    "classifier, a sequence, averaged weights, clipped gradients": (
        "mixing=sequence", "callbacks=[default,ema]", "trainer.gradient_clip_val=1.0",
        "metrics=nll", "scheduler=cosine",
    ),
    "manifold mixup at hidden layers": ("mixing=manifold_mixup", "mixing.layers=['2','5']"),
    "PatchUp at hidden layers, averaged weights": (
        "mixing=patchup_soft", "model=cnn_bn", "callbacks=[default,ema]",
    ),
    "AlignMix at the last layer": ("mixing=alignmix",),
    "TokenMix, labels by activation": ("mixing=tokenmix", "mixing.method.grid=4"),
    "TransMix, labels by attention, bf16-true": (
        "mixing=transmix", *VIT, "trainer.precision=bf16-true",
    ),
    "classifier, puzzlemix by the network": ("mixing=puzzlemix", "model=cnn_bn"),
    "AutoMix and its mix block": ("mixing=automix", "model=cnn_bn"),
    "AutoMix, averaged weights, bf16-true": (
        "mixing=automix", "callbacks=[default,ema]", "trainer.precision=bf16-true",
    ),
    "segmenter, CutMix": (
        "data=shapes", "model=segmentation", "callbacks=segmentation", "mixing=cutmix",
        "trainer.limit_val_batches=0", "data.image_size=32", "data.batch_size=4",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def counts_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted for many steps at once is counted within these few."""
    monkeypatch.setattr(metrics, "BATCHES_TOGETHER", 2)
    monkeypatch.setattr(mixing_counts, "COUNTED_TOGETHER", 2)
    monkeypatch.setattr(mixing, "check_promise", lambda *_: None)  # masks have no values to check


pytestmark = pytest.mark.filterwarnings(
    "ignore:Accessing the data pointer of FakeTensor", "ignore:The .srun. command is available"
)


@pytest.mark.parametrize("name", CASES)
def test_a_training_step(name: str, tmp_path: Path, gpu: FakeGpu, covered: Covered) -> None:
    awaited = FakeEvent.awaited
    cfg = small(tmp_path, *FEW, *CASES[name])
    cfg.paths.run_dir = str(tmp_path)
    check_steps(name, trained(cfg, gpu), covered)
    assert FakeEvent.awaited == awaited + 4


def check_steps(name: str, steps: list, covered: Covered) -> None:
    _, *later = steps
    waited = COUNTER_READ if "averaged" in name else SHARES_READ if "network" in name else {}
    assert len(later) == 3
    for step in later:
        assert step.waits == waited
        assert step.sent == LOSS_SENT
        assert step.dtype == (torch.bfloat16 if "bf16" in name else torch.float32)
    most = max(step.operations for step in later)
    waits = "torch's counter of averages" if "averaged" in name else "none"
    waits = "the method's shares" if "network" in name else waits
    covered("training step", name, "device, dtype", most, later[-1].copies, waits)


def test_several_labels(tmp_path: Path, gpu: FakeGpu, covered: Covered) -> None:
    images = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8)
    train = ArrayDataset(images, torch.randint(0, 2, (64, 5)), tuple("abcde"))
    data = ImageDataModule(Datasets(train, None, train), batch_size=16, val_size=0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    model: Any = MultiLabelClassifier
    model = model(network, optimizer, loss="binary_cross_entropy")
    cfg = small(tmp_path, *FEW, "mixing=one_of")
    cfg.paths.run_dir = str(tmp_path)
    check_steps("several labels, mixup or CutMix", trained(cfg, gpu, data, model), covered)


def test_a_logged_step_reads_its_loss(tmp_path: Path, gpu: FakeGpu) -> None:
    cfg = small(tmp_path, *FEW, "mixing=none", "trainer.log_every_n_steps=2")
    cfg.paths.run_dir = str(tmp_path)
    waits = [step.waits for step in trained(cfg, gpu)]
    assert waits[1:] == [{}, LOSS_LOGGED, {}]


WAITING = {
    "a comparison": lambda rows: bool(rows.max() > 9),
    "a number": lambda rows: rows.sum().item(),
    "a copy to the CPU": lambda rows: rows.cpu(),
    "a tensor made there": lambda rows: torch.tensor([1.0], device=rows.device),
    "a copy to the GPU": lambda rows: torch.rand(3).to(rows.device),
    "a large copy": lambda rows: torch.zeros(2**15).to(rows.device, non_blocking=True),
    "an index from the CPU": lambda rows: rows[torch.tensor([1, 2])],
    "an index by a mask": lambda rows: rows[rows > 0.5],
    "rows that are not zero": lambda rows: rows.nonzero(),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_makes_the_cpu_wait_is_seen(name: str, gpu: FakeGpu) -> None:
    rows = gpu.put(torch.rand(4, 256))
    with suppress(RuntimeError):  # a fake tensor has no size that depends on values
        WAITING[name](rows)
    assert sum(gpu.waits.values()) == 1


def test_tensors_of_two_devices_do_not_meet(gpu: FakeGpu) -> None:
    with pytest.raises(RuntimeError, match="device"):
        gpu.put(torch.rand(3)).add(torch.rand(3))
