"""What weight decay acts on, and timm's optimizers and schedulers as classes.

Optimizers and schedulers are configured by class, those of torch as they are.
"""

import difflib
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from mixlab.checks import WEIGHT_DECAY_ON
from mixlab.errors import UserError

SMALLEST_DECAYED_NDIM = {"all": 0, "weights": 2, "convolutions": 3}


def parameter_groups(
    network: nn.Module, weight_decay_on: str = "all", layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Groups of the trainable parameters: those that decay, and those whose weight decay is 0.

    Convolution kernels have three dimensions or more, weights of dense layers two, biases and
    normalization one. With `layer_decay` below 1 there are groups for each layer, whose `lr_scale`
    is 1 for the last and that much smaller for each before it (arXiv:2106.08254).
    """
    WEIGHT_DECAY_ON.check("model.weight_decay_on", weight_decay_on)
    smallest = SMALLEST_DECAYED_NDIM[weight_decay_on]
    layers = layer_numbers(network) if layer_decay < 1 else {}
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (layers.get(name, 0), parameter.ndim < smallest)
            groups.setdefault(key, {"params": []})["params"].append(parameter)
    last = max(layers.values(), default=0)
    for (layer, exempt), group in groups.items():
        group |= {"weight_decay": 0.0} if exempt else {}
        group |= {"lr_scale": layer_decay ** (last - layer)} if layers else {}
    return [groups[key] for key in sorted(groups)] or [{"params": []}]


def layer_numbers(network: Any) -> dict[str, int]:
    """The layer of each parameter, counted from the input."""
    from timm.models import group_parameters  # pyright: ignore[reportPrivateImportUsage]

    if not hasattr(network, "group_matcher"):
        raise UserError("model.layer_decay needs a network of timm, which knows its layers")
    return group_parameters(network, network.group_matcher(coarse=False), reverse=True)


def scale_learning_rates(optimizer: Optimizer) -> None:
    """Multiply the rate of each group by its `lr_scale`, once, before a scheduler sees it."""
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * group.pop("lr_scale", 1.0)


class TimmOptimizer:
    """An optimizer of timm's by its name: `lamb`, `lion`, `muon`, ...

    Args:
        name: as `timm.optim.list_optimizers()` has it.
        lr: learning rate > 0.
        weight_decay: >= 0.
        kwargs: the optimizer's other arguments.
    """

    def __init__(self, name: str, *, lr: float, weight_decay: float = 0.0, **kwargs: Any) -> None:
        from timm.optim import list_optimizers  # pyright: ignore[reportPrivateImportUsage]

        names = [str(known) for known in list_optimizers()]
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UserError(f"timm has no optimizer {name!r}{hint}")
        self.name = name
        self.arguments = {"lr": lr, "weight_decay": weight_decay, **kwargs}

    def __call__(self, groups: Iterable[Any]) -> Optimizer:
        from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]

        return create_optimizer_v2(list(groups), self.name, **self.arguments)


class TimmScheduler:
    """A schedule of timm's by its name, an epoch at a time, with its warm-up.

    Args:
        name: `cosine`, `tanh`, `step`, `multistep` or `poly`.
        epochs: length of the training.
        warmup_epochs: in which the rate climbs from `warmup_lr` to the optimizer's.
        warmup_lr: learning rate of the first epoch, if there is a warm-up.
        min_lr: where the schedule ends.
        kwargs: the other arguments of `timm.scheduler.create_scheduler_v2`.
    """

    NAMES = ("cosine", "tanh", "step", "multistep", "poly")

    def __init__(
        self,
        name: str = "cosine",
        *,
        epochs: int,
        warmup_epochs: int = 0,
        warmup_lr: float = 1e-5,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if name not in self.NAMES:
            raise UserError(f"scheduler.name must be one of {', '.join(self.NAMES)}, got {name!r}")
        self.arguments = {
            "sched": name,
            "num_epochs": epochs,
            "warmup_epochs": warmup_epochs,
            "warmup_lr": warmup_lr,
            "min_lr": min_lr,
            **kwargs,
        }

    def __call__(self, optimizer: Optimizer) -> Any:
        from timm.scheduler import create_scheduler_v2  # pyright: ignore

        return create_scheduler_v2(optimizer, **self.arguments)[0]
