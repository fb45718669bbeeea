"""Blend: the draws for one batch, and how they are applied to images and targets.

mixed image  = sum over k of mask_k * view_k(images[source_k])
mixed target = sum over k of share_k * targets[source_k]
"""

from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from mixlab.mixing.blend_input import (
    check_blend_shapes,
    check_float_images,
    check_float_planes,
    check_partner_numbers,
    float_targets,
)
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.composed import Composed
from mixlab.mixing.labels import check_pairs
from mixlab.mixing.masks import Mask, is_flat, mean_share, painted, where_rows
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.row_sums import row_sums, summed_rows, weighted_rows
from mixlab.mixing.tiles import Tiles
from mixlab.mixing.views import as_pictures, pasted_views, warped


@dataclass(frozen=True, eq=False)
class Blend:
    """Sources, masks and shares of B mixed rows, made from R >= B rows.

    Attributes:
        source: (B, K) int64 on the CPU, the rows that feed each row; column 0 is the row itself.
        mask: (B|1, K, *S) float, S broadcast against the trailing dimensions of the images as
            usual (a *flat* mask, one number a row and source, has none), or one that is painted
            where it has to be: `Boxes`, `Tiles`, `PartnerMask` or `Composed`. Over the sources it
            sums to one, except where content is erased.
        share: (B|1, K) float32 on the CPU, weights in the label, summing to one; the mean of the
            mask unless the method says otherwise. On the CPU, so that logging waits for no GPU.
        warp: None or (B, K, 2, 3) on the CPU, affine views of the partners as `F.affine_grid` takes
            them; the identity, always so in column 0, leaves a row exactly as it is.
        moves: None or (B, K, n * n) int64 on the device of the images, permutations of the n x n
            equal blocks of each source: the block that lies at each place, before the mask.
    """

    source: Tensor
    mask: Mask
    share: Tensor = cast(Tensor, None)
    warp: Tensor | None = None
    moves: Tensor | None = None

    def __post_init__(self) -> None:
        check_blend_shapes(self.source, self.mask, self.share)
        if self.share is None:
            object.__setattr__(self, "share", mean_share(self.mask))

    @classmethod
    def identity(cls, num_rows: int) -> Self:
        """The blend that leaves `num_rows` rows as they are."""
        return cls(torch.arange(num_rows, device="cpu")[:, None], torch.ones(1, 1, device="cpu"))

    @classmethod
    def pair(cls, partners: np.ndarray | Tensor, mask: Mask, share: Tensor | None = None) -> Self:
        """Each row with one partner: `partners` (B,) int64, mask and share as above with K = 2."""
        check_partner_numbers(partners)
        source = np.empty((len(partners), 2), dtype=np.int64)
        source[:, 0], source[:, 1] = np.arange(len(partners)), partners
        return cls(torch.from_numpy(source), mask, cast(Tensor, share))

    @property
    def num_rows(self) -> int:
        """B, the mixed rows."""
        return self.source.shape[0]

    @property
    def num_sources(self) -> int:
        """K, the sources of each row."""
        return self.source.shape[1]

    @property
    def unmoved(self) -> bool:
        """Whether every source is seen as it is."""
        return self.warp is None and self.moves is None

    @property
    def sums_alike(self) -> bool:
        """Whether images and labels are the same sums of rows, which a subclass may change."""
        return self.mask is self.share and self.unmoved and type(self) is Blend

    @property
    def own_share(self) -> Tensor:
        """(B,) label weight that each row keeps, through whichever column."""
        return ((self.source == self.source[:, :1]) * self.share).sum(1)

    @property
    def own_content(self) -> Tensor:
        """(B,) mean of the mask of what each row keeps; waits for a GPU where it is painted."""
        return ((self.source == self.source[:, :1]) * mean_share(self.mask)).sum(1)

    @property
    def mixed_rows(self) -> Tensor:
        """(B,) bool: rows with a share of others above 1e-6, in the label or in an unpainted mask.

        An erased box counts as others.
        """
        mixed = self.own_share < 1 - 1e-6
        if not self.is_painted:
            mixed = mixed | (self.own_content < 1 - 1e-6)
        return mixed

    @property
    def is_painted(self) -> bool:
        """Whether the mask has a value for each pixel, perhaps on a GPU."""
        return not isinstance(self.mask, Boxes | Tiles) and not is_flat(self.mask)

    @property
    def unpainted(self) -> "Blend":
        """The same shares and mixed rows without a painted mask, which is large: for logging.

        The content of its rows is then what their label says.
        """
        if not self.is_painted:
            return self
        return Blend(self.source, self.share, self.share)

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Both operations: the mixed images and the mixed targets.

        Targets are labels (R, C), or planes (R, C, H, W) as of segmentation masks, one per class,
        which are mixed pixel by pixel like the images. Where content is erased, the row keeps its
        own planes, as it keeps its label. Raises ValueError for another number of them than images.
        """
        check_pairs(images, targets)
        if targets.ndim > 2:
            return self.images(images), self._planes(targets)
        if not self.sums_alike:
            labels = self.targets(targets)  # first, since images evict the processor's cache
            return self.images(images), labels
        targets = float_targets(targets)
        sums = row_sums(self.source, self.share, targets)
        labels = summed_rows(targets, *sums)
        fits = images.dtype == targets.dtype and images.device == targets.device
        return (summed_rows(images, *sums) if fits else self.images(images)), labels

    def images(self, images: Tensor) -> Tensor:
        """A new (B, ...) tensor: the mixture of (R, ...) float `images`, in their dtype and layout.

        Raises ValueError for images that are not float, or of another size than the blend's boxes.
        """
        check_float_images(images)
        if not self.num_rows:
            return torch.empty_like(images[:0])
        if is_flat(self.mask) and self.unmoved:
            return weighted_rows(images, self.source, self.mask)
        if isinstance(self.mask, Composed):
            return self.mask.apply(images)
        if isinstance(self.mask, Boxes | Tiles):
            self.mask.check_size(images)
            can_paste = self.moves is None and _can_paste(images)
            if can_paste and (mixed := self._paste(images, self.mask)) is not None:
                return mixed
        return self._sum(images)

    def targets(self, targets: Tensor) -> Tensor:
        """A new (B, C) tensor: the mixture of (R, C) float `targets`, in float32 at least.

        Raises ValueError for class numbers.
        """
        targets = float_targets(targets)
        return weighted_rows(targets, self.source, self.share)

    def _planes(self, targets: Tensor) -> Tensor:
        """The mixture of planes (R, C, H, W) or of one (R, H, W), whatever they sum to."""
        check_float_planes(targets)
        mixed = self.images(targets)
        content = self.images(torch.ones_like(targets[:, :1] if targets.ndim > 3 else targets))
        return mixed.addcmul_(targets[: self.num_rows], 1 - content)

    def where(self, rows: np.ndarray | Tensor) -> "Blend":
        """The same blend for the rows chosen by bool `rows` (B,); the others stay unchanged."""
        if rows.all():
            return self
        chosen = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
        first = torch.eye(1, self.num_sources, device="cpu")
        if isinstance(self.mask, Tensor):
            mask = where_rows(chosen, self.mask, first)
        else:
            mask = self.mask.where(chosen)
        source = torch.where(chosen[:, None], self.source, self.source[:, :1])
        moves = self.moves
        if moves is not None:
            still = torch.arange(moves.shape[2], device=moves.device)
            moved = chosen[:, None, None].to(moves.device, non_blocking=True)
            moves = torch.where(moved, moves, still)
        is_share = self.mask is self.share
        share = cast(Tensor, mask) if is_share else where_rows(chosen, self.share, first)
        return replace(self, source=source, mask=mask, share=share, moves=moves)

    def view(self, images: Tensor, k: int, rows: slice) -> Tensor:
        """Source k of some `rows` among (R, ...) `images`, as it lies in their mixture."""
        source = self.source[rows, k]
        if len(source) == 1 and images.device.type == "cpu" and not torch.compiler.is_compiling():
            view = images[int(source)][None]  # not copied
        else:
            view = images.index_select(0, source.to(images.device, non_blocking=True))
        view = view if self.moves is None else _moved(view, self.moves[rows, k])
        return view if self.warp is None else warped(view, self.warp[rows, k])

    def _paste(self, images: Tensor, mask: Boxes | Tiles) -> Tensor | None:
        """For CPUs: copying boxes takes half the time of painting a mask and weighting by it."""
        if self.warp is None and isinstance(mask, Boxes):
            if mask.shows_own:
                return mask.paste(images, self.source)
            outside = weighted_rows(images, self.source, mask.outside)
            return mask.paste(images, self.source, outside)
        layers = mask.layers()
        if self.warp is None or layers is None:
            return None
        return pasted_views(images, self.source, layers, self.warp)

    def _sum(self, images: Tensor) -> Tensor:
        """The general case, a pass for each source.

        On a CPU a quarter of a megabyte at a time, which stays in the processor's cache.
        """
        if isinstance(self.mask, PartnerMask):
            mask = self.mask.partner[:, None].to(images.device, non_blocking=True)
        else:
            mask = painted(self.mask, images.device)
        if not _can_paste(images) or (mask.requires_grad and torch.is_grad_enabled()):
            return self._sum_of(images, mask, slice(0, self.num_rows))
        mixed = torch.empty_like(images[: self.num_rows])
        step = max(1, 2**18 // (images[0].numel() * images.itemsize))
        for start in range(0, self.num_rows, step):
            rows = slice(start, start + step)
            self._sum_of(images, mask if len(mask) == 1 else mask[rows], rows, mixed[rows])
        return mixed

    def _sum_of(
        self, images: Tensor, mask: Tensor, rows: slice, out: Tensor | None = None
    ) -> Tensor:
        """The mixtures of some rows, of their mask (b|1, K, *S), or the partner's (b|1, 1, *S)."""
        own = images[: self.num_rows][rows]
        if self.moves is not None:
            own = torch.empty_like(own).copy_(self.view(images, 0, rows))  # in the same layout
        if mask.shape[1] < self.num_sources:
            return torch.lerp(own, self.view(images, 1, rows), _fit(mask[:, 0], images), out=out)
        total = torch.mul(own, _fit(mask[:, 0], images), out=out)
        for k in range(1, self.num_sources):
            total = total.addcmul_(self.view(images, k, rows), _fit(mask[:, k], images))
        return total


def _fit(weight: Tensor, images: Tensor) -> Tensor:
    """`weight` (B|1, *S) in the dtype of `images` (B, ...), ready to be multiplied with them."""
    rows, *size = weight.shape
    return weight.to(images.dtype).reshape(rows, *[1] * (images.ndim - weight.ndim), *size)


def _moved(rows: Tensor, moves: Tensor) -> Tensor:
    """`rows` (B, ..., H, W) whose blocks are permuted by `moves` (B, n * n)."""
    size = round(moves.shape[1] ** 0.5)
    flat = as_pictures(rows)
    blocks = flat.unflatten(3, (size, -1)).unflatten(2, (size, -1)).permute(0, 2, 4, 1, 3, 5)
    first = torch.arange(0, moves.numel(), moves.shape[1], device=moves.device)[:, None]
    taken = blocks.flatten(0, 2).index_select(0, (first + moves).flatten())  # whole blocks
    back = taken.unflatten(0, blocks.shape[:3]).permute(0, 3, 1, 4, 2, 5)
    return back.reshape(rows.shape)


def _can_paste(images: Tensor) -> bool:
    """Whether numpy can copy boxes: on a CPU, without a graph, a derivative or `vmap`."""
    if torch.compiler.is_compiling() or images.requires_grad or not images.is_cpu:
        return False
    is_mapped = torch._C._functorch.is_functorch_wrapped_tensor(images)  # pyright: ignore
    return not is_mapped and forward_ad.unpack_dual(images).tangent is None
