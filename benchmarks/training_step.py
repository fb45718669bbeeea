"""What mixlab adds to a training step: its own objects against a plain Trainer and a bare loop.

    python benchmarks/training_step.py                         both networks, one thread
    python benchmarks/training_step.py --threads 2 --rounds 9

All three do the same arithmetic (uint8 to float, one-hot, mixup of each row, forward, backward,
Adam), with the same threads and allocator settings, in turn; a way's time in a round is the median
of its steps after the warm-up, and the ratios are medians over the rounds of several processes,
for where its memory happens to lie makes one process a few percent faster than the next. Exit
status 1 where the ratio to the Trainer is above its bound.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mixlab.callbacks.run_record import RunRecord
from mixlab.config.keys import absolute_paths, config_dir
from mixlab.runtime import keep_memory, quiet, set_threads
from mixlab.training.build import build_data, build_model, build_trainer

WARM_UP = 30
BOUND = 1.05
CASES = {
    "cnn, batch 64, 28 px": ["model=cnn", "data.batch_size=64"],
    "resnet20, batch 32, 32 px": ["model=resnet20", "data.batch_size=32"],
}


class Clock(pl.Callback):
    """Seconds from the end of one step to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The median of the steps after the warm-up: a shared machine stalls now and then."""
        return statistics.median(np.diff(self.ends[WARM_UP:]).tolist())


class Plain(pl.LightningModule):
    """A trivial module that does on resident tensors what mixlab's data module and callback do."""

    def __init__(self, cfg: DictConfig, data: Any) -> None:
        super().__init__()
        model = build_model(cfg, data)
        self.network, self.layout = model.network, model.layout
        self.make_optimizer = model.configure_optimizers
        self.images, self.labels = resident(data)
        self.rng = np.random.default_rng(0)

    def training_step(self, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
        images, targets = mixed(self.images, self.labels, rows, self.rng)
        logits = self.network(images.contiguous(memory_format=self.layout))
        return F.cross_entropy(logits, targets)

    def configure_optimizers(self) -> Any:
        return self.make_optimizer()


def resident(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The training images uint8 (N, C, H, W) and labels int64 (N,), in memory."""
    batches = [(batch.images, batch.targets) for batch in data.train_dataloader()]
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def mixed(
    images: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch after mixup of each row: the fewest operations that do it."""
    own = torch.from_numpy(rng.beta(0.2, 0.2, len(rows)).astype(np.float32))
    partner = torch.from_numpy(rng.permutation(len(rows)))
    x = images.index_select(0, rows).float().div_(255)
    y = F.one_hot(labels.index_select(0, rows), 10).float()
    x = torch.lerp(x.index_select(0, partner), x, own.view(-1, 1, 1, 1))
    return x, torch.lerp(y.index_select(0, partner), y, own.view(-1, 1))


class IndexBatches:
    """Row numbers of each batch of a shuffled epoch: the cheapest loader there can be."""

    def __init__(self, data: Any, steps: int) -> None:
        order = torch.randperm(data.record()["train_rows"])
        self.batches = list(order.split(data.batch_size))[:steps]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.batches)


def with_mixlab(cfg: DictConfig, data: Any, steps: int) -> float:
    clock = Clock()
    model = build_model(cfg, data)
    trainer = build_trainer(cfg, data, RunRecord())
    trainer.callbacks.append(clock)
    trainer.fit(model, data)
    return clock.seconds


def with_plain_trainer(cfg: DictConfig, data: Any, steps: int) -> float:
    clock = Clock()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[clock],
        logger=pl.loggers.CSVLogger(cfg.paths.run_dir),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Plain(cfg, data), IndexBatches(data, steps))
    return clock.seconds


def with_bare_loop(cfg: DictConfig, data: Any, steps: int) -> float:
    clock = Clock()
    module = Plain(cfg, data).train()
    optimizer = module.configure_optimizers()
    for number, rows in enumerate(IndexBatches(data, steps)):
        optimizer.zero_grad()
        module.training_step(rows, number).backward()
        optimizer.step()
        clock.on_train_batch_end()
    return clock.seconds


def measure(overrides: list[str], steps: int, rounds: int, folder: Path) -> list[list[float]]:
    """Seconds a step of each way, by round."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", [*overrides, "data=npz", f"data.path={folder / 'noise.npz'}",
            "mixing=mixup", "logger=csv", "trainer=cpu", "callbacks.best=null",
            "callbacks.last=null", "data.val_size=0", "trainer.max_epochs=1",
            "trainer.enable_progress_bar=false", f"trainer.limit_train_batches={steps}",
            "+trainer.kwargs.enable_checkpointing=false"])  # fmt: skip
    absolute_paths(cfg, folder)
    cfg.paths.run_dir = str(folder)
    data = build_data(cfg)
    ways: list[Callable[..., float]] = [with_mixlab, with_plain_trainer, with_bare_loop]
    return [[way(cfg, data, steps) for way in ways] for _ in range(rounds)]


def noise(path: Path, side: int, channels: int) -> None:
    """A data set of random pixels: speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    shape = (20_000, side, side, channels) if channels > 1 else (20_000, side, side)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    labels = rng.integers(0, 10, 20_000)
    np.savez(path, train_images=images, train_labels=labels)


def in_a_new_process(name: str, options: argparse.Namespace) -> list[list[float]]:
    """Seconds a step of each way in the rounds of one process."""
    quiet()
    keep_memory()
    set_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        side, channels = (28, 1) if "28 px" in name else (32, 3)
        noise(Path(folder) / "noise.npz", side, channels)
        return measure(CASES[name], options.steps, options.rounds, Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=5, help="one after the other")
    parser.add_argument("--rounds", type=int, default=4, help="of each process")
    parser.add_argument("--steps", type=int, default=130)
    parser.add_argument("--only", default="", help="a word in the name of the case")
    options = parser.parse_args()
    missed = 0
    print(f"{'':26} {'mixlab':>9} {'/ Trainer':>10} {'(of each process)':>26} {'/ bare loop':>12}")
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    for name in (name for name in CASES if options.only in name):
        processes = [
            pool.submit(in_a_new_process, name, options).result() for _ in range(options.processes)
        ]
        seconds = [row for rows in processes for row in rows]
        own = statistics.median(row[0] for row in seconds) * 1e3
        trainer, bare = (statistics.median(row[0] / row[k] for row in seconds) for k in (1, 2))
        each = sorted(statistics.median(row[0] / row[1] for row in rows) for rows in processes)
        spread = f"{each[0]:.3f} to {each[-1]:.3f}"
        print(f"{name:26} {own:6.2f} ms {trainer:10.3f} {spread:>26} {bare:12.3f}", flush=True)
        missed += trainer > BOUND
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
