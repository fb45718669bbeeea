"""Lightning's whole training loop on the fake GPU, and what each of its steps waited for."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy

from helpers.fake_gpu import CUDA, FakeGpu, on_gpu
from mixlab.callbacks.run_record import RunRecord
from mixlab.runtime import quiet
from mixlab.training import build


class AnyDevice(CPUAccelerator):
    """Lightning's accelerator for the CPU, which would refuse another device."""

    def setup_device(self, device: torch.device) -> None: ...


class OnFakeGpu(SingleDeviceStrategy):
    """Everything on the fake GPU, where it stays: fake weights cannot come back."""

    def __init__(self) -> None:
        super().__init__(device=CUDA, accelerator=AnyDevice())

    def teardown(self) -> None: ...


@dataclass
class Step:
    """One training step, from the end of the one before to its own."""

    waits: Counter[str]
    sent: Counter[str]
    copies: int
    operations: int
    dtype: torch.dtype


@dataclass
class Steps(pl.Callback):
    """Record every training step; it is the last of the callbacks."""

    gpu: FakeGpu
    steps: list[Step] = field(default_factory=list)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        images, targets = batch
        assert on_gpu(images) and on_gpu(targets)
        gpu, weights = self.gpu, list(pl_module.parameters())
        assert all(on_gpu(each) and on_gpu(each.grad) for each in weights)
        step = Step(gpu.waits, gpu.sent, gpu.copies, gpu.operations, images.dtype)
        self.steps.append(step)
        gpu.forget()


def trained(cfg: DictConfig, gpu: FakeGpu, data: Any = None, model: Any = None) -> list[Step]:
    """The steps of a training as `mixlab-train` builds it, but for device, logger and checkpoints.

    Data and model are those of `cfg`, unless they are given.
    """
    quiet()
    data = data or build.build_data(cfg)
    model = model or build.build_model(cfg, data)
    make = build.build

    def built(node: Any, **given: Any) -> Any:
        if node.get("_target_") == "pytorch_lightning.Trainer":
            node = {k: v for k, v in node.items() if k not in ("accelerator", "devices")}
            given |= {"strategy": OnFakeGpu(), "logger": False, "enable_checkpointing": False}
        return make(node, **given)

    with patch.object(build, "build", built):
        trainer = build.build_trainer(cfg, data, RunRecord())
    steps = Steps(gpu)
    trainer.callbacks.append(steps)  # pyright: ignore
    trainer.fit(model, data)
    return steps.steps
