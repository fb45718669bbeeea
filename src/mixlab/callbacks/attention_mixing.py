"""Labels by attention: the class token of a vision transformer weighs what was pasted."""

from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mixlab.callbacks.forward_mixing import ForwardMixing
from mixlab.callbacks.layers import check_not_compiled, network_of
from mixlab.callbacks.network_labels import NetworkLabels, weighed_shares
from mixlab.checks import FRACTION, check_fields
from mixlab.config.network_words import no_class_token
from mixlab.errors import UserError
from mixlab.mixing import Batch, Method, MixedBatch

ATTENTION = ("qkv", "num_heads", "head_dim", "scale", "q_norm", "k_norm")


class AttentionMixingCallback(ForwardMixing, NetworkLabels):
    """Weigh the labels of mixed images by the class token's attention in the last block.

    Chen et al., TransMix, 2021, https://arxiv.org/abs/2111.09833: the share of a source
    is the sum of the attention on its patches, averaged over the heads. Where the paper reduces the
    mask to the nearest pixel of each patch, this takes the mean of the patch, so that uniform
    attention gives the labels of the area.

    The attention is that of the training step's own forward pass: a hook computes it again from
    queries and keys, for the class token alone, and rewrites the batch's targets in place before
    the pass ends. That is exact for a LightningModule that computes its loss after its forward, and
    changes nothing in the pass itself. Works with any method, such as CutMix with mixup in a OneOf.

    Args:
        method: such as `TransMix(alpha=1.0)`.
        attention: in [0, 1], the part of the label that follows attention; the rest follows the
            area.
        options: of `MixingCallback`.

    Raises:
        UserError: the network has no class token, or is compiled.
    """

    left_undone = "the labels are those of the area"

    def __init__(self, method: Method, *, attention: float = 1.0, **options: Any) -> None:
        super().__init__(method, **options)
        self.attention = attention
        check_fields(self, attention=FRACTION)
        self._network: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            check_not_compiled(pl_module, "mixing by attention")
            self._network = network_of(pl_module)
            last_attention(self._network)

    def mix(self, batch: Batch) -> MixedBatch:
        """As `MixingCallback.mix`; the next forward pass rewrites the targets of the new batch."""
        mixed = super().mix(batch)
        if self._network is not None:
            layer = last_attention(self._network).qkv
            self.expect(layer, partial(self._weigh, mixed), "of the attention")
        return mixed

    @torch.no_grad()
    def _weigh(self, mixed: MixedBatch, qkv: Tensor) -> None:
        size = mixed.after.images.shape[-2:]
        attention = class_attention(self._network, qkv, (size[0], size[1]))
        share = weighed_shares(mixed.blend, attention[:, None], (size[0], size[1]))
        area = mixed.blend.share.to(share.device, non_blocking=True)
        self.relabel(mixed, self.attention * share + (1 - self.attention) * area)


def last_attention(network: Any) -> Any:
    """The attention of the last block of a vision transformer that classifies by a class token.

    Raises:
        UserError: it is no such network.
    """
    blocks = getattr(network, "blocks", None)
    layer = getattr(blocks[-1], "attn", None) if isinstance(blocks, nn.Sequential) else None
    plain = type(layer).__name__ == "Attention" and all(hasattr(layer, key) for key in ATTENTION)
    by_token = getattr(network, "global_pool", None) == "token"
    if not plain or not by_token or getattr(network, "cls_token", None) is None:
        raise UserError(no_class_token(type(network).__name__))
    return layer


def class_attention(network: Any, qkv: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h, w) float32 attention of the class token on the patches, summing to one in each row.

    Args:
        network: a vision transformer.
        qkv: (B, N, 3 * heads * head_dim), queries, keys and values of the last block.
        size: height and width of the images.
    """
    layer, skipped = last_attention(network), network.num_prefix_tokens
    rows, tokens, _ = qkv.shape
    parts = qkv.view(rows, tokens, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key = layer.q_norm(parts[0][:, :, :1]), layer.k_norm(parts[1])
    with torch.autocast(qkv.device.type, enabled=False):
        scores = (query.float() * layer.scale) @ key.float().transpose(2, 3)
        attention = scores.softmax(3)[:, :, 0, skipped:].mean(1)
    patch = network.patch_embed.patch_size
    grid = (size[0] // patch[0], size[1] // patch[1])
    if grid[0] * grid[1] != tokens - skipped:
        raise UserError(
            f"the last block has {tokens - skipped} patches, not {grid[0]} x {grid[1]}, so which "
            "pixels they are of is not known; leave out patch dropout, or use mixing=cutmix"
        )
    return (attention / attention.sum(1, keepdim=True)).view(rows, *grid)
