"""The same tests on a real GPU (`-m gpu`) and on the CPU, where their code is seen to run.

On a GPU, torch raises where a training step waits for it (`set_sync_debug_mode`).
"""

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from gpu.test_fake_batches import AUGMENTATIONS, WAITING_METHODS, WAITING_RULES, WITHOUT_MASKS
from helpers.mixing_cases import METHODS
from helpers.small_runs import SignalAt, checkpoint, console, inside, small, train_with
from mixlab.callbacks import Interrupted
from mixlab.data.datamodule import sent
from mixlab.mixing import Address, Batch, Guests, Mixup, Policy
from mixlab.mixing.partners import _PARTNER_RULES
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json

GPUS = torch.cuda.device_count()
NEEDS_GPU = (pytest.mark.gpu, pytest.mark.skipif(GPUS < 1, reason="there is no CUDA device"))
NEEDS_TWO = (pytest.mark.gpu, pytest.mark.skipif(GPUS < 2, reason="there are not two GPUs"))
CUDA = pytest.param("cuda", marks=NEEDS_GPU)
QUICK = pytest.mark.parametrize("device", ["cpu", CUDA])
LONG = pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), CUDA])
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
pytestmark = pytest.mark.filterwarnings("ignore:The .srun. command is available")


@contextmanager
def no_waits(device: str) -> Iterator[None]:
    """Within, what makes the CPU wait for a GPU raises."""
    if device == "cpu":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@QUICK
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_method_mixes_as_on_the_cpu(device: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(16, 3, 12, 10, generator=generator).to(dtype)
    labels = torch.eye(5)[torch.arange(16) % 5]
    planes = torch.rand(16, 5, 12, 10, generator=generator).softmax(1)
    for name, method in METHODS.items():
        for targets in (labels,) if name in WITHOUT_MASKS else (labels, planes):
            expected = Policy().draw(method, images, targets, Address(0)).mix(images, targets)
            there = images.to(device, memory_format=torch.channels_last), targets.to(device)
            with no_waits("cpu" if name in WAITING_METHODS else device):
                mixed = Policy().draw(method, *there, Address(0)).mix(*there)
            assert mixed[0].device.type == mixed[1].device.type == device
            for mine, other in zip(mixed, expected, strict=True):
                close = {"rtol": 0, "atol": TOLERANCE[mine.dtype]}
                torch.testing.assert_close(mine.cpu(), other, **close, msg=name)  # pyright: ignore


@QUICK
@pytest.mark.parametrize("rule", _PARTNER_RULES)
def test_every_partner_rule_draws_as_on_the_cpu(device: str, rule: str) -> None:
    images, targets = torch.rand(16, 3, 6, 6), torch.eye(5)[torch.arange(16) % 5]
    policy, rows = Policy(0.7, partners=rule), {"num_rows": 8, "index": torch.arange(8)}
    expected = policy.draw(Mixup(1.0), images, targets, Address(0), **rows)  # pyright: ignore
    there = images.to(device), targets.to(device)
    with no_waits("cpu" if rule in WAITING_RULES else device):
        blend = policy.draw(Mixup(1.0), *there, Address(0), **rows)  # pyright: ignore
    assert torch.equal(blend.source, expected.source)


@QUICK
def test_every_augmentation_of_batches_changes_as_on_the_cpu(device: str) -> None:
    images = torch.randint(0, 256, (16, 3, 20, 20), dtype=torch.uint8)
    for name, augmentation in AUGMENTATIONS.items():
        if augmentation.per_image:
            continue
        expected = augmentation(images, np.random.default_rng(0))
        there = images.to(device)
        with no_waits(device):
            changed = augmentation(there, np.random.default_rng(0))
        assert changed.device.type == device and changed.dtype == torch.uint8
        if name != "noise":  # a GPU draws its own
            off = (changed.cpu().int() - expected.int()).abs().gt(1).float().mean()
            assert off < 0.02, f"{name}: {off:.3f} of the pixels"


@QUICK
def test_a_batch_is_sent_from_page_locked_memory(device: str) -> None:
    guests = Guests(torch.rand(4, 3), torch.arange(4))
    batch = Batch(torch.rand(4, 3), torch.arange(4), Address(0), torch.arange(4), guests)
    if device == "cuda":
        pinned = batch.pin_memory()
        assert pinned.images.is_pinned() and pinned.guests.images.is_pinned()  # pyright: ignore
    with no_waits(device):
        images = sent(batch.images, torch.device(device))
    assert images.device.type == device and torch.equal(images.cpu(), batch.images)


class NoWaits(pl.Callback):
    """Let a step that waits for the GPU raise, from the second on to the end of the epoch."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.steps += 1
        if torch.cuda.is_initialized():
            torch.cuda.set_sync_debug_mode("default" if trainer.is_last_batch else "error")


def trained(folder: Path, device: str, *words: str, callbacks: Any = ()) -> dict[str, Any]:
    """The record of a short run."""
    accelerator = "gpu" if device == "cuda" else device
    cfg = small(folder, f"trainer.accelerator={accelerator}", *words)
    try:
        train_with(cfg, *callbacks)
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.set_sync_debug_mode("default")
    return read_json(run_folder(cfg) / "run.json")


RECIPES = {
    "plain": ("mixing=cutmix_three", "augmentation=standard"),
    "guests": ("mixing=mixup", "mixing.partners=second_pass", "scheduler=cosine"),
    "averaged": ("mixing=sequence", "callbacks=[default,ema]", "trainer.gradient_clip_val=1.0"),
    "channels_first": ("mixing=one_of", "model.channels_last=false"),
    "bf16": ("mixing=cutmix", "trainer.precision=bf16-mixed"),
    "segmenter": ("data=shapes", "model=segmentation", "callbacks=segmentation", "mixing=cutmix"),
}


@LONG
@pytest.mark.parametrize("name", RECIPES)
def test_a_training_waits_for_nothing(device: str, name: str, tmp_path: Path) -> None:
    watch = NoWaits()
    record = trained(tmp_path, device, *RECIPES[name], callbacks=[watch])
    assert watch.steps == 8 and record["accelerator"] == device
    assert math.isfinite(record["results"]["last"]["test/loss"])


@pytest.mark.parametrize("device", [CUDA])
def test_half_precision_with_a_scaled_loss(device: str, tmp_path: Path) -> None:
    """torch's scaler itself reads from the GPU at each step."""
    record = trained(tmp_path, device, "mixing=cutmix", "trainer.precision=16-mixed")
    assert math.isfinite(record["results"]["last"]["test/loss"])


@LONG
def test_a_run_that_was_stopped_goes_on(device: str, tmp_path: Path) -> None:
    words = ("mixing=cutmix", "trainer.deterministic=true", "model.network.dropout=0.2")
    whole = trained(tmp_path / "whole", device, *words)
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut", device, *words, callbacks=[SignalAt(1, 1)])
    cut = trained(tmp_path / "cut", device, *words)
    figures = [{**each["results"]["last"], "seconds": 0} for each in (cut, whole)]
    assert cut["resumed_from"] and figures[0] == pytest.approx(figures[1])
    weights = [
        checkpoint(small(tmp_path / name, f"trainer.accelerator={of(device)}", *words))
        for name in ("whole", "cut")
    ]
    for name, value in weights[0]["state_dict"].items():
        torch.testing.assert_close(weights[1]["state_dict"][name], value, msg=name)


def of(device: str) -> str:
    """Lightning's word for a device."""
    return "gpu" if device == "cuda" else device


@LONG
def test_jobs_share_a_device(device: str, here: Path) -> None:
    words = ["-m", "data=digits", "seeds=2", "trainer.max_epochs=1", "logger=csv", "mixing=mixup"]
    words += ["trainer.limit_train_batches=4", f"trainer={of(device)}"]
    each = "hydra.launcher.jobs_per_device=2" if device == "cuda" else "hydra.launcher.jobs=2"
    with inside(here):
        done = console("train", *words, each)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [read_json(path) for path in here.rglob("seed-*/run.json")]
    assert [record["accelerator"] for record in records] == [device] * 2


COUNTING = """
import mixlab.sweeps.server
from mixlab.sweeps.launch import visible_gpus
import torch
print(len(visible_gpus()), torch.cuda.is_initialized(), flush=True)
"""


@LONG
def test_the_process_that_starts_jobs_leaves_the_gpu_alone(device: str) -> None:
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True)
    assert done.stdout.split() == [str(GPUS), "False"], done.stdout + done.stderr


STRATEGIES = {"ddp_sim": pytest.mark.slow, "ddp": NEEDS_TWO}


@pytest.mark.parametrize("trainer", [pytest.param(k, marks=v) for k, v in STRATEGIES.items()])
def test_two_processes_train_one_run(trainer: str, here: Path) -> None:
    """With nccl on two GPUs, with gloo on the CPU."""
    words = ["data=digits", "mixing=cutmix", f"trainer={trainer}", "trainer.devices=2"]
    words += ["trainer.max_epochs=1", "trainer.limit_train_batches=4", "logger=csv"]
    with inside(here):
        done = console("train", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = [read_json(path) for path in here.rglob("run.json")]
    assert record["devices"] == 2 and math.isfinite(record["results"]["last"]["test/loss"])
