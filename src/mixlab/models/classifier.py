"""The LightningModule: a network, a loss, an optimizer. It knows nothing of mixing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from mixlab.checks import ABOVE_0, BELOW_1, WEIGHT_DECAY_ON
from mixlab.errors import UserError
from mixlab.models.losses import Loss, find_loss, probabilities, widened
from mixlab.models.metrics import BUILT_IN, ClassMetrics, Metric, RunningMetrics, single_numbers
from mixlab.models.optimizers import parameter_groups, scale_learning_rates

STAGES = ("train", "val", "test")


class ImageClassifier(pl.LightningModule):
    """Train a network to tell classes apart, from dense or soft labels.

    Each stage logs `<stage>/loss` and `<stage>/accuracy` once an epoch. In training the loss is
    that of the mixed and smoothed labels, and a row counts as right if the largest logit is at the
    largest share; in validation and test it is that of the plain labels. `metrics` are logged as
    `val/<name>` and `test/<name>`.

    Args:
        network: float images (B, C, H, W) or other rows (B, ...) to (B, num_classes) logits.
        optimizer: takes parameter groups, as `torch.optim.Adam` with its other arguments bound.
        scheduler: takes the optimizer; it is stepped once an epoch.
        num_classes: of the data, if known.
        metrics: beside loss and accuracy, of validation and test.
        loss: `cross_entropy`, `binary_cross_entropy`, or one of the user's, see `OwnLoss`.
        label_smoothing: in [0, 1); of the training labels, after mixing.
        weight_decay_on: what the optimizer's weight decay acts on: `all` parameters, `weights`
            (without biases and normalization) or `convolutions` (their kernels only).
        layer_decay: in (0, 1]; see `parameter_groups`.
        channels_last: memory format in which CPUs and tensor cores convolve images fastest.
        compile: whether to run the network through `torch.compile`.
    """

    forward_is_network: ClassVar[bool] = True  # so whoever looks at the network leaves this out

    def __init__(
        self,
        network: nn.Module,
        optimizer: Callable[[Iterable[Any]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
        *,
        num_classes: int | None = None,
        metrics: Sequence[Metric] = (),
        loss: str | Callable[[Tensor, Tensor], Tensor] = "cross_entropy",
        label_smoothing: float = 0.0,
        weight_decay_on: str = "all",
        layer_decay: float = 1.0,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        BELOW_1.check("model.label_smoothing", label_smoothing)
        WEIGHT_DECAY_ON.check("model.weight_decay_on", weight_decay_on)
        ABOVE_0.check("model.layer_decay", layer_decay)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.layout)
        if compile:
            self.network.compile()  # in place, so that checkpoints keep their names
        self.num_classes = num_classes
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.loss: Loss = find_loss(loss)
        self.label_smoothing = float(label_smoothing)
        self.weight_decay_on, self.layer_decay = weight_decay_on, layer_decay
        self.tallies = {stage: RunningMetrics() for stage in STAGES}
        self.metrics = (*BUILT_IN, *metrics)
        classes: Any = {metric.name: metric.torchmetric for metric in metrics}
        self.more = nn.ModuleDict(
            {stage: MetricCollection(deepcopy(classes)) for stage in STAGES[1:] if classes}
        )
        self.by_class = ClassMetrics()
        self.class_accuracy: list[float | None] = []  # of the last test
        self.confusion: list[list[int]] = []  # of the last test, see `ClassMetrics`

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of float images (B, C, H, W), or other rows (B, ...)."""
        layout = self.layout if images.ndim == 4 else torch.contiguous_format
        return self.network(images.contiguous(memory_format=layout))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.step(batch, batch_idx, "train", smoothing=self.label_smoothing)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.step(batch, batch_idx, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.step(batch, batch_idx, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, _ = batch
        return self(images)

    def step(self, batch: Any, batch_idx: int, stage: str, *, smoothing: float = 0.0) -> Tensor:
        """The mean loss of a batch, which is counted in the stage's tally."""
        if batch_idx == 0:
            self.tallies[stage], self.by_class = RunningMetrics(), ClassMetrics()
            if stage in self.more:
                self.more[stage].reset()  # pyright: ignore
        self.tallies[stage].begun = True
        images, targets = batch
        logits, targets = widened(self(images), targets)
        loss = self.loss(logits, targets, smoothing)
        if not getattr(batch, "is_repeat", False):
            self.count(stage, loss, logits, targets)
        return loss

    def count(self, stage: str, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Keep what the stage's figures are made of."""
        self.tallies[stage].add(loss, logits, targets)
        if stage in self.more:
            # Logits for pixels: softmax can tie two of them, and an overlap needs the largest.
            scores = logits if logits.ndim > 2 else probabilities(logits, self.loss)
            self.more[stage].update(scores.detach(), targets)  # pyright: ignore
        if stage == "test":
            self.by_class.add(logits.argmax(1), targets, logits.shape[1])

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch or self.trainer.global_step == self.trainer.max_steps:
            # Before callbacks see the end of the epoch. Lightning weights what is logged by the
            # rows of the batch, and rounds their mean over unequal ranks to a whole number.
            uneven = (getattr(batch, "global_rows", None) or 0) % self.trainer.world_size
            self.report("train", batch_size=1 if uneven else None)

    def on_train_epoch_end(self) -> None:
        self.report("train")  # of an epoch that ended early, too

    def on_validation_epoch_end(self) -> None:
        self.report("val")

    def on_test_epoch_end(self) -> None:
        self.report("test")
        self.class_accuracy = self.by_class.accuracy(self.total_over_ranks)
        counts = self.by_class.confusion
        self.confusion = [] if counts is None else self.total_over_ranks(counts).tolist()

    def report(self, stage: str, batch_size: int | None = None) -> None:
        """Log the means over the rows that a stage has seen."""
        tally = self.tallies[stage]
        if tally.begun:  # on all ranks or on none, for they wait for each other here
            means = tally.means(self.total_over_ranks, self.device)
            if stage in self.more:
                means |= single_numbers(self.more[stage].compute())  # pyright: ignore
            values = {f"{stage}/{name}": value for name, value in means.items()}
            shown = stage != "test"  # in the progress bar
            options: Any = {
                "on_step": False,
                "on_epoch": True,
                "sync_dist": True,
                "prog_bar": shown,
            }
            self.log_dict(values, batch_size=batch_size, **options)

    def total_over_ranks(self, values: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(values, reduce_op="sum")  # pyright: ignore

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        sums = self.tallies["train"].sums()  # of an epoch that may be cut off
        if self.trainer.world_size > 1:
            sums = cast(Tensor, self.all_gather(sums.to(self.device))).cpu()
        checkpoint["tally"] = sums.reshape(-1, 3)  # a row for each rank

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        sums = checkpoint.get("tally")
        if sums is not None and len(sums) == self.trainer.world_size:
            self.tallies["train"] = RunningMetrics.of(sums[self.trainer.global_rank])

    def configure_optimizers(self) -> Any:
        groups = parameter_groups(self.network, self.weight_decay_on, self.layer_decay)
        try:  # values of a wrong type come to light only here
            optimizer = self.optimizer_factory(groups)
            scale_learning_rates(optimizer)
            scheduler = self.scheduler_factory and self.scheduler_factory(optimizer)
        except TypeError as error:
            raise UserError(f"optimizer or scheduler cannot be made: {error}") from error
        # The monitor is for ReduceLROnPlateau alone.
        stepped = {"scheduler": scheduler, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": stepped} if scheduler else optimizer

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
            super().lr_scheduler_step(scheduler, metric)
        else:  # timm's are told which epoch comes next
            scheduler.step(self.current_epoch + 1)
