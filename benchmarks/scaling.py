"""Images a second of 1, 2, 4, ... processes: mixlab against a plain Lightning Trainer.

    python benchmarks/scaling.py                                   CPUs, 1 and 2 processes
    python benchmarks/scaling.py --accelerator gpu                 1, 2, 4, ... of all GPUs
    python benchmarks/scaling.py --accelerator gpu --model timm --timm resnet50 --side 224 \\
        --batch 256 --precision bf16-mixed --json scaling.json

Each process has as many rows as one alone (`--batch`), from memory, with mixup of each row and the
same network and optimizer. Every figure is the median over the rounds of fresh processes; plain and
mixlab take turns. `of ideal` is images a second per process, relative to one process.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_UP = 20
ROWS = 20_000


def measured(options: argparse.Namespace) -> float:
    """Images a second of all processes, in this one of them."""
    import pytorch_lightning as pl
    import torch
    from training_step import IndexBatches, Plain, mixed

    from mixlab.callbacks.run_record import RunRecord
    from mixlab.config.keys import absolute_paths
    from mixlab.runtime import keep_memory, quiet, set_threads
    from mixlab.training.build import build_data, build_model, build_trainer

    class Throughput(pl.Callback):
        """Seconds of the steps after the warm-up, with all that was queued for a GPU."""

        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            number = args[-1]
            if number in (WARM_UP, options.steps - 1):
                if module.device.type == "cuda":
                    torch.cuda.synchronize()
                self.seconds = time.perf_counter() - getattr(self, "began", 0.0)
                self.began = time.perf_counter()

    class OnDevice(Plain):
        """The same on any device."""

        def training_step(self, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
            images, labels = self.images, self.labels
            if images.device != self.device:
                images, labels = images.to(self.device), labels.to(self.device)
                self.images, self.labels = images, labels
            if self.device.type == "cpu":
                return super().training_step(rows, batch_idx)
            own = torch.from_numpy(self.rng.beta(0.2, 0.2, len(rows))).float().to(self.device)
            partner = torch.from_numpy(self.rng.permutation(len(rows))).to(self.device)
            x = images.index_select(0, rows).float().div_(255)
            y = torch.nn.functional.one_hot(labels.index_select(0, rows), 10).float()
            x = torch.lerp(x.index_select(0, partner), x, own.view(-1, 1, 1, 1))
            y = torch.lerp(y.index_select(0, partner), y, own.view(-1, 1))
            logits = self.network(x.contiguous(memory_format=self.layout))
            return torch.nn.functional.cross_entropy(logits, y)

    assert mixed  # what `Plain` does on a CPU
    quiet()
    keep_memory()
    set_threads(options.threads)
    cfg, clock = composed(options), Throughput()
    absolute_paths(cfg, options.folder)
    cfg.paths.run_dir = str(options.folder)
    data = build_data(cfg)
    if options.way == "mixlab":
        model, trainer = build_model(cfg, data), build_trainer(cfg, data, RunRecord())
        trainer.callbacks.append(clock)  # pyright: ignore
        trainer.fit(model, data)
    else:
        several = options.processes > 1
        trainer = pl.Trainer(
            accelerator=options.accelerator,
            devices=options.processes,
            strategy="ddp" if several else "auto",
            precision=options.precision,
            max_epochs=1,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        data.batch_size = options.batch  # of this process
        trainer.fit(OnDevice(cfg, data), IndexBatches(data, options.steps))
    return options.batch * options.processes * (options.steps - 1 - WARM_UP) / clock.seconds


def composed(options: argparse.Namespace) -> Any:
    """The configuration of mixlab's way."""
    from hydra import compose, initialize_config_dir

    from mixlab.config.keys import config_dir

    model = [f"model={options.model}"]
    model += [f"model.name={options.timm}", "model.pretrained=false"] if options.timm else []
    place = [f"trainer.accelerator={options.accelerator}", f"trainer.devices={options.processes}"]
    place += ["trainer.strategy=ddp"] if options.processes > 1 else []
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", [*model, *place, "data=npz", "mixing=mixup", "logger=none",
            f"data.path={options.folder / 'noise.npz'}", "callbacks=none", "data.val_size=0",
            f"data.batch_size={options.batch * options.processes}", "trainer.max_epochs=1",
            f"trainer.precision={options.precision}", "trainer.enable_progress_bar=false",
            f"trainer.limit_train_batches={options.steps}",
            "+trainer.kwargs.enable_checkpointing=false"])  # fmt: skip


def noise(options: argparse.Namespace) -> None:
    """Random pixels, as many as the longest epoch takes at a time."""
    import numpy as np

    rng = np.random.default_rng(0)
    rows = max(ROWS if options.side < 100 else 0, options.batch * max(options.counts) * 2)
    shape = (rows, options.side, options.side, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    labels = rng.integers(0, 10, rows)
    np.savez(options.folder / "noise.npz", train_images=images, train_labels=labels)


def in_new_processes(options: argparse.Namespace, way: str, processes: int) -> float:
    """Images a second of so many processes, started as `torchrun` would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    words = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--processes", str(processes)]
    words += ["--folder", str(options.folder)]
    ranks = []
    for rank in range(processes):
        of_rank = {"WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        ranks.append(
            subprocess.Popen(
                words, env={**os.environ, **shared, **of_rank}, stdout=subprocess.PIPE, text=True
            )
        )
    said = [rank.communicate()[0] for rank in ranks]
    if any(rank.returncode for rank in ranks):
        raise SystemExit(f"{way} with {processes} processes failed")
    return float(said[0].split()[-1])


def device_name(accelerator: str) -> str:
    """What the figures are of."""
    if accelerator == "cpu":
        return f"{os.cpu_count()} CPU cores, {platform.machine()}"
    import torch

    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"


def available(accelerator: str) -> list[int]:
    """1, 2, 4, ... processes, as many as there are devices."""
    if accelerator == "cpu":
        most = min(2, os.cpu_count() or 1)
    else:
        import torch

        most = torch.cuda.device_count()
    return [count for count in (1, 2, 4, 8, 16) if count <= most]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--counts", type=int, nargs="+", help="processes; by default what there is")
    parser.add_argument("--batch", type=int, default=64, help="rows of each process")
    parser.add_argument("--side", type=int, default=32, help="pixels")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--timm", default="", help="with --model timm: its name")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(measured(options))
        return
    options.counts = options.counts or available(options.accelerator)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        noise(options)
        cases = [(way, count) for count in options.counts for way in ("plain", "mixlab")]
        rounds = [
            {case: in_new_processes(options, *case) for case in cases}
            for _ in range(options.rounds)
        ]
    tell(options, rounds)


def tell(options: argparse.Namespace, rounds: list[dict[tuple[str, int], float]]) -> None:
    """Print the table, and write the JSON if asked to."""
    first, found = options.counts[0], []
    print(f"{device_name(options.accelerator)}; {options.model} {options.timm}, "
          f"batches of {options.batch} a process, {options.rounds} rounds")  # fmt: skip
    print(f"{'processes':>9} {'plain':>12} {'of ideal':>9} {'mixlab':>12} {'of ideal':>9} "
          f"{'mixlab / plain':>15}")  # fmt: skip
    for count in options.counts:
        row: dict[str, Any] = {"processes": count}
        for way in ("plain", "mixlab"):
            row[way] = statistics.median(each[way, count] for each in rounds)
            row[f"{way}_of_ideal"] = statistics.median(
                each[way, count] * first / (each[way, first] * count) for each in rounds
            )
        row["ratio"] = statistics.median(
            each["mixlab", count] / each["plain", count] for each in rounds
        )
        found.append(row)
        plain, ours = (f"{row[w]:10.0f}/s {row[f'{w}_of_ideal']:8.1%}" for w in ("plain", "mixlab"))
        print(f"{count:9} {plain} {ours} {row['ratio']:15.3f}")
    if options.json:
        facts = {name: str(value) for name, value in vars(options).items() if name != "folder"}
        each = [{f"{way} {count}": value for (way, count), value in every.items()}
                for every in rounds]  # fmt: skip
        report = {"device": device_name(options.accelerator), "options": facts, "rows": found}
        options.json.write_text(json.dumps({**report, "rounds": each}, indent=1) + "\n")


if __name__ == "__main__":
    main()
