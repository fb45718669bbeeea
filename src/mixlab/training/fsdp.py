"""Fully sharded data parallel: each rank keeps a part of the weights and of the optimizer's state.

Lightning's `FSDPStrategy` runs on GPUs alone; its `ModelParallelStrategy` with torch's
`fully_shard` also runs on CPUs, so that what is told here can be tried anywhere.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Optimizer

from mixlab.errors import UserError

CONTAINERS = (nn.ModuleList, nn.ModuleDict)  # without a forward that could gather their weights


class FullySharded(ModelParallelStrategy):
    """Shard the networks of a LightningModule over all ranks.

    Checkpoints are gathered: rank 0 writes one file with all weights, which any other strategy, or
    one process, can read. A module with a `configure_model` of its own shards itself.

    Args:
        kwargs: of Lightning's `ModelParallelStrategy`, as `timeout`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(save_distributed_checkpoint=False, **kwargs)

    def setup_environment(self) -> None:
        self._data_parallel_size, self._tensor_parallel_size = self.world_size, 1
        super().setup_environment()
        module = self.lightning_module
        assert module is not None
        callbacks = module.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if any(isinstance(each, WeightAveraging) for each in callbacks):
            raise UserError("averaged weights cannot be sharded; leave out callbacks=ema, or use "
                            "trainer=ddp")  # fmt: skip
        if not is_overridden("configure_model", module):
            module.configure_model = partial(shard, module, self.device_mesh["data_parallel"])

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def load_checkpoint(self, checkpoint_path: Any, weights_only: Any = None) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        from torch.distributed.checkpoint.state_dict import (
            StateDictOptions,
            set_optimizer_state_dict,
        )

        assert self.model is not None
        options = StateDictOptions(full_state_dict=True)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            named = by_name(state, optimizer, self.model)
            set_optimizer_state_dict(self.model, optimizer, named, options=options)

    def on_validation_start(self) -> None:
        self.share_buffers()

    def on_test_start(self) -> None:
        self.share_buffers()

    def share_buffers(self) -> None:
        """Give all ranks the buffers of rank 0, as running statistics, as DDP does."""
        assert self.model is not None
        for buffer in self.model.buffers():
            torch.distributed.broadcast(buffer, 0)


def shard(module: nn.Module, mesh: Any) -> None:
    """Shard a module's networks in place: each direct part of one is gathered when it computes."""
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if own := [name for name, _ in module.named_parameters(recurse=False)]:
        raise UserError(
            f"trainer=fsdp shards the networks in a module's attributes, but {own[0]} is a "
            f"parameter of {type(module).__name__} itself; put it into a network"
        )
    for network in parts(module):
        if isinstance(network, FSDPModule):
            continue  # it was trained before it is tested
        network.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        for part in parts(network):
            fully_shard(part, mesh=mesh)
        fully_shard(network, mesh=mesh)


def parts(module: nn.Module) -> Iterator[nn.Module]:
    """The direct parts of a module that have weights; of a list of modules, its entries."""
    for part in module.children():
        if isinstance(part, CONTAINERS):
            yield from parts(part)
        elif any(True for _ in part.parameters()):
            yield part


def by_name(state: Mapping[str, Any], optimizer: Optimizer, module: nn.Module) -> dict[str, Any]:
    """An optimizer's state with the names of the parameters in place of their numbers.

    Numbers count the parameters of a file's groups, which are those of this optimizer.
    """
    names: dict[Tensor, str] = {weights: name for name, weights in module.named_parameters()}
    own = [names[weights] for group in optimizer.param_groups for weights in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    to = dict(zip(numbers, own, strict=True))
    groups = [
        {**group, "params": [to[number] for number in group["params"]]}
        for group in state["param_groups"]
    ]
    return {"state": {to[key]: value for key, value in state["state"].items()},
            "param_groups": groups}  # fmt: skip
