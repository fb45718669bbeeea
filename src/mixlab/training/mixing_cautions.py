"""What is legal in mixing and mixes less than its settings say: one process, or a single cell."""

from collections.abc import Iterator, Sequence
from math import gcd
from typing import Any

from mixlab.callbacks import HiddenMixingCallback, MixingCallback
from mixlab.mixing.given_maps import methods_within
from mixlab.mixing.methods import GridMix, PatchMix, PuzzleMix, TokenMix
from mixlab.mixing.methods.puzzlemix import largest_divisor
from mixlab.mixing.partners import ACROSS_RANKS


def mixing_cautions(
    callbacks: Sequence[MixingCallback], shape: Sequence[int], world_size: int
) -> Iterator[str]:
    """A sentence for each that applies to rows of `shape`, in so many processes."""
    for each in callbacks:
        if each.partners == ACROSS_RANKS and world_size == 1:
            yield (
                "mixing.partners=across_ranks draws permutations of the batch in one process, as "
                "permutation does; trainer=ddp has one process for each GPU, trainer=ddp_sim two "
                "on the CPU"
            )
        # The features that a layer mixes have another size.
        if len(shape) > 2 and not isinstance(each, HiddenMixingCallback):
            yield from single_cells(each.method, shape[-2], shape[-1])


def single_cells(method: Any, height: int, width: int) -> Iterator[str]:
    """A sentence for a method, and for each in it, that has one cell for the whole picture.

    Other cells that do not fit the picture are harmless: they differ in size, and labels follow
    the pixels.
    """
    if found := single_cell(method, height, width):
        setting, remedy = found
        yield (
            f"{type(method).__name__} has one cell for {height} x {width} pixels "
            f"({setting}), so each is kept, replaced or blended as a whole; {remedy}"
        )
    for part in methods_within(method):
        yield from single_cells(part, height, width)


def single_cell(method: Any, height: int, width: int) -> tuple[str, str] | None:
    """The setting that leaves a picture in one piece, and the remedy."""
    match method:
        case PatchMix(patch_size=size) if size >= max(height, width):
            return f"patch_size={size}", "take a smaller patch_size"
        case GridMix(cells=1):
            return "cells=1", "take more cells"
        case TokenMix(grid=1):
            return "grid=1", "take a larger grid"
        case PuzzleMix(grids=grids) if largest_divisor(gcd(height, width), max(grids)) == 1:
            return f"grids={[*grids]}", "resize the pictures, or take a divisor of both sides"
    return None
