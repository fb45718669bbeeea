"""Mixing that acts within the forward pass of a training step, by a hook that stays for one."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytorch_lightning as pl
from torch import Tensor, nn

from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.next_forward import NextForward
from mixlab.errors import UserError


class ForwardMixing(MixingCallback):
    """What callbacks share whose `mix` expects the next forward pass.

    Attributes:
        left_undone: what is wrong with a batch whose layer did not run, for the message.

    Raises:
        UserError: the layer did not run in the training step.
    """

    left_undone: ClassVar[str]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hook: NextForward | None = None

    def expect(
        self, layer: nn.Module, change: Callable[[Tensor], Tensor | None], name: str
    ) -> None:
        """Hand what `layer` gives in the next forward pass to `change`, see `NextForward`."""
        self.forget()
        self._hook = NextForward(layer, change, name)

    def forget(self) -> NextForward | None:
        """Take the hook off; returns it, if there was one."""
        hook, self._hook = self._hook, None
        if hook is not None:
            hook.remove()
        return hook

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        hook = self.forget()
        if hook is not None and not hook.ran and outputs is not None:
            raise UserError(
                f"layer {hook.name} did not run in the training step, so {self.left_undone}; "
                "choose a layer that training uses"
            )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        super().on_exception(trainer, pl_module, exception)
        self.forget()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        self.forget()
