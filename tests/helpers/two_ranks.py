"""Trainings of two ranks, and of one process on the batches that the two had mixed.

    python tests/helpers/two_ranks.py FOLDER    (as each of two ranks, for every case at once)

Each rank writes down what it was given, its weights and its figures.
"""

import os
import socket
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
import torch
from torch import Tensor

from helpers.mixing_cases import METHODS
from helpers.small_runs import composed, write_npz
from mixlab.callbacks import MixingCallback
from mixlab.mixing import CutMix, Method, Mixup
from mixlab.runs import Run
from mixlab.training import build
from mixlab.training.build import Experiment, build_trainer
from mixlab.training.fit import fit_and_test
from mixlab.training.rank_watch import watching_ranks
from mixlab.training.resume import ResumePoint

ROWS = 35  # two batches of 12 and one of 11, of which one rank gets 6 and the other 5
Steps = dict[int, list[tuple[Tensor, Tensor]]]  # by epoch, images and targets of each batch


@dataclass(frozen=True)
class Case:
    """One training: how batches are mixed, and what else the command line says."""

    method: Method | None = field(default_factory=lambda: Mixup(1.0))
    partners: str = "permutation"
    words: tuple[str, ...] = ()


CASES = {
    "none": Case(None),
    **{
        f"method {name}": Case(method)
        for name, method in METHODS.items()
        if not hasattr(method, "callback")
    },
    **{
        f"partners {name}": Case(partners=name)
        for name in (
            "derangement",
            "cyclic",
            "same_class",
            "other_class",
            "nearest",
            "nearest_features",
            "confusable",
        )
    },
    **{f"guests {name}": Case(partners=name) for name in ("second_pass", "dataset")},
    "partners across_ranks": Case(CutMix(1.0), "across_ranks"),
    "accumulated": Case(words=("trainer.accumulate_grad_batches=2",)),
    "clipped": Case(words=("trainer.gradient_clip_val=0.1",)),
    "smoothed": Case(CutMix(1.0), words=("model.label_smoothing=0.1",)),
    "binary loss": Case(words=("model.loss=binary_cross_entropy",)),
    "fewer rows than ranks": Case(
        partners="second_pass", words=("data.batch_size=2", "trainer.max_epochs=1")
    ),
    "more metrics": Case(words=("metrics=[nll,f1]",)),
}
SHORT = (
    "data=npz", "data.batch_size=12", "data.eval_batch_size=10", "threads=1", "logger=none",
    "mixing=none", "model.network.dropout=0", "trainer.max_epochs=2", "optimizer=sgd",
    "optimizer.lr=0.1", "callbacks=none",
)  # fmt: skip


class Given(pl.Callback):
    """Keeps what the training steps are given, mixed."""

    def __init__(self) -> None:
        self.steps: Steps = defaultdict(list)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        images, targets = batch
        if not getattr(batch, "is_repeat", False):
            self.steps[trainer.current_epoch].append((images.clone(), targets.clone()))
        else:
            self.steps[trainer.current_epoch].append((images[:0], targets[:0]))


def trained(folder: Path, name: str, steps: Steps | None = None) -> dict[str, Any]:
    """Train a case: as one of two ranks, or on given batches in one process."""
    case, given = CASES[name], Given()
    where = ("trainer=ddp_sim",) if steps is None else ("trainer=cpu",)
    cfg = composed(*SHORT, *where, *case.words, f"data.path={folder / 'data.npz'}").copy()
    cfg.paths.run_dir = str(folder / name.replace(" ", "-"))
    Path(cfg.paths.run_dir).mkdir(exist_ok=True)
    mixing = [MixingCallback(case.method, partners=case.partners)] if case.method else []

    def with_ours(cfg: Any, data: Any, record: Any) -> pl.Trainer:
        if case.partners in ("second_pass", "dataset"):
            data.guests = case.partners
        if steps is not None:
            data.train_dataloader = partial(Recorded, data, steps)
        callbacks = [given, *([] if steps is not None else mixing)]
        with patch.object(build, "build_callbacks", lambda *_: callbacks):
            return build_trainer(cfg, data, record)

    run = Run(Path(cfg.paths.run_dir), cfg)
    experiment = Experiment.build(cfg, trainer=with_ours)
    with watching_ranks(run, experiment, lambda: None):
        results, by_class = fit_and_test(run, experiment, ResumePoint(None))
    weights = experiment.model.state_dict()
    return {"steps": dict(given.steps), "weights": weights, **results["last"], "class": by_class}


class Recorded:
    """A loader of batches that were written down, already mixed."""

    def __init__(self, data: Any, steps: Steps) -> None:
        self.data, self.steps = data, steps

    def __len__(self) -> int:
        return len(self.steps[0])

    def __iter__(self) -> Any:
        yield from self.steps[self.data.trainer.current_epoch]


def joined_steps(ranks: list[Steps]) -> Steps:
    """The batches of all ranks, the rows of each batch together."""
    return {
        epoch: [
            (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
            for parts in zip(*(rank[epoch] for rank in ranks), strict=True)
        ]
        for epoch in ranks[0]
    }


def two_ranks(folder: Path, *names: str, seconds: float = 400) -> list[dict[str, dict[str, Any]]]:
    """What each of two ranks wrote down of the cases, by default of all."""
    write_npz(folder / "data.npz", rows=ROWS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    paths = (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))
    path = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), *names],
            env={**os.environ, **shared, **path, "LOCAL_RANK": str(rank), "NODE_RANK": "0"},
        )
        for rank in (0, 1)
    ]
    try:
        assert [each.wait(seconds) for each in processes] == [0, 0]
    finally:
        for each in processes:
            each.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    found = {name: trained(place, name) for name in sys.argv[2:] or CASES}
    torch.save(found, place / f"{os.environ['LOCAL_RANK']}.pt")
