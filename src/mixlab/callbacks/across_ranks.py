"""Partners from the rows of all ranks (`partners=across_ranks`): a permutation of the global batch.

The permutation is drawn from an address that all ranks share, so each knows its part of it, and
who is mixed with whom is what it would be in one process. The rows of the others come as guests.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing import Batch, Guests
from mixlab.mixing.partners import shared_permutations


def gathered(batch: Batch) -> list[Batch]:
    """The batch of each rank, in order: images, targets and index of all on all."""
    world_size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if world_size == 1:
        return [batch]
    sizes = rank_sizes(batch, world_size)
    images, targets = (all_rows(rows, sizes) for rows in (batch.images, batch.targets))
    index: Sequence[Tensor | None] = [None] * world_size
    if batch.index is not None:
        index = all_rows(batch.index.to(batch.images.device), sizes)
    parts = (images, targets, index)
    return [replace(batch, images=x, targets=y, index=i) for x, y, i in zip(*parts, strict=True)]


def rank_sizes(batch: Batch, world_size: int) -> list[int]:
    """How many rows each rank has; known without asking where the sampler dealt them."""
    rows = batch.global_rows
    if rows is not None:
        return [len(range(rank % rows, rows, world_size)) for rank in range(world_size)]
    mine = torch.tensor([len(batch.images)], device=batch.images.device)
    return [int(size) for size in torch.cat(all_rows(mine, [1] * world_size)).tolist()]


def all_rows(rows: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """`rows` of each rank; `sizes` says how many each has."""
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return [part[:size] for part, size in zip(found, sizes, strict=True)]


def with_other_ranks(batch: Batch, batches: Sequence[Batch], columns: int, position: int) -> tuple:
    """The batch with the other ranks' rows as guests, and the partners of its rows.

    Args:
        batch: this rank's.
        batches: of all ranks, in order.
        columns: partners of each row.
        position: number of the mixing callback among several.

    Returns:
        The batch and its partners, int64 (B,) or (B, columns), as numbers of its rows and guests.
    """
    address, sizes = batch.address, [len(each.images) for each in batches]
    if address is None:
        raise UserError("only a training batch is mixed, and this one has no address")
    ranks = range(min(len(batches), batch.global_rows or sum(sizes)))  # the rest only repeat rows
    mine = address.rank % len(ranks)
    order = sorted((row, rank) for rank in ranks for row in range(sizes[rank]))  # as they are dealt
    others = [rank for rank in ranks if rank != mine]
    local = {(row, mine): row for row in range(sizes[mine])}
    number = sizes[mine]
    for rank in others:
        local |= {(row, rank): number + row for row in range(sizes[rank])}
        number += sizes[rank]
    numbers = {place: row for row, place in enumerate(order)}
    own = [numbers[row, mine] for row in range(sizes[mine])]
    drawn = shared_permutations(address, len(order), columns, position)[own]
    partners = np.array([local[place] for place in order])[drawn]
    return replace(batch, guests=guests_of([batches[rank] for rank in others])), partners


def guests_of(batches: Sequence[Batch]) -> Guests | None:
    """The rows of several batches as guests."""
    if not batches:
        return None
    index = [each.index for each in batches if each.index is not None]
    return Guests(
        torch.cat([each.images for each in batches]),
        torch.cat([each.targets for each in batches]),
        torch.cat(index) if index else None,
    )
